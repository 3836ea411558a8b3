"""When to stop looking: the effect hoped for is ruled out.

Stopping for futility claims nothing, so it costs no error rate: it only gives up power.
"""

from herdbook.stats.sequences import Estimate, upper_bound


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
