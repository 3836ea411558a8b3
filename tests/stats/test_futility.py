"""Giving up."""

import math

import numpy as np
import pytest

from herdbook.errors import Invalid
from herdbook.stats.futility import conditional_power, ruled_out
from herdbook.stats.sequences import Estimate, lower_bound

UNKNOWN = Estimate(0.0, math.inf)
RULE = {"alpha": 0.05, "scale": 0.02}


def test_an_effect_that_is_too_small_is_ruled_out_once_the_bound_says_so() -> None:
    assert ruled_out(Estimate(0.0, 0.005), 0.02, **RULE)
    assert not ruled_out(Estimate(0.0, 0.02), 0.02, **RULE)
    assert not ruled_out(Estimate(0.015, 0.005), 0.02, **RULE)
    assert not ruled_out(UNKNOWN, 0.02, **RULE)


@pytest.mark.parametrize(("value", "truth"), [(0.0, 0.02), (0.01, 0.02), (0.02, 0.0)])
def test_conditional_power_is_how_often_the_rest_brings_it_home(value: float, truth: float) -> None:
    now, share = Estimate(value, 0.01), 0.4
    rng = np.random.default_rng(3)

    # The rest of the data alone: an estimate of its own, with the information that is missing.
    rest = rng.normal(truth, 0.01 * math.sqrt(share / (1 - share)), 200_000)
    final = share * value + (1 - share) * rest
    needed = -lower_bound(Estimate(0.0, 0.01 * math.sqrt(share)), **RULE)

    assert conditional_power(now, truth, share=share, **RULE) == pytest.approx(
        float(np.mean(final > needed)), abs=0.005
    )


def test_at_the_end_it_is_won_or_lost() -> None:
    assert conditional_power(Estimate(0.05, 0.01), 0.0, share=1, **RULE) == 1
    assert conditional_power(Estimate(0.01, 0.01), 9.0, share=1, **RULE) == 0


def test_what_is_not_known_has_no_power() -> None:
    assert math.isnan(conditional_power(UNKNOWN, 0.02, share=0.5, **RULE))
    for share in (0.0, 1.1, math.nan):
        with pytest.raises(Invalid, match="share"):
            conditional_power(Estimate(0.0, 0.01), 0.0, share=share, **RULE)
