"""Before an experiment starts: how long it takes to decide, and what about it cannot work."""

import math
from dataclasses import dataclass
from typing import Final

from herdbook.core.decisions import Reason
from herdbook.core.experiments import Plan, Policy
from herdbook.errors import Invalid
from herdbook.services import wording
from herdbook.stats import planning
from herdbook.stats.planning import Design
from herdbook.stats.rates import RateClaim

# Taken for granted where nobody says: what teams see of models that are in service.
BASE_RATE: Final = 0.02
DEVIATION: Final = 0.16
CORRELATION: Final = 0.3
HARM: Final = 0.1
_POWER: Final = 0.8
# A limit that lets so many times the errors pass is worth a word.
_TIMES: Final = 1.5
_PER_UNIT: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is assumed of an experiment's traffic and effects.

    Args:
        base_rate: control's error rate, between 0 and 1.
        deviation: standard deviation of confidence, above 0.
        confidence_gain: what the treatment really gains, above 0; left out, a quarter more than
            `min_confidence_improvement`, or one point where that is not above 0.
        harm: how much more the treatment errs in the case that it harms, above 0.
        requests_per_day: of the model, or None where it is not known.
        units_per_day: different units a day, or None.
        correlation: of two confidences of the same unit, 0 to 1.
    """

    base_rate: float = BASE_RATE
    deviation: float = DEVIATION
    confidence_gain: float | None = None
    harm: float = HARM
    requests_per_day: float | None = None
    units_per_day: float | None = None
    correlation: float = CORRELATION

    def __post_init__(self) -> None:
        if not 0 <= self.correlation <= 1:
            raise Invalid(
                f"a correlation lies in 0 to 1, {self.correlation} does not", field="correlation"
            )

    def gain(self, plan: Plan) -> float:
        """Give the gain that is assumed for a plan."""
        if self.confidence_gain is not None:
            return self.confidence_gain
        least = plan.min_confidence_improvement
        return 1.25 * least if least > 0 else 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """How often units came in an earlier experiment of the model.

    Args:
        experiment: its name.
        results: that named a unit.
        units: different ones.
    """

    experiment: str
    results: int
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a claim takes.

    Args:
        claim: `better`, `not_inferior` or `harm`.
        requests: of control and all treatments together, of which four in five such experiments
            have shown it; None when it never is. Of `not_inferior` and `harm` first results count,
            so these are units where units come again.
        single_look: what a single look at the end would take.
        days: how long that takes, or None where the traffic is not known.
    """

    claim: str
    requests: int | None
    single_look: int
    days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospects:
    """What to expect of an experiment.

    Args:
        needs: of a promotion `better` and `not_inferior`, of a rollback `harm`.
        design_effect: how many requests are worth one of a new unit.
        promotion_requests: requests until a promotion, or None when there is none.
        promotion_days: days until then, or None when there is none or the traffic is not known.
    """

    needs: tuple[Need, ...]
    design_effect: float
    promotion_requests: int | None
    promotion_days: float | None


def prospects(plan: Plan, expected: Expected) -> Prospects:
    """Say how long a plan takes to decide.

    Raises:
        Invalid: an assumption is outside its range.
    """
    base, gain = expected.base_rate, expected.gain(plan)
    share = plan.arms[1].share
    pair = share + plan.arms[0].share
    alpha = plan.alpha / len(plan.treatments)
    design = Design(treatment_share=share / pair, alpha=alpha, power=_POWER)
    effect = _design_effect(expected)
    scale = max(abs(plan.min_confidence_improvement), 0.01)
    mean = planning.sequential_mean(gain, expected.deviation, scale, design)
    limit = plan.max_error_rate_increase
    bounded = planning.sequential_rates(RateClaim("below", margin=limit), base, base, design)
    harmful = min(base + expected.harm, (base + 1) / 2)
    harm = planning.sequential_rates(RateClaim("above"), base, harmful, design)
    single = planning.single_look_mean(gain, expected.deviation, design)
    bound = min(base + limit, (base + 1) / 2)
    least = planning.single_look_rates(base, bound, design) if limit > 0 else 0
    found = planning.single_look_rates(base, harmful, design)
    raw = (
        ("better", mean, single, effect, expected.requests_per_day),
        ("not_inferior", bounded, least, 1.0, _first_results(expected)),
        ("harm", harm, found, 1.0, _first_results(expected)),
    )
    needs = tuple(
        _need(plan, claim, (requests, one), times / pair, per_day)
        for claim, requests, one, times, per_day in raw
    )
    return _prospects(plan, needs, effect, expected)


