"""Turn what was recorded into evidence, and act on it: one look at one experiment at a time.

Whoever looks has the experiment's row locked and does everything in one transaction: what waits
is taken out, the evidence and the batch it came from are written, and what follows is done. Killed
anywhere in between, nothing happened; two never look at the same time.
"""

import json
import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from herdbook.core import wire
from herdbook.core.access import Action
from herdbook.core.decisions import Evaluation, Point, point_of
from herdbook.core.experiments import Decision, Experiment, Outcome, State
from herdbook.core.pages import Page
from herdbook.core.ports import Work
from herdbook.core.recording import ArmSums, added
from herdbook.core.trials import Kept
from herdbook.errors import Conflict, Corrupt, HerdbookError, Invalid, Refused
from herdbook.services import deciding, evidence, experiments
from herdbook.services.sightings import first_ones

# Below so many results a batch could prove little; after so long it is taken as it is.
ENOUGH_RESULTS: Final = 20
LONGEST_WAIT: Final = timedelta(minutes=1)
# How often an experiment is looked at: a thousandth of its age, within these.
_SHARE_OF_AGE: Final = 0.001
_SOONEST: Final = timedelta(seconds=1)
_LATEST: Final = timedelta(minutes=10)
DELTAS_AT_ONCE: Final = 1_000
LOOKS_AT_ONCE: Final = 20
POINTS: Final = 200
POINTS_LIMIT: Final = 1_000
# What comes of damaged evidence.
_BROKEN: Final = (HerdbookError, ArithmeticError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """What a round of looks did.

    Args:
        looked: how many experiments were looked at.
        acted: what was done, a sentence each.
    """

    looked: int
    acted: tuple[str, ...] = ()


def advance(work: Work) -> Advanced:
    """Look at the experiments that are due and that nobody else looks at, and act."""
    work.by.allow(Action.ADMIN)
    acted: list[str] = []
    seen: list[int] = []
    while len(seen) < LOOKS_AT_ONCE:
        found = work.experiments.claim(skip=seen)
        if found is None:
            break
        seen.append(found.id)
        try:
            with work.experiments.attempt():
                acted += _looked_at(work, found)
        except _BROKEN as error:
            # What is wrong with one experiment must not keep the others waiting.
            work.experiments.postpone(found, work.now() + _LATEST)
            acted.append(f"{found.name} cannot be looked at: {error}")
    return Advanced(looked=len(seen), acted=tuple(acted))


def finalize(
    work: Work, name: str, *, decision: str = "stop", winner: str = "", reason: str = ""
) -> Experiment:
    """End an experiment, see `experiments.finalize`; what was recorded until now is taken in."""
    ended = experiments.finalize(work, name, decision=decision, winner=winner, reason=reason)
    try:
        while work.experiments.waiting(ended).deltas:
            with work.experiments.attempt():
                _evaluated(work, ended)
    except _BROKEN:
        # Evidence that is damaged must not keep an experiment from being ended.
        return ended
    return ended


def due(work: Work) -> bool:
    """Whether an experiment is to be looked at: what is cheap to ask before `advance`."""
    work.by.allow(Action.ADMIN)
    return work.experiments.due()


def counts(work: Work) -> dict[str, int]:
    """Count the experiments in each state."""
    work.by.allow(Action.ADMIN)
    found = work.experiments.counts()
    return {str(state): found.get(str(state), 0) for state in State}


def evaluate(work: Work, name: str, *, language: str = "en") -> Evaluation:
    """Take in all that waits, however little, and tell what it says; nothing is acted on.

    Args:
        work: the unit of work.
        name: the experiment.
        language: of the recommendation: `en`, `ru` or `de`.
    """
    found = work.experiments.get(name)
    work.by.allow(Action.WRITE, found.model)
    found = work.experiments.lock(name)
    judged = _last(work, found) if found.state is State.ENDED else _evaluated(work, found)
    return _worded(judged, language)


def evaluation(work: Work, name: str, *, language: str = "en") -> Evaluation:
    """Tell what the evidence said when it was last looked at, see `evaluate`."""
    found = work.experiments.get(name)
    work.by.allow(Action.READ, found.model)
    return _worded(_last(work, found), language)


def _worded(judged: Evaluation, language: str) -> Evaluation:
    return replace(judged, recommendation=deciding.reworded(judged, language))


def history(work: Work, name: str, *, points: int = POINTS) -> Page[Point]:
    """Give how the evidence came about, to be drawn.

    Args:
        work: the unit of work.
        name: the experiment.
        points: how many at most, 1 to 1,000, evenly over the batches; the last is among them.
    """
    if not 1 <= points <= POINTS_LIMIT:
        raise Invalid(f"{points} points; give 1 to {POINTS_LIMIT:,}", field="points")
    found = work.experiments.get(name)
    work.by.allow(Action.READ, found.model)
    kept = work.experiments.kept(found)
    step = max(1, math.ceil((kept.batches if kept else 0) / points))
    texts = work.experiments.points(found, step=step)
    return Page(items=tuple(wire.value(Point, json.loads(text)) for text in texts if text))


def replay(work: Work, name: str) -> Evaluation:
    """Make the evidence anew from the batches it was made of, and tell what it says.

    It is the same to the last digit; if not, what is kept was changed by other means.

    Raises:
        Corrupt: it is not.
    """
    found = work.experiments.get(name)
    work.by.allow(Action.WRITE, found.model)
    kept = work.experiments.kept(found)
    state = evidence.started(found.plan)
    for at, batch in work.experiments.batches(found):
        state = evidence.folded(found.plan, state, batch, at=at)
    if kept is not None and wire.dumps(state) != kept.state:
        raise Corrupt(
            f"the evidence of {name} is not what its {state.batches:,} batches come to; one of "
            "the two was changed by other means than Herdbook"
        )
    return _last(work, found)


def _last(work: Work, experiment: Experiment) -> Evaluation:
    kept = work.experiments.kept(experiment)
    if kept is None:
        return _judged(work, experiment, evidence.started(experiment.plan))
    said = wire.value(Evaluation, json.loads(kept.evaluation))
    return replace(said, late=work.experiments.late(experiment))


def _judged(work: Work, experiment: Experiment, state: evidence.State) -> Evaluation:
    now, since = work.now(), experiment.started_at
    judged = deciding.evaluated(experiment.plan, experiment.phases, state, now, since)
    return replace(judged, late=work.experiments.late(experiment))


def _evaluated(work: Work, experiment: Experiment) -> Evaluation:
    """Make a batch of what waits, fold it into the evidence, keep both."""
    kept = work.experiments.kept(experiment)
    state = (
        evidence.started(experiment.plan)
        if kept is None
        else wire.value(evidence.State, json.loads(kept.state))
    )
    seen = kept.seen if kept else b""
    batch: tuple[ArmSums, ...] = ()
    waits = work.experiments.consume(experiment, limit=DELTAS_AT_ONCE)
    if waits:
        seen, firsts = first_ones(seen, waits)
        batch = added(firsts)
        # A batch is replayed from its text: what is folded now has to be what is read then.
        state = evidence.folded(experiment.plan, state, batch, at=work.now())
    judged = _judged(work, experiment, state)
    work.experiments.keep(
        experiment,
        Kept(
            batches=state.batches,
            at=work.now(),
            seen=seen,
            state=wire.dumps(state),
            evaluation=wire.dumps(judged),
            point=wire.dumps(point_of(judged)),
        ),
        batch=batch,
    )
    return judged


def _looked_at(work: Work, experiment: Experiment) -> list[str]:
    waits = work.experiments.waiting(experiment)
    kept = work.experiments.kept(experiment)
    idle = work.now() - (kept.at if kept else experiment.started_at)
    pause = min(max((work.now() - experiment.started_at) * _SHARE_OF_AGE, _SOONEST), _LATEST)
    if waits.deltas > DELTAS_AT_ONCE:
        pause = timedelta(0)
    work.experiments.postpone(experiment, work.now() + pause)
    moved = _champion_moved(work, experiment)
    if moved:
        experiments.paused(work, experiment, reason=moved)
        return [f"{experiment.name} is paused: {moved}"]
    if waits.results < ENOUGH_RESULTS and timedelta(0) <= idle < LONGEST_WAIT:
        return []
    judged = _evaluated(work, experiment)
    return _acted(work, experiment, judged) if experiment.state is State.RUNNING else []


def _champion_moved(work: Work, experiment: Experiment) -> str:
    """Say that a running experiment's control is no longer champion, or nothing."""
    plan, champion = experiment.plan, work.models.get(experiment.model).champion
    if experiment.state is not State.RUNNING or champion == plan.control:
        return ""
    return f"the champion of {plan.model} is {champion or 'none'}, no longer {plan.control}"


def _acted(work: Work, experiment: Experiment, judged: Evaluation) -> list[str]:
    """Do what the evidence says, as far as the plan lets it; give what was done."""
    plan, name = experiment.plan, experiment.name
    if judged.decision is Decision.ROLLBACK and plan.auto_rollback:
        experiments.ended(
            work, experiment, Outcome.ROLLED_BACK, reason=judged.recommendation, judged=judged
        )
        return [f"{name} is rolled back: {judged.recommendation}"]
    if judged.decision is Decision.PROMOTE and plan.auto_promote:
        return [_promoted(work, experiment, judged)]
    if judged.decision is Decision.CONTINUE and plan.auto_ramp and _may_widen(work, experiment):
        widened = experiments.widened(work, experiment)
        return [f"{name} is widened to {widened.phase.coverage:.0%}"]
    return []


def _promoted(work: Work, experiment: Experiment, judged: Evaluation) -> str:
    """Make the treatment champion, or pause where a gate says no: a person has to look."""
    try:
        experiments.ended(
            work,
            experiment,
            Outcome.PROMOTED,
            winner=judged.number,
            reason=judged.recommendation,
            judged=judged,
        )
    except (Refused, Conflict) as refusal:
        reason = f"it is decided, but {refusal.message}"
        experiments.paused(work, experiment, reason=reason[:1_000])
        return f"{experiment.name} is paused: {reason}"
    return f"{experiment.name} is promoted: {judged.recommendation}"


def _may_widen(work: Work, experiment: Experiment) -> bool:
    long_enough = timedelta(hours=experiment.plan.ramp_hours)
    stage_over = work.now() - experiment.phase.at >= long_enough
    return stage_over and bool(experiments.stages_ahead(experiment))
