"""What the evidence of an experiment says, as values: figures, intervals, proofs, a decision.

Shares are 0 to 1 and confidences as they were recorded. Evidence is given as log10 of an e-value:
1.3 is a factor of twenty, what a probability of error of 5 % takes. None stands for what nothing is
known of yet, as JSON has neither NaN nor infinity.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from herdbook.core.experiments import CONFIDENCE, TIME_METRIC, Decision, Policy


class Clustering(StrEnum):
    """Whether it is known which results belong to the same unit."""

    KNOWN = "known"
    PARTLY = "partly"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something was decided, or not yet: a code of `services.wording` and its figures.

    Args:
        code: such as `harm`; stable.
        subject: what it is about, such as a guardrail or an arm, or "".
        figures: by name, in the units of this module.
    """

    code: str
    subject: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmMetrics:
    """What was recorded of one arm in all phases together.

    Args:
        arm: its name.
        number: the version's.
        results: how many, lost calls included.
        errors: how many of them were errors, lost calls included.
        lost: calls that a worker began and died with.
        units: how many different units had a result.
        alone: results that came without a unit.
        error_rate: errors among results.
        confidence: its mean.
        inference_time_ms: its mean.
        p50_ms: half of the results took at most so long, to 2 %.
        p95_ms: 95 % did.
        p99_ms: 99 % did.
        means: of every other metric.
        refused: why a value was left out, to how often.
    """

    arm: str
    number: str
    results: int
    errors: int
    lost: int
    units: int
    alone: int
    error_rate: float | None
    confidence: float | None
    inference_time_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    means: Mapping[str, float]
    refused: Mapping[str, int]

    def mean(self, metric: str) -> float | None:
        """The mean of a metric of an interval; of `error` the error rate; None if unrecorded."""
        built_in = {
            "error": self.error_rate,
            CONFIDENCE: self.confidence,
            TIME_METRIC: self.inference_time_ms,
        }
        return built_in[metric] if metric in built_in else self.means.get(metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Treatment's mean of a metric minus control's, compared within each phase.

    Args:
        metric: its name; `error` for the error rate.
        difference: None before it is known.
        low: lower end: however often one looks, the truth is ever outside with probability alpha.
        high: upper end.
    """

    metric: str
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The evidence for one claim about the error rate.

    Args:
        claim: `harm` (any more errors), `harm_beyond_limit` (more than `max_error_rate_increase`
            more) or `not_inferior` (not so many more).
        log10_e: the evidence now.
        peak: the highest it ever was; what is proven stays proven.
        needed: the peak at which it is proven.
        proven: whether it is.
    """

    claim: str
    log10_e: float
    peak: float
    needed: float
    proven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How a guardrail stands.

    Args:
        name: its name; `error` for the errors of all results, of returning units too.
        control: control's mean or quantile.
        treatment: treatment's.
        log10_e: the evidence that it got worse by more than its margin.
        peak: the highest it is known to have been.
        harmed: whether that is proven, all guardrails considered together.
    """

    name: str
    control: float | None
    treatment: float | None
    log10_e: float
    peak: float
    harmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TreatmentEvaluation:
    """What the evidence says of one treatment.

    Args:
        arm: its name.
        number: the version's.
        decision: what to do about it.
        reasons: why; the first matters most.
        intervals: of every metric that was recorded.
        proofs: about the error rate.
        guardrails: how they stand.
        design_effect: how many confidences of it are worth one of independent requests.
    """

    arm: str
    number: str
    decision: Decision
    reasons: tuple[Reason, ...]
    intervals: tuple[Interval, ...]
    proofs: tuple[Proof, ...]
    guardrails: tuple[Watched, ...]
    design_effect: float

    def interval(self, metric: str) -> Interval | None:
        """The interval of a metric, if it was recorded."""
        return next((each for each in self.intervals if each.metric == metric), None)

    def proof(self, claim: str) -> Proof:
        """The proof of a claim."""
        return next(each for each in self.proofs if each.claim == claim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the evidence of an experiment says.

    Args:
        experiment: its name.
        at: when it was evaluated.
        policy: what the decision rests on.
        decision: what to do.
        arm: the treatment the decision is about: the one to promote, or that harms.
        number: that version's.
        reasons: why; the first matters most.
        recommendation: the same in plain words.
        arms: control first.
        treatments: one each.
        clustering: whether it is known which results belong to the same unit.
        mismatch_log10_e: the evidence that the arms do not receive the units they should.
        mismatched: whether it is enough, a thousand to one, to trust no comparison.
        phase: the number of the phase it is in.
        batches: how many batches the evidence was made from.
        alpha: of each treatment's intervals and claims.
        days_left: until the control stays for want of a decision; 0 when time is up.
        late: results that came after the end, or of an arm or a phase there is none of.
    """

    experiment: str
    at: datetime
    policy: Policy
    decision: Decision
    arm: str
    number: str
    reasons: tuple[Reason, ...]
    recommendation: str
    arms: tuple[ArmMetrics, ...]
    treatments: tuple[TreatmentEvaluation, ...]
    clustering: Clustering
    mismatch_log10_e: float
    mismatched: bool
    phase: int
    batches: int
    alpha: float
    days_left: float
    late: int = 0

    def metrics(self, arm: str) -> ArmMetrics:
        """The figures of an arm."""
        return next(each for each in self.arms if each.arm == arm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How one treatment stood at a time, in short.

    Args:
        arm: its name.
        confidence: the interval of the difference in confidence, if it was recorded.
        errors: that in the error rate.
        harm: log10 of the evidence that it errs more often.
        not_inferior: log10 of the evidence that it does not by more than is put up with.
    """

    arm: str
    confidence: Interval | None
    errors: Interval | None
    harm: float
    not_inferior: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What the evidence said after a batch, in short, to be drawn over time.

    Args:
        at: when.
        phase: the phase it was in.
        results: of all arms so far.
        decision: what it said to do.
        lines: one for each treatment.
    """

    at: datetime
    phase: int
    results: int
    decision: Decision
    lines: tuple[Line, ...]


def point_of(evaluation: Evaluation) -> Point:
    """Give an evaluation in short."""
    return Point(
        at=evaluation.at,
        phase=evaluation.phase,
        results=sum(each.results for each in evaluation.arms),
        decision=evaluation.decision,
        lines=tuple(
            Line(
                arm=each.arm,
                confidence=each.interval("confidence"),
                errors=each.interval("error"),
                harm=each.proof("harm").log10_e,
                not_inferior=each.proof("not_inferior").log10_e,
            )
            for each in evaluation.treatments
        ),
    )
