"""What processes that serve ask and tell: who gets which version, and what came of it."""

from hashlib import blake2b

from herdbook.core.access import Action
from herdbook.core.experiments import Experiment, State
from herdbook.core.numbers import Number
from herdbook.core.ports import Work
from herdbook.core.recording import ArmSums, Delta, Folded, Recorded
from herdbook.core.routing import Routed, Routing
from herdbook.core.sampling import Sampled
from herdbook.core.wire import canonical, plain
from herdbook.errors import Forbidden, Invalid, NotFound
from herdbook.services import episodes


def routing(work: Work, *, mark: str = "") -> Routing:
    """Give what assigning units needs.

    Args:
        work: the unit of work.
        mark: what is held already; with the same one everything else is left out.
    """
    live = work.experiments.live()
    champions = {each.model: work.models.get(each.model).champion or "" for each in live}
    routed = tuple(_routed(each, champions[each.model]) for each in live)
    said = canonical([champions, [plain(each) for each in routed]]).encode()
    found = blake2b(said, digest_size=8).hexdigest()
    if found == mark:
        return Routing(mark=found, champions={}, experiments=())
    return Routing(mark=found, champions=champions, experiments=routed)


def _routed(experiment: Experiment, champion: str) -> Routed:
    plan = experiment.plan
    # Whoever deploys another champion means everybody, at once; the next look pauses it for good.
    running = experiment.state is State.RUNNING and champion == plan.control
    return Routed(
        experiment=experiment.name,
        model=plan.model,
        running=running,
        phase=experiment.phase.number,
        coverage=experiment.phase.coverage,
        arms=plan.arms,
        group=plan.group,
        low=experiment.low,
        high=experiment.high,
        salt=experiment.salt,
        targeting=plan.targeting,
        holdout=plan.holdout_pct / 100,
        shadow=plan.shadow,
        metrics=tuple(sorted({guardrail.metric for guardrail in plan.guardrails})),
    )


def fold(work: Work, *, delta: Delta) -> Folded:
    """Take in what a worker recorded, once, however often it is delivered.

    Recorded results are measurements, not changes: they are no events of the audit log.
    """
    delta = delta.checked()
    sequence, new = work.experiments.take(delta.worker, delta.sequence, dropped=delta.dropped)
    late: dict[str, int] = {}
    if new:
        # In one order everywhere, so that two deltas never wait for each other.
        for recorded in sorted(delta.recorded, key=lambda each: each.experiment):
            left_out = _put(work, recorded)
            if left_out:
                late[recorded.experiment] = late.get(recorded.experiment, 0) + left_out
    return Folded(sequence=sequence, new=new, late=late, stale=_sampled(work, delta, new=new))


def _sampled(work: Work, delta: Delta, *, new: bool) -> dict[str, int]:
    """Take in what was sampled of watched versions; give what could not be counted."""
    stale: dict[str, int] = {}
    for sampled in sorted(delta.sampled if new else (), key=_place):
        left_out = episodes.take(work, sampled)
        if left_out:
            name = f"{sampled.model}:{sampled.number}"
            stale[name] = stale.get(name, 0) + left_out
    return stale


def _place(sampled: Sampled) -> tuple[str, str]:
    """Give what versions are locked in the order of: v1.2 and 1.2.0 are the same one."""
    try:
        return sampled.model, Number(sampled.number).key
    except Invalid:
        return sampled.model, ""


def _put(work: Work, recorded: Recorded) -> int:
    """Keep what was recorded of one experiment; give how many results came too late."""
    every = sum(each.results + each.lost for each in recorded.arms)
    try:
        found = work.experiments.get(recorded.experiment)
        work.by.allow(Action.WRITE, found.model)
        # Two that hold a row and then both want to write it wait for each other for ever.
        all_count = all(_counts(found, each) for each in recorded.arms)
        held = work.experiments.hold if all_count else work.experiments.lock
        found = held(recorded.experiment)
    except (NotFound, Forbidden):
        return every
    kept = [each for each in recorded.arms if _counts(found, each)]
    left_out = every - sum(each.results + each.lost for each in kept)
    if kept:
        work.experiments.put(found, kept)
    if left_out:
        work.experiments.add_late(found, left_out)
    return left_out


def _counts(experiment: Experiment, arm: ArmSums) -> bool:
    """Whether results are of an arm and a phase there are, while the experiment goes on."""
    if experiment.state is State.ENDED or arm.phase > experiment.phase.number:
        return False
    return any(each.name == arm.arm for each in experiment.plan.arms)
