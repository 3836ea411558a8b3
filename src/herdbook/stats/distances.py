"""Distances between two samples that were counted in the same bins.

All take counts by bin, in the order of the bins: those of a reference and those of now. They cost
time by the number of bins, however many values were counted. What bins cannot tell apart lies
within a bin, so a distance is at most that of the values themselves (but for the Wasserstein
distance, which the widths of the bins may make larger or smaller).
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, pairwise, repeat
from operator import add, mul, sub
from typing import Final, NamedTuple

from herdbook.errors import Invalid

# Bins are joined until there are so many: shares of fewer values than that are mostly noise.
JOINED: Final = 20
# From here on the series for large arguments is the shorter one.
_TURN: Final = 1.18
_TERMS: Final = 4


class ChiSquare(NamedTuple):
    """What Pearson's test says.

    Args:
        statistic: the sum of squared differences by what was expected.
        degrees: of freedom: bins in which anything was, less one.
        p: how likely as large a statistic is when nothing changed.
    """

    statistic: float
    degrees: int
    p: float


def ks(reference: Sequence[int], current: Sequence[int]) -> float:
    """The Kolmogorov-Smirnov distance: `max |F(i) - G(i)|` of the cumulative shares, 0 to 1.

    Never above that of the values themselves, and below it by at most the largest share of one bin.

    Raises:
        Invalid: the bins differ in number, or nothing was counted on one side.

    Example:
        >>> ks((50, 50), (25, 75))
        0.25

    Reference: Smirnov, "Table for estimating the goodness of fit of empirical distributions",
    Annals of Mathematical Statistics 19 (1948).
    """
    n, m = _sizes(reference, current)
    return max(map(abs, _gaps(reference, current, (n, m)))) / (n * m)


def ks_p_value(distance: float, n: float, m: float) -> float:
    """How likely as large a distance is when nothing changed: `Q(d sqrt(n m / (n + m)))`.

    `Q(x) = 2 sum (-1)^(k - 1) exp(-2 k^2 x^2)`, and for small x the same from its theta transform,
    `1 - sqrt(2 pi) / x sum exp(-(2 k - 1)^2 pi^2 / (8 x^2))`. Right for many values; for few, and
    for values with ties or in bins, it errs on the large side.

    Args:
        distance: of Kolmogorov and Smirnov.
        n: how many independent values the one side is worth.
        m: the other.

    Raises:
        Invalid: there are no values on one side.

    Example:
        >>> round(ks_p_value(0.1, 500, 500), 4)
        0.0135

    Reference: Kolmogorov, "Sulla determinazione empirica di una legge di distribuzione", Giornale
    dell'Istituto Italiano degli Attuari 4 (1933); Marsaglia, Tsang and Wang, "Evaluating
    Kolmogorov's distribution", Journal of Statistical Software 8 (2003).
    """
    if not (n > 0 and m > 0):
        raise Invalid(f"{n:g} and {m:g} values cannot be compared: there must be some of both")
    # Of n m / (n + m), written so that large numbers do not overflow.
    x = distance / math.sqrt(1 / n + 1 / m)
    if x < _TURN:
        return 1 - _theta(x)
    tail = math.fsum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, _TERMS + 1))
    return min(1.0, 2 * tail)


def _theta(x: float) -> float:
    if x < 0.04:
        # Below the smallest float; dividing by x * x would overflow.
        return 0.0
    odd = (2 * k - 1 for k in range(1, _TERMS + 1))
    series = math.fsum(math.exp(-((j * math.pi) ** 2) / (8 * x * x)) for j in odd)
    return min(1.0, math.sqrt(2 * math.pi) / x * series)


def psi(reference: Sequence[int], current: Sequence[int]) -> float:
    """The population stability index: `sum (p - q) ln(p / q)`, in nats, 0 and more.

    Over at most 20 joined bins, see `joined`, with `p = (count + 1) / (n + bins)` (Laplace), so
    that an empty bin is no infinity. Without a change it is about `bins (1 / n + 1 / m)`. Above 0.1
    is often read as a change, above 0.2 as a large one.

    Raises:
        Invalid: as for `ks`.

    Example:
        >>> round(psi((500, 500), (600, 400)), 4)
        0.0404

    Reference: Siddiqi, "Credit Risk Scorecards" (2006), chapter 8.
    """
    _sizes(reference, current)
    before, now = joined(reference, current)
    n, m = sum(before) + len(before), sum(now) + len(now)
    return math.fsum(
        ((a + 1) / n - (b + 1) / m) * math.log((a + 1) * m / ((b + 1) * n))
        for a, b in zip(before, now, strict=True)
    )


def js(reference: Sequence[int], current: Sequence[int]) -> float:
    """The Jensen-Shannon distance: `sqrt(H((p + q) / 2) - (H(p) + H(q)) / 2)` in bits, 0 to 1.

    Over the same joined bins as `psi`; a metric.

    Raises:
        Invalid: as for `ks`.

    Example:
        >>> js((1, 0), (0, 1))
        1.0

    Reference: Endres and Schindelin, "A new metric for probability distributions", IEEE
    Transactions on Information Theory 49 (2003).
    """
    n, m = _sizes(reference, current)
    before, now = joined(reference, current)
    shares = [(a / n, b / m) for a, b in zip(before, now, strict=True)]
    whole = math.fsum(
        part * math.log2(2 * part / (p + q)) for p, q in shares for part in (p, q) if part
    )
    # Rounding may leave it just outside.
    return math.sqrt(min(1.0, max(0.0, whole / 2)))


def wasserstein(
    edges: Sequence[float],
    low: float,
    high: float,
    reference: Sequence[int],
    current: Sequence[int],
) -> float:
    """The Wasserstein-1 distance: how far values moved on average, in their own unit.

    `sum |F(i) - G(i)| (x(i + 1) - x(i))` with all values of a bin taken to be in its middle x(i).

    Args:
        edges: between the bins, ascending, one fewer than bins.
        low: the smallest value seen: the first bin is taken to begin there.
        high: the largest: the last bin ends there.
        reference: counts of the reference.
        current: counts of now.

    Raises:
        Invalid: as for `ks`, or there are not as many bins as edges and one.

    Example:
        >>> wasserstein((1.0, 2.0), 0.0, 3.0, (8, 0, 0), (0, 0, 8))
        2.0

    Reference: Vallender, "Calculation of the Wasserstein distance between probability
    distributions on the line", Theory of Probability and its Applications 18 (1974).
    """
    n, m = _sizes(reference, current)
    if len(edges) + 1 != len(reference):
        raise Invalid(f"{len(edges)} edges make {len(edges) + 1} bins, not {len(reference)}")
    if not edges:
        return 0.0
    # Halved before they are added: the sum of two large numbers may be infinite.
    halves = [edge / 2 for edge in (min(low, edges[0]), *edges, max(high, edges[-1]))]
    middles = list(map(add, halves, halves[1:]))
    widths = map(sub, middles[1:], middles)
    return math.fsum(map(mul, widths, map(abs, _gaps(reference, current, (n, m))))) / (n * m)


def chi_square(reference: Sequence[int], current: Sequence[int]) -> ChiSquare:
    """Pearson's test of whether two samples have the same shares.

    `sum (observed - expected)^2 / expected` over both samples, which comes to
    `sum (a sqrt(m / n) - b sqrt(n / m))^2 / (a + b)`; bins in which nothing was are left out. Where
    fewer than five are expected in a bin, p is not to be relied on: join bins first.

    Returns:
        A statistic of 0 with p = 1 where all lies in one bin.

    Raises:
        Invalid: as for `ks`.

    Example:
        >>> found = chi_square((50, 50), (60, 40))
        >>> round(found.statistic, 4), found.degrees, round(found.p, 4)
        (2.0202, 1, 0.1552)

    Reference: Pearson, Philosophical Magazine 50 (1900); Press et al., "Numerical Recipes", section
    14.3, for samples of different sizes.
    """
    n, m = _sizes(reference, current)
    more, less = math.sqrt(m / n), math.sqrt(n / m)
    parts = [
        (a * more - b * less) ** 2 / (a + b)
        for a, b in zip(reference, current, strict=True)
        if a + b
    ]
    statistic, degrees = math.fsum(parts), len(parts) - 1
    return ChiSquare(statistic, degrees, chi_square_tail(statistic, degrees))


def chi_square_tail(statistic: float, degrees: int) -> float:
    """The chance that a chi-square variable is above a statistic.

    For whole degrees of freedom d a finite sum: with y = statistic / 2, even d
    `sum y^j exp(-y) / j!` of j = 0 to d / 2 - 1, odd d `erfc(sqrt(y)) + sum y^(j - 1/2) exp(-y) /
    Gamma(j + 1/2)` of j = 1 to (d - 1) / 2. All terms are positive, so nothing is lost.

    Args:
        statistic: 0 and more.
        degrees: of freedom; with none the answer is 1.

    Example:
        >>> round(chi_square_tail(3.841459, 1), 6)
        0.05

    Reference: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 26.4.4-5.
    """
    if degrees < 1 or statistic <= 0:
        return 1.0
    y = statistic / 2
    log, half = math.log(y), (degrees % 2) / 2
    start = math.erfc(math.sqrt(y)) if half else 0.0
    powers = (j + half for j in range(degrees // 2))
    return min(
        1.0, math.fsum((start, *(math.exp(k * log - y - math.lgamma(k + 1)) for k in powers)))
    )


def joined(
    reference: Sequence[int], current: Sequence[int], *, most: int = JOINED
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Join neighbouring bins into at most `most` of about equal shares of the reference.

    A bin is never split, so one that holds a large share stays one. Bins that are few enough stay
    as they are; where the reference is empty, all become one.

    Args:
        reference: its counts choose where bins are cut.
        current: cut at the same places.
        most: how many to leave, at least 1.
    """
    at = cuts(reference, most=most)
    before, now = list(accumulate(reference)), list(accumulate(current))
    return tuple(_steps(before[end] for end in at)), tuple(_steps(now[end] for end in at))


