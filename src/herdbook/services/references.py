"""Make references: bins of equal shares with ties kept, and how much their values hang together.

References are made once and read often, so all of it is plain Python over sorted values.
"""

import math
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import mul
from typing import Final

from herdbook.core.references import (
    BINS,
    CATEGORIES_LIMIT,
    SLOTS,
    TENTHS,
    Kind,
    Reference,
    Slot,
)
from herdbook.errors import Invalid
from herdbook.stats import edetectors

# Values to a bin at least, so that small references have wide bins.
_BIN_VALUES: Final = 8
LEAST_VALUES: Final = 20
# Below so many values a part of the day is joined with its neighbours.
_SLOT_VALUES: Final = 100
_SLOT_BINS: Final = 32
_DIVISIONS: Final = (24, 12, 8, 6, 4)
# On so many days at least each part must have been seen.
_DAYS: Final = 2
# Parts of the day differ when they do by so many standard deviations of what chance makes of them.
_DIFFERENT: Final = 4.0
# Sokal's window: as many lags as five times what they sum to.
_WINDOW: Final = 5.0
_TAU_VALUES: Final = 20_000
_LAGS: Final = 2_000


def numeric(
    values: Sequence[float], *, hours: Sequence[int] | None = None, bins: int = BINS
) -> Reference:
    """Make the reference of numbers.

    Args:
        values: in the order in which they came; NaN and infinite ones count as missing.
        hours: when each came, in hours since 1970 (UTC); parts of the day are told apart where
            each has 100 values of two days, and they differ by more than chance.
        bins: how many at most.

    Raises:
        Invalid: fewer than 20 values are finite, or there are not as many hours as values.
    """
    finite, when = _finite(values, hours)
    if len(finite) < LEAST_VALUES:
        raise Invalid(
            f"a reference is made of at least {LEAST_VALUES} values, not of {len(finite)} finite "
            f"ones of {len(values)}",
            field="values",
        )
    ordered = sorted(finite)
    edges = _edges(ordered, bins)
    counts = _counts(ordered, edges)
    mean = _mean(finite)
    slots, tau = _slots_and_tau(finite, when, edges, counts)
    return Reference(
        count=len(finite),
        missing=len(values) - len(finite),
        edges=edges,
        counts=counts,
        mean=mean,
        sd=_sd(finite, mean),
        low=ordered[0],
        high=ordered[-1],
        tau=tau,
        slots=slots,
    )


def categorical(values: Iterable[str | None]) -> Reference:
    """Make the reference of categories; None counts as missing.

    The 250 most frequent ones have a bin each, all others one together.

    Raises:
        Invalid: there are fewer than 20.
    """
    every = list(values)
    held = [value for value in every if value is not None]
    if len(held) < LEAST_VALUES:
        raise Invalid(
            f"a reference is made of at least {LEAST_VALUES} values, not of {len(held)}",
            field="values",
        )
    found = Counter(held).most_common(CATEGORIES_LIMIT)
    names = tuple(sorted(name for name, _ in found))
    often = dict(found)
    counts = [often[name] for name in names]
    frequent = max(often, key=lambda name: (often[name], name))
    return Reference(
        kind=Kind.CATEGORICAL,
        count=len(held),
        missing=len(every) - len(held),
        categories=names,
        counts=(*counts, len(held) - sum(counts)),
        tau=cautious_time([float(value == frequent) for value in held]),
    )


def bin_of(edges: Sequence[float], value: float) -> int:
    """The bin of a finite number: that of the first edge which is not below it."""
    return bisect_left(edges, value)


