"""Giving up."""

import math

from herdbook.stats.futility import ruled_out
from herdbook.stats.sequences import Estimate

UNKNOWN = Estimate(0.0, math.inf)
RULE = {"alpha": 0.05, "scale": 0.02}


def test_an_effect_that_is_too_small_is_ruled_out_once_the_bound_says_so() -> None:
    assert ruled_out(Estimate(0.0, 0.005), 0.02, **RULE)
    assert not ruled_out(Estimate(0.0, 0.02), 0.02, **RULE)
    assert not ruled_out(Estimate(0.015, 0.005), 0.02, **RULE)
    assert not ruled_out(UNKNOWN, 0.02, **RULE)
