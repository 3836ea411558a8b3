"""What every register promises of experiments: who starts them, what refuses, what is told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from herdbook.core.experiments import Experiment, Outcome, Policy, State
from herdbook.core.guardrails import Guardrail
from herdbook.core.models import Status
from herdbook.core.recording import ArmSums, CellSums, Delta, Recorded
from herdbook.core.wire import plain
from herdbook.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    HerdbookError,
    Invalid,
    NotFound,
    Refused,
    RefusedMove,
)
from herdbook.services import deployments, events, experiments, models, serving, versions
from tests.conformance.test_trusted_keys import OURS, trust
from tests.experiments import arm, delta, fold, plan, served, start
from tests.registers import Register

RAMP = (1.0, 5.0, 10.0, 25.0, 50.0)


@pytest.fixture
def trying(register: Register) -> Register:
    """A register in which gnn v2 is tried against v1."""
    start(served(register))
    return register


def waiting(register: Register, name: str = "gnn_test") -> tuple[int, int, int]:
    """How many deltas and results wait, and how many results came too late."""

    def asked(work: Any) -> tuple[int, int, int]:
        found = work.experiments.get(name)
        waits = work.experiments.waiting(found)
        return waits.deltas, waits.results, work.experiments.late(found)

    return register.read(asked)


def actions(register: Register) -> list[str]:
    """The actions of the log, oldest first."""
    return [event.action for event in register.read(events.page, page_size=100).items]


# --- starting ---


def test_a_started_experiment_says_what_it_compares_and_who_takes_part(register: Register) -> None:
    served(register)

    made = start(register, treatment_traffic_pct=10.0, targeting={"country": ("de", "at")})

    assert made == register.read(experiments.get, "gnn_test")
    assert (made.state, made.started_by, made.ended_at) == (State.RUNNING, "curator", None)
    assert [(a.name, a.number, a.share) for a in made.plan.arms] == [
        ("control", "v1", 0.9),
        ("treatment", "v2", 0.1),
    ]
    assert [(p.number, p.coverage) for p in made.phases] == [(1, 1.0)]
    assert (made.low, made.high) == (0.0, 1.0)
    assert len(made.salt) == 16


def test_numbers_may_be_written_in_any_way_that_means_them(register: Register) -> None:
    served(register)

    made = start(register, control="1.0.0", treatments=("2",))

    assert (made.plan.control, made.plan.treatments) == ("v1", ("v2",))
    with pytest.raises(Conflict, match="gnn:v2 is in service"):
        register.write(versions.delete, "gnn:2.0.0")


def test_everything_of_a_plan_is_kept(register: Register) -> None:
    served(register)
    said: dict[str, Any] = {
        "ramp": RAMP,
        "ramp_hours": 6.0,
        "duration_days": 14.0,
        "min_requests": 500,
        "alpha": 0.01,
        "targeting": {"country": ("de",), "plan": ("Ünïcode",)},
        "holdout_pct": 5.0,
        "exclusion": "search",
        "exclusion_pct": 30.0,
        "guardrails": (Guardrail(metric="inference_time_ms", quantile=0.95),),
        "policy": Policy.THRESHOLDS_ONLY,
        "auto_rollback": False,
        "auto_ramp": True,
        "auto_promote": True,
    }

    start(register, **said)

    kept = register.read(experiments.get, "gnn_test").plan
    assert kept == replace(plan(**said), control="v1")


def test_the_control_is_the_champion_and_nothing_else(register: Register) -> None:
    register.add("gnn:v1")
    register.add("gnn:v2")

    with pytest.raises(Conflict, match="no champion to compare with") as caught:
        start(register)
    assert caught.value.field == "control"
    register.write(deployments.promote, "gnn:v1")
    register.add("gnn:v3")
    with pytest.raises(Conflict, match="the champion of gnn is v1, not v3"):
        start(register, control="v3")


def unfinished(register: Register) -> None:
    register.add("gnn:v3", status=Status.DRAFT)


def archived(register: Register) -> None:
    register.add("gnn:v3")
    register.write(versions.set_status, "gnn:v3", status=Status.ARCHIVED)


def deleted(register: Register) -> None:
    register.add("gnn:v3")
    register.write(versions.delete, "gnn:v3")


def unsigned(register: Register) -> None:
    register.add("gnn:v3")
    trust(register, OURS, model="gnn")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (lambda _: None, NotFound),
        (unfinished, RefusedMove),
        (archived, RefusedMove),
        (deleted, Gone),
        (unsigned, Refused),
    ],
)
def test_what_may_not_serve_is_not_tried(
    register: Register, given: Callable[[Register], None], error: type[HerdbookError]
) -> None:
    served(register)
    given(register)
    before = actions(register)

    with pytest.raises(error, match="gnn"):
        start(register, treatments=("v2", "v3"))

    assert register.count("experiments") == 0
    assert actions(register) == before


def test_only_who_may_deploy_starts_changes_and_ends(trying: Register) -> None:
    contributor, deployer = trying.seen_by("contributor"), trying.seen_by("deployer:gnn")
    served(trying, "oracle")

    with pytest.raises(Forbidden):
        start(contributor, "oracle_test", model="oracle")
    with pytest.raises(NotFound, match="there is no model 'oracle'"):
        start(deployer, "oracle_test", model="oracle")
    for verb in (experiments.pause, experiments.resume, experiments.widen, experiments.finalize):
        with pytest.raises(Forbidden):
            contributor.write(verb, "gnn_test")
    assert deployer.write(experiments.pause, "gnn_test").state is State.PAUSED


def test_a_name_that_is_taken_by_what_one_may_not_see_says_only_that(trying: Register) -> None:
    served(trying, "oracle")

    with pytest.raises(AlreadyExists) as caught:
        start(trying.seen_by("deployer:oracle"), model="oracle")

    assert caught.value.message == ("there is an experiment gnn_test already; choose another name")


def test_a_dry_run_refuses_what_a_start_would_and_writes_nothing(trying: Register) -> None:
    before = actions(trying)

    refused: list[tuple[dict[str, Any], type[HerdbookError]]] = [
        ({"exclusion_pct": 50.0}, Conflict),
        ({"alpha": 2.0}, Invalid),
    ]
    for said, error in refused:
        with pytest.raises(error):
            trying.write(experiments.start, plan=plan("other", **said), dry_run=True)
    trying.write(experiments.finalize, "gnn_test")
    with pytest.raises(AlreadyExists):
        trying.write(experiments.start, plan=plan(), dry_run=True)
    made = trying.write(experiments.start, plan=plan("other"), dry_run=True)

    assert (made.id, made.name, made.plan.control) == (0, "other", "v1")
    assert trying.count("experiments") == 1
    assert actions(trying) == [*before, "experiment.ended"]
    assert start(trying, "other").id > 0


# --- who has which units ---


def test_experiments_of_a_model_share_its_units_without_overlap(register: Register) -> None:
    served(register, more=("v2", "v3"))
    one, two = (start(register, name, exclusion_pct=40) for name in ("one", "two"))

    with pytest.raises(Conflict, match="80% of the units of model:gnn are taken by one, two"):
        start(register, "three", exclusion_pct=40)
    register.write(experiments.finalize, "one")
    three = start(register, "three", exclusion_pct=40, treatments=("v3",))

    assert [(e.low, e.high) for e in (one, two, three)] == [(0, 0.4), (0.4, 0.8), (0, 0.4)]
    assert len({e.salt for e in (one, two, three)}) == 3


def test_a_group_spans_models_and_hides_the_names_one_may_not_see(register: Register) -> None:
    served(register)
    served(register, "oracle")
    start(register, exclusion="search", exclusion_pct=70)
    stranger = register.seen_by("deployer:oracle")

    with pytest.raises(Conflict, match="70% of the units of search are taken by") as caught:
        start(stranger, "other", model="oracle", exclusion="search", exclusion_pct=31)
    assert "experiments you may not see" in caught.value.message
    assert "gnn" not in caught.value.message

    other = start(stranger, "other", model="oracle", exclusion="search", exclusion_pct=30)
    assert [other.low, other.high] == pytest.approx([0.7, 1.0])


def test_experiments_of_one_model_are_in_one_group(trying: Register) -> None:
    with pytest.raises(Conflict, match="give exclusion='model:gnn'"):
        start(trying, "other", exclusion="search")


def test_routing_changes_its_mark_exactly_when_it_says_something_else(register: Register) -> None:
    served(register)
    empty = register.read(serving.routing)
    made = start(register, targeting={"country": ("de",)}, holdout_pct=5.0, ramp=RAMP)
    found = register.read(serving.routing)

    assert (empty.experiments, empty.champions) == ((), {})
    assert found.champions == {"gnn": "v1"}
    (routed,) = found.experiments
    assert (routed.experiment, routed.running, routed.phase) == ("gnn_test", True, 1)
    assert (routed.coverage, routed.holdout, routed.salt) == (0.02, 0.05, made.salt)
    assert routed.targeting == {"country": ("de",)}
    fold(register, arm())
    assert register.read(serving.routing) == found
    again = register.read(serving.routing, mark=found.mark)
    assert (again.mark, again.experiments, again.champions) == (found.mark, (), {})
    marks = [empty.mark, found.mark]
    for verb in (experiments.widen, experiments.pause, experiments.resume, experiments.finalize):
        register.write(verb, "gnn_test")
        marks.append(register.read(serving.routing, mark=found.mark).mark)
    assert len(set(marks)) == 5
    assert marks[-1] == empty.mark


# --- pausing, widening, ending ---


def test_a_paused_experiment_goes_on_in_a_new_phase_with_the_same_units(trying: Register) -> None:
    before = trying.read(experiments.get, "gnn_test")

    paused = trying.write(experiments.pause, "gnn_test", reason="incident")
    resumed = trying.write(experiments.resume, "gnn_test")

    assert (paused.state, paused.reason, paused.phases) == (State.PAUSED, "incident", before.phases)
    assert (resumed.state, resumed.reason, resumed.phase.number) == (State.RUNNING, "", 2)
    assert resumed.phase.coverage == before.phase.coverage
    assert (resumed.low, resumed.high, resumed.salt) == (before.low, before.high, before.salt)


def test_an_experiment_whose_control_is_no_longer_champion_does_not_go_on(
    register: Register,
) -> None:
    served(register, more=("v2", "v3"))
    start(register)
    register.write(experiments.pause, "gnn_test")
    register.write(deployments.promote, "gnn:v3")

    with pytest.raises(Conflict, match="the champion of gnn is v3, not v1"):
        register.write(experiments.resume, "gnn_test")

    assert register.read(experiments.get, "gnn_test").state is State.PAUSED


def test_a_ramp_is_widened_stage_by_stage(register: Register) -> None:
    served(register)
    start(register, ramp=RAMP)

    widened = [register.write(experiments.widen, "gnn_test") for _ in RAMP[1:]]

    assert [e.phase.coverage for e in widened] == pytest.approx([0.1, 0.2, 0.5, 1.0])
    assert [p.number for p in widened[-1].phases] == [1, 2, 3, 4, 5]
    with pytest.raises(Conflict, match="is at the last stage of its ramp"):
        register.write(experiments.widen, "gnn_test")


def test_each_refusal_says_the_state_it_is_in(trying: Register) -> None:
    with pytest.raises(Conflict, match="gnn_test is running, not paused"):
        trying.write(experiments.resume, "gnn_test")
    with pytest.raises(Conflict, match="has no ramp, so it cannot be widened"):
        trying.write(experiments.widen, "gnn_test")
    trying.write(experiments.pause, "gnn_test")
    for verb in (experiments.pause, experiments.widen):
        with pytest.raises(Conflict, match="gnn_test is paused, not running"):
            trying.write(verb, "gnn_test")
    trying.write(experiments.finalize, "gnn_test")
    for verb in (experiments.pause, experiments.resume, experiments.widen, experiments.finalize):
        with pytest.raises(Conflict, match=r"gnn_test ended 2026-01-14 12:\d\dZ; start another"):
            trying.write(verb, "gnn_test")


@pytest.mark.parametrize(
    ("decision", "outcome"), [("stop", Outcome.STOPPED), ("rollback", Outcome.ROLLED_BACK)]
)
def test_an_end_without_a_winner_leaves_the_control(
    trying: Register, decision: str, outcome: Outcome
) -> None:
    ended = trying.write(experiments.finalize, "gnn_test", decision=decision, reason="enough")

    assert (ended.state, ended.outcome, ended.winner) == (State.ENDED, outcome, "")
    assert (ended.reason, ended.ended_at) == ("enough", trying.clock.at)
    assert trying.read(models.get, "gnn").champion == "v1"


def test_a_promotion_makes_the_treatment_champion_and_says_why(trying: Register) -> None:
    trying.write(experiments.pause, "gnn_test")

    ended = trying.write(
        experiments.finalize, "gnn_test", decision="promote", reason="fewer errors"
    )

    assert (ended.outcome, ended.winner) == (Outcome.PROMOTED, "v2")
    (move, _) = trying.read(deployments.history, model="gnn").items
    assert (move.to_number, move.reason) == ("v2", "experiment gnn_test: fewer errors")


@pytest.mark.parametrize("winner", ["v3", "treatment-2"])
def test_of_several_treatments_the_winner_is_named(register: Register, winner: str) -> None:
    served(register, more=("v2", "v3"))
    start(register, treatments=("v2", "v3"))

    for wrong in ("", "v1", "treatment", "v9"):
        with pytest.raises(Invalid, match=r"treatment-1 \(v2\), treatment-2 \(v3\)"):
            register.write(experiments.finalize, "gnn_test", decision="promote", winner=wrong)
    ended = register.write(experiments.finalize, "gnn_test", decision="promote", winner=winner)

    assert ended.winner == "v3"
    assert register.read(models.get, "gnn").champion == "v3"


def test_there_are_three_ways_to_end(trying: Register) -> None:
    with pytest.raises(Invalid, match="promote, rollback or stop"):
        trying.write(experiments.finalize, "gnn_test", decision="win")


def test_a_gate_that_refuses_the_winner_leaves_the_experiment_as_it_was(trying: Register) -> None:
    trust(trying, OURS, model="gnn")
    before = trying.read(experiments.get, "gnn_test")
    told = actions(trying)

    with pytest.raises(Refused, match="gnn:v2 cannot become the champion"):
        trying.write(experiments.finalize, "gnn_test", decision="promote")

    assert trying.read(experiments.get, "gnn_test") == before
    assert actions(trying) == told
    assert trying.read(models.get, "gnn").champion == "v1"


def test_every_change_is_one_event_and_the_log_verifies(register: Register) -> None:
    served(register)
    told = actions(register)
    made = start(register, ramp=RAMP)
    for verb in (experiments.widen, experiments.pause, experiments.resume):
        register.write(verb, "gnn_test")
    fold(register, arm())
    register.write(experiments.finalize, "gnn_test", decision="promote")

    found = register.read(events.page, page_size=100).items[len(told) :]
    assert [event.action for event in found] == [
        "experiment.started",
        "experiment.widened",
        "experiment.paused",
        "experiment.resumed",
        "alias.moved",
        "experiment.ended",
    ]
    said = [event for event in found if event.action.startswith("experiment.")]
    assert {(event.model, event.body["experiment"]) for event in said} == {("gnn", "gnn_test")}
    assert plain(made.plan) == found[0].body["plan"]
    assert register.read(events.verify).ok


# --- what is in service is not taken away ---


def test_what_an_experiment_tries_is_neither_deleted_nor_archived(register: Register) -> None:
    served(register, more=("v2", "v3"))
    start(register)
    register.write(experiments.pause, "gnn_test")
    told = "gnn:v2 is in service in the experiment gnn_test.*experiments finalize gnn_test stop"

    with pytest.raises(Conflict, match=told):
        register.write(versions.delete, "gnn:v2")
    with pytest.raises(Conflict, match=told):
        register.write(versions.set_status, "gnn:v2", status=Status.ARCHIVED)
    register.write(versions.delete, "gnn:v3")
    register.write(versions.set_status, "gnn:v2", status=Status.STAGING)

    register.write(experiments.finalize, "gnn_test")
    register.write(versions.set_status, "gnn:v2", status=Status.ARCHIVED)
    register.write(versions.delete, "gnn:v2")


def test_a_model_in_an_experiment_is_not_deleted(trying: Register) -> None:
    trying.write(deployments.remove, "gnn", "champion")

    with pytest.raises(Conflict, match="gnn is in service in the experiment gnn_test"):
        trying.write(models.delete, "gnn")

    trying.write(experiments.finalize, "gnn_test")
    trying.write(models.delete, "gnn")
    assert trying.read(experiments.get, "gnn_test").state is State.ENDED


# --- what workers recorded ---


def test_what_a_worker_recorded_is_taken_in_once(trying: Register) -> None:
    told = (arm(results=7, lost=1), arm("treatment", results=2))

    first, again = (fold(trying, *told) for _ in range(2))

    assert (first.sequence, first.new, first.late) == (1, True, {})
    assert (again.sequence, again.new, again.late) == (1, False, {})
    assert waiting(trying) == (1, 10, 0)
    assert fold(trying, sequence=2).new


LATE: list[tuple[str, ArmSums]] = [
    ("a phase to come", arm(phase=2)),
    ("another arm", arm("treatment-2")),
]


@pytest.mark.parametrize(("what", "sums"), LATE, ids=[what for what, _ in LATE])
def test_results_of_what_there_is_not_are_counted_as_late(
    trying: Register, what: str, sums: ArmSums
) -> None:
    folded = fold(trying, arm(results=5), replace(sums, results=3, lost=1))

    assert folded.late == {"gnn_test": 4}, what
    assert waiting(trying) == (1, 5, 4)


def test_results_of_an_earlier_phase_count_also_while_it_is_paused(trying: Register) -> None:
    trying.write(experiments.pause, "gnn_test")
    assert fold(trying, arm(results=2)).late == {}
    trying.write(experiments.resume, "gnn_test")

    assert fold(trying, arm(phase=1), arm(phase=2), sequence=2).late == {}
    assert waiting(trying) == (2, 4, 0)


def test_results_of_an_experiment_that_ended_are_late(trying: Register) -> None:
    trying.write(experiments.finalize, "gnn_test")

    assert fold(trying, arm(results=3)).late == {"gnn_test": 3}
    assert waiting(trying) == (0, 0, 3)


def test_results_of_an_unknown_experiment_keep_no_other_back(trying: Register) -> None:
    several = Delta(
        worker="w",
        sequence=1,
        recorded=(
            Recorded(experiment="gone", arms=(arm(results=2),)),
            Recorded(experiment="gnn_test", arms=(arm(), arm("oracle"))),
            Recorded(experiment="gnn_test", arms=(arm("oracle", results=3),)),
        ),
    )

    folded = trying.write(serving.fold, delta=several)

    assert (folded.new, folded.late) == (True, {"gone": 2, "gnn_test": 4})
    assert waiting(trying) == (1, 1, 4)


@pytest.mark.parametrize("role", ["contributor:oracle", "viewer:gnn"])
def test_who_may_not_record_for_a_model_records_nothing(trying: Register, role: str) -> None:
    """And who may not see it learns no more than of an experiment there is none of."""
    folded = fold(trying.seen_by(role), arm(results=3))

    assert folded.late == {"gnn_test": 3}
    assert waiting(trying) == (0, 0, 0)
    assert fold(trying.seen_by("contributor:gnn"), arm(), worker="other").late == {}


def cells(**said: tuple[float, ...]) -> dict[str, CellSums]:
    return {"confidence": CellSums(cells={name[1:]: values for name, values in said.items()})}


GOOD = arm(results=9, errors=2, alone=3, alone_errors=1, firsts=(1,), first_errors=(2,))
BAD: list[tuple[str, Delta, str]] = [
    ("a worker without a name", delta(GOOD, worker=""), "worker"),
    ("a worker with another's", delta(GOOD, worker="a\nb"), "worker"),
    ("sequence 0", delta(GOOD, sequence=0), "sequence"),
    ("sequence true", replace(delta(GOOD), sequence=True), "sequence"),
    ("less than nothing dropped", replace(delta(GOOD), dropped=-1), "dropped"),
    ("an experiment without a name", delta(GOOD, experiment=""), "recorded.experiment"),
    ("a NUL", delta(GOOD, experiment="a\x00"), "recorded.experiment"),
    ("an arm without a name", delta(replace(GOOD, arm="")), "arm"),
    ("phase 0", delta(replace(GOOD, phase=0)), "phase"),
    ("less than no results", delta(replace(GOOD, results=-1)), "results"),
    ("half a result", delta(replace(GOOD, results=9.5)), "results"),  # type: ignore[arg-type]
    ("more than can be counted", delta(replace(GOOD, lost=2**53 + 1)), "lost"),
    ("more errors than results", delta(replace(GOOD, errors=10)), "errors"),
    ("more errors alone than results", delta(replace(GOOD, alone_errors=4)), "errors"),
    ("more first results than results", delta(replace(GOOD, firsts=tuple(range(9)))), "firsts"),
    ("more first errors than errors", delta(replace(GOOD, first_errors=(1, 2, 3))), "firsts"),
    ("a place below all", delta(replace(GOOD, firsts=(-1,))), "firsts"),
    ("a place beyond all", delta(replace(GOOD, first_errors=(1 << 22,))), "firsts"),
    ("a cell beyond all", delta(replace(GOOD, means=cells(_1024=(1, 1, 1)))), "means"),
    ("no cell", delta(replace(GOOD, means=cells(_x=(1, 1, 1)))), "means"),
    ("two numbers", delta(replace(GOOD, means=cells(_1=(1, 1)))), "means"),
    ("NaN", delta(replace(GOOD, means=cells(_1=(1, float("nan"), 1)))), "means"),
    ("infinity", delta(replace(GOOD, means=cells(_1=(1, 1, float("inf"))))), "means"),
    ("no values", delta(replace(GOOD, means=cells(_1=(0, 0, 0)))), "means"),
    ("half a value", delta(replace(GOOD, means=cells(_1=(1.5, 1, 1)))), "means"),
    ("squares below 0", delta(replace(GOOD, means=cells(_1=(1, 1, -1)))), "means"),
    ("a metric without a name", delta(replace(GOOD, means={"": CellSums()})), "means"),
    ("too many metrics", delta(replace(GOOD, means={f"m{n}": CellSums() for n in range(101)})),
     "means"),
    ("no bucket", delta(replace(GOOD, histograms={"t": {"1.5": 1}})), "histograms"),
    ("a bucket too many", delta(replace(GOOD, histograms={"t": {"600": 1}})), "histograms"),
    ("a bucket below 0", delta(replace(GOOD, histograms={"t": {"-1": 1}})), "histograms"),
    ("a huge number", delta(replace(GOOD, means=cells(_1=(1, 1e300, 1e300)))), "means"),
    ("values without end", delta(replace(GOOD, means=cells(_1=(1e300, 1, 1)))), "means"),
    ("a number of 400 digits", delta(replace(GOOD, means=cells(_1=(10**400, 1, 1)))), "means"),
    ("no such squares", delta(replace(GOOD, means=cells(_1=(2, 1.6, 0.0)))), "means"),
    ("more than a database adds", delta(replace(GOOD, results=1 << 53)), "results"),
    ("too many kinds of refusal", delta(replace(GOOD, refused={f"r{n}": 1 for n in range(1001)})),
     "refused"),
    ("an empty bucket", delta(replace(GOOD, histograms={"t": {"1": 0}})), "histograms"),
    ("a reason that does not show", delta(replace(GOOD, refused={"\u202e": 1})), "refused"),
    ("refused less than never", delta(replace(GOOD, refused={"NaN": -1})), "NaN"),
    ("too many experiments", replace(delta(), recorded=(Recorded(experiment="a", arms=()),) * 1001),
     "recorded"),
    ("too many arms", delta(*[GOOD] * 1001), "recorded.arms"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "told", "field"), BAD, ids=[what for what, _, _ in BAD])
def test_what_cannot_be_is_refused_whole_and_does_not_count(
    trying: Register, what: str, told: Delta, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        trying.write(serving.fold, delta=told)

    assert caught.value.field == field, what
    assert len(caught.value.message) > 10
    assert trying.count("workers") == 0
    assert waiting(trying) == (0, 0, 0)


def test_what_can_be_is_taken(trying: Register) -> None:
    sums = replace(
        GOOD,
        means=cells(_0=(2, -0.5, 0.25), _1023=(1, 1e12, 1e24)),
        histograms={"inference_time_ms": {"0": 3, "599": 1}},
        refused={"confidence is NaN": 1},
    )

    fold(trying, sums)

    taken: Callable[[Any], Any] = lambda work: work.experiments.consume(  # noqa: E731
        work.experiments.get("gnn_test"), limit=9
    )
    assert trying.write(taken) == [sums]


def test_a_started_experiment_can_always_be_read(register: Register) -> None:
    """What has another type than it is written with would be refused when it is read."""
    served(register)
    wrong: dict[str, Any] = {
        "min_requests": 1e3, "alpha": "0.05", "shadow": "yes", "treatments": (2,),
        "targeting": {"country": (49,)}, "policy": "guesswork", "ramp": ("1",),
        "guardrails": ({"quantile": 0.5},), "holdout_pct": None, "name": object(),
    }  # fmt: skip

    for field, value in wrong.items():
        with pytest.raises(Invalid) as caught:
            start(register, **{"name": "gnn_test", field: value})
        assert caught.value.field == field

    assert register.read(experiments.page).items == ()
    found: Experiment = start(register, ramp=[1, 5], policy="evidence")
    assert found.plan.policy is Policy.EVIDENCE
    assert register.read(experiments.get, "gnn_test") == found
