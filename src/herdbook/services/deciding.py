"""What to do, on the evidence: promote, roll back, hold, or continue; for each treatment, and why.

The probability of a wrong promotion and that of a wrong rollback are at most the plan's alpha each,
however often one looks: k treatments have alpha / k each. A promotion needs all of its conditions,
so each is shown at that level. A rollback may come in two ways, which share it: more errors among
first results (four fifths), or a guardrail that got worse (one fifth for all of them, by e-BH,
which also watches the errors of all results, of returning units too). An A/A experiment decides
nothing, see `services.twins`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from herdbook.core.decisions import (
    ArmMetrics,
    Clustering,
    Evaluation,
    Proof,
    Reason,
    TreatmentEvaluation,
    Watched,
)
from herdbook.core.experiments import (
    CONFIDENCE,
    Arm,
    Decision,
    Phase,
    Plan,
    Policy,
)
from herdbook.services import measuring, twins, wording
from herdbook.services.evidence import BEYOND, HARM, NOT_INFERIOR, State, started
from herdbook.services.measuring import Compared
from herdbook.services.proving import LOG_10, guardrails, proofs
from herdbook.services.thresholds import by_thresholds
from herdbook.stats import cells, futility
from herdbook.stats.sequences import lower_bound, upper_bound

# Evidence that the arms do not receive the units they should: a thousand to one.
MISMATCH: Final = math.log(1000)
# Nobody is promoted while it is twice as likely as not that it errs more.
_SUSPECTED: Final = math.log(2)
_LEAST_SILENCE: Final = timedelta(hours=1)
_SILENT_SHARE: Final = 0.1
# After so many results of each arm a metric that nobody recorded is not merely late.
_SURELY: Final = 100


def evaluated(
    plan: Plan,
    phases: Sequence[Phase],
    state: State,
    now: datetime,
    started_at: datetime,
    *,
    language: str = "en",
) -> Evaluation:
    """Say what the evidence says now: a pure function, at a cost that does not grow with it.

    A treatment that is proven to be better decides before one that harms, as either ends the
    experiment; one that harms decides before others that are still open, since its units would go
    on being harmed.

    Args:
        plan: the experiment's.
        phases: its phases so far.
        state: the evidence, see `services.evidence`.
        now: when it is asked.
        started_at: since when it runs.
        language: of the recommendation: `en`, `ru` or `de`; Invalid for another.
    """
    state = state if state.stakes else started(plan)
    arms = tuple(measuring.arm_metrics(state, arm) for arm in plan.arms)
    left = plan.duration_days - (now - started_at) / timedelta(days=1)
    mismatch = measuring.log_mismatch(plan, state)
    held = _held(plan, state, arms, now, started_at)
    if mismatch >= MISMATCH:
        figures = {"log10_e": mismatch / LOG_10}
        held = (Reason(code="sample_ratio_mismatch", figures=figures), *held)
    treatments = tuple(
        _treatment(plan, state, arm, arms, held=held, left=left) for arm in plan.arms[1:]
    )
    chosen = _chosen(treatments)
    return Evaluation(
        experiment=plan.name,
        at=now,
        policy=plan.policy,
        decision=chosen.decision,
        arm=chosen.arm,
        number=chosen.number,
        reasons=chosen.reasons,
        recommendation=wording.recommendation(
            chosen.decision, chosen.arm, chosen.reasons, language=language
        ),
        arms=arms,
        treatments=treatments,
        clustering=measuring.clustering(state),
        mismatch_log10_e=mismatch / LOG_10,
        mismatched=mismatch >= MISMATCH,
        phase=phases[-1].number if phases else 0,
        batches=state.batches,
        alpha=_alpha(plan),
        days_left=max(0.0, left),
    )


def _alpha(plan: Plan) -> float:
    """The level of each treatment's claims, or of each kind of difference that A/A looks for."""
    return plan.alpha / (twins.KINDS if plan.aa else len(plan.treatments))


def reworded(evaluation: Evaluation, language: str) -> str:
    """Give an evaluation's recommendation in another language: `en`, `ru` or `de`; Invalid."""
    return wording.recommendation(
        evaluation.decision, evaluation.arm, evaluation.reasons, language=language
    )


def _chosen(treatments: Sequence[TreatmentEvaluation]) -> TreatmentEvaluation:
    def gain(each: TreatmentEvaluation) -> float:
        found = each.interval(CONFIDENCE)
        return (found.difference or 0.0) if found else 0.0

    for decision in (Decision.PROMOTE, Decision.ROLLBACK, Decision.CONTINUE):
        those = [each for each in treatments if each.decision is decision]
        if those:
            return max(those, key=gain)
    return treatments[0]


