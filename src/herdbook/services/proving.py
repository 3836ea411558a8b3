"""What is proven of a treatment: claims about its error rate, and guardrails that got worse."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from herdbook.core.decisions import Proof, Watched
from herdbook.core.experiments import CONTROL, Plan
from herdbook.core.guardrails import Guardrail, Worse
from herdbook.services import measuring
from herdbook.services.evidence import BEYOND, ERROR, HARM, State
from herdbook.services.measuring import Compared
from herdbook.stats import evidence
from herdbook.stats.sequences import log_e_above, log_e_below

# Of the probability of a wrong rollback, what is left to errors among first results.
HARM_SHARE: Final = 0.8
LOG_10: Final = math.log(10)


def proofs(state: State, arm: str, alpha: float) -> tuple[Proof, ...]:
    """Give what is proven of a treatment's error rate at a probability of error of alpha."""
    found = []
    for claim, stake in state.stakes_of(arm).rates.items():
        at = HARM_SHARE * alpha if claim in (HARM, BEYOND) else alpha
        needed = evidence.level(at)
        found.append(
            Proof(
                claim=claim,
                log10_e=stake.wealth.log_e / LOG_10,
                peak=stake.peak / LOG_10,
                needed=needed / LOG_10,
                proven=stake.peak >= needed,
            )
        )
    return tuple(found)


def guardrails(
    plan: Plan, state: State, arm: str, metrics: Mapping[str, Compared], alpha: float
) -> tuple[Watched, ...]:
    """Give how a treatment's guardrails stand, those together at their fifth of alpha."""
    found = []
    for guardrail in _all_guardrails(plan):
        if guardrail.quantile is not None:
            found.append(_tail_watched(guardrail, state, arm, guardrail.quantile))
        elif guardrail.metric in metrics:
            found.append(_mean_watched(guardrail, metrics[guardrail.metric]))
    if not found:
        return ()
    share = (1 - HARM_SHARE) * alpha
    worse = evidence.discoveries({each.name: each.log10_e * LOG_10 for each in found}, alpha=share)
    # A peak this high was among the discoveries when it was reached, and stays proven.
    needed = evidence.level(share / len(found)) / LOG_10
    return tuple(replace(each, harmed=each.name in worse or each.peak >= needed) for each in found)


def _all_guardrails(plan: Plan) -> tuple[Guardrail, ...]:
    """Those of the plan, and the errors of all results."""
    if any(each.name == ERROR for each in plan.guardrails):
        return plan.guardrails
    return (Guardrail(metric=ERROR), *plan.guardrails)


def _mean_watched(guardrail: Guardrail, metric: Compared) -> Watched:
    log_e = 0.0
    if metric.known and metric.scale is not None:
        if guardrail.worse is Worse.HIGHER:
            log_e = log_e_above(metric.of, null=guardrail.margin, scale=metric.scale)
        else:
            log_e = log_e_below(metric.of, null=-guardrail.margin, scale=metric.scale)
    return Watched(
        name=guardrail.name,
        control=measuring.finite(metric.control),
        treatment=measuring.finite(metric.treatment),
        log10_e=log_e / LOG_10,
        peak=log_e / LOG_10,
        harmed=False,
    )


def _tail_watched(guardrail: Guardrail, state: State, arm: str, share: float) -> Watched:
    stake = state.stakes_of(arm).quantiles[guardrail.name]
    return Watched(
        name=guardrail.name,
        control=measuring.tail_of(state, CONTROL, guardrail.metric, share),
        treatment=measuring.tail_of(state, arm, guardrail.metric, share),
        log10_e=stake.wealth.log_e / LOG_10,
        peak=stake.peak / LOG_10,
        harmed=False,
    )
