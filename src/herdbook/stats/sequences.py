"""Asymptotic confidence sequences: intervals for a mean that hold at all times at once.

They rest on the standard error alone, so they hold for whatever the error is robust against
(sticky units, strata; see `cells`), and only once the central limit theorem does: below some
tens of units per arm there is no interval yet. For rare events use `rates`, which needs no limit.

`scale` says for which effects they are tightest: the interval is narrowest, as a multiple of the
standard error, while that is about a third of `scale`. The effect one hopes to show is a good
choice. It is a promise of the plan: chosen after looking at the data, nothing below holds.
"""

import math
from dataclasses import dataclass
from typing import Final

from herdbook.errors import Invalid
from herdbook.stats import normal
from herdbook.stats.cells import Contrast
from herdbook.stats.evidence import level

# Effective units an arm needs before its mean is held to be normal.
BURN_IN: Final = 30.0
_LEAST_BURN_IN: Final = 2.0
# The square of z at which a sequence usually leaves 0.
_DECISIVE_SQUARE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its standard error, above 0; an infinite error says that nothing is known."""

    value: float
    standard_error: float

    def __post_init__(self) -> None:
        if math.isinf(self.standard_error) and self.standard_error > 0:
            return
        if not (math.isfinite(self.value) and self.standard_error > 0):
            raise Invalid(
                "An estimate is a finite value with a standard error above 0, not "
                f"{self.value} with {self.standard_error}."
            )

    @property
    def known(self) -> bool:
        """Whether there is any information at all."""
        return math.isfinite(self.standard_error)


def estimate(contrast: Contrast, *, burn_in: float = BURN_IN) -> Estimate:
    """A contrast as an estimate, its error widened for what few units know of their own variance.

    With m effective units in the smaller arm the standard error is multiplied by
    `1 + (z^2 + 1) / (4 (m - 1))`, Student's quantile as a multiple of the normal one, at z^2 = 10,
    where most decisions fall: by 1.09 at 30 units, by 1.003 at a thousand.

    Args:
        contrast: the sums so far, compared.
        burn_in: effective units that both arms need before anything is known, at least 2.

    Raises:
        Invalid: the burn-in is below 2.

    Reference: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 26.7.5.
    """
    if not burn_in >= _LEAST_BURN_IN:
        raise Invalid(f"A variance takes at least 2 units, not {burn_in}.", field="burn_in")
    if contrast.units < burn_in or math.isinf(contrast.standard_error):
        return Estimate(0.0, math.inf)
    student = 1 + (_DECISIVE_SQUARE + 1) / (4 * (contrast.units - 1))
    return Estimate(contrast.difference, contrast.standard_error * student)


def interval(of: Estimate, *, alpha: float, scale: float) -> tuple[float, float]:
    """Both ends of the confidence sequence: the truth is ever outside with probability alpha.

    With x = (scale / SE)^2, half of it is `SE sqrt((1 + x) / x (2 log(1 / alpha) + log(1 + x)))`.

    Args:
        of: the estimate now.
        alpha: above 0 and below 1.
        scale: standard deviation of the normal mixture over effects, in the metric's unit, above 0.
            The paper's rho at its time t is `scale / (SE sqrt(t))`.

    Returns:
        minus and plus infinity where nothing is known.

    Raises:
        Invalid: alpha or scale outside its range.

    Example:
        >>> low, high = interval(Estimate(0.025, 0.005), alpha=0.05, scale=0.02)
        >>> round(low, 4), round(high, 4)
        (0.0097, 0.0403)

    Reference: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory
    and asymptotic confidence sequences", Annals of Statistics 52 (2024), Theorem 2.2; Robbins,
    "Statistical methods related to the law of the iterated logarithm" (1970) for the mixture.
    """
    if not of.known:
        level(alpha)
        return -math.inf, math.inf
    x = _information(of, scale)
    half = of.standard_error * math.sqrt((1 + x) / x * (2 * level(alpha) + math.log1p(x)))
    return of.value - half, of.value + half


def lower_bound(of: Estimate, *, alpha: float, scale: float) -> float:
    """The truth is ever below this with probability alpha; minus infinity where nothing is known.

    With x as in `interval`: `value - SE sqrt(2 (1 + x) / x log(1 + sqrt(1 + x) / (2 alpha)))`.
    Arguments and errors are those of `interval`.

    Reference: as of `interval`, its one-sided form.
    """
    if not of.known:
        level(alpha)
        return -math.inf
    return of.value - _one_sided(of, alpha, scale)


def upper_bound(of: Estimate, *, alpha: float, scale: float) -> float:
    """The truth is ever above this with probability alpha; see `lower_bound`."""
    return -lower_bound(Estimate(-of.value, of.standard_error), alpha=alpha, scale=scale)


def log_e_above(of: Estimate, *, null: float, scale: float) -> float:
    """Evidence, log E in nats, that the truth is above `null`; asymptotic like the interval.

    The mixture over a half-normal effect, with z = (value - null) / SE and x as in `interval`:
    `log 2 - log(1 + x) / 2 + z^2 x / (2 (1 + x)) + log cdf(z sqrt(x / (1 + x)))`. It grows with the
    value, so it holds for every truth at or below `null`. 0 where nothing is known.

    Args:
        of: the estimate now.
        null: what the truth is claimed to exceed, finite.
        scale: as of `interval`.

    Raises:
        Invalid: the scale is not above 0, or null is not finite.
    """
    if not math.isfinite(null):
        raise Invalid(f"The null value is a finite number, not {null}.", field="null")
    if not of.known:
        return 0.0
    x = _information(of, scale)
    z = (of.value - null) / of.standard_error * math.sqrt(x / (1 + x))
    return math.log(2) - math.log1p(x) / 2 + normal.log_scaled_cdf(z)


def log_e_below(of: Estimate, *, null: float, scale: float) -> float:
    """Evidence that the truth is below `null`; see `log_e_above`."""
    return log_e_above(Estimate(-of.value, of.standard_error), null=-null, scale=scale)


def _information(of: Estimate, scale: float) -> float:
    if not (math.isfinite(scale) and scale > 0):
        raise Invalid(
            f"The scale is the size of effect to look for, above 0, not {scale}.", field="scale"
        )
    # Kept where a square and its reciprocal are floats; nobody plans for a scale beyond.
    return min(max(scale / of.standard_error, 1e-100), 1e100) ** 2


def _one_sided(of: Estimate, alpha: float, scale: float) -> float:
    x = _information(of, scale)
    level(alpha)
    root = math.log1p(math.sqrt(1 + x) / (2 * alpha))
    return of.standard_error * math.sqrt(2 * (1 + x) / x * root)
