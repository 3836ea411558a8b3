"""Evidence that the treatment is slower in the tail, valid whenever one looks.

Before each batch a threshold is taken from control's past, say its 95th percentile; how many values
of each arm then exceed it are two counts, and `rates` knows what to make of those. The threshold is
predictable, so the evidence is exact under the null hypothesis that treatment's values do not
exceed any threshold more often than control's do, and the order inside a batch is irrelevant.
"""

import math
from dataclasses import dataclass
from typing import Final

from herdbook.errors import Invalid
from herdbook.stats import rates
from herdbook.stats.histograms import LogHistogram, buckets_within
from herdbook.stats.rates import Counts, RateBatch, RateClaim
from herdbook.stats.wagers import Wealth

_HARM: Final = RateClaim("above")
# Past values above a quantile that it takes to know where it is: the noise is then below a half.
_LEAST_ABOVE: Final = 5
_LARGEST_BASE: Final = 0.999


@dataclass(frozen=True, slots=True)
class QuantileClaim:
    """What is to be shown: that this quantile of treatment is higher than control's.

    Attributes:
        share: which quantile, 0.95 for the 95th percentile; at least 0.5 and below 1.
        tolerance: how many times higher does not count yet: 1.1 for ten per cent; at least 1. It is
            rounded up to whole buckets of the histogram, of 4 % each.
    """

    share: float
    tolerance: float = 1.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.share < 1:
            raise Invalid(
                f"A quantile of the tail is at least 0.5 and below 1, not {self.share}.",
                field="share",
            )
        buckets_within(self.tolerance)


@dataclass(frozen=True, slots=True)
class LatencyBatch:
    """Both arms' values in the same while; merged by addition, in any order.

    Attributes:
        stratum: as of `rates.RateBatch`.
    """

    control: LogHistogram
    treatment: LogHistogram
    stratum: str = ""

    def __add__(self, other: "LatencyBatch") -> "LatencyBatch":
        if self.stratum != other.stratum:
            raise Invalid(
                f"Batches of {self.stratum!r} and {other.stratum!r} are compared apart: "
                "observe them one after the other."
            )
        control, treatment = self.control + other.control, self.treatment + other.treatment
        return LatencyBatch(control, treatment, self.stratum)


@dataclass(frozen=True, slots=True)
class QuantileEvidence:
    """The e-process of a claim: what is to be kept between two looks.

    Attributes:
        seen: control's values so far by stratum, in order of the strata's names.
    """

    claim: QuantileClaim
    wealth: Wealth
    seen: tuple[tuple[str, LogHistogram], ...] = ()

    @property
    def log_e(self) -> float:
        """Evidence for the claim now, log E in nats."""
        return self.wealth.log_e

    @property
    def peak(self) -> float:
        """The highest evidence ever: the claim holds at `alpha` once this is `level(alpha)`."""
        return self.wealth.peak


def start(claim: QuantileClaim) -> QuantileEvidence:
    """The evidence before anything was seen: log E is 0."""
    return QuantileEvidence(claim, Wealth.at_start(len(_HARM.alternatives(0.5))))


def observe(
    evidence: QuantileEvidence, batch: LatencyBatch, *, worth: float = 1.0
) -> QuantileEvidence:
    """Fold one batch into the evidence: a pure function, in constant time whatever the counts.

    With t the upper edge of the bucket of control's past quantile in the batch's stratum, control's
    values above t and treatment's above `tolerance t` are counted; the counts are wagered on like
    errors, with `(k + 1 - share) / (n + 1)` as control's rate, k of its n past values above t.

    Nothing is bet before control has `5 / (1 - share)` values in the stratum (100 for the 95th
    percentile, 500 for the 99th), nor where an arm has none in the batch.

    Args:
        evidence: what is known before the batch.
        batch: what came.
        worth: what a value is worth where units come again and again, above 0 and at most 1: one
            over the design effect as the past tells it. Every wager is raised to its power, which
            leaves its expectation at most 1.

    Raises:
        Invalid: the worth is outside its range.

    Example:
        >>> slow, fast = LogHistogram({300: 100}), LogHistogram({290: 100})
        >>> evidence = start(QuantileClaim(0.95))
        >>> for _ in range(3):
        ...     evidence = observe(evidence, LatencyBatch(control=fast, treatment=slow))
        >>> evidence.log_e > 20
        True

    Reference: the reduction to two rates is our own; for sequential quantiles see Howard and
    Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
    identification", Bernoulli 28 (2022).
    """
    if not 0 < worth <= 1:
        raise Invalid(f"A value is worth more than 0 and at most 1, not {worth}.", field="worth")
    seen = dict(evidence.seen)
    past = seen.get(batch.stratum, LogHistogram())
    seen[batch.stratum] = past + batch.control
    wealth = _bet(evidence, past, batch, worth)
    return QuantileEvidence(evidence.claim, wealth, tuple(sorted(seen.items(), key=_by_name)))


def _by_name(item: tuple[str, LogHistogram]) -> str:
    return item[0]


def _bet(
    evidence: QuantileEvidence, past: LogHistogram, batch: LatencyBatch, worth: float
) -> Wealth:
    """The wealth after a batch, given what control did in its stratum before."""
    tail = 1 - evidence.claim.share
    control, treatment, known = batch.control.total, batch.treatment.total, past.total
    # A hair less, lest a share that is no exact float ask for one more.
    if not (control and treatment) or known < math.ceil(_LEAST_ABOVE / tail - 1e-6):
        return evidence.wealth
    edge = past.bucket_at(evidence.claim.share)
    base = min((past.above(edge) + tail) / (known + 1), _LARGEST_BASE)
    further = edge + buckets_within(evidence.claim.tolerance)
    counts = RateBatch(
        Counts(control, batch.control.above(edge)),
        Counts(treatment, batch.treatment.above(further)),
    )
    wagers = rates.wagers(_HARM, base, counts)
    return evidence.wealth.after([worth * wager for wager in wagers])
