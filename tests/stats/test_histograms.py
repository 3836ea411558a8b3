"""The log-histogram against exact quantiles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.errors import Invalid
from herdbook.stats.histograms import (
    BUCKETS,
    RELATIVE_ERROR,
    LogHistogram,
    bucket_of,
    buckets_within,
    upper_edge,
)

VALUES = st.floats(0.001, 2e7)
HISTOGRAMS = st.lists(st.floats(0, 1e12), max_size=30).map(LogHistogram.of)


@given(st.lists(VALUES, min_size=1), st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_every_quantile_is_within_two_per_cent(values: list[float], share: float) -> None:
    exact = np.quantile(values, share, method="inverted_cdf")

    found = LogHistogram.of(values).quantile(share)

    assert found == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)


@given(VALUES)
def test_a_value_lies_in_its_bucket(value: float) -> None:
    bucket = bucket_of(value)

    assert value <= upper_edge(bucket) * (1 + 1e-12)
    assert bucket == 0 or value >= upper_edge(bucket - 1) * (1 - 1e-12)


@given(HISTOGRAMS, HISTOGRAMS, HISTOGRAMS)
def test_merging_is_addition(one: LogHistogram, two: LogHistogram, three: LogHistogram) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + LogHistogram() == one
    assert (one + two).total == one.total + two.total


@given(st.lists(VALUES), st.lists(VALUES))
def test_merged_is_as_if_recorded_in_one_place(here: list[float], there: list[float]) -> None:
    assert LogHistogram.of(here) + LogHistogram.of(there) == LogHistogram.of(here + there)


def test_values_below_and_above_the_range_are_kept_at_its_ends() -> None:
    histogram = LogHistogram.of([0.0, 1e-9, 1e300])

    assert histogram.counts == {0: 2, BUCKETS - 1: 1}
    assert histogram.quantile(0.5) == 0.001
    assert histogram.quantile(1) == pytest.approx(2.4e7, rel=0.05)


@pytest.mark.parametrize("value", [-1.0, -1e-300, math.nan, math.inf, -math.inf])
def test_what_is_no_duration_is_refused(value: float) -> None:
    with pytest.raises(Invalid, match="at least 0"):
        bucket_of(value)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, math.nan])
def test_what_is_no_share_has_no_quantile(share: float) -> None:
    with pytest.raises(Invalid, match="quantile"):
        LogHistogram.of([1.0]).quantile(share)


def test_an_empty_histogram_has_no_quantile() -> None:
    with pytest.raises(Invalid, match="empty"):
        LogHistogram().quantile(0.5)


@pytest.mark.parametrize("counts", [{-1: 1}, {BUCKETS: 1}, {3: 0}, {3: -1}])
def test_a_damaged_histogram_does_not_exist(counts: dict[int, int]) -> None:
    with pytest.raises(Invalid, match="histogram"):
        LogHistogram(counts)


def test_a_billion_values_are_counted_exactly() -> None:
    histogram = LogHistogram({100: 10**9, 200: 5 * 10**7})

    assert histogram.above(100) == 5 * 10**7
    assert histogram.bucket_at(0.95) == 100
    assert histogram.bucket_at(0.96) == 200


def test_ten_per_cent_more_is_three_buckets() -> None:
    assert buckets_within(1.0) == 0
    assert buckets_within(1.1) == 3
    for ratio in (0.9, math.nan, math.inf):
        with pytest.raises(Invalid, match="ratio"):
            buckets_within(ratio)
