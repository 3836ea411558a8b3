"""The normal distribution, as far as the standard library's `math` leaves it out.

The module `statistics` has it too, at 30 ms of imports.
"""

import math
from typing import Final

from herdbook.errors import Invalid

_ROOT_2: Final = math.sqrt(2)
_LOG_ROOT_2_PI: Final = math.log(2 * math.pi) / 2
# Below this, erfc is a subnormal number or 0; the series has 12 digits there.
_FAR_BELOW: Final = -37.0


def cdf(z: float) -> float:
    """Probability that a standard normal variable is at most `z`; 0 or 1 at an infinite `z`."""
    return math.erfc(-z / _ROOT_2) / 2


def log_scaled_cdf(z: float) -> float:
    """`log(cdf(z)) + z^2 / 2`, accurate to 12 digits also where both terms are huge.

    Far below 0 the first four terms of the asymptotic series of Mills' ratio are taken; far above
    it is infinite where `z^2` is.

    Reference: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 26.2.12.
    """
    if z > _FAR_BELOW:
        return log_cdf(z) + z * z / 2
    square = 1 / z / z
    series = -square * (1 - square * (3 - square * 15))
    return math.log1p(series) - math.log(-z) - _LOG_ROOT_2_PI


def log_cdf(z: float) -> float:
    """Natural logarithm of `cdf(z)`; minus infinity only where `z^2` is infinite."""
    if z > 0:
        return math.log1p(-cdf(-z))  # near 1 the digits are in what is missing
    return math.log(cdf(z)) if z > _FAR_BELOW else log_scaled_cdf(z) - z * z / 2


def quantile(probability: float) -> float:
    """The z below which a standard normal variable lies with this probability.

    Newton's steps on `log_cdf`, which is concave, so that from the left they never overshoot.

    Args:
        probability: above 0 and below 1.

    Raises:
        Invalid: the probability is 0, 1, outside, or NaN.

    Example:
        >>> round(quantile(0.975), 6)
        1.959964
    """
    if not 0 < probability < 1:
        raise Invalid(f"A probability is between 0 and 1, not {probability}.", field="probability")
    if probability > 0.5:
        return -quantile(1 - probability)
    target = math.log(probability)
    z = -math.sqrt(-2 * target)
    for _ in range(50):
        log_p = log_cdf(z)
        step = (target - log_p) / math.exp(-z * z / 2 - _LOG_ROOT_2_PI - log_p)
        z += step
        if abs(step) <= 1e-15 * max(1.0, abs(z)):
            break
    return z
