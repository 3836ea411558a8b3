"""Before the start: how many requests a decision takes, and how many days.

Two kinds of number: what a single look at the end would take, the textbook sample size, and what
the sequential rules take, which may look all the time. Each counts the requests of both arms
together. Sticky units make requests worth less: multiply by `design_effect`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from herdbook.errors import Invalid
from herdbook.stats import normal
from herdbook.stats.evidence import level, log_sum
from herdbook.stats.projections import projection
from herdbook.stats.rates import RateClaim
from herdbook.stats.sequences import Estimate, lower_bound
from herdbook.stats.wagers import RESERVE

# No experiment waits for more requests than this; beyond it the answer is "never".
_MOST: Final = 2**60


@dataclass(frozen=True, slots=True)
class Design:
    """What is promised, and how the traffic is split.

    Attributes:
        treatment_share: of the requests in the experiment, above 0 and below 1.
        alpha: probability of a false claim, above 0 and below 1.
        power: probability of making a true one, above 0 and below 1; 0.5 gives the median.
    """

    treatment_share: float = 0.5
    alpha: float = 0.05
    power: float = 0.8

    def __post_init__(self) -> None:
        for name in ("treatment_share", "alpha", "power"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise Invalid(f"{name} is between 0 and 1, not {value}.", field=name)


def design_effect(requests_per_unit: float, *, icc: float, variation: float = 0.0) -> float:
    """How many requests of sticky units are worth one independent request.

    `1 + (m (1 + v^2) - 1) icc`, with m requests a unit on average.

    Args:
        requests_per_unit: m, at least 1.
        icc: correlation of two requests of the same unit, 0 to 1.
        variation: v, standard deviation of the units' requests divided by their mean, at least 0.

    Raises:
        Invalid: an argument is outside its range.

    Reference: Kish, "Survey sampling" (1965); Eldridge, Ashby and Kerry, "Sample size for cluster
    randomized trials: effect of coefficient of variation of cluster size", International Journal
    of Epidemiology 35 (2006).
    """
    if not (1 <= requests_per_unit < math.inf and 0 <= icc <= 1 and 0 <= variation < math.inf):
        raise Invalid(
            "A design effect takes at least 1 request a unit, a correlation from 0 to 1 and a "
            f"variation of at least 0, not {requests_per_unit}, {icc} and {variation}."
        )
    return 1 + (requests_per_unit * (1 + variation**2) - 1) * icc


def single_look_mean(effect: float, deviation: float, design: Design) -> int:
    """Requests for one one-sided z test of two means at the end.

    `(z[1 - alpha] + z[power])^2 s^2 / (effect^2 share (1 - share))`, rounded up.

    Args:
        effect: difference of the means to be found, above 0, in the metric's unit.
        deviation: standard deviation s of one request, above 0, in the same unit.
        design: split and error rates.

    Raises:
        Invalid: effect or deviation is not above 0 and finite.

    Example:
        >>> single_look_mean(0.025, 0.1633, Design())
        1056
    """
    _above_zero(effect=effect, deviation=deviation)
    share = design.treatment_share
    return _single_look(effect, deviation**2 / (share * (1 - share)), design)


def single_look_rates(control: float, treatment: float, design: Design) -> int:
    """Requests for one one-sided z test of two rates at the end, variances not pooled.

    `(z[1 - alpha] + z[power])^2 (pT (1 - pT) / share + pC (1 - pC) / (1 - share)) / (pT - pC)^2`,
    rounded up.

    Args:
        control: control's rate, strictly between 0 and 1.
        treatment: treatment's, strictly between 0 and 1, another one.
        design: split and error rates.

    Raises:
        Invalid: a rate is outside its range, or they are the same.

    Example:
        >>> single_look_rates(0.02, 0.03, Design())
        6022
    """
    _rates(control, treatment)
    _above_zero(difference=abs(treatment - control))
    share = design.treatment_share
    variance = treatment * (1 - treatment) / share + control * (1 - control) / (1 - share)
    return _single_look(abs(treatment - control), variance, design)


def sequential_mean(effect: float, deviation: float, scale: float, design: Design) -> int | None:
    """Requests until the lower bound of the confidence sequence is above 0.

    The smallest N with `(effect - half(N)) / SE(N) >= z[power]`, SE the standard error and half the
    one-sided half-width of `sequences` at N requests. Having crossed earlier is not counted, so the
    decision comes a little sooner; at a power of 0.5 it is the median.

    Args:
        effect: true difference of the means, above 0, in the metric's unit.
        deviation: standard deviation of one request, above 0, in the same unit.
        scale: as of `sequences.interval`.
        design: split and error rates.

    Returns:
        None where 2^60 requests do not suffice.

    Raises:
        Invalid: effect, deviation or scale is not above 0 and finite.

    Example:
        >>> sequential_mean(0.025, 0.1633, 0.025, Design(power=0.5))
        1319
    """
    _above_zero(effect=effect, deviation=deviation, scale=scale)
    share, z = design.treatment_share, normal.quantile(design.power)

    def enough(requests: int) -> bool:
        error = deviation / math.sqrt(requests * share * (1 - share))
        half = -lower_bound(Estimate(0.0, error), alpha=design.alpha, scale=scale)
        return effect - half >= z * error

    return _smallest(enough)


def sequential_rates(
    claim: RateClaim, control: float, treatment: float, design: Design
) -> int | None:
    """Requests until the e-process of a claim about two error rates reaches `1 / alpha`.

    On alternative k one request wins g nats on average with the variance v. With M the smallest N
    with `mean over k of exp(N g[k]) >= 1 / (0.9 alpha)`, and g, v of the alternative that leads at
    M, log E is taken for a Brownian motion that starts as high as the others lift it there; the
    answer is the quantile `power` of its first passage, an inverse Gaussian variable. It is as if
    control's rate were known from the start, and batches were many.

    Args:
        claim: what is to be shown.
        control: control's true rate, strictly between 0 and 1.
        treatment: treatment's true rate, strictly between 0 and 1.
        design: split and error rates.

    Returns:
        None where the claim is false, or so nearly so that no alternative wins, or leaves no room.

    Raises:
        Invalid: a rate is outside its range.

    Example:
        >>> sequential_rates(RateClaim("above"), 0.02, 0.12, Design(power=0.5))
        152
        >>> sequential_rates(RateClaim("below", margin=0.05), 0.02, 0.09, Design()) is None
        True
    """
    _rates(control, treatment)
    if not claim.leaves_room(control):
        return None
    rates = claim.alternatives(control)
    needed = level(design.alpha) + math.log(len(rates)) - math.log1p(-RESERVE)
    growths = [_growth((rate, control), (treatment, control), claim, design) for rate in rates]
    winning = [growth for growth in growths if growth[0] > 0]
    middle = _smallest(lambda n: log_sum(n * mean for mean, _ in winning) >= needed)
    if middle is None:
        return None
    mean, deviation = max(winning)
    # The others are worth this much at the time of the decision.
    needed -= log_sum(middle * each for each, _ in winning) - middle * mean
    return _smallest(lambda n: _passed(n, mean, deviation, needed) >= design.power)


def days(requests: int, *, per_day: float, coverage: float = 1.0) -> float:
    """Days until the experiment has received so many requests.

    Args:
        requests: of both arms together.
        per_day: what the model receives in a day, above 0.
        coverage: share of it that takes part in the experiment, above 0 and at most 1.

    Raises:
        Invalid: an argument is outside its range.
    """
    _above_zero(per_day=per_day, coverage=coverage)
    if coverage > 1 or requests < 0:
        raise Invalid(f"Cannot wait for {requests} requests at a coverage of {coverage}.")
    return requests / (per_day * coverage)


def _single_look(effect: float, variance: float, design: Design) -> int:
    z = normal.quantile(1 - design.alpha) + normal.quantile(design.power)
    # A power below alpha is had for nothing.
    return max(1, math.ceil(max(z, 0.0) ** 2 * variance / effect**2))


def _smallest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number from 1 to 2^60 that is enough, as all above it are."""
    high = 1
    while not enough(high):
        high *= 2
        if high > _MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _growth(
    bet: tuple[float, float], truth: tuple[float, float], claim: RateClaim, design: Design
) -> tuple[float, float]:
    """Mean and standard deviation of what one request wins, in nats.

    Pairs are treatment and control.
    """
    share = design.treatment_share
    p = projection(bet, (share, 1 - share), claim.margin)
    mean = variance = 0.0
    for part, rate, true, null in zip(
        (share, 1 - share), bet, truth, (p + claim.margin, p), strict=True
    ):
        gain, loss = math.log(rate / null), math.log((1 - rate) / (1 - null))
        mean += part * (true * gain + (1 - true) * loss)
        variance += part * true * (1 - true) * (gain - loss) ** 2
    return mean, math.sqrt(variance)


def _passed(time: float, mean: float, deviation: float, height: float) -> float:
    """Probability that a Brownian motion with a drift above 0 has reached a height.

    Reference: Folks and Chhikara, "The inverse Gaussian distribution and its statistical
    application", Journal of the Royal Statistical Society B 40 (1978).
    """
    spread = deviation * math.sqrt(time)
    again = 2 * mean * height / deviation**2 + normal.log_cdf(-(mean * time + height) / spread)
    return normal.cdf((mean * time - height) / spread) + math.exp(again)


def _above_zero(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise Invalid(f"{name} is above 0 and finite, not {value}.", field=name)


def _rates(control: float, treatment: float) -> None:
    if not (0 < control < 1 and 0 < treatment < 1):
        raise Invalid(f"A rate is between 0 and 1, such as 0.02, not {control} or {treatment}.")
