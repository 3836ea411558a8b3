"""Evidence on the difference of two error rates, valid whenever one looks: batch RIPr.

Each batch is compared within itself: a rate that drifts, or a ramp that moves traffic from one arm
to the other, changes what is bet but not what a bet is worth, as long as the null hypothesis holds
inside each batch. Rare errors and small counts are no trouble: nothing here is asymptotic.

Results must be independent given the batch's rates. Where the same unit comes again and again (a
user with many requests), count only its first result in the experiment; `cells` is for all.
"""

from dataclasses import dataclass
from typing import Final, Literal

from herdbook.errors import Invalid
from herdbook.stats.projections import log_wager
from herdbook.stats.wagers import Wealth

# Where nothing is known yet, control errs like a Beta(1, 49) variable: in 2 % of results.
_PRIOR_ERRORS: Final = 1.0
_PRIOR_RESULTS: Final = 50.0
# No rate is expected closer to 0 or 1 than this: a certain loss would end every bet for good, and
# near 1 a float has no digits left to tell two rates apart.
_LOWEST: Final = 1e-9
_HIGHEST: Final = 0.999
# Nothing is bet where control's rate plus the margin is nearer to 100 % than this.
_LEAST_ROOM: Final = 1e-6

# How far above the margin the treatment may err: in absolute terms for common errors, and as
# multiples of control's rate for rare ones.
_STEPS: Final = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
_MULTIPLES: Final = (1.0, 4.0)
# And how far below: shares of the margin above control's rate, and shares of control's rate.
_MARGIN_SHARES: Final = (0.5, 0.0)
_RATE_SHARES: Final = (0.75, 0.5)


@dataclass(frozen=True, slots=True)
class Counts:
    """Results and the errors among them, of one arm; merged by addition."""

    results: int = 0
    errors: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.errors <= self.results:
            raise Invalid(f"{self.errors} errors among {self.results} results cannot be.")

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.results + other.results, self.errors + other.errors)


@dataclass(frozen=True, slots=True)
class RateBatch:
    """What both arms did in the same while; merged by addition, in any order.

    Attributes:
        stratum: the stage of the ramp, or any other slice within which the split between the arms
            does not depend on the rate. Batches of several strata are observed one after the other.
    """

    control: Counts
    treatment: Counts
    stratum: str = ""

    def __add__(self, other: "RateBatch") -> "RateBatch":
        if self.stratum != other.stratum:
            raise Invalid(
                f"Batches of {self.stratum!r} and {other.stratum!r} are compared apart: "
                "observe them one after the other."
            )
        control, treatment = self.control + other.control, self.treatment + other.treatment
        return RateBatch(control, treatment, self.stratum)


@dataclass(frozen=True, slots=True)
class RateClaim:
    """What is to be shown about the treatment's rate.

    Attributes:
        direction: "above": it is more than control's plus the margin (harm). "below": it is less
            than control's plus the margin (with a margin above 0: not inferior by more than that).
        margin: absolute, 0.05 for five points; at least 0 and below 1.
    """

    direction: Literal["above", "below"]
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.direction not in ("above", "below"):
            raise Invalid(f'A claim is "above" or "below", not {self.direction!r}.')
        if not 0 <= self.margin < 1:
            raise Invalid(
                f"A margin is a share of at least 0 and below 1, such as 0.05, not {self.margin}.",
                field="margin",
            )

    def leaves_room(self, base: float) -> bool:
        """Whether control's rate `base` plus the margin is a rate at all, so that one can bet."""
        return 1 - base - self.margin > _LEAST_ROOM

    def alternatives(self, base: float) -> tuple[float, ...]:
        """The treatment's rates that are bet on where control errs at the rate `base`.

        All are strictly between 0 and 1 where there is room, and fulfil the claim or, without a
        margin, lie on its boundary (a bet that neither wins nor loses).
        """
        if self.direction == "above":
            steps = (*_STEPS, *(share * base for share in _MULTIPLES))
            # Half the way at most: at 100 % a single success would be the end of the bet.
            furthest = (1 - base - self.margin) / 2
            return tuple(base + self.margin + min(step, furthest) for step in steps)
        near = (base + share * self.margin for share in _MARGIN_SHARES)
        return (*near, *(share * base for share in _RATE_SHARES))


