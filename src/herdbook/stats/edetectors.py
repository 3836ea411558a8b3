"""Evidence of a change, valid whenever one looks: a mixture of Shiryaev-Roberts e-detectors.

Values are ranked among the reference's and turned into normal scores, so that one set of bets
serves any distribution. With z the scores of a batch of n values, each bet multiplies the evidence

    M <- (M + n) prod exp(a z + b z^2 - c)^(1 / tau),   c = log E exp(a z + b z^2) + slack

with the expectation taken over the reference's bins. Without a change a factor has a mean of at
most 1, so M exceeds the number of values by no more than chance: an alarm at `M >= A` comes after A
values at the earliest on average, for the mean of several bets too. Only sums over the batch are
needed, so whatever bins hold are counts that any number of processes add up.

Three things would break that and are allowed for: a reference is itself a sample (`slack`, two
standard errors of `c`), values depend on their neighbours (`tau`, as many of them are worth one),
and a day has its hours (the bins of the part of the day, see `services.references`). Bets are on
0.2 standard deviations and more: a shift below a tenth of one is never told of, however long it
lasts.

References: Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change
detection", New England Journal of Statistics in Data Science 2 (2023); Sokal, "Monte Carlo methods
in statistical mechanics" (1997), for tau.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from herdbook.stats import normal
from herdbook.stats.evidence import log_sum

LOCATIONS: Final = (-0.8, -0.35, -0.2, 0.2, 0.35, 0.8)
SPREADS: Final = (0.6, 0.8, 1.2, 1.5, 2.0)
# How much more, or less, often something comes than in the reference.
RATIOS: Final = (0.4, 1.6, 4.0)
# A shift of fewer standard deviations than this is nothing to be told of.
LEAST_SHIFT: Final = 0.02
_ERRORS: Final = 2.0
# Of shares there may be hundreds, one of which errs by more.
_SHARE_ERRORS: Final = 3.0
# Evidence is kept below this: what ended long ago must be able to be forgotten.
CEILING: Final = 60.0
# So much above the threshold of an alarm it is proven to stay there while the drift lasts, and
# falls below it some hundred values after the drift has ended.
HEADROOM: Final = 10.0


@dataclass(frozen=True, slots=True)
class Scores:
    """The normal scores of bins: `quantile` of the middle of each bin's share.

    Args:
        of: by bin.
        mean: of the reference's values.
        sd: of them.
    """

    of: tuple[float, ...]
    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Bet:
    """One bet: what a value adds to the log evidence is `first z + second z^2 - cost`."""

    first: float
    second: float
    cost: float


@dataclass(frozen=True, slots=True)
class ShareBet:
    """A bet that something comes `ratio` times as often as in the reference.

    Args:
        at: the bin, or -1 for missing values.
        hit: the log evidence that one of it adds.
        miss: the same of anything else.
    """

    at: int
    hit: float
    miss: float


@dataclass(frozen=True, slots=True)
class Sums:
    """What a batch adds up to: its values, the sums of their scores and of the squares."""

    values: float
    total: float
    squares: float


def shares(counts: Sequence[int]) -> tuple[float, ...]:
    """The probability of each bin, no bin impossible: `(count + 1/2) / (n + bins / 2)`.

    Reference: Krichevsky and Trofimov, "The performance of universal encoding" (1981).
    """
    whole = sum(counts) + len(counts) / 2
    return tuple((count + 0.5) / whole for count in counts)


def scores(counts: Sequence[int]) -> Scores:
    """Give the normal scores of a reference's bins.

    Args:
        counts: of the reference by bin, at least one bin.
    """
    below, found = 0.0, []
    parts = shares(counts)
    for part in parts:
        found.append(normal.quantile(min(max(below + part / 2, 1e-12), 1 - 1e-12)))
        below += part
    mean = math.fsum(p * z for p, z in zip(parts, found, strict=True))
    variance = math.fsum(p * (z - mean) ** 2 for p, z in zip(parts, found, strict=True))
    return Scores(tuple(found), mean, math.sqrt(variance))


def bets(counts: Sequence[int], of: Scores, *, tau: float) -> tuple[Bet, ...]:
    """Give the bets on a move of the mean or of the spread of numbers.

    The cost of a bet is the log of the mean `m` of `w = exp(a z + b z^2)` over the reference, plus
    two standard errors of that log, `sqrt((E w^2 / m^2 - 1) tau / n)`, as the reference is a sample
    too (the delta method).

    Args:
        counts: of the reference by bin.
        of: the scores of its bins.
        tau: as many of its values are worth one.
    """
    error = _ERRORS / math.sqrt(max(1.0, sum(counts) / tau))
    parts = shares(counts)
    found = [(a, 0.0) for a in LOCATIONS] + [(0.0, (1 - 1 / s**2) / 2) for s in SPREADS]
    made = []
    for a, b in found:
        cost = _log_mean(parts, of.of, a, b)
        # The relative variance of what one value multiplies by: E w^2 / (E w)^2 - 1.
        variance = math.expm1(max(0.0, _log_mean(parts, of.of, 2 * a, 2 * b) - 2 * cost))
        slack = max(LEAST_SHIFT * (abs(a) + abs(b)), error * math.sqrt(variance))
        made.append(Bet(a, b, cost + slack))
    return tuple(made)


def _log_mean(parts: Sequence[float], of: Sequence[float], first: float, second: float) -> float:
    return log_sum(
        math.log(part) + first * z + second * z * z for part, z in zip(parts, of, strict=True)
    )


def share_bets(at: int, count: int, whole: int, *, tau: float) -> tuple[ShareBet, ...]:
    """Give the bets on how often something comes.

    The share is taken as the reference's plus, or minus, three standard errors, whichever makes the
    bet worth less.

    Args:
        at: its bin, or -1 for missing values.
        count: how often it came in the reference.
        whole: of how many values.
        tau: as many of them are worth one.
    """
    share = (count + 0.5) / (whole + 1)
    worth = max(1.0, whole / tau)
    error = _SHARE_ERRORS * math.sqrt(share * (1 - share) / worth) + 1 / worth
    found = []
    for ratio in RATIOS:
        supposed = share + error if ratio > 1 else share - error
        if 0 < supposed < 1 and ratio * supposed < 1:
            miss = math.log((1 - ratio * supposed) / (1 - supposed))
            found.append(ShareBet(at, math.log(ratio), miss))
    return tuple(found)


def batch(counts: Mapping[int, int], of: Scores) -> Sums:
    """Add up a batch: bin to how many values."""
    values = total = squares = 0.0
    for at, count in counts.items():
        z = of.of[at]
        values += count
        total += count * z
        squares += count * z * z
    return Sums(values, total, squares)


def bet_logs(sums: Sums, on: Iterable[Bet]) -> list[float]:
    """What a batch adds to the log evidence of each bet on mean or spread."""
    values, total, squares = sums.values, sums.total, sums.squares
    return [bet.first * total + bet.second * squares - values * bet.cost for bet in on]


def share_logs(
    counts: Mapping[int, int], values: int, missing: int, on: Iterable[ShareBet]
) -> list[float]:
    """What a batch adds to the log evidence of each bet on a share.

    A bin's share is that among the values, the share of missing ones that among all.
    """
    found = []
    for bet in on:
        hits = missing if bet.at < 0 else counts.get(bet.at, 0)
        whole = values + missing if bet.at < 0 else values
        found.append(hits * bet.hit + (whole - hits) * bet.miss)
    return found


def updated(
    logs: Sequence[float],
    added: Sequence[float],
    number: int,
    *,
    tau: float,
    ceiling: float = CEILING,
) -> tuple[float, ...]:
    """Give the log evidence of each bet after a batch.

    Args:
        logs: before it; empty at the beginning.
        added: what the batch adds to each.
        number: of values in it, missing ones included, at least 1.
        tau: as many of them are worth one.
        ceiling: what no bet's log evidence exceeds; less evidence makes no more false alarms.
    """
    more = math.log(number)
    found = []
    for log, plus in zip(logs or (-math.inf,) * len(added), added, strict=True):
        top = max(log, more)
        both = top + math.log1p(math.exp(min(log, more) - top))
        found.append(min(ceiling, both + plus / tau))
    return tuple(found)


def evidence(logs: Sequence[float]) -> float:
    """The log of the mean of the bets' evidence, in nats; 0 before the first batch."""
    return max(0.0, log_sum(logs) - math.log(len(logs))) if logs else 0.0
