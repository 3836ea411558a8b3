"""Counts as bytes: whatever is added in whatever order, what comes out is what went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.storage.sql import packing

COUNTS = st.lists(st.integers(0, (1 << 64) - 1), max_size=40)
BATCHES = st.lists(
    st.dictionaries(st.integers(0, 9).map(str), st.integers(1, 1 << 40), max_size=10), max_size=8
)


@given(COUNTS)
def test_what_was_packed_is_unpacked(counts: list[int]) -> None:
    assert packing.unpacked(packing.packed(counts)).tolist() == counts


@given(BATCHES)
def test_adding_is_addition_and_equal_counts_are_equal_bytes(batches: list[dict[str, int]]) -> None:
    data = packing.nothing(10)

    for batch in batches:
        data = packing.added(data, batch)

    sums = [sum(batch.get(str(at), 0) for batch in batches) for at in range(10)]
    assert packing.unpacked(data).tolist() == sums
    assert data == packing.packed(sums)
    backwards = packing.nothing(10)
    for batch in reversed(batches):
        backwards = packing.added(backwards, batch)
    assert backwards == data


def test_counts_take_as_few_bytes_as_the_largest_needs() -> None:
    for most, width in ((255, 1), (256, 2), (65_535, 2), (65_536, 4), (1 << 32, 8)):
        assert len(packing.packed([0, most])) == 1 + 2 * width


def test_counts_are_little_endian_whatever_the_machine() -> None:
    assert packing.packed([1, 256]) == b"\x02\x01\x00\x00\x01"


def test_what_is_no_bin_is_refused() -> None:
    with pytest.raises(IndexError):
        packing.added(packing.nothing(3), {"3": 1})


@pytest.mark.parametrize("data", [b"", b"\x03abc", b"\x02a"])
def test_what_are_no_counts_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the last is the array's own
        packing.unpacked(data)
