"""What may be done with e-values: average them, and choose among many without fooling oneself."""

import math
from collections.abc import Iterable, Mapping

from herdbook.errors import Invalid


def level(alpha: float) -> float:
    """The log-evidence at which an error rate of `alpha` is kept: `log(1 / alpha)`, in nats.

    Args:
        alpha: the probability of a false claim that is put up with, above 0 and below 1.

    Raises:
        Invalid: alpha is 0, 1, outside, or NaN.

    Example:
        >>> round(level(0.05), 4)
        2.9957

    Reference: Ville, "Étude critique de la notion de collectif" (1939): an e-process is ever
    at or above 1/alpha with probability at most alpha.
    """
    if not 0 < alpha < 1:
        raise Invalid(f"alpha is between 0 and 1, such as 0.05, not {alpha}.", field="alpha")
    return -math.log(alpha)


def log_sum(logs: Iterable[float]) -> float:
    """`log(sum(exp(x)))` without overflow; minus infinity of nothing."""
    values = list(logs)
    top = max(values, default=-math.inf)
    if math.isinf(top):
        return top
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def average(logs: Iterable[float]) -> float:
    """Log of the mean of e-values: an e-value for "all of these nulls hold", however dependent.

    Args:
        logs: log e-values in nats, at least one; infinite ones are allowed, NaN is not.

    Raises:
        Invalid: there is none, or one is NaN.

    Reference: Vovk and Wang, "E-values: calibration, combination and applications", Annals of
    Statistics 49 (2021).
    """
    values = _checked(logs)
    return log_sum(values) - math.log(len(values))


def discoveries(logs: Mapping[str, float], *, alpha: float) -> frozenset[str]:
    """Name the hypotheses to reject together at a false discovery rate of `alpha` (e-BH).

    With the K e-values in falling order, the first k are rejected for the largest k with
    `e[k] >= K / (alpha k)`. It holds under any dependence between them; equal e-values stand or
    fall together.

    Args:
        logs: log e-value in nats by name; an empty mapping has no discoveries.
        alpha: false discovery rate, above 0 and below 1.

    Raises:
        Invalid: an e-value is NaN, or alpha is outside its range.

    Example:
        >>> sorted(discoveries({"latency": 5.0, "tokens": 0.1, "cost": 3.8}, alpha=0.05))
        ['cost', 'latency']

    Reference: Wang and Ramdas, "False discovery rate control with e-values", Journal of the Royal
    Statistical Society B 84 (2022).
    """
    ordered = sorted(_checked(logs.values()), reverse=True) if logs else []
    needed = level(alpha) + math.log(len(ordered) or 1)
    passed = [log for k, log in enumerate(ordered, start=1) if log >= needed - math.log(k)]
    if not passed:
        return frozenset()
    return frozenset(name for name, log in logs.items() if log >= passed[-1])


def _checked(logs: Iterable[float]) -> list[float]:
    values = list(logs)
    if not values:
        raise Invalid("There is no evidence to combine: give at least one e-value.")
    if any(math.isnan(value) for value in values):
        raise Invalid("An e-value is NaN: leave out what could not be computed.")
    return values
