"""Distances of counts against scipy, by hand and by their properties."""

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special, stats
from scipy.spatial import distance

from herdbook.errors import Invalid
from herdbook.stats.distances import (
    JOINED,
    chi_square,
    chi_square_tail,
    joined,
    js,
    ks,
    ks_p_value,
    psi,
    wasserstein,
)

COUNTS = st.integers(0, 1_000_000)


@st.composite
def pairs(draw: st.DrawFn, most: int = 60) -> tuple[tuple[int, ...], tuple[int, ...]]:
    bins = draw(st.integers(1, most))
    one = draw(st.lists(COUNTS, min_size=bins, max_size=bins))
    two = draw(st.lists(COUNTS, min_size=bins, max_size=bins))
    assume(sum(one) and sum(two))
    return tuple(one), tuple(two)


Distance = Callable[[Sequence[int], Sequence[int]], float]
BOUNDED: tuple[Distance, ...] = (ks, js)
ALL: tuple[Distance, ...] = (ks, js, psi)


@given(pairs())
def test_a_sample_is_at_no_distance_from_itself(pair: tuple[tuple[int, ...], ...]) -> None:
    one, _ = pair

    assert [measure(one, one) for measure in ALL] == [0, 0, 0]
    assert wasserstein(range(1, len(one)), 0, len(one), one, one) == 0
    assert chi_square(one, one).statistic == pytest.approx(0, abs=1e-9)
    assert chi_square(one, one).p == pytest.approx(1)


@given(pairs())
def test_distances_lie_within_their_bounds(pair: tuple[tuple[int, ...], ...]) -> None:
    one, two = pair

    assert all(0 <= measure(one, two) <= 1 for measure in BOUNDED)
    assert psi(one, two) >= 0
    assert 0 <= chi_square(one, two).p <= 1
    moved = wasserstein(range(1, len(one)), 0, len(one), one, two)
    assert 0 <= moved <= (len(one) - 1) * ks(one, two) + 1e-9


@given(pairs(JOINED))
def test_a_distance_is_the_same_from_either_side(pair: tuple[tuple[int, ...], ...]) -> None:
    one, two = pair
    edges = range(1, len(one))

    for measure in ALL:
        assert measure(one, two) == pytest.approx(measure(two, one))
    assert chi_square(one, two).statistic == pytest.approx(chi_square(two, one).statistic, abs=1e-9)
    there, back = (wasserstein(edges, 0, 9, *sides) for sides in ((one, two), (two, one)))
    assert there == pytest.approx(back)


@given(pairs(), pairs())
def test_counts_of_two_processes_are_added_and_nothing_depends_on_who_counted(
    here: tuple[tuple[int, ...], ...], there: tuple[tuple[int, ...], ...]
) -> None:
    bins = min(len(here[0]), len(there[0]))
    reference, now = here[0][:bins], here[1][:bins]
    more = there[1][:bins]
    assume(sum(reference) and sum(now) and sum(more))
    added = tuple(a + b for a, b in zip(now, more, strict=True))

    # The distance of a mixture is at most the mixture of the distances.
    n, m = sum(now), sum(more)
    most = (n * ks(reference, now) + m * ks(reference, more)) / (n + m)
    assert ks(reference, added) <= most + 1e-12


@given(pairs(100), st.integers(1, 30))
def test_joining_bins_keeps_every_value_and_never_brings_samples_apart(
    pair: tuple[tuple[int, ...], ...], most: int
) -> None:
    one, two = pair

    before, now = joined(one, two, most=most)

    assert len(before) == len(now) <= max(most, 1)
    assert (sum(before), sum(now)) == (sum(one), sum(two))
    assert ks(before, now) <= ks(one, two) + 1e-12


def test_joined_bins_have_about_equal_shares_of_the_reference() -> None:
    reference = [10] * 1024

    before, _ = joined(reference, reference)

    assert len(before) == JOINED
    assert max(before) - min(before) <= 10


def test_a_bin_that_holds_nearly_all_is_left_whole() -> None:
    reference = [1] * 50 + [10_000] + [1] * 50

    before, _ = joined(reference, reference)

    assert before == (10_050, 50)


def test_ks_is_that_of_scipy_when_every_value_has_a_bin() -> None:
    rng = np.random.default_rng(3)
    one, two = rng.integers(0, 40, 500), rng.integers(2, 42, 300)

    found = ks(np.bincount(one, minlength=42).tolist(), np.bincount(two, minlength=42).tolist())

    assert found == pytest.approx(stats.ks_2samp(one, two).statistic, abs=1e-12)