@dataclass(frozen=True, slots=True)
class RateEvidence:
    """The e-process of a claim: what is to be kept between two looks.

    Attributes:
        seen: control's counts so far by stratum, in order of the strata's names.
    """

    claim: RateClaim
    wealth: Wealth
    seen: tuple[tuple[str, Counts], ...] = ()

    @property
    def log_e(self) -> float:
        """Evidence for the claim now, log E in nats."""
        return self.wealth.log_e

    @property
    def peak(self) -> float:
        """The highest evidence ever: the claim holds at `alpha` once this is `level(alpha)`."""
        return self.wealth.peak


def start(claim: RateClaim) -> RateEvidence:
    """The evidence before anything was seen: log E is 0."""
    return RateEvidence(claim, Wealth.at_start(len(claim.alternatives(0.5))))


def expected_rate(evidence: RateEvidence, stratum: str) -> float:
    """Control's rate as the past lets expect it in a stratum: the only thing the bets learn.

    The mean of a Beta posterior: over everything seen with the prior Beta(1, 49), and on top of
    that, with the weight of 50 results, over what was seen in the stratum itself.

    Returns:
        a share from 1e-9 to 0.999.
    """
    counts = dict(evidence.seen)
    every = sum(counts.values(), start=Counts())
    here = counts.get(stratum, Counts())
    overall = (every.errors + _PRIOR_ERRORS) / (every.results + _PRIOR_RESULTS)
    rate = (here.errors + _PRIOR_RESULTS * overall) / (here.results + _PRIOR_RESULTS)
    return min(max(rate, _LOWEST), _HIGHEST)


def observe(evidence: RateEvidence, batch: RateBatch) -> RateEvidence:
    """Fold one batch into the evidence: a pure function, in constant time whatever the counts.

    For each alternative `(a, b)`, treatment errs at a and control at b, chosen before the batch was
    seen, the wager is the likelihood ratio of `(a, b)` to its reverse information projection
    `(p + margin, p)`: the point of the null hypothesis that minimises
    `nT KL(a || p + margin) + nC KL(b || p)`. Its expectation is at most 1 everywhere in the null.

    The order of results inside a batch is irrelevant; the order of batches is not, and is that of
    their arrival. A batch in which one arm has no result bets nothing, nor does one before which
    control errs so often that its rate plus the margin is above 100 %.

    Batches of N results in all lose about 1 / N of what they could prove, as some hold too few of
    one arm: where little comes in, add up at least 20 before observing. Waiting for a number of
    results is allowed, waiting for errors is not: when a batch ends must not depend on outcomes.

    Example:
        >>> evidence = start(RateClaim("above"))
        >>> batch = RateBatch(control=Counts(100, 2), treatment=Counts(100, 14))
        >>> round(observe(evidence, batch).log_e, 2)
        4.46

    Reference: Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests
    that allow for optional stopping", Journal of Statistical Planning and Inference 230 (2024);
    Turner and Grünwald, "Exact anytime-valid confidence intervals for contingency tables and
    beyond", Statistics and Probability Letters 198 (2023).
    """
    wealth = evidence.wealth
    base = expected_rate(evidence, batch.stratum)
    both = batch.control.results and batch.treatment.results
    if both and evidence.claim.leaves_room(base):
        wealth = wealth.after(wagers(evidence.claim, base, batch))
    counts = dict(evidence.seen)
    counts[batch.stratum] = counts.get(batch.stratum, Counts()) + batch.control
    return RateEvidence(evidence.claim, wealth, tuple(sorted(counts.items())))


def wagers(claim: RateClaim, base: float, batch: RateBatch) -> tuple[float, ...]:
    """What a batch multiplies the stake on each alternative by, as logs; see `observe`.

    Args:
        claim: what is to be shown.
        base: control's rate as it was expected before the batch, which leaves room.
        batch: both arms have results.
    """
    control, treatment = batch.control, batch.treatment
    return tuple(
        log_wager(
            (rate, base),
            (treatment.results, treatment.errors),
            (control.results, control.errors),
            claim.margin,
        )
        for rate in claim.alternatives(base)
    )
