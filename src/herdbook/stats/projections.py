"""The reverse information projection of two Bernoulli rates onto "they differ by a margin"."""

import math

# Newton takes about six steps, and halving what is left of a float at most sixty.
_STEPS = 200


def projection(rates: tuple[float, float], sizes: tuple[float, float], margin: float) -> float:
    """Control's rate p of the null's point `(p + margin, p)` nearest to two rates.

    It minimises `n[0] KL(a || p + margin) + n[1] KL(b || p)`, convex in p, whose derivative

        n[0] (p + margin - a) / ((p + margin) (1 - p - margin)) + n[1] (p - b) / (p (1 - p))

    has one root between b and a - margin. Without a margin that is the pooled rate; else it is
    found by Newton's steps kept inside the bracket, to the last digits of a float.

    Args:
        rates: a and b, the alternative's rates in treatment and control, between 0 and 1.
        sizes: results in treatment and control, or their shares, each above 0.
        margin: at least 0 and below 1.

    Returns:
        p, at least 0 and at most 1 - margin.
    """
    (a, b), (n, m) = rates, sizes
    pooled = (n * (a - margin) + m * b) / (n + m)
    low, high = max(0.0, min(b, a - margin)), min(1 - margin, max(b, a - margin))
    if margin == 0 or low >= high:
        return min(max(pooled, low), high)
    p = pooled if low < pooled < high else (low + high) / 2
    for _ in range(_STEPS):
        q = p + margin
        slope = n * ((1 - a) / (1 - q) - a / q) + m * ((1 - b) / (1 - p) - b / p)
        low, high = (p, high) if slope < 0 else (low, p)
        bend = n * ((1 - a) / (1 - q) ** 2 + a / q**2) + m * ((1 - b) / (1 - p) ** 2 + b / p**2)
        following = p - slope / bend
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - p) <= 2e-16 * p:
            return following
        p = following
    return p


def log_wager(
    rates: tuple[float, float], treatment: tuple[int, int], control: tuple[int, int], margin: float
) -> float:
    """Log-likelihood ratio, in nats, of two rates to their projection onto the null.

    Args:
        rates: the alternative's rates in treatment and control, strictly between 0 and 1.
        treatment: results, each arm above 0, and errors among them.
        control: the same.
        margin: the null says that treatment's rate is control's plus this (or beyond).
    """
    p = projection(rates, (treatment[0], control[0]), margin)
    return _ratio(rates[0], p + margin, treatment) + _ratio(rates[1], p, control)


def _ratio(rate: float, null: float, counts: tuple[int, int]) -> float:
    results, errors = counts
    # log1p keeps its digits where both rates are nearly the same; counts may be a billion.
    gain = math.log1p((rate - null) / null)
    loss = math.log1p((null - rate) / (1 - null))
    return errors * gain + (results - errors) * loss