def _treatment(
    plan: Plan,
    state: State,
    arm: Arm,
    arms: Sequence[ArmMetrics],
    *,
    held: tuple[Reason, ...],
    left: float,
) -> TreatmentEvaluation:
    alpha = _alpha(plan)
    metrics = measuring.compared(state, arm.name)
    known = _Known(
        plan=plan,
        state=state,
        control=arms[0],
        treatment=next(each for each in arms if each.arm == arm.name),
        metrics=metrics,
        proofs=proofs(state, arm.name, alpha),
        guardrails=guardrails(plan, state, arm.name, metrics, alpha),
        alpha=alpha,
    )
    decision, reasons = _judged(known, held, left)
    running = state.means.get(CONFIDENCE)
    return TreatmentEvaluation(
        arm=arm.name,
        number=arm.number,
        decision=decision,
        reasons=reasons,
        intervals=tuple(measuring.interval_of(each, alpha) for each in metrics.values()),
        proofs=known.proofs,
        guardrails=known.guardrails,
        design_effect=cells.design_effect(running, arm.name) if running else 1.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of one treatment beside control, at a level of alpha."""

    plan: Plan
    state: State
    control: ArmMetrics
    treatment: ArmMetrics
    metrics: Mapping[str, Compared]
    proofs: tuple[Proof, ...]
    guardrails: tuple[Watched, ...]
    alpha: float

    @property
    def arms(self) -> tuple[ArmMetrics, ArmMetrics]:
        return self.control, self.treatment


def _judged(
    known: _Known, held: tuple[Reason, ...], left: float
) -> tuple[Decision, tuple[Reason, ...]]:
    plan, confidence = known.plan, known.metrics.get(CONFIDENCE)
    if plan.policy is Policy.THRESHOLDS_ONLY:
        return by_thresholds(plan, known.control, known.treatment, left=left)
    harmed = _harmed(plan, known.proofs, known.guardrails, known.control, known.treatment)
    unwatched = _unwatched(plan, known.state, known.guardrails, known.arms)
    if plan.aa:
        seen = (*harmed, *twins.differences(known.metrics, known.alpha))
        decision, reasons = twins.judged(plan, known.arms, seen, held, left=left)
        return decision, (*reasons, *unwatched)
    missing = _missing(plan, confidence, known.arms, known.alpha)
    return _decided(
        harmed,
        held,
        (*missing, *_suspected(known.proofs), *unwatched),
        (*_gain(plan, confidence), *_clustered(known.state)),
        _hopeless(plan, confidence, known.alpha, left),
    )


def _decided(
    harmed: tuple[Reason, ...],
    held: tuple[Reason, ...],
    missing: tuple[Reason, ...],
    gain: tuple[Reason, ...],
    hopeless: tuple[Reason, ...],
) -> tuple[Decision, tuple[Reason, ...]]:
    """Harm first, as the control is safe whatever else is wrong; then what forbids to conclude."""
    if harmed:
        return Decision.ROLLBACK, (*harmed, *held)
    if held:
        return Decision.HOLD, held
    if not missing:
        return Decision.PROMOTE, gain
    if hopeless:
        return Decision.HOLD, (*hopeless, *missing)
    return Decision.CONTINUE, missing


def _harmed(
    plan: Plan,
    proofs: Sequence[Proof],
    guardrails: Sequence[Watched],
    control: ArmMetrics,
    treatment: ArmMetrics,
) -> tuple[Reason, ...]:
    rates = {
        "control_rate": control.error_rate or 0.0,
        "treatment_rate": treatment.error_rate or 0.0,
        "limit": plan.max_error_rate_increase,
    }
    # That it is beyond the limit adds to harm that is proven; a claim of its own would take
    # a part of alpha.
    by_claim = {proof.claim: proof for proof in proofs}
    found = [
        Reason(code=claim, figures={**rates, "log10_e": by_claim[claim].peak})
        for claim in (HARM, BEYOND)
        if by_claim[HARM].proven and by_claim[claim].proven
    ]
    for each in guardrails:
        if each.harmed:
            figures = {"log10_e": each.log10_e}
            if each.control is not None and each.treatment is not None:
                figures |= {"control": each.control, "treatment": each.treatment}
            found.append(Reason(code="guardrail_harmed", subject=each.name, figures=figures))
    return tuple(found)


def _held(
    plan: Plan, state: State, arms: Sequence[ArmMetrics], now: datetime, started_at: datetime
) -> tuple[Reason, ...]:
    """What is missing so that nothing may be concluded: an arm that fell silent, a metric."""
    patience = max(_LEAST_SILENCE, _SILENT_SHARE * timedelta(days=plan.duration_days))
    found = []
    for arm in arms:
        tallies = state.of(arm.arm)
        told = [tally.last for tally in tallies if tally.last is not None]
        silence = now - max(told, default=started_at)
        if silence > patience and (told or not arm.results):
            hours = {"hours": silence / timedelta(hours=1)}
            found.append(Reason(code="silent", subject=arm.arm, figures=hours))
        elif arm.confidence is None and arm.results >= plan.min_requests:
            found.append(Reason(code="no_confidence", subject=arm.arm))
    return tuple(found)


def _missing(
    plan: Plan,
    confidence: Compared | None,
    arms: tuple[ArmMetrics, ArmMetrics],
    alpha: float,
) -> tuple[Reason, ...]:
    """What a promotion still needs of confidence and of results."""
    found = list(twins.few_results(plan, arms))
    if confidence is None or not confidence.known or confidence.scale is None:
        return (*found, Reason(code="confidence_unknown"))
    least = plan.min_confidence_improvement
    low = lower_bound(confidence.of, alpha=alpha, scale=confidence.scale)
    figures = {"gain": confidence.of.value, "low": low, "least": least}
    # Who puts up with a little less confidence wants it proven not to be lower than that.
    if low <= min(0.0, least):
        found.append(Reason(code="gain_unproven", figures=figures))
    elif confidence.of.value < least:
        found.append(Reason(code="gain_too_small", figures=figures))
    return tuple(found)


def _suspected(proofs: Sequence[Proof]) -> tuple[Reason, ...]:
    by_claim = {proof.claim: proof for proof in proofs}
    found = []
    bounded = by_claim[NOT_INFERIOR]
    if not bounded.proven:
        figures = {"log10_e": bounded.peak, "log10_needed": bounded.needed}
        found.append(Reason(code="errors_not_bounded", figures=figures))
    if by_claim[HARM].log10_e * LOG_10 >= _SUSPECTED:
        figures = {"log10_e": by_claim[HARM].log10_e}
        found.append(Reason(code="harm_suspected", figures=figures))
    return tuple(found)


def _unwatched(
    plan: Plan, state: State, guardrails: Sequence[Watched], arms: tuple[ArmMetrics, ArmMetrics]
) -> tuple[Reason, ...]:
    """Guardrails of the plan that nothing is known of: a promotion would pass them blindly."""
    known = {each.name for each in guardrails if None not in (each.control, each.treatment)}
    recorded = {*state.means, *(name for tally in state.tallies for name in tally.histograms)}
    found = []
    for each in plan.guardrails:
        if each.name in known:
            continue
        if each.metric in recorded or min(arm.results for arm in arms) < _SURELY:
            found.append(Reason(code="guardrail_unknown", subject=each.name))
        else:
            results = {"results": sum(arm.results for arm in arms)}
            found.append(Reason(code="guardrail_unrecorded", subject=each.metric, figures=results))
    return tuple(found)


def _gain(plan: Plan, confidence: Compared | None) -> tuple[Reason, ...]:
    if confidence is None:
        return ()
    limit = {"limit": plan.max_error_rate_increase}
    return (
        Reason(code="better", figures={"gain": confidence.of.value}),
        Reason(code="errors_bounded", figures=limit),
    )


def _clustered(state: State) -> tuple[Reason, ...]:
    """A word of caution where nobody knows which results belong to the same unit."""
    if measuring.clustering(state) is Clustering.KNOWN:
        return ()
    return (Reason(code="clustering_unknown"),)


def _hopeless(
    plan: Plan, confidence: Compared | None, alpha: float, left: float
) -> tuple[Reason, ...]:
    if left <= 0:
        return (Reason(code="time_is_up", figures={"days": plan.duration_days}),)
    if confidence is None or not confidence.known or confidence.scale is None:
        return ()
    least = plan.min_confidence_improvement
    if not futility.ruled_out(confidence.of, least, alpha=alpha, scale=confidence.scale):
        return ()
    high = upper_bound(confidence.of, alpha=alpha, scale=confidence.scale)
    return (Reason(code="futile", figures={"high": high, "least": least}),)
