"""Counting columns: samples from all over, edges with ties, counts that do not depend on pieces."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.stats.counting import Categories, Spread, Tally, edges_of
from herdbook.stats.holm import adjusted

FINITE = st.floats(-1e6, 1e6)


@given(st.integers(1, 5_000), st.integers(1, 100), st.lists(st.integers(1, 900), max_size=9))
def test_a_sample_is_the_same_however_the_rows_come(rows: int, limit: int, cuts: list[int]) -> None:
    values = np.arange(rows)
    whole, parts = Spread(limit), Spread(limit)

    whole.add(values)
    for part in np.split(values, sorted({cut % rows for cut in cuts} - {0})):
        parts.add(part)

    assert parts.rows().tolist() == whole.rows().tolist()
    assert parts.seen == rows


@given(st.integers(1, 20_000), st.integers(2, 300))
def test_a_sample_has_one_row_of_each_stretch(rows: int, limit: int) -> None:
    spread = Spread(limit)

    spread.add(np.arange(rows))

    kept = spread.rows()
    strides = [1 << level for level in range(16)]
    assert len(kept) <= limit
    assert spread.whole == (rows <= limit)
    assert any(
        len(set((kept // stride).tolist())) == len(kept) and abs(rows / stride - len(kept)) <= 1
        for stride in strides
    )


def test_a_rhythm_of_the_data_is_not_met_again_and_again() -> None:
    # Taking every 64th row would see one value of the 64 there are.
    rows = np.tile(np.arange(64), 10_000)
    spread = Spread(10_000)

    spread.add(rows)

    shares = np.bincount(spread.rows(), minlength=64) / len(spread.rows())
    assert shares.min() > 0.5 / 64
    assert shares.max() < 1.5 / 64
    assert len(set(rows[::64].tolist())) == 1


@given(st.lists(FINITE, min_size=1, max_size=200), st.lists(FINITE, max_size=300))
def test_counts_are_those_of_each_value_among_the_edges(
    sample: list[float], values: list[float]
) -> None:
    edges = edges_of(np.array(sample), bins=32)
    tally = Tally(edges)

    tally.add(np.array(values))

    expected = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    assert tally.counts == tuple(expected.tolist())
    assert list(edges) == sorted(set(edges))
    assert len(edges) < 32


def test_edges_cut_equal_shares_and_ties_keep_a_bin() -> None:
    rng = np.random.default_rng(1)
    sample = np.concatenate([np.zeros(3_000), rng.normal(size=7_000)])

    edges = edges_of(sample, bins=1024)

    tally = Tally(edges)
    tally.add(sample)
    counts = np.array(tally.counts)
    assert counts[np.searchsorted(edges, 0.0)] == 3_000
    assert np.delete(counts, np.searchsorted(edges, 0.0)).max() <= 10_000 / 1_022 + 10
    assert counts[0] == counts[-1] == 0


def test_more_ties_than_bins_still_cut_all_over() -> None:
    heavy, light = np.repeat(np.arange(700.0), 50), np.arange(700) + 0.5

    edges = edges_of(np.concatenate([heavy, light]), bins=1024)

    tally = Tally(edges)
    tally.add(np.concatenate([heavy, light]))
    assert len(edges) < 1024
    assert max(tally.counts) <= 3 * 51


@given(st.lists(FINITE, min_size=1), st.lists(FINITE, min_size=1))
def test_moments_are_those_of_all_values(one: list[float], two: list[float]) -> None:
    tally = Tally(edges_of(np.array(one), bins=16))

    tally.add(np.array(one))
    tally.add(np.array(two))

    mean, sd = tally.moments
    every = np.array(one + two)
    assert mean == pytest.approx(every.mean(), rel=1e-6, abs=1e-6)
    assert sd == pytest.approx(every.std(), rel=1e-5, abs=1e-1)
    assert (tally.low, tally.high) == (every.min(), every.max())


def test_what_is_not_finite_is_missing_and_what_overflows_has_no_moments() -> None:
    tally = Tally((0.0, 1.0))

    tally.add(np.array([math.nan, math.inf, -math.inf]))
    tally.add(np.array([1e300, -1e300]))

    assert (tally.values, tally.missing) == (2, 3)
    assert tally.counts == (1, 0, 1)
    assert tally.moments == (None, None)
    assert Tally(()).moments == (None, None)


def test_categories_are_ranked_and_the_rare_ones_counted_together() -> None:
    counted = Categories()

    counted.add([("de", 3), (None, 2), ("at", 5)])
    counted.add([(f"rare {at}", 1) for at in range(150_000)])

    names = counted.most_common()
    assert names[:2] == ("at", "de")
    assert len(names) == 250
    assert counted.missing == 2
    assert sum(counted.counts(names)) == counted.values == 150_008


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_never_below_the_p_values_nor_above_bonferroni(p_values: list[float]) -> None:
    found = adjusted(p_values)

    for p, corrected in zip(p_values, found, strict=True):
        assert p <= corrected <= min(1, p * len(p_values)) + 1e-15
