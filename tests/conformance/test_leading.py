"""What is done about experiments without anybody asking, in every database."""

import json
import random
from datetime import timedelta
from typing import Any

import pytest

from herdbook.core.decisions import Evaluation
from herdbook.core.experiments import Decision, Experiment, Outcome, State
from herdbook.core.recording import ArmSums, CellSums
from herdbook.errors import Conflict, Corrupt, Forbidden, Invalid
from herdbook.services import deployments, events, experiments, leading, models, serving
from herdbook.services.leading import Advanced
from herdbook.services.models import About
from tests.conformance.test_trusted_keys import OURS
from tests.experiments import arm, fold, served, start
from tests.registers import Register


@pytest.fixture
def register(register: Register) -> Register:
    """A register with two versions of a model, the first in production."""
    return served(register)


class Workers:
    """Deliver results, a thousand of each arm at a time."""

    def __init__(self, register: Register, *, treated: str = "treatment") -> None:
        self._register = register
        self._treated = treated
        self._sequence = 0
        self._rng = random.Random(5)  # noqa: S311 - no secret

    def deliver(
        self,
        *,
        errors: float = 0.02,
        harm: float = 0.0,
        gain: float = 0.0,
        phase: int = 1,
        results: int = 1_000,
    ) -> None:
        """Deliver results of both arms."""
        self._sequence += 1
        fold(
            self._register,
            self._arm("control", phase, results, errors, 0.8),
            self._arm(self._treated, phase, results, errors + harm, 0.8 + gain),
            sequence=self._sequence,
        )

    def _arm(self, name: str, phase: int, results: int, rate: float, mean: float) -> ArmSums:
        failed = round(results * rate)
        places = [self._rng.randrange(1 << 22) for _ in range(results)]
        cells: dict[str, tuple[float, ...]] = {}
        for place in places:
            value = min(1.0, max(0.0, self._rng.gauss(mean, 0.1)))
            old = cells.get(str(place % 1024), (0, 0.0, 0.0))
            cells[str(place % 1024)] = (old[0] + 1, old[1] + value, old[2] + value**2)
        return ArmSums(
            phase=phase,
            arm=name,
            results=results,
            errors=failed,
            firsts=tuple(places[failed:]),
            first_errors=tuple(places[:failed]),
            means={"confidence": CellSums(cells=cells)},
        )


@pytest.fixture
def workers(register: Register) -> Workers:
    """Who delivers."""
    return Workers(register)


def look(register: Register) -> Advanced:
    """Look a while later."""
    register.clock.at += timedelta(minutes=11)
    return register.write(leading.advance)


def found(register: Register) -> Experiment:
    return register.read(experiments.get, "gnn_test")


def said(register: Register) -> Evaluation:
    return register.read(leading.evaluation, "gnn_test")


def champion(register: Register) -> str:
    return register.read(models.get, "gnn").champion


def actions(register: Register) -> list[str]:
    seen = register.read(events.page, page_size=100).items
    return [each.action for each in seen if each.action.startswith("experiment.")]


def test_an_aa_experiment_is_judged_and_never_acted_on(register: Register) -> None:
    start(register, treatments=(), aa=True, auto_ramp=True)
    workers = Workers(register, treated="control-aa")
    for _ in range(5):
        workers.deliver(harm=0.2)
        assert look(register).acted == ()

    assert said(register).decision is Decision.HOLD
    assert "A/A experiment" in said(register).recommendation
    assert found(register).state is State.RUNNING
    with pytest.raises(Conflict, match="end it with stop"):
        register.write(leading.finalize, "gnn_test", decision="promote")
    assert register.write(leading.finalize, "gnn_test").outcome is Outcome.STOPPED
    assert champion(register) == "v1"
    assert actions(register) == ["experiment.started", "experiment.ended"]


def test_an_aa_experiment_goes_up_its_ramp(register: Register) -> None:
    start(register, treatments=(), aa=True, auto_ramp=True, ramp=(5, 50), ramp_hours=0.1)
    Workers(register, treated="control-aa").deliver()

    assert look(register).acted == ("gnn_test is widened to 100%",)


