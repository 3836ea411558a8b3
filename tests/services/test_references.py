"""References: bins that hold what they say, parts of the day, and how values hang together."""

import math
from bisect import bisect_left
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core.references import BINS, CATEGORIES_LIMIT, Kind
from herdbook.errors import Invalid
from herdbook.services.references import (
    accuracies,
    autocorrelation_time,
    bin_of,
    categorical,
    cautious_time,
    numeric,
    tenth,
)

NUMBERS = st.one_of(
    st.floats(-1e300, 1e300),
    st.integers(-3, 3).map(float),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-300, math.nextafter(1, 2), 1.0]),
)
SAMPLES = st.lists(NUMBERS, min_size=20, max_size=400)
START = 480_000


def _normal(number: int, seed: int = 1) -> list[float]:
    return list(np.random.default_rng(seed).normal(size=number).tolist())


def _alike(phi: float, number: int, seed: int = 1) -> list[float]:
    """A series in which each value is phi times the one before and something new."""
    new = (value * math.sqrt(1 - phi * phi) for value in _normal(number, seed))
    return list(accumulate(new, lambda before, more: phi * before + more))


@given(SAMPLES)
def test_counts_sum_to_the_number_of_values(values: list[float]) -> None:
    made = numeric(values)

    assert sum(made.counts) == made.count == len(values)
    assert len(made.counts) == len(made.edges) + 1 <= BINS


@given(SAMPLES)
def test_edges_ascend_and_every_value_lies_in_the_bin_that_is_defined(values: list[float]) -> None:
    made = numeric(values)

    assert all(low < high for low, high in pairwise(made.edges))
    found = [0] * made.bins
    for value in values:
        at = bin_of(made.edges, value)
        assert at == 0 or made.edges[at - 1] < value
        assert at == len(made.edges) or value <= made.edges[at]
        found[at] += 1
    assert tuple(found) == made.counts


@given(SAMPLES)
def test_the_outer_bins_hold_what_was_never_seen(values: list[float]) -> None:
    made = numeric(values)

    assert made.counts[0] == made.counts[-1] == 0
    assert bin_of(made.edges, made.low) > 0
    assert bin_of(made.edges, made.high) < made.bins - 1


@pytest.mark.parametrize("distinct", [1, 2, 3, 5, 50])
def test_a_frequent_value_has_a_bin_to_itself(distinct: int) -> None:
    rng = np.random.default_rng(distinct)
    values = rng.integers(0, distinct, size=4_000).astype(float).tolist()

    made = numeric(values)

    for value in set(values):
        at = bin_of(made.edges, value)
        assert made.counts[at] == values.count(value)
        assert bin_of(made.edges, math.nextafter(value, math.inf)) != at


def test_frequent_values_between_rare_ones_leave_no_more_bins_than_there_is_room_for() -> None:
    frequent = [float(at) for at in range(700) for _ in range(12)]
    values = frequent + np.random.default_rng(1).uniform(0, 700, size=3_000).tolist()

    made = numeric(values)

    assert made.bins <= BINS
    # None of them is where all that is large lies together.
    assert max(made.counts) < len(values) / 50


def test_values_that_are_no_numbers_are_missing() -> None:
    made = numeric([*_normal(100), math.nan, math.inf, -math.inf])

    assert (made.count, made.missing) == (100, 3)
    assert math.isfinite(made.mean)
    assert math.isfinite(made.sd)


def test_too_few_values_are_refused() -> None:
    with pytest.raises(Invalid, match="at least 20 values, not of 19 finite"):
        numeric([*_normal(19), math.nan])
    with pytest.raises(Invalid, match="at least 20 values, not of 19"):
        categorical(["a"] * 19 + [None])


def test_as_many_hours_as_values_are_asked_for() -> None:
    with pytest.raises(Invalid, match="100 values came at 99 times"):
        numeric(_normal(100), hours=[START] * 99)


@pytest.mark.parametrize(("phi", "tolerance"), [(0.0, 0.1), (0.5, 0.15), (0.9, 0.25)])
def test_the_autocorrelation_time_is_what_theory_says(phi: float, tolerance: float) -> None:
    found = [autocorrelation_time(_alike(phi, 10_000, seed)) for seed in range(5)]

    expected = (1 + phi) / (1 - phi)
    assert sum(found) / len(found) == pytest.approx(expected, rel=tolerance)


def test_a_short_series_is_trusted_less() -> None:
    short, long = _alike(0.5, 200), _alike(0.5, 20_000)

    assert cautious_time(short) > 1.3 * autocorrelation_time(short)
    assert autocorrelation_time(long) < cautious_time(long) < 1.1 * autocorrelation_time(long)


