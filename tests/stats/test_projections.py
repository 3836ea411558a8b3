"""The projection against a general optimiser, and its promise by counting everything."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from herdbook.stats.projections import log_wager, projection

RATES = st.floats(1e-4, 1 - 1e-4)
SIZES = st.integers(1, 10_000)


def _divergence(rate: float, null: float) -> float:
    return float(special.rel_entr(rate, null) + special.rel_entr(1 - rate, 1 - null))


@settings(deadline=None, max_examples=60)
@given(RATES, RATES, SIZES, SIZES, st.floats(0, 0.9))
def test_no_point_of_the_null_is_nearer(a: float, b: float, n: int, m: int, margin: float) -> None:
    def distance(p: float) -> float:
        return (n * _divergence(a, p + margin) + m * _divergence(b, p)) / (n + m)

    found = projection((a, b), (n, m), margin)

    other = optimize.minimize_scalar(
        distance, bounds=(0, 1 - margin), method="bounded", options={"xatol": 1e-10}
    )
    assert 0 <= found <= 1 - margin
    assert distance(found) <= other.fun + 1e-12


def _expected(
    bet: tuple[float, float], truth: tuple[float, float], sizes: tuple[int, int], margin: float
) -> float:
    """The expectation of a wager, summed over all pairs of counts."""
    n, m = sizes
    one = stats.binom.pmf(range(n + 1), n, truth[0])
    two = stats.binom.pmf(range(m + 1), m, truth[1])
    return math.fsum(
        one[e] * two[f] * math.exp(log_wager(bet, (n, e), (m, f), margin))
        for e in range(n + 1)
        for f in range(m + 1)
    )


@pytest.mark.parametrize("sizes", [(1, 1), (7, 3), (2, 20), (15, 15)])
@pytest.mark.parametrize("margin", [0.0, 0.05, 0.4])
def test_harm_is_a_fair_bet_while_there_is_none(sizes: tuple[int, int], margin: float) -> None:
    bet = (0.02 + margin + 0.1, 0.02)
    grid = [0.0, 0.01, 0.03, 0.2, 0.5, 0.59, 1.0]

    at_worst = max(
        _expected(bet, (treatment, control), sizes, margin)
        for control in grid
        for treatment in [min(control + margin, 1.0), *grid]
        if treatment <= control + margin
    )

    assert at_worst <= 1 + 1e-12


@pytest.mark.parametrize("sizes", [(1, 1), (7, 3), (2, 20), (15, 15)])
@pytest.mark.parametrize("margin", [0.0, 0.05, 0.4])
def test_no_harm_is_a_fair_bet_while_there_is_some(sizes: tuple[int, int], margin: float) -> None:
    bet = (0.02, 0.03)
    grid = [0.0, 0.01, 0.03, 0.2, 0.5, 0.59, 1.0]

    at_worst = max(
        _expected(bet, (treatment, control), sizes, margin)
        for control in grid
        for treatment in [control + margin, *grid]
        if control + margin <= treatment <= 1
    )

    assert at_worst <= 1 + 1e-12


def test_the_pooled_rate_in_place_of_the_projection_would_cheat() -> None:
    n, m, margin, bet = 15, 15, 0.05, (0.17, 0.02)
    pooled = (n * (bet[0] - margin) + m * bet[1]) / (n + m)
    null = (pooled + margin, pooled)

    # Negative control: the same likelihood ratio to another point of the null.
    def naive(e: int, f: int) -> float:
        terms = [
            stats.binom.logpmf(e, n, bet[0]) - stats.binom.logpmf(e, n, null[0]),
            stats.binom.logpmf(f, m, bet[1]) - stats.binom.logpmf(f, m, null[1]),
        ]
        return math.exp(math.fsum(terms))

    one = stats.binom.pmf(range(n + 1), n, 0.05)
    two = stats.binom.pmf(range(m + 1), m, 0.0)
    expected = math.fsum(one[e] * two[f] * naive(e, f) for e in range(n + 1) for f in range(m + 1))

    assert expected > 1.05
    assert _expected(bet, (0.05, 0.0), (n, m), margin) <= 1


@pytest.mark.parametrize("sizes", [(10**9, 1), (1, 10**9), (3, 5)])
@pytest.mark.parametrize("rates", [(0.02, 0.001), (0.3, 1e-9), (1e-6, 0.4), (0.999, 0.2)])
@pytest.mark.parametrize("margin", [1e-6, 0.05, 0.5])
def test_the_slope_changes_its_sign_at_the_projection(
    rates: tuple[float, float], sizes: tuple[int, int], margin: float
) -> None:
    def slope(p: float) -> float:
        q = p + margin
        parts = zip(rates, (q, p), sizes, strict=True)
        return sum(n * ((1 - rate) / (1 - null) - rate / null) for rate, null, n in parts)

    p = projection(rates, sizes, margin)

    assert slope(p * (1 - 1e-6)) < 0 < slope(min(p * (1 + 1e-6), (p + 1 - margin) / 2))


def test_an_arm_without_results_moves_the_null_to_the_other() -> None:
    rates = (0.3, 0.1)

    assert log_wager(rates, (1, 1), (10**9, 10**8), 0.0) == pytest.approx(math.log(3), abs=1e-6)
