"""The bare averages against the thresholds, for who wants just that; it claims no error rate."""

from typing import Final

from herdbook.core.decisions import ArmMetrics, Reason
from herdbook.core.experiments import Decision, Plan

# 0.82 less 0.8 is to be 0.02.
_ROUNDING: Final = 1e-12


def by_thresholds(
    plan: Plan, control: ArmMetrics, treatment: ArmMetrics, *, left: float
) -> tuple[Decision, tuple[Reason, ...]]:
    """Decide by averages once both versions have `min_requests` results.

    More than `max_error_rate_increase` more errors: roll back. At least
    `min_confidence_improvement` more confidence: promote. Else continue until time is up.
    The reasons end with what that risks.
    """
    risk = Reason(code="bare_averages")
    few = [
        Reason(
            code="few_results",
            subject=arm.arm,
            figures={"results": arm.results, "needed": plan.min_requests},
        )
        for arm in (control, treatment)
        if arm.results < plan.min_requests
    ]
    if few:
        return _open(plan, left, (*few, risk))
    one, two = control.error_rate or 0.0, treatment.error_rate or 0.0
    if two - one > plan.max_error_rate_increase + _ROUNDING:
        rates = {"control_rate": one, "treatment_rate": two, "limit": plan.max_error_rate_increase}
        return Decision.ROLLBACK, (Reason(code="errors_above_threshold", figures=rates), risk)
    if control.confidence is None or treatment.confidence is None:
        return _open(plan, left, (Reason(code="confidence_unknown"), risk))
    gain = treatment.confidence - control.confidence
    figures = {"gain": gain, "least": plan.min_confidence_improvement}
    if gain >= plan.min_confidence_improvement - _ROUNDING:
        return Decision.PROMOTE, (Reason(code="better", figures=figures), risk)
    return _open(plan, left, (Reason(code="gain_too_small", figures=figures), risk))


def _open(
    plan: Plan, left: float, reasons: tuple[Reason, ...]
) -> tuple[Decision, tuple[Reason, ...]]:
    if left > 0:
        return Decision.CONTINUE, reasons
    up = Reason(code="time_is_up", figures={"days": plan.duration_days})
    return Decision.HOLD, (up, *reasons)