def test_how_often_units_came_before_is_told_at_the_next_start(register: Register) -> None:
    start(register, "gnn_before")
    arms = [
        arm(name, results=300, firsts=tuple(range(at, at + 30)))
        for at, name in ((0, "control"), (30, "treatment"))
    ]
    fold(register, *arms, experiment="gnn_before")
    register.write(leading.evaluate, "gnn_before")
    register.write(leading.finalize, "gnn_before")

    first, again = start(register), "In gnn_before 60 units had 10 results each"

    assert again in " ".join(first.warnings)


def test_nothing_is_due_where_nothing_runs(register: Register) -> None:
    assert not register.read(leading.due)
    assert register.write(leading.advance) == Advanced(looked=0)


def test_an_experiment_that_says_nothing_yet_goes_on(register: Register, workers: Workers) -> None:
    start(register)
    workers.deliver(results=30)

    assert look(register) == Advanced(looked=1)

    assert found(register).state is State.RUNNING
    assert said(register).decision is Decision.CONTINUE
    assert [arm.results for arm in said(register).arms] == [30, 30]


def test_what_was_just_looked_at_is_not_due(register: Register, workers: Workers) -> None:
    start(register)
    workers.deliver()
    look(register)
    workers.deliver()

    register.clock.at -= timedelta(minutes=11)

    assert not register.read(leading.due)


def test_a_treatment_that_harms_is_rolled_back_and_the_event_says_why(
    register: Register, workers: Workers
) -> None:
    start(register)
    workers.deliver(harm=0.1)

    done = look(register)

    ended = found(register)
    assert (ended.state, ended.outcome, ended.winner) == (State.ENDED, Outcome.ROLLED_BACK, "")
    assert champion(register) == "v1"
    assert "gnn_test is rolled back: " in done.acted[0]
    assert "Errors rose" in ended.reason
    last = register.read(events.page, page_size=100).items[-1]
    assert last.action == "experiment.ended"
    evaluation: Any = last.body["evaluation"]
    assert evaluation["decision"] == "rollback"
    assert register.read(events.verify).ok


def test_harm_is_only_told_where_nobody_wants_it_rolled_back(
    register: Register, workers: Workers
) -> None:
    start(register, auto_rollback=False)
    workers.deliver(harm=0.1)

    assert look(register).acted == ()

    assert found(register).state is State.RUNNING
    assert said(register).decision is Decision.ROLLBACK


def test_a_better_treatment_becomes_champion_with_the_experiment_as_its_reason(
    register: Register, workers: Workers
) -> None:
    start(register, auto_promote=True)
    for _ in range(3):
        workers.deliver(gain=0.05)

    look(register)

    assert (found(register).outcome, found(register).winner) == (Outcome.PROMOTED, "v2")
    assert champion(register) == "v2"
    move = register.read(deployments.history, model="gnn").items[0]
    assert move.reason.startswith("experiment gnn_test: Confidence improved by")


def test_a_better_treatment_waits_for_a_person_unless_it_is_to_be_promoted(
    register: Register, workers: Workers
) -> None:
    start(register)
    for _ in range(3):
        workers.deliver(gain=0.05)

    look(register)

    assert said(register).decision is Decision.PROMOTE
    assert champion(register) == "v1"


def test_a_promotion_that_a_gate_refuses_pauses_the_experiment(
    register: Register, workers: Workers
) -> None:
    start(register, auto_promote=True)
    register.write(models.update, "gnn", about=About(trusted_keys=(OURS,)))
    for _ in range(3):
        workers.deliver(gain=0.05)

    look(register)

    assert found(register).state is State.PAUSED
    assert "takes only what a key it trusts signed" in found(register).reason
    assert champion(register) == "v1"
    assert register.read(events.verify).ok


def test_an_experiment_whose_model_gets_another_champion_is_paused(
    register: Register, workers: Workers
) -> None:
    start(register)
    register.add("gnn:v3")
    register.write(deployments.promote, "gnn:v3")
    workers.deliver()

    look(register)

    assert found(register).state is State.PAUSED
    assert found(register).reason == "the champion of gnn is v3, no longer v1"


def test_a_ramp_goes_on_by_itself_once_a_stage_is_over(
    register: Register, workers: Workers
) -> None:
    start(register, ramp=(5.0, 25.0, 50.0), ramp_hours=1.0, auto_ramp=True)
    workers.deliver(results=50)
    look(register)
    assert found(register).phase.number == 1

    register.clock.at += timedelta(hours=1)
    workers.deliver(results=50)
    look(register)

    assert (found(register).phase.number, found(register).phase.coverage) == (2, 0.5)
    assert actions(register) == ["experiment.started", "experiment.widened"]