@pytest.mark.parametrize("series", [[], [1.0], [2.0] * 50, [math.pi, -math.pi] * 50])
def test_what_does_not_hang_together_has_a_time_of_one(series: list[float]) -> None:
    assert autocorrelation_time(series) == 1


def _cycle(days: int, per_hour: int, height: float) -> tuple[list[float], list[int]]:
    hours = [START + at // per_hour for at in range(days * 24 * per_hour)]
    noise = _normal(len(hours))
    return [
        value + height * math.sin(hour % 24 / 24 * 2 * math.pi)
        for value, hour in zip(noise, hours, strict=True)
    ], hours


def test_a_daily_cycle_is_told_apart_by_parts_of_the_day() -> None:
    values, hours = _cycle(days=4, per_hour=30, height=1.0)

    made = numeric(values, hours=hours)

    assert len(made.slots) == 24
    for hour in (0, 6, 18):
        held = [value for value, at in zip(values, hours, strict=True) if at % 24 == hour]
        slot = made.slots[made.slot_of(START + hour)]
        assert sum(slot.counts) == len(held)
        assert slot.mean == pytest.approx(sum(held) / len(held))
        for at, low in enumerate(slot.edges):
            below = slot.edges[at - 1] if at else -math.inf
            assert slot.counts[at] == sum(below < value <= low for value in held)


def test_fewer_values_are_told_apart_by_fewer_parts() -> None:
    values, hours = _cycle(days=4, per_hour=8, height=1.0)

    assert len(numeric(values, hours=hours).slots) == 6


def test_a_day_without_a_cycle_is_not_divided() -> None:
    values, hours = _cycle(days=4, per_hour=30, height=0.0)

    assert numeric(values, hours=hours).slots == ()


def test_one_day_is_no_cycle() -> None:
    values, hours = _cycle(days=1, per_hour=200, height=1.0)
    # A second day of which only one hour was seen.
    late = [START + 24 * 9] * 200

    assert numeric(values, hours=hours).slots == ()
    assert numeric(values + values[:200], hours=hours + late).slots == ()


def test_hours_that_leave_out_a_part_of_the_day_divide_nothing() -> None:
    values, hours = _cycle(days=10, per_hour=30, height=1.0)
    kept = [at for at, hour in enumerate(hours) if 9 <= hour % 24 < 17]

    made = numeric([values[at] for at in kept], hours=[hours[at] for at in kept])

    assert made.slots == ()
    assert made.count == len(kept)


def test_the_order_of_a_sorted_reference_is_noticed_in_bounded_time() -> None:
    made = numeric(sorted(_normal(20_000)))

    assert made.tau > 1_000


@given(st.lists(st.sampled_from("abcde"), min_size=20, max_size=200))
def test_categories_are_counted(values: list[str]) -> None:
    made = categorical([*values, None])

    assert made.kind is Kind.CATEGORICAL
    assert dict(zip(made.categories, made.counts, strict=False)) == {
        name: values.count(name) for name in set(values)
    }
    assert made.counts[-1] == 0
    assert (made.count, made.missing) == (len(values), 1)


def test_rare_categories_share_a_bin() -> None:
    often = [f"often-{at % CATEGORIES_LIMIT}" for at in range(10 * CATEGORIES_LIMIT)]

    made = categorical(often + [f"rare-{at}" for at in range(30)])

    assert len(made.categories) == CATEGORIES_LIMIT
    assert made.counts[-1] == 30


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=200))
def test_the_share_of_right_predictions_never_falls(seen: list[tuple[float, bool]]) -> None:
    found = accuracies([confidence for confidence, _ in seen], [right for _, right in seen])

    assert len(found) == 10
    assert all(low <= high + 1e-12 for low, high in pairwise(found))
    assert all(0 <= share <= 1 for share in found)


def test_confidences_of_one_lie_in_the_last_tenth() -> None:
    assert [tenth(confidence) for confidence in (0.0, 0.05, 0.1, 0.95, 1.0)] == [0, 0, 1, 9, 9]


def test_bins_are_those_of_bisection() -> None:
    edges = (0.0, 1.0, 2.0)

    assert [bin_of(edges, value) for value in (-1, 0, 0.5, 1, 2, 3)] == [
        bisect_left(edges, value) for value in (-1, 0, 0.5, 1, 2, 3)
    ]
    assert [bin_of(edges, value) for value in (-1, 0, 0.5, 1, 2, 3)] == [0, 0, 1, 1, 2, 3]
