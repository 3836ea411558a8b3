"""The wealth of a bettor against a null hypothesis, over a few alternatives and every start.

A *wager* is what one batch multiplies a stake by; its expectation is at most 1 while the null
hypothesis holds. Wealth that is never refilled becomes blind: after a million harmless requests it
is so small that a fault starting now would take days to show. So a tenth of the stake is kept back
and put in later, a little of it before each batch: what starts late starts from at most two
logarithms of the number of batches below 1, not from the ruins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from herdbook.errors import Invalid
from herdbook.stats.evidence import log_sum

# What is kept back for later starts. It costs log(1 / 0.9) = 0.105 nats at the first.
RESERVE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Wealth:
    """What the bets so far came to; the value is to be kept between two looks.

    With stakes `w[1] = 1 - r` and `w[k] = r / (k (k - 1))`, which leave `r / t` after t batches,
    and wagers `e[j, i]` of alternative j in batch i:

        E[t] = r / t + mean over j of (sum over k <= t of w[k] product over k <= i <= t of e[j, i])

    a mixture of e-processes, hence one itself. It is folded in the order in which batches came, and
    two of them cannot be merged: what merges by addition is a batch, before it is bet on.

    Attributes:
        batches: batches bet on, t.
        logs: by alternative, the log of its inner sum; zeros before the first batch.
        peak: the highest log E ever seen, at least 0. Ville's inequality is about this one.

    Reference: the stakes are our own; for sums over starts see Shin, Ramdas and Rinaldo,
    "E-detectors: a nonparametric framework for sequential change detection", New England Journal
    of Statistics in Data Science 2 (2024).
    """

    batches: int
    logs: tuple[float, ...]
    peak: float = 0.0

    def __post_init__(self) -> None:
        if self.batches < 0 or not self.logs:
            raise Invalid("Wealth has at least one alternative and no negative number of batches.")
        if not all(map(math.isfinite, (*self.logs, self.peak))) or self.peak < 0:
            raise Invalid("Wealth is finite, and its peak at least 0: what was stored is damaged.")

    @classmethod
    def at_start(cls, alternatives: int) -> Self:
        """The stake before any batch: 1, whatever the number of alternatives."""
        return cls(0, (0.0,) * alternatives)

    @property
    def log_e(self) -> float:
        """The evidence now, log E in nats: 0 before the first batch, and never below log(r / t)."""
        if not self.batches:
            return 0.0
        mean = log_sum(self.logs) - math.log(len(self.logs))
        return log_sum((mean, math.log(RESERVE / self.batches)))

    def after(self, wagers: Sequence[float]) -> "Wealth":
        """The wealth after one more batch.

        Args:
            wagers: log of what the batch multiplies each alternative's stake by, finite.

        Raises:
            Invalid: their number is not that of the alternatives, or one is not finite.
        """
        if len(wagers) != len(self.logs):
            raise Invalid(f"{len(wagers)} wagers on {len(self.logs)} alternatives.")
        count = self.batches + 1
        if count == 1:
            stakes = [math.log1p(-RESERVE)] * len(wagers)
        else:
            fresh = math.log(RESERVE / (count * (count - 1)))
            stakes = [log_sum((old, fresh)) for old in self.logs]
        logs = tuple(stake + wager for stake, wager in zip(stakes, wagers, strict=True))
        new = Wealth(count, logs)
        return Wealth(count, logs, max(self.peak, new.log_e))
