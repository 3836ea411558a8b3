"""Start experiments, pause, widen and end them."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from herdbook.core import names, wire
from herdbook.core.access import Action
from herdbook.core.decisions import Evaluation
from herdbook.core.events import Change
from herdbook.core.experiments import Experiment, Outcome, Phase, Plan, State
from herdbook.core.models import Model
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.refs import CHAMPION, VersionRef
from herdbook.core.routing import free_part
from herdbook.core.wire import plain
from herdbook.errors import Conflict, Invalid
from herdbook.services import deployments
from herdbook.services.gates import check_servable
from herdbook.services.prospects import Before, warnings

# How many earlier experiments of a model tell how often its units come, and of how many units.
_LOOKED_BACK: Final = 5
_ENOUGH_UNITS: Final = 20

OUTCOMES: Mapping[str, Outcome] = {
    "promote": Outcome.PROMOTED,
    "rollback": Outcome.ROLLED_BACK,
    "stop": Outcome.STOPPED,
}


def start(
    work: Work,
    *,
    plan: Plan,
    requests_per_day: float | None = None,
    units_per_day: float | None = None,
    dry_run: bool = False,
) -> Experiment:
    """Start an experiment; its warnings say what cannot work.

    Args:
        work: the unit of work.
        plan: what is compared; without a control, the champion is.
        requests_per_day: the traffic there is, if known, for the warnings.
        units_per_day: how many units it comes from, if known.
        dry_run: write nothing; the experiment has the number 0.

    Raises:
        Invalid: the plan cannot be carried out; names the field.
        Conflict: the control is not the champion, or others have the units.
        AlreadyExists: the name is taken.
        RefusedMove, Refused: a treatment may not serve.
    """
    work.by.allow(Action.DEPLOY, names.model_name(plan.model))
    entry = work.models.lock(plan.model)
    plan = _numbered(work, _controlled(entry, plan).checked())
    _check_arms(work, entry, plan)
    low, high = _part(work, plan)
    base = work.evaluations.operational(
        work.versions.get(VersionRef(plan.model, plan.control))
    ).error_rate
    made = Experiment(
        id=0,
        plan=plan,
        state=State.RUNNING,
        phases=(Phase(number=1, coverage=plan.coverages[0], at=work.now()),),
        low=low,
        high=high,
        salt=secrets.token_hex(8),
        started_at=work.now(),
        started_by=work.by.name,
        warnings=warnings(
            plan,
            base_rate=base,
            requests_per_day=requests_per_day,
            units_per_day=units_per_day,
            before=_before(work, plan.model),
        ),
    )
    if dry_run:
        with work.transfer.attempt(keep=False):
            work.experiments.add(made)
        return made
    made = replace(made, id=work.experiments.add(made))
    work.experiments.save(made)
    _tell(work, made, action="experiment.started", body={"plan": plain(plan)})
    return made


def _before(work: Work, model: str) -> Before | None:
    """Tell how often units came in the newest experiment of a model that saw enough of them."""
    for found in work.experiments.page(model=model, state=None, size=_LOOKED_BACK, page=None).items:
        kept = work.experiments.kept(found)
        if kept is None:
            continue
        try:
            arms = wire.value(Evaluation, json.loads(kept.evaluation)).arms
        except (Invalid, ValueError):
            # Evidence that is damaged must not keep another experiment from its start.
            continue
        units = sum(arm.units for arm in arms)
        if units >= _ENOUGH_UNITS:
            results = sum(arm.results - arm.alone - arm.lost for arm in arms)
            return Before(experiment=found.name, results=results, units=units)
    return None


def _controlled(entry: Model, plan: Plan) -> Plan:
    champion = entry.champion
    if not champion:
        raise Conflict(
            f"{entry.name} has no champion to compare with; point it at the version in production "
            f"with `herdbook deploy {entry.name} VERSION`",
            field="control",
        )
    plan = plan if plan.control else replace(plan, control=champion)
    return replace(plan, treatments=plan.treatments or (plan.control,)) if plan.aa else plan


def _numbered(work: Work, plan: Plan) -> Plan:
    """Give the numbers as the versions bear them: 1.0.0 finds v1, and is v1 from here on."""
    refs = (VersionRef(plan.model, number) for number in (plan.control, *plan.treatments))
    control, *treatments = (work.versions.get(ref).number for ref in refs)
    return replace(plan, control=control, treatments=tuple(treatments))


def _check_arms(work: Work, entry: Model, plan: Plan) -> None:
    control = work.versions.get(VersionRef(plan.model, plan.control)).number
    if control != entry.champion:
        raise Conflict(
            f"the champion of {plan.model} is {entry.champion}, not {control}: those outside the "
            "experiment get the champion, so that has to be the control",
            field="control",
        )
    # Of an A/A experiment the treatment serves already.
    for number in () if plan.aa else plan.treatments:
        version = work.versions.get(VersionRef(plan.model, number))
        check_servable(work, entry, version, alias="shadow" if plan.shadow else CHAMPION)


def _part(work: Work, plan: Plan) -> tuple[float, float]:
    """Give the part of its group's units that an experiment may have."""
    for other in work.experiments.live(model=plan.model):
        if other.plan.group != plan.group:
            raise Conflict(
                f"{other.name} tries versions of {plan.model} in the group {other.plan.group}; "
                f"experiments of one model share its units: give exclusion={other.plan.group!r}",
                field="exclusion",
            )
    work.experiments.hold_parts()
    held = work.experiments.live(group=plan.group)
    found = free_part([(each.low, each.high) for each in held], plan.exclusion_pct / 100)
    if found is None:
        seen = [each.name for each in held if work.by.rank(each.model) >= Action.READ]
        whose = ", ".join(seen) or "experiments you may not see"
        taken = sum(each.high - each.low for each in held)
        raise Conflict(
            f"{taken:.0%} of the units of {plan.group} are taken by {whose}; end one, or start "
            "each with a part of the units (exclusion_pct, --share)",
            field="exclusion_pct",
        )
    return found


