"""A/A experiments: both arms are the same version, so every difference is a false alarm or a fault.

Three kinds of difference are looked for, each at a third of the plan's alpha: that the second arm
is proven to be worse, that confidence differs, and that the error rate differs, the two last in
either direction. So at most alpha of the A/A experiments whose plumbing is sound give an alarm,
however often one looks; a wrong split is a matter of its own, at a thousand to one.
"""

from collections.abc import Mapping
from typing import Final

from herdbook.core.decisions import ArmMetrics, Reason
from herdbook.core.experiments import CONFIDENCE, Decision, Plan
from herdbook.services.evidence import ERROR
from herdbook.services.measuring import Compared
from herdbook.stats.sequences import interval

KINDS: Final = 3


def differences(metrics: Mapping[str, Compared], alpha: float) -> tuple[Reason, ...]:
    """Give what differs, in either direction, between two arms of the same version.

    Args:
        metrics: of the second arm beside control's.
        alpha: of each metric that is looked at.
    """
    found = []
    for metric, code in ((CONFIDENCE, "aa_confidence"), (ERROR, "aa_errors")):
        compared = metrics.get(metric)
        if compared is None or not compared.known or compared.scale is None:
            continue
        low, high = interval(compared.of, alpha=alpha, scale=compared.scale)
        if not low <= 0 <= high:
            figures = {"gain": compared.of.value, "low": low, "high": high}
            found.append(Reason(code=code, figures=figures))
    return tuple(found)


def judged(
    plan: Plan,
    arms: tuple[ArmMetrics, ArmMetrics],
    seen: tuple[Reason, ...],
    held: tuple[Reason, ...],
    *,
    left: float,
) -> tuple[Decision, tuple[Reason, ...]]:
    """Say whether two arms of one version look the same: nothing is promoted or rolled back.

    Args:
        plan: of an A/A experiment.
        arms: control and the control once more.
        seen: how they differ.
        held: why nothing may be concluded, such as a wrong split.
        left: days until it is over.
    """
    same = Reason(code="aa", subject=plan.control)
    if seen:
        alarm = Reason(code="aa_difference", figures={"alpha": plan.alpha})
        return Decision.HOLD, (same, alarm, *seen, *held)
    if held:
        return Decision.HOLD, (same, *held)
    quiet = Reason(code="aa_no_difference", figures={"results": sum(a.results for a in arms)})
    few = few_results(plan, arms)
    if left > 0:
        return Decision.CONTINUE, (same, quiet, *few)
    up = Reason(code="time_is_up", figures={"days": plan.duration_days})
    return Decision.HOLD, (same, up, quiet, *few) if few else (same, quiet, up)


def few_results(plan: Plan, arms: tuple[ArmMetrics, ArmMetrics]) -> tuple[Reason, ...]:
    """Say which arms have fewer results than the plan asks for."""
    return tuple(
        Reason(
            code="few_results",
            subject=arm.arm,
            figures={"results": arm.results, "needed": plan.min_requests},
        )
        for arm in arms
        if arm.results < plan.min_requests
    )