def warnings(
    plan: Plan,
    *,
    base_rate: float | None = None,
    requests_per_day: float | None = None,
    units_per_day: float | None = None,
    before: Before | None = None,
    language: str = "en",
) -> tuple[str, ...]:
    """Say what about a plan cannot work, in words; nothing is said about what is not known.

    Args:
        plan: before it starts.
        base_rate: control's error rate so far, 0 to 1, or None.
        requests_per_day: of the model, or None.
        units_per_day: different units a day, or None.
        before: how often units came in an earlier experiment of the model, if there was one.
        language: `en`, `ru` or `de`.

    Example:
        >>> plan = Plan(name="gnn_v2.2_test", model="gnn", control="v1", treatments=("v2",))
        >>> print(warnings(plan, base_rate=0.02)[0].partition(" means")[0])
        max_error_rate_increase 5 points on a base of 2 %
    """
    found = [*_about_settings(plan)]
    if plan.aa:
        found += _about_results(plan, requests_per_day)
    else:
        found += _about_margin(plan, base_rate)
        found += _about_traffic(plan, base_rate, requests_per_day, units_per_day)
    if before is not None and not units_per_day:
        found += _about_before(before)
    return tuple(wording.sentence(each, language=language) for each in found)


def _about_settings(plan: Plan) -> list[Reason]:
    found = []
    if plan.auto_ramp and not plan.ramp:
        found.append(Reason(code="ramp_missing"))
    if plan.guardrails and plan.policy is Policy.THRESHOLDS_ONLY:
        found.append(Reason(code="guardrails_ignored"))
    return found


def _about_results(plan: Plan, per_day: float | None) -> list[Reason]:
    """Of an A/A experiment only its results have to suffice."""
    if not per_day:
        return []
    needed = math.ceil(plan.min_requests / min(arm.share for arm in plan.arms))
    days = days_of(plan, needed, per_day)
    if days <= plan.duration_days:
        return []
    figures = {"requests": needed, "days": days, "per_day": per_day, "duration": plan.duration_days}
    return [Reason(code="too_little_traffic_for_aa", figures=figures)]


def _about_before(before: Before) -> list[Reason]:
    per_unit = before.results / max(1, before.units)
    if per_unit < _PER_UNIT:
        return []
    effect = planning.design_effect(per_unit, icc=CORRELATION)
    figures = {"units": before.units, "per_unit": per_unit, "worth": 1 / effect}
    return [Reason(code="few_units_before", subject=before.experiment, figures=figures)]


def _about_margin(plan: Plan, base_rate: float | None) -> list[Reason]:
    if base_rate is None:
        return []
    limit = plan.max_error_rate_increase
    figures = {"limit": limit, "base": base_rate}
    if not RateClaim("below", margin=limit).leaves_room(base_rate):
        return [Reason(code="no_room", figures=figures)]
    if base_rate > 0 and (base_rate + limit) / base_rate > _TIMES + 1:
        times = (base_rate + limit) / base_rate
        return [Reason(code="margin_above_base", figures={**figures, "times": times})]
    return []


