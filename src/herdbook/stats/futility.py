"""When to stop looking: the effect hoped for is ruled out, or there is no time left to show it.

Stopping for futility claims nothing, so it costs no error rate: it only gives up power.
"""

import math

from herdbook.errors import Invalid
from herdbook.stats import normal
from herdbook.stats.sequences import Estimate, lower_bound, upper_bound


def ruled_out(of: Estimate, least: float, *, alpha: float, scale: float) -> bool:
    """Whether the effect is below the least worth having: the upper confidence bound is below it.

    An effect that is in truth `least` or more is ever ruled out with probability alpha.

    Args:
        of: the estimate now; where nothing is known, nothing is ruled out.
        least: the smallest effect worth having, in the metric's unit.
        alpha: above 0 and below 1.
        scale: as of `sequences.interval`.

    Raises:
        Invalid: alpha or scale outside its range.
    """
    return upper_bound(of, alpha=alpha, scale=scale) < least


def conditional_power(
    now: Estimate, truth: float, *, share: float, alpha: float, scale: float
) -> float:
    """Probability that the lower bound is above 0 at the end, given the estimate now.

    With f the share of the information and the final error `S = SE sqrt(f)`, the final estimate is
    normal with mean `f value + (1 - f) truth` and variance `f (1 - f) SE^2`; it must exceed the
    half-width of the one-sided sequence at S. Crossing before the end is not counted, so the
    probability is at least this.

    Args:
        now: the estimate now; where nothing is known, the answer is NaN.
        truth: the effect assumed for what is still to come, in the metric's unit: the effect hoped
            for, or the upper bound of what is still possible.
        share: information there is now as a share of that at the end, above 0 and at most 1: about
            the share of the units seen so far.
        alpha: above 0 and below 1.
        scale: as of `sequences.interval`.

    Returns:
        at `share = 1` 0 or 1: whether the bound is above 0 now.

    Raises:
        Invalid: an argument is outside its range.

    Reference: Lan, Simon and Halperin, "Stochastically curtailed tests in long-term clinical
    trials", Sequential Analysis 1 (1982).
    """
    if not 0 < share <= 1:
        raise Invalid(f"A share of information is above 0 and at most 1, not {share}.")
    if not now.known:
        return math.nan
    final = Estimate(0.0, now.standard_error * math.sqrt(share))
    needed = -lower_bound(final, alpha=alpha, scale=scale)
    if share == 1:
        return float(now.value > needed)
    expected = share * now.value + (1 - share) * truth
    spread = now.standard_error * math.sqrt(share * (1 - share))
    return normal.cdf((expected - needed) / spread)
