"""Sums of samples: added in any order, in any groups, they come to the same."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core.sampling import Mark, Sampled, StreamSums, combined
from herdbook.errors import Invalid

BINS = st.dictionaries(st.integers(0, 9).map(str), st.integers(1, 1 << 30), max_size=5)
# Whole numbers: their sums are exact, so that equal is equal.
WHOLE = st.integers(-1_000_000, 1_000_000).map(float)


@st.composite
def sums(draw: st.DrawFn) -> StreamSums:
    return StreamSums(
        stream=draw(st.sampled_from(["prediction", "confidence", "country"])),
        hour=draw(st.integers(490_000, 490_003)),
        counts=draw(BINS),
        levels=draw(BINS),
        missing=draw(st.integers(0, 1 << 30)),
        total=draw(WHOLE),
        squares=abs(draw(WHOLE)),
    )


@given(st.lists(sums(), max_size=12), st.randoms(use_true_random=False))
def test_the_order_in_which_sums_are_added_does_not_matter(found: list[StreamSums], chance) -> None:  # type: ignore[no-untyped-def]
    shuffled = found.copy()
    chance.shuffle(shuffled)

    assert combined(shuffled) == combined(found)


@given(st.lists(sums(), max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_nor_does_how_they_were_grouped_before(
    found: list[StreamSums], first: int, second: int
) -> None:
    low, high = sorted((first, second))
    groups = found[:low], found[low:high], found[high:]

    together = combined([each for group in groups for each in combined(group)])

    assert together == combined(found)


@given(st.lists(sums(), max_size=12))
def test_nothing_is_lost_and_each_stream_and_hour_comes_once(found: list[StreamSums]) -> None:
    added = combined(found)

    assert len({(each.stream, each.hour) for each in added}) == len(added)
    assert sum(each.values for each in added) == sum(each.values for each in found)
    assert sum(each.missing for each in added) == sum(each.missing for each in found)
    counted: Counter[tuple[str, int, str]] = Counter()
    for each in found:
        counted.update({(each.stream, each.hour, at): n for at, n in each.counts.items()})
    assert counted == {
        (each.stream, each.hour, at): n for each in added for at, n in each.counts.items()
    }


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"counts": {"x": 1}}, "counts"),
        ({"counts": {"1": 0}}, "counts"),
        ({"levels": {"99999": 1}}, "levels"),
        ({"missing": -1}, "missing"),
        ({"hour": -1}, "hour"),
        ({"total": float("nan")}, "total"),
        ({"stream": ""}, "stream"),
    ],
)
def test_sums_that_cannot_be_are_refused_by_name(wrong: dict[str, object], field: str) -> None:
    given = {"stream": "prediction", "hour": 490_000, "counts": {"1": 2}} | wrong
    sampled = Sampled(
        model="gnn",
        number="v1",
        fingerprint="f",
        streams=(StreamSums(**given),),  # type: ignore[arg-type]
    )

    with pytest.raises(Invalid) as refused:
        sampled.checked()

    assert refused.value.field == field


def test_a_mark_with_a_confidence_that_is_none_is_refused() -> None:
    mark = Mark(request="r1", prediction="pump", confidence=float("inf"))

    with pytest.raises(Invalid, match="confidence"):
        Sampled(model="gnn", number="v1", fingerprint="f", marks=(mark,)).checked()
