"""Units that were seen are counted once, whatever they come with, in a record of fixed size."""

import random
import zlib
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core.recording import POSITION_BITS, ArmSums
from herdbook.errors import Corrupt
from herdbook.services.sightings import first_ones

PLACES = 1 << POSITION_BITS
BYTES = PLACES // 8


def came(*firsts: int, errors: tuple[int, ...] = (), arm: str = "control") -> ArmSums:
    """Results of units that a worker saw the first time."""
    return ArmSums(
        phase=1,
        arm=arm,
        results=len(firsts) + len(errors),
        errors=len(errors),
        firsts=firsts,
        first_errors=errors,
    )


def test_a_unit_counts_once_in_a_batch_across_arms_and_errors() -> None:
    _, found = first_ones(
        b"", [came(1, 2, 2, errors=(2, 3, 3)), came(1, 4, errors=(5, 3), arm="treatment")]
    )

    assert [(each.firsts, each.first_errors) for each in found] == [((1, 2), (3,)), ((4,), (5,))]
    assert [(each.arm, each.results, each.errors) for each in found] == [
        ("control", 6, 3),
        ("treatment", 4, 2),
    ]


def test_a_unit_counts_once_across_batches() -> None:
    seen, _ = first_ones(b"", [came(0, 7, 8)])
    seen, second = first_ones(seen, [came(8, 9, errors=(0, PLACES - 1))])
    _, third = first_ones(seen, [came(PLACES - 1, 0, 7, 8, 9)])

    assert (second[0].firsts, second[0].first_errors) == ((9,), (PLACES - 1,))
    assert (third[0].firsts, third[0].first_errors, third[0].results) == ((), (), 5)


places = st.lists(st.integers(0, 40) | st.integers(PLACES - 40, PLACES - 1), max_size=30)


@given(st.lists(st.tuples(places, places), min_size=1, max_size=4))
def test_it_says_what_a_set_would_say(batches: list[tuple[list[int], list[int]]]) -> None:
    seen, known = b"", set[int]()
    for firsts, errors in batches:
        seen, found = first_ones(seen, [came(*firsts, errors=tuple(errors))])

        for given_, left in ((firsts, found[0].firsts), (errors, found[0].first_errors)):
            new = [place for place in dict.fromkeys(given_) if place not in known]
            known.update(given_)
            assert list(left) == new


def test_nothing_leaves_what_was_there() -> None:
    seen, _ = first_ones(b"", [came(1)])

    assert first_ones(seen, []) == (seen, ())


def test_its_size_is_bounded_however_many_come() -> None:
    rng = random.Random(5)  # noqa: S311 - not a secret
    half = tuple(rng.sample(range(PLACES), PLACES // 8))

    few, _ = first_ones(b"", [came(*range(100))])
    many, found = first_ones(few, [came(*half)])
    every, _ = first_ones(many, [came(*range(PLACES))])

    assert len(few) < 5_000
    assert PLACES // 8 - 100 <= len(found[0].firsts) <= PLACES // 8
    assert max(len(many), len(every)) <= BYTES + BYTES // 1_000 + 64
    assert first_ones(every, [came(*islice(iter(half), 1_000))])[1][0].firsts == ()


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (b"nonsense", "is damaged"),
        (zlib.compress(bytes(BYTES))[:-5], "is damaged"),
        (zlib.compress(bytes(BYTES - 1)), "has 524,287 bytes, not 524,288"),
        (zlib.compress(bytes(BYTES + 1)), "more than 524,288 bytes"),
        (zlib.compress(b""), "has 0 bytes"),
        (zlib.compress(bytes(100 * BYTES)), "more than 524,288 bytes"),
        (zlib.compress(bytes(BYTES)) + b"more", "is damaged"),
    ],
)
def test_a_damaged_record_is_corrupt(seen: bytes, told: str) -> None:
    with pytest.raises(Corrupt, match=told):
        first_ones(seen, [came(1)])


def test_a_flipped_bit_is_corrupt_or_says_the_same() -> None:
    units = range(0, 4_000, 7)
    seen, _ = first_ones(b"", [came(*units)])
    found_out = 0
    for at in range(2, len(seen), 37):
        damaged = bytearray(seen)
        damaged[at] ^= 1

        try:
            again, found = first_ones(bytes(damaged), [came(*units)])
        except Corrupt:
            found_out += 1
        else:  # another way to write the same bytes
            assert (again, found[0].firsts) == (seen, ())

    assert found_out > 5