def accuracies(confidences: Sequence[float], correct: Sequence[bool]) -> tuple[float, ...]:
    """The share of right predictions by tenth of the confidence, never falling.

    A tenth in which nothing was seen is taken to be right as often as it says. Neighbours that fall
    are pooled (isotonic regression).

    Reference: Ayer et al., "An empirical distribution function for sampling with incomplete
    information", Annals of Mathematical Statistics 26 (1955).
    """
    hits, seen = [0.0] * TENTHS, [0] * TENTHS
    for confidence, right in zip(confidences, correct, strict=True):
        if 0 <= confidence <= 1:
            at = tenth(confidence)
            seen[at] += 1
            hits[at] += right
    pools: list[tuple[float, float, int]] = []
    for at in range(TENTHS):
        # The middle of the tenth weighs as much as one value.
        pools.append((hits[at] + (at + 0.5) / TENTHS, seen[at] + 1.0, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            last, before = pools.pop(), pools.pop()
            pools.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    return tuple(right / whole for right, whole, size in pools for _ in range(size))


def tenth(confidence: float) -> int:
    """The tenth that a confidence lies in, 0 to 9."""
    return min(TENTHS - 1, int(confidence * TENTHS))


def autocorrelation_time(series: Sequence[float]) -> float:
    """How many values in a row are worth one independent value: `1 + 2 sum rho(k)`, at least 1.

    The sum ends at the first lag that is five times what it comes to by then, at 2,000, or at a
    quarter of the values. Only the first 20,000 values are looked at.

    Reference: Sokal, "Monte Carlo methods in statistical mechanics" (1997), section 3.
    """
    values = list(series[:_TAU_VALUES])
    mean = _mean(values) if values else 0.0
    offs = [value - mean for value in values]
    whole = sum(map(mul, offs, offs))
    if not whole > 0:
        return 1.0
    tau = 1.0
    for lag in range(1, min(len(offs) // 4, _LAGS) + 1):
        tau += 2 * sum(map(mul, offs, offs[lag:])) / whole
        if lag >= _WINDOW * tau:
            break
    return max(1.0, tau)


def cautious_time(series: Sequence[float]) -> float:
    """The autocorrelation time and one standard error of it: `tau sqrt(2 (2 w + 1) / n)`, w lags.

    Taken for less than it is, it would make false alarms of what is only alike.

    Reference: Sokal, as above, equation 3.19.
    """
    tau = autocorrelation_time(series)
    number = max(1, min(len(series), _TAU_VALUES))
    cautious = tau * (1 + math.sqrt(2 * (2 * _WINDOW * tau + 1) / number))
    # A short ramp looks as if it took more values than there are.
    return min(cautious, number)


def _finite(
    values: Sequence[float], hours: Sequence[int] | None
) -> tuple[list[float], list[int] | None]:
    if hours is None:
        return [float(value) for value in values if math.isfinite(value)], None
    if len(hours) != len(values):
        raise Invalid(f"{len(values)} values came at {len(hours)} times", field="hours")
    kept = [
        (float(value), int(hour))
        for value, hour in zip(values, hours, strict=True)
        if math.isfinite(value)
    ]
    return [value for value, _ in kept], [hour for _, hour in kept]


def _mean(values: Sequence[float]) -> float:
    # Divided first, as the sum of finite numbers need not be one.
    number = len(values)
    return math.fsum(value / number for value in values)


def _sd(values: Sequence[float], mean: float) -> float:
    furthest = max(abs(value / 2 - mean / 2) for value in values)
    if not furthest:
        return 0.0
    # In shares of the furthest, as the square of a finite number need not be one.
    squares = math.fsum(((value / 2 - mean / 2) / furthest) ** 2 for value in values)
    return min(2 * furthest * math.sqrt(squares / len(values)), sys.float_info.max)


def _edges(ordered: Sequence[float], bins: int) -> tuple[float, ...]:
    """Choose edges at equal shares; a value that is as frequent as a bin has one to itself."""
    parts = max(2, min(bins - 2, len(ordered) // _BIN_VALUES))
    edges = _edges_at(ordered, parts)
    while len(edges) >= bins:
        # Frequent values brought more than there is room for.
        parts = parts * 3 // 4
        edges = _edges_at(ordered, parts)
    return edges


def _edges_at(ordered: Sequence[float], parts: int) -> tuple[float, ...]:
    number = len(ordered)
    chosen = {math.nextafter(ordered[0], -math.inf), ordered[-1]}
    for at in range(1, parts):
        edge = ordered[at * number // parts]
        chosen.add(edge)
        first = bisect_left(ordered, edge)
        if first and bisect_right(ordered, edge) - first >= number / parts:
            chosen.add(ordered[first - 1])
    return tuple(sorted(chosen))


def _counts(ordered: Sequence[float], edges: Sequence[float]) -> tuple[int, ...]:
    ends = [bisect_right(ordered, edge) for edge in edges]
    starts = [0, *ends]
    return tuple(end - start for start, end in zip(starts, [*ends, len(ordered)], strict=True))


def _slots(values: Sequence[float], hours: Sequence[int]) -> tuple[Slot, ...]:
    """Tell apart as many parts of the day as have values enough, of days enough."""
    by_hour: list[list[float]] = [[] for _ in range(SLOTS)]
    days: list[set[int]] = [set() for _ in range(SLOTS)]
    for value, hour in zip(values, hours, strict=True):
        by_hour[hour % SLOTS].append(value)
        days[hour % SLOTS].add(hour // SLOTS)
    for parts in _DIVISIONS:
        width = SLOTS // parts
        spans = [slice(at * width, (at + 1) * width) for at in range(parts)]
        joined = [sorted(chain.from_iterable(by_hour[span])) for span in spans]
        seen = [len(set().union(*days[span])) for span in spans]
        if min(map(len, joined)) >= _SLOT_VALUES and min(seen) >= _DAYS:
            return tuple(_slot(ordered) for ordered in joined)
    return ()


def _slots_and_tau(
    values: Sequence[float],
    hours: Sequence[int] | None,
    edges: Sequence[float],
    counts: Sequence[int],
) -> tuple[tuple[Slot, ...], float]:
    """Give the parts of the day, where telling them apart is worth it, and tau within them."""
    of = edetectors.scores(counts).of
    plain = [of[bisect_left(edges, value)] for value in values]
    if hours and (slots := _slots(values, hours)):
        tau = cautious_time(_ranked(values, hours, slots))
        if _differ(plain, hours, len(slots), tau=tau):
            return slots, tau
    return (), cautious_time(plain)


def _differ(scores: Sequence[float], hours: Sequence[int], parts: int, *, tau: float) -> bool:
    """Whether parts of the day differ in place or spread: else they would only cost power.

    The mean normal score of each part, and that of the squares, are compared with those of all
    values. Differences in standard errors, squared and summed up, have a chi-square distribution
    where chance alone made them.
    """
    found, degrees = 0.0, 0
    for series in (scores, [score * score for score in scores]):
        mean = _mean(series)
        variance = math.fsum((value - mean) ** 2 for value in series) / len(series)
        sums, numbers = [0.0] * parts, [0] * parts
        for value, hour in zip(series, hours, strict=True):
            at = hour % SLOTS * parts // SLOTS
            sums[at] += value - mean
            numbers[at] += 1
        if variance > 0:
            degrees += parts - 1
            found += math.fsum(
                total * total / number for total, number in zip(sums, numbers, strict=True)
            ) / (variance * tau)
    return found > degrees + _DIFFERENT * math.sqrt(2 * degrees)


def _slot(ordered: Sequence[float]) -> Slot:
    edges = _edges(ordered, _SLOT_BINS)
    return Slot(edges=edges, counts=_counts(ordered, edges), mean=_mean(ordered))


def _ranked(values: Sequence[float], hours: Sequence[int], slots: Sequence[Slot]) -> list[float]:
    """Give the normal score of each value within its part of the day."""
    tables = [edetectors.scores(slot.counts).of for slot in slots]
    found = []
    for value, hour in zip(values[:_TAU_VALUES], hours, strict=False):
        at = hour % SLOTS * len(slots) // SLOTS
        found.append(tables[at][bisect_left(slots[at].edges, value)])
    return found