def test_a_ramp_does_not_go_on_where_a_person_does_it(register: Register, workers: Workers) -> None:
    start(register, ramp=(5.0, 50.0), ramp_hours=0.0)
    workers.deliver(results=50)

    look(register)

    assert found(register).phase.number == 1


def test_what_is_paused_is_judged_but_not_acted_on(register: Register, workers: Workers) -> None:
    start(register)
    workers.deliver(harm=0.1)
    register.write(experiments.pause, "gnn_test")

    look(register)

    assert found(register).state is State.PAUSED
    assert said(register).decision is Decision.ROLLBACK


def test_asking_takes_in_what_waits_and_acts_on_nothing(
    register: Register, workers: Workers
) -> None:
    start(register)
    workers.deliver(harm=0.1)

    judged = register.write(leading.evaluate, "gnn_test")

    assert judged.decision is Decision.ROLLBACK
    assert found(register).state is State.RUNNING
    assert register.write(leading.evaluate, "gnn_test").arms == judged.arms


def test_a_unit_counts_as_a_first_one_once(register: Register) -> None:
    start(register)
    same = ArmSums(phase=1, arm="control", results=3, firsts=(1, 2, 3))
    for sequence in (1, 2):
        fold(register, same, sequence=sequence)
        register.write(leading.evaluate, "gnn_test")

    control = said(register).metrics("control")

    assert (control.results, control.units) == (6, 3)


def test_the_evidence_is_made_anew_to_the_same_bits(register: Register, workers: Workers) -> None:
    start(register, auto_rollback=False)
    for harm in (0.0, 0.05, 0.02):
        workers.deliver(harm=harm, results=200)
        look(register)

    assert register.read(leading.replay, "gnn_test") == said(register)
    assert said(register).batches == 3


def test_evidence_that_was_changed_by_other_means_is_found(
    register: Register, workers: Workers
) -> None:
    start(register)
    workers.deliver()
    look(register)

    text = json.dumps({"experiment": "gnn_test", "arms": []})
    register.execute("UPDATE batches SET doc = :doc", doc=text)

    with pytest.raises(Corrupt, match="changed by other means"):
        register.read(leading.replay, "gnn_test")


def test_its_history_has_a_point_for_each_batch_and_never_too_many(
    register: Register, workers: Workers
) -> None:
    start(register, auto_rollback=False)
    for _ in range(7):
        workers.deliver(results=100)
        look(register)

    every = register.read(leading.history, "gnn_test").items
    few = register.read(leading.history, "gnn_test", points=3).items

    assert [point.results for point in every] == [200, 400, 600, 800, 1000, 1200, 1400]
    assert [point.results for point in few] == [600, 1200, 1400]
    with pytest.raises(Invalid, match="give 1 to 1,000"):
        register.read(leading.history, "gnn_test", points=0)


def test_one_experiment_that_cannot_be_looked_at_does_not_keep_others(
    register: Register, workers: Workers
) -> None:
    served(register, "majora")
    start(register)
    start(register, "other", model="majora")
    workers.deliver()
    look(register)
    register.execute(
        "UPDATE evidence SET seen = :seen WHERE experiment_id ="
        " (SELECT id FROM experiments WHERE name = 'gnn_test')",
        seen=b"no bitmap",
    )
    workers.deliver()
    fold(register, ArmSums(phase=1, arm="control", results=30, alone=30), worker="w2")
    before = register.count("deltas")

    done = look(register)

    assert done.looked == 2
    assert any("gnn_test cannot be looked at" in each for each in done.acted)
    assert register.count("deltas") == before


def test_only_an_admin_may_have_experiments_looked_at(register: Register) -> None:
    with pytest.raises(Forbidden):
        register.seen_by("deployer:*").write(leading.advance)


def test_who_deploys_another_champion_means_everybody_at_once(
    register: Register, workers: Workers
) -> None:
    start(register)
    workers.deliver()
    look(register)
    register.add("gnn:v3")
    assert register.read(serving.routing).experiments[0].running

    register.write(deployments.promote, "gnn:v3")

    routing = register.read(serving.routing)
    assert routing.champions == {"gnn": "v3"}
    assert not routing.experiments[0].running
    assert register.read(leading.due), "the next look has to come now, not in ten minutes"
    register.write(leading.advance)
    assert found(register).state is State.PAUSED
