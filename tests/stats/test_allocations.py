"""Sample ratio mismatch against SciPy's Dirichlet-multinomial."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from herdbook.errors import Invalid
from herdbook.stats.allocations import Allocation, log_mismatch, log_mismatch_over
from herdbook.stats.evidence import level

SPLIT = {"control": 90.0, "treatment": 10.0}
UNITS = st.fixed_dictionaries(
    {}, optional={"control": st.integers(0, 10**6), "treatment": st.integers(0, 10**6)}
)


@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), st.floats(0.5, 1e5))
def test_the_evidence_is_scipys_likelihood_ratio(counts: list[int], concentration: float) -> None:
    shares = np.array([0.5, 0.3, 0.2])
    split = dict(zip("abc", shares, strict=True))

    found = log_mismatch(
        Allocation(split, dict(zip("abc", counts, strict=True))), concentration=concentration
    )

    number = sum(counts)
    mixture = stats.dirichlet_multinomial.logpmf(counts, concentration * shares, number)
    null = stats.multinomial.logpmf(counts, number, shares)
    assert found == pytest.approx(mixture - null, rel=1e-7, abs=1e-5)


def test_the_evidence_is_that_of_another_implementation() -> None:
    # savvi 0.2.0: Multinomial(theta_0=…, k=…) after one update, log of its odds.
    two = Allocation(SPLIT, {"control": 4_400, "treatment": 600})
    three = Allocation({"a": 0.5, "b": 0.25, "c": 0.25}, {"a": 500, "b": 260, "c": 300})

    assert log_mismatch(two) == pytest.approx(7.8728401988296355, abs=1e-10)
    assert log_mismatch(three, concentration=100) == pytest.approx(0.3852361077758815, abs=1e-10)


@given(UNITS, UNITS, UNITS)
def test_merging_is_addition(
    one: dict[str, int], two: dict[str, int], three: dict[str, int]
) -> None:
    first, second, third = (Allocation(SPLIT, units) for units in (one, two, three))

    assert first + second == second + first
    assert (first + second) + third == first + (second + third)


def test_one_unit_at_a_time_comes_to_the_same_as_all_at_once() -> None:
    order = ["control"] * 30 + ["treatment"] * 12
    wealth, seen = 0.0, {"control": 0, "treatment": 0}

    for number, arm in enumerate(order):
        prior = 1000 * SPLIT[arm] / 100
        wealth += math.log((prior + seen[arm]) / (1000 + number) / (SPLIT[arm] / 100))
        seen[arm] += 1

    assert log_mismatch(Allocation(SPLIT, seen)) == pytest.approx(wealth, abs=1e-10)


def test_the_expectation_is_one_whenever_one_looks() -> None:
    number, share = 40, 0.1
    chances = stats.binom.pmf(range(number + 1), number, share)

    expected = math.fsum(
        chance * math.exp(log_mismatch(Allocation(SPLIT, {"treatment": k, "control": number - k})))
        for k, chance in enumerate(chances)
    )

    assert expected == pytest.approx(1, abs=1e-9)


def test_stages_of_a_ramp_are_compared_each_with_its_own_split() -> None:
    at_ten = Allocation(SPLIT, {"control": 9_000, "treatment": 1_000})
    at_fifty = Allocation({"control": 1, "treatment": 1}, {"control": 50_000, "treatment": 50_000})

    assert log_mismatch_over([at_ten, at_fifty]) < 0
    with pytest.raises(Invalid, match="two different splits"):
        at_ten + at_fifty


def test_an_arm_that_gets_nothing_is_found_within_two_hundred_units() -> None:
    split = {"control": 1.0, "treatment": 1.0}

    assert log_mismatch(Allocation(split, {"control": 200})) > level(0.001)
    assert log_mismatch(Allocation(split, {"control": 10**9})) > 1e8


def test_a_billion_units_split_as_they_should_be_are_no_mismatch() -> None:
    units = {"control": 900_000_100, "treatment": 99_999_900}

    assert -10 < log_mismatch(Allocation(SPLIT, units)) < 0
    assert log_mismatch(Allocation(SPLIT)) == 0


def test_bots_that_are_counted_in_one_arm_only_are_found() -> None:
    units = {"control": 90_000, "treatment": 10_800}

    assert log_mismatch(Allocation(SPLIT, units)) > level(0.001)


@pytest.mark.parametrize(
    ("weights", "units"),
    [
        ({"control": 1.0}, {}),
        ({"control": 1.0, "treatment": 0.0}, {}),
        ({"control": 1.0, "treatment": math.nan}, {}),
        ({"control": 1.0, "treatment": 1.0}, {"other": 1}),
        ({"control": 1.0, "treatment": 1.0}, {"control": -1}),
    ],
)
def test_a_split_that_cannot_be_does_not_exist(
    weights: dict[str, float], units: dict[str, int]
) -> None:
    with pytest.raises(Invalid):
        Allocation(weights, units)


def test_a_prior_is_worth_some_units() -> None:
    with pytest.raises(Invalid, match="concentration"):
        log_mismatch(Allocation(SPLIT), concentration=0)
