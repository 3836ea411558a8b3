"""Sample sizes against the power they promise."""

import math

import pytest
from scipy import stats

from herdbook.errors import Invalid
from herdbook.stats.planning import (
    Design,
    days,
    design_effect,
    sequential_mean,
    sequential_rates,
    single_look_mean,
    single_look_rates,
)
from herdbook.stats.rates import RateClaim
from herdbook.stats.sequences import Estimate, lower_bound

HARM = RateClaim("above")
NOT_INFERIOR = RateClaim("below", margin=0.05)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.9])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.99])
def test_a_single_look_has_the_power_it_was_sized_for(share: float, power: float) -> None:
    requests = single_look_mean(0.025, 0.16, Design(share, power=power))

    def reached(number: int) -> float:
        error = 0.16 * math.sqrt(1 / (number * share) + 1 / (number * (1 - share)))
        return float(stats.norm.sf(stats.norm.isf(0.05) - 0.025 / error))

    assert reached(requests - 1) < power <= reached(requests) + 1e-12


def test_rates_are_sized_as_in_the_textbook() -> None:
    assert single_look_rates(0.02, 0.03, Design()) == 6022
    assert single_look_rates(0.02, 0.12, Design()) == 155
    assert single_look_rates(0.03, 0.02, Design()) == 6022
    assert single_look_rates(0.02, 0.12, Design(alpha=0.3, power=0.2)) == 1


def test_the_sequence_is_above_zero_at_the_planned_size_and_not_before() -> None:
    requests = sequential_mean(0.025, 0.163, 0.025, Design(power=0.5))

    assert requests is not None

    def bound(number: int) -> float:
        return lower_bound(Estimate(0.025, 0.163 * math.sqrt(4 / number)), alpha=0.05, scale=0.025)

    assert bound(requests) >= 0 > bound(requests - 1)


def test_more_power_less_traffic_and_smaller_effects_take_longer() -> None:
    middle = sequential_rates(HARM, 0.02, 0.03, Design())
    harder = [
        sequential_rates(HARM, 0.02, 0.03, Design(power=0.95)),
        sequential_rates(HARM, 0.02, 0.03, Design(treatment_share=0.1)),
        sequential_rates(HARM, 0.02, 0.03, Design(alpha=0.01)),
        sequential_rates(HARM, 0.02, 0.025, Design()),
    ]

    assert middle is not None
    assert all(each is not None and each > middle for each in harder)


@pytest.mark.parametrize(
    ("claim", "control", "treatment"),
    [
        (HARM, 0.02, 0.02),
        (HARM, 0.02, 0.01),
        (NOT_INFERIOR, 0.02, 0.07),
        (NOT_INFERIOR, 0.02, 0.2),
        (RateClaim("above", margin=0.9), 0.2, 0.9),
    ],
)
def test_what_is_not_true_is_never_shown(
    claim: RateClaim, control: float, treatment: float
) -> None:
    assert sequential_rates(claim, control, treatment, Design()) is None


def test_an_effect_of_a_billionth_takes_more_requests_than_there_will_be() -> None:
    assert sequential_mean(1e-12, 1.0, 1e-12, Design()) is None


def test_twenty_requests_a_user_are_worth_three() -> None:
    assert design_effect(20, icc=0.3) == pytest.approx(6.7)
    assert design_effect(20, icc=0.3, variation=1) == pytest.approx(12.7)
    assert design_effect(1, icc=1) == design_effect(50, icc=0) == 1
    for wrong in ({"icc": -0.1}, {"icc": 1.1}, {"icc": 0.1, "variation": -1.0}):
        with pytest.raises(Invalid, match="design effect"):
            design_effect(20, **wrong)
    with pytest.raises(Invalid, match="design effect"):
        design_effect(0.5, icc=0.1)


def test_a_tenth_of_the_traffic_takes_ten_times_the_days() -> None:
    assert days(10_000, per_day=5_000) == 2
    assert days(10_000, per_day=5_000, coverage=0.1) == 20
    for wrong in ({"per_day": 0.0}, {"per_day": 1.0, "coverage": 1.5}, {"per_day": math.nan}):
        with pytest.raises(Invalid):
            days(10, **wrong)


@pytest.mark.parametrize("field", ["treatment_share", "alpha", "power"])
@pytest.mark.parametrize("value", [0.0, 1.0, math.nan])
def test_a_design_has_shares(field: str, value: float) -> None:
    with pytest.raises(Invalid, match=field):
        Design(**{field: value})


def test_effects_and_rates_have_ranges() -> None:
    with pytest.raises(Invalid, match="effect"):
        single_look_mean(0, 1, Design())
    with pytest.raises(Invalid, match="deviation"):
        sequential_mean(1, math.inf, 1, Design())
    with pytest.raises(Invalid, match="difference"):
        single_look_rates(0.02, 0.02, Design())
    for control, treatment in ((0.0, 0.1), (0.1, 1.0)):
        with pytest.raises(Invalid, match="rate"):
            sequential_rates(HARM, control, treatment, Design())