@pytest.mark.parametrize("x", [0, 0.01, 0.04, 0.2, 0.5, 1, 1.17, 1.18, 1.19, 2, 5, 20])
def test_the_p_value_is_kolmogorovs(x: float) -> None:
    found = ks_p_value(x / math.sqrt(500), 1_000, 1_000)

    assert found == pytest.approx(special.kolmogorov(x), rel=1e-12, abs=1e-300)


@given(pairs(JOINED))
def test_the_jensen_shannon_distance_is_that_of_scipy(pair: tuple[tuple[int, ...], ...]) -> None:
    one, two = pair

    found = js(one, two)

    assert found == pytest.approx(distance.jensenshannon(one, two, base=2), abs=1e-7)


def test_psi_is_the_sum_of_both_relative_entropies_of_smoothed_shares() -> None:
    one, two = np.array([120, 0, 30, 7]), np.array([80, 9, 40, 0])
    p, q = (one + 1) / (one + 1).sum(), (two + 1) / (two + 1).sum()

    found = psi(one.tolist(), two.tolist())

    assert found == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p))


def test_the_wasserstein_distance_is_that_of_scipy_for_values_in_the_middles() -> None:
    rng = np.random.default_rng(5)
    edges = np.sort(rng.normal(size=30))
    one, two = rng.integers(0, 50, 31), rng.integers(0, 50, 31)
    bounds = np.concatenate([[-4.0], edges, [5.0]])
    middles = (bounds[1:] + bounds[:-1]) / 2

    found = wasserstein(edges.tolist(), -4.0, 5.0, one.tolist(), two.tolist())

    assert found == pytest.approx(stats.wasserstein_distance(middles, middles, one, two))


def test_a_shift_is_found_in_the_unit_of_the_values() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=20_000)
    edges = np.quantile(values, np.linspace(0, 1, 1_000))
    one, two = (
        np.bincount(np.searchsorted(edges, v), minlength=1_001) for v in (values, values + 0.5)
    )

    found = wasserstein(edges.tolist(), edges[0], edges[-1] + 0.5, one.tolist(), two.tolist())

    assert found == pytest.approx(0.5, rel=0.02)


def test_the_widest_numbers_do_not_overflow() -> None:
    assert wasserstein((-1.7e308, 1.7e308), -1.7e308, 1.7e308, (0, 9, 0), (0, 9, 0)) == 0


@given(pairs())
def test_chi_square_is_that_of_scipy(pair: tuple[tuple[int, ...], ...]) -> None:
    kept = [(a, b) for a, b in zip(*pair, strict=True) if a + b]
    assume(len(kept) > 1)
    theirs = stats.chi2_contingency(np.array(kept).T, correction=False)

    found = chi_square(*pair)

    assert found.degrees == theirs.dof
    assert found.statistic == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-7, abs=1e-12)


@given(st.floats(1e-6, 3_000), st.integers(1, 1_100))
def test_the_tail_of_chi_square_is_that_of_scipy(statistic: float, degrees: int) -> None:
    theirs = stats.chi2.sf(statistic, degrees)

    assert chi_square_tail(statistic, degrees) == pytest.approx(theirs, rel=1e-9, abs=1e-300)


def test_one_bin_says_nothing() -> None:
    assert chi_square((7,), (9,)) == (0, 0, 1)
    assert ks((7,), (9,)) == psi((7,), (9,)) * 0 == js((7,), (9,)) == 0
    assert wasserstein((), 0, 1, (7,), (9,)) == 0


@pytest.mark.parametrize("measure", [ks, psi, js, chi_square])
def test_an_empty_sample_or_other_bins_cannot_be_compared(measure: Distance) -> None:
    with pytest.raises(Invalid, match="0 and 3 values"):
        measure((0, 0), (1, 2))
    with pytest.raises(Invalid, match="2 bins cannot be compared with 3"):
        measure((1, 2), (1, 2, 3))


def test_edges_and_bins_must_fit() -> None:
    with pytest.raises(Invalid, match="2 edges make 3 bins, not 2"):
        wasserstein((1.0, 2.0), 0, 3, (1, 1), (1, 1))
    with pytest.raises(Invalid, match="0 and 5"):
        ks_p_value(0.1, 0, 5)


def test_all_distances_of_a_thousand_bins_take_less_than_a_millisecond() -> None:
    rng = np.random.default_rng(9)
    edges = np.sort(rng.normal(size=1_023)).tolist()
    one, two = (rng.integers(0, 10**6, 1_024).tolist() for _ in range(2))
    taken = []

    for _ in range(50):
        began = time.process_time()
        ks(one, two), psi(one, two), js(one, two), wasserstein(edges, -4, 4, one, two)
        taken.append(time.process_time() - began)

    assert min(taken) < 1e-3
