"""Differences of means against textbook estimators."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from herdbook.errors import Invalid
from tests.stats.contrasts import Pair, UnitSums, contrast, merged

CELLS = st.dictionaries(
    st.integers(0, 20), st.tuples(st.integers(1, HUGE := 10**9), st.integers(-(2**30), 2**30))
)
SUMS = CELLS.map(lambda cells: UnitSums({k: (n, float(x)) for k, (n, x) in cells.items()}))
PAIRS = st.builds(Pair, control=SUMS, treatment=SUMS)
STRATA = st.dictionaries(st.sampled_from(["10 %", "25 %", "50 %"]), PAIRS)


def _alone(values: list[float], first: int = 0) -> UnitSums:
    """Each value its own unit."""
    return UnitSums({first + i: (1, value) for i, value in enumerate(values)})


@given(STRATA, STRATA, STRATA)
def test_merging_is_addition(
    one: dict[str, Pair], two: dict[str, Pair], three: dict[str, Pair]
) -> None:
    # Sums of integers, so that floats add up exactly.
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))


@given(STRATA)
def test_no_sums_break_it(strata: dict[str, Pair]) -> None:
    found = contrast(strata)

    assert found.standard_error > 0
    assert math.isinf(found.standard_error) or math.isfinite(found.difference)


@given(st.lists(st.floats(-1e150, 1e150), min_size=4, max_size=8))
def test_sums_of_any_size_do_not_overflow(values: list[float]) -> None:
    found = contrast({"": Pair(_alone(values[:2]), _alone(values[2:], first=10))})

    assert math.isfinite(found.difference)
    assert found.standard_error > 0


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=30),
    st.lists(st.floats(0, 1), min_size=2, max_size=30),
)
def test_independent_requests_give_welchs_error(low: list[float], high: list[float]) -> None:
    found = contrast({"": Pair(_alone(low), _alone(high, first=100))})

    assert found.difference == pytest.approx(np.mean(high) - np.mean(low), abs=1e-12)
    if math.isfinite(found.standard_error):
        welch = math.hypot(stats.sem(low), stats.sem(high))
        assert found.standard_error == pytest.approx(welch, rel=1e-9)


def test_sticky_units_give_the_cluster_robust_error_of_a_regression() -> None:
    rng = np.random.default_rng(5)
    units = rng.integers(0, 60, 900)
    arm = (units % 3 == 0).astype(float)
    values = 0.8 + 0.1 * rng.normal(size=60)[units] + 0.1 * rng.normal(size=900)

    # The sandwich of Liang and Zeger, written as matrices.
    design = np.column_stack([np.ones(900), arm])
    bread = np.linalg.inv(design.T @ design)
    coefficients = bread @ design.T @ values
    scores = design * (values - design @ coefficients)[:, None]
    by_unit = np.array([scores[units == unit].sum(axis=0) for unit in range(60)])
    # Each arm's own correction for few clusters.
    factors = np.where(np.arange(60) % 3 == 0, 20 / 19, 40 / 39)
    meat = (by_unit * factors[:, None]).T @ by_unit
    wanted = math.sqrt((bread @ meat @ bread)[1, 1])

    found = contrast({"": Pair(_sums(units, values, arm == 0), _sums(units, values, arm == 1))})

    assert found.difference == pytest.approx(coefficients[1], abs=1e-12)
    assert found.standard_error == pytest.approx(wanted, rel=1e-9)


def _sums(units: np.ndarray, values: np.ndarray, of: np.ndarray, cells: int = 0) -> UnitSums:
    whole = UnitSums()
    for unit, value in zip(units[of], values[of], strict=True):
        whole += UnitSums({int(unit) % cells if cells else int(unit): (1, float(value))})
    return whole


def test_cells_of_units_give_nearly_the_error_of_units() -> None:
    rng = np.random.default_rng(6)
    units = rng.integers(0, 3_000, 6_000)
    arm = units % 2
    # Units fall into cells whatever their arm.
    hashed = rng.permutation(3_000)[units]
    values = rng.normal(size=3_000)[units] + rng.normal(size=6_000)

    def error(keys: np.ndarray, cells: int) -> float:
        arms = (_sums(keys, values, arm == each, cells) for each in (0, 1))
        return contrast({"": Pair(*arms)}).standard_error

    assert error(hashed, 1024) == pytest.approx(error(hashed, 0), rel=0.1)


def test_requests_of_one_user_are_one_observation() -> None:
    low = {user: (1, 0.7 + 0.1 * (user % 3)) for user in range(40)}
    high = {user: (1, 0.7 + 0.1 * (user % 3)) for user in range(100, 140)}

    def repeated(cells: dict[int, tuple[int, float]]) -> UnitSums:
        return UnitSums({user: (1000 * n, 1000 * x) for user, (n, x) in cells.items()})

    once = contrast({"": Pair(UnitSums(low), UnitSums(high))})
    often = contrast({"": Pair(repeated(low), repeated(high))})

    assert often.standard_error == pytest.approx(once.standard_error)
    assert often.units == pytest.approx(once.units) == pytest.approx(40)


def test_one_busy_user_is_few_effective_units() -> None:
    cells = dict.fromkeys(range(100), (1, 0.5))

    assert UnitSums(cells).effective_units == pytest.approx(100)
    assert UnitSums({**cells, 0: (900, 450.0)}).effective_units < 1.3


def test_a_ramp_that_meets_a_drift_is_no_effect() -> None:
    # 10 % of the traffic while confidence is 0.9, half of it when it has fallen to 0.6.
    rng = np.random.default_rng(7)

    def stage(mean: float, control: int, treatment: int, first: int) -> Pair:
        return Pair(
            _alone(list(rng.normal(mean, 0.1, control)), first),
            _alone(list(rng.normal(mean, 0.1, treatment)), first + control),
        )

    strata = {"10 %": stage(0.9, 9_000, 1_000, 0), "50 %": stage(0.6, 5_000, 5_000, 10_000)}

    found = contrast(strata)

    assert abs(found.difference) < 4 * found.standard_error
    pooled = merged({"": strata["10 %"]}, {"": strata["50 %"]})
    naive = contrast(pooled)
    assert abs(naive.difference) > 20 * naive.standard_error


def test_a_user_in_two_stages_counts_once() -> None:
    rng = np.random.default_rng(8)
    low, high = _alone(list(rng.normal(size=200))), _alone(list(rng.normal(size=200)), 1000)
    stage = Pair(low, high)

    same_users = contrast({"10 %": stage, "50 %": stage})
    one_stage = contrast({"10 %": stage})

    assert same_users.standard_error == pytest.approx(one_stage.standard_error)
    moved = {stratum: Pair(_moved(low, by), _moved(high, by)) for stratum, by in _SHIFTS.items()}
    assert contrast(moved).standard_error == pytest.approx(
        one_stage.standard_error / math.sqrt(2), rel=1e-9
    )


_SHIFTS = {"10 %": 0, "50 %": 5000}


def _moved(sums: UnitSums, by: int) -> UnitSums:
    return UnitSums({cell + by: value for cell, value in sums.cells.items()})


@pytest.mark.parametrize(
    "pair",
    [
        Pair(),
        Pair(_alone([0.1, 0.2]), UnitSums()),
        Pair(_alone([0.1, 0.2]), _alone([0.5], 9)),
    ],
)
def test_fewer_than_two_units_in_an_arm_are_no_evidence(pair: Pair) -> None:
    found = contrast({"": pair})

    assert math.isnan(found.difference)
    assert math.isinf(found.standard_error)
    assert found.units == 0


def test_an_arm_in_which_all_agree_proves_nothing() -> None:
    # Ten requests without an error have no variance, and a rate that is anything up to 26 %.
    errors = Pair(_alone([0, 0, 1, 0, 1, 0]), _alone([0.0] * 10, 50))
    same = Pair(_alone([0.1] * 7), _alone([0.3] * 7, 50))

    assert math.isinf(contrast({"": errors}).standard_error)
    assert math.isinf(contrast({"": same}).standard_error)


@pytest.mark.parametrize("cell", [(0, 1.0), (-1, 1.0), (1, math.nan), (1, math.inf), (1, -1e151)])
def test_a_unit_that_cannot_be_does_not_exist(cell: tuple[int, float]) -> None:
    with pytest.raises(Invalid, match="unit"):
        UnitSums({1: cell})


def test_nothing_has_no_mean() -> None:
    assert math.isnan(UnitSums().mean)
    assert UnitSums().values == 0