def _about_traffic(
    plan: Plan,
    base_rate: float | None,
    requests_per_day: float | None,
    units_per_day: float | None,
) -> list[Reason]:
    expected = Expected(
        base_rate=min(max(base_rate if base_rate is not None else BASE_RATE, 1e-4), 0.9),
        requests_per_day=requests_per_day,
        units_per_day=units_per_day,
    )
    ahead = prospects(plan, expected)
    if ahead.promotion_requests is None:
        return [Reason(code="never_decides")]
    found = []
    days = ahead.promotion_days
    if requests_per_day and days is not None and days > plan.duration_days:
        figures = {
            "requests": ahead.promotion_requests,
            "days": days,
            "per_day": requests_per_day,
            "duration": plan.duration_days,
        }
        found.append(Reason(code="too_little_traffic", figures=figures))
    return found + _about_units(plan, ahead, requests_per_day, units_per_day)


def _about_units(
    plan: Plan, ahead: Prospects, requests_per_day: float | None, units_per_day: float | None
) -> list[Reason]:
    if not units_per_day or not requests_per_day:
        return []
    found = []
    per_unit = requests_per_day / units_per_day
    if per_unit >= _PER_UNIT:
        figures = {"per_unit": per_unit, "worth": 1 / ahead.design_effect}
        found.append(Reason(code="few_units", figures=figures))
    needed = next(need.requests for need in ahead.needs if need.claim == "not_inferior")
    there = units_per_day * plan.duration_days * _taking_part(plan)
    if needed is not None and needed > there:
        figures = {"units": needed, "there": there, "days": plan.duration_days}
        found.append(Reason(code="too_few_units", figures=figures))
    return found


def days_of(plan: Plan, requests: float, per_day: float) -> float:
    """Give how many days of a model's traffic bring so many requests, ramp and all.

    Raises:
        Invalid: there is no traffic.
    """
    if not 0 < per_day < math.inf:
        raise Invalid(f"traffic is above 0 requests a day, not {per_day}", field="per_day")
    days = 0.0
    for coverage in plan.coverages[:-1]:
        daily = per_day * coverage * _part(plan)
        if requests <= daily * plan.ramp_hours / 24:
            return days + requests / daily
        requests -= daily * plan.ramp_hours / 24
        days += plan.ramp_hours / 24
    return days + requests / (per_day * _taking_part(plan))


def _part(plan: Plan) -> float:
    return plan.exclusion_pct / 100 * (1 - plan.holdout_pct / 100)


def _taking_part(plan: Plan) -> float:
    """The share of all traffic that takes part in the end."""
    return plan.coverages[-1] * _part(plan)


def _design_effect(expected: Expected) -> float:
    results, units = expected.requests_per_day, expected.units_per_day
    if not results or not units:
        return 1.0
    # Over the whole time the same units come again: as many a unit as a day's at least.
    per_unit = max(1.0, results / units)
    return planning.design_effect(per_unit, icc=expected.correlation)


def _first_results(expected: Expected) -> float | None:
    return expected.units_per_day or expected.requests_per_day


def _need(
    plan: Plan, claim: str, numbers: tuple[int | None, int], times: float, per_day: float | None
) -> Need:
    requests, single = numbers
    whole = None if requests is None else math.ceil(times * requests)
    days = None if whole is None or not per_day else days_of(plan, whole, per_day)
    return Need(claim=claim, requests=whole, single_look=math.ceil(times * single), days=days)


def _prospects(plan: Plan, needs: tuple[Need, ...], effect: float, expected: Expected) -> Prospects:
    better, bounded, _ = needs
    requests: int | None = None
    days: float | None = None
    if better.requests is not None and bounded.requests is not None:
        smallest = min(arm.share for arm in plan.arms)
        requests = max(better.requests, bounded.requests, math.ceil(plan.min_requests / smallest))
        if expected.requests_per_day:
            all_results = days_of(plan, requests, expected.requests_per_day)
            days = max(all_results, bounded.days or 0.0)
    return Prospects(
        needs=needs, design_effect=effect, promotion_requests=requests, promotion_days=days
    )