def cuts(reference: Sequence[int], *, most: int = JOINED) -> tuple[int, ...]:
    """Where `joined` cuts: the last bin of each of the joined ones, ascending."""
    last = len(reference) - 1
    if last < most:
        return tuple(range(last + 1))
    sums = list(accumulate(reference))
    # The first bin by which so much of the reference was counted.
    ends = (bisect_left(sums, sums[-1] * part / most) for part in range(1, most))
    return tuple(sorted({*ends, last}))


def _steps(sums: Iterable[int]) -> Iterable[int]:
    return (after - before for before, after in pairwise(chain((0,), sums)))


def _gaps(
    reference: Sequence[int], current: Sequence[int], sizes: tuple[int, int]
) -> Iterable[int]:
    """The differences of the cumulative shares, times the numbers of both: whole and exact."""
    n, m = sizes
    return map(
        sub, map(mul, accumulate(reference), repeat(m)), map(mul, accumulate(current), repeat(n))
    )


def _sizes(reference: Sequence[int], current: Sequence[int]) -> tuple[int, int]:
    if len(reference) != len(current):
        raise Invalid(
            f"{len(reference)} bins cannot be compared with {len(current)}; count both samples "
            "in the same bins"
        )
    n, m = sum(reference), sum(current)
    if not (n > 0 and m > 0):
        raise Invalid(f"{n} and {m} values cannot be compared: there must be some of both")
    return n, m