def get(work: Work, name: str) -> Experiment:
    """Give an experiment."""
    return work.experiments.get(name)


def page(
    work: Work,
    *,
    model: str = "",
    state: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[Experiment]:
    """Give experiments, newest first."""
    if state and state not in set(State):
        raise Invalid(f"{state!r:.40} is no state; write running, paused or ended", field="state")
    if model:
        work.by.allow(Action.READ, names.model_name(model))
        work.models.get(model)
    return work.experiments.page(
        model=model or None, state=state or None, size=checked_size(page_size), page=page
    )


def pause(work: Work, name: str, *, reason: str = "") -> Experiment:
    """Give all units the champion until it goes on; what was recorded before still counts."""
    found = _mine(work, name, State.RUNNING)
    return paused(work, found, reason=names.prose(reason, field="reason"))


def paused(work: Work, experiment: Experiment, *, reason: str) -> Experiment:
    """Pause a locked experiment that runs."""
    changed = replace(experiment, state=State.PAUSED, reason=reason)
    work.experiments.save(changed)
    _tell(work, changed, action="experiment.paused", body={"reason": reason})
    return changed


def resume(work: Work, name: str) -> Experiment:
    """Go on with a paused experiment, in a new phase with the same units."""
    found = _mine(work, name, State.PAUSED)
    entry = work.models.lock(found.model)
    _check_arms(work, entry, found.plan)
    changed = replace(
        found,
        state=State.RUNNING,
        reason="",
        phases=(*found.phases, _next(work, found, found.phase.coverage)),
    )
    work.experiments.save(changed)
    _tell(work, changed, action="experiment.resumed", body={"phase": changed.phase.number})
    return changed


def widen(work: Work, name: str) -> Experiment:
    """Go to the next stage of the ramp; who takes part already keeps their version."""
    return widened(work, _mine(work, name, State.RUNNING))


def widened(work: Work, experiment: Experiment) -> Experiment:
    """Widen a locked experiment that runs.

    Raises:
        Conflict: it has no further stage.
    """
    further = stages_ahead(experiment)
    if not further:
        where = "is at the last stage of its ramp" if experiment.plan.ramp else "has no ramp"
        raise Conflict(f"{experiment.name} {where}, so it cannot be widened", field="name")
    changed = replace(experiment, phases=(*experiment.phases, _next(work, experiment, further[0])))
    work.experiments.save(changed)
    body = {"phase": changed.phase.number, "coverage": changed.phase.coverage}
    _tell(work, changed, action="experiment.widened", body=body)
    return changed


def stages_ahead(experiment: Experiment) -> tuple[float, ...]:
    """Give the coverages of a ramp that are still to come."""
    now = experiment.phase.coverage
    return tuple(each for each in experiment.plan.coverages if each > now)


def _next(work: Work, experiment: Experiment, coverage: float) -> Phase:
    return Phase(number=experiment.phase.number + 1, coverage=coverage, at=work.now())


def finalize(
    work: Work, name: str, *, decision: str = "stop", winner: str = "", reason: str = ""
) -> Experiment:
    """End an experiment.

    Args:
        work: the unit of work.
        name: the experiment.
        decision: `promote` makes the treatment champion, through the gates; `rollback` and `stop`
            leave the control, the one because it is better, the other for any reason.
        winner: the number or the arm to promote, where there are several treatments.
        reason: why, kept with the end and the move of the champion.

    Raises:
        Conflict: it has ended, or cannot be promoted, as of an A/A experiment nothing can.
    """
    if decision not in OUTCOMES:
        raise Invalid(
            f"{decision!r:.40} is no way to end an experiment; write promote, rollback or stop",
            field="decision",
        )
    found = _mine(work, name)
    number = _winner(found, winner) if decision == "promote" else ""
    return ended(
        work, found, OUTCOMES[decision], winner=number, reason=names.prose(reason, field="reason")
    )


def _winner(experiment: Experiment, winner: str) -> str:
    if experiment.plan.aa:
        raise Conflict(
            f"{experiment.name} is an A/A experiment: both of its arms are "
            f"{experiment.plan.control}, which is the champion already, so there is nothing to "
            "promote; end it with stop",
            field="decision",
        )
    tried = experiment.plan.arms[1:]
    if not winner and len(tried) == 1:
        return tried[0].number
    for arm in tried:
        if winner in {arm.name, arm.number}:
            return arm.number
    shown = ", ".join(f"{arm.name} ({arm.number})" for arm in tried)
    said = f"{winner!r:.60} is none of them" if winner else "say which"
    raise Invalid(f"{experiment.name} has the treatments {shown}; {said}", field="winner")


def ended(
    work: Work,
    experiment: Experiment,
    outcome: Outcome,
    *,
    winner: str = "",
    reason: str = "",
    judged: Evaluation | None = None,
) -> Experiment:
    """End a locked experiment; a winner becomes champion first, so that gates may refuse it.

    Raises:
        Refused, RefusedMove, Conflict: the winner may not become champion; nothing was written.
    """
    if outcome is Outcome.PROMOTED:
        told = f"experiment {experiment.name}" + (f": {reason}" if reason else "")
        deployments.promote(work, VersionRef(experiment.model, winner), reason=told)
    changed = replace(
        experiment,
        state=State.ENDED,
        ended_at=work.now(),
        outcome=outcome,
        winner=winner,
        reason=reason,
    )
    work.experiments.save(changed)
    body: dict[str, object] = {"outcome": str(outcome), "winner": winner, "reason": reason}
    if judged is not None:
        body["evaluation"] = plain(judged)
    _tell(work, changed, action="experiment.ended", body=body)
    return changed


def _mine(work: Work, name: str, state: State | None = None) -> Experiment:
    """Give an experiment to be changed, locked before its model, as who evaluates it does."""
    model = work.experiments.get(name).model
    work.by.allow(Action.DEPLOY, model)
    found = work.experiments.lock(name)
    work.models.lock(model)
    if found.state is State.ENDED:
        raise Conflict(
            f"{name} ended {found.ended_at:%Y-%m-%d %H:%M}Z; start another", field="name"
        )
    if state is not None and found.state is not state:
        raise Conflict(f"{name} is {found.state}, not {state}", field="name")
    return found


def _tell(work: Work, experiment: Experiment, *, action: str, body: Mapping[str, object]) -> None:
    work.record(
        Change(action=action, model=experiment.model, body={"experiment": experiment.name, **body})
    )
