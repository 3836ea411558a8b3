"""The story of an experiment, on this machine and behind a server."""

import itertools

import pytest

from herdbook.core.experiments import Outcome, Policy, State
from herdbook.core.guardrails import Guardrail
from herdbook.core.recording import ArmSums, CellSums, Delta, Folded, Recorded
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.front.book import Herdbook

_COUNT = itertools.count()


@pytest.fixture
def model(book: Herdbook) -> str:
    """A model of the test's own: v1 in production, v2 and v3 beside it."""
    name = f"gnn-{next(_COUNT)}"
    for number in ("v1", "v2", "v3"):
        book.models.register(name, number, git_commit="")
    book.deployments.promote(f"{name}:v1")
    return name


def test_which_version_is_better_is_found_out_while_both_serve(book: Herdbook, model: str) -> None:
    name = f"{model}_test"
    started = book.experiments.start(
        name,
        model,
        "v2",
        ramp=[5, 50],
        targeting={"country": ["de", "at"], "plan": "free"},
        guardrails=[Guardrail(metric="inference_time_ms", quantile=0.95)],
        policy=Policy.EVIDENCE,
        exclusion_pct=50,
    )

    assert book.experiments.get(name) == started
    assert started.plan.targeting == {"country": ("de", "at"), "plan": ("free",)}
    assert book.experiments.list(model, state="running").items == (started,)
    assert book.experiments.widen(name).phase.coverage == 1.0
    assert book.experiments.pause(name, reason="incident").reason == "incident"
    assert book.experiments.resume(name).phase.number == 3
    ended = book.experiments.finalize(name, "promote", reason="fewer errors")
    assert (ended.outcome, ended.winner) == (Outcome.PROMOTED, "v2")
    assert book.get(f"{model}@champion").number == "v2"
    assert book.experiments.list(model).items == (ended,)


def test_the_same_refusals_through_every_door(book: Herdbook, model: str) -> None:
    name = f"{model}_test"
    with pytest.raises(NotFound, match="experiments list"):
        book.experiments.get(name)
    with pytest.raises(Conflict, match="that has to be the control") as caught:
        book.experiments.start(name, model, "v3", control="v2")
    assert caught.value.field == "control"
    with pytest.raises(Invalid) as wrong:
        book.experiments.start(name, model, "v2", alpha=7.0)
    assert wrong.value.field == "alpha"
    book.experiments.start(name, model, ["v2", "v3"])
    with pytest.raises(Conflict, match="100% of the units"):
        book.experiments.start(f"{name}_2", model, "v3")
    with pytest.raises(Conflict, match=f"finalize {name} stop"):
        book.versions.delete(f"{model}:v2")
    with pytest.raises(Invalid, match="say which"):
        book.experiments.finalize(name, "promote")
    assert book.experiments.finalize(name).state is State.ENDED


def test_a_dry_run_says_what_would_be_and_leaves_no_trace(book: Herdbook, model: str) -> None:
    told = book.experiments.start(
        f"{model}_test", model, "v2", dry_run=True, requests_per_day=100, units_per_day=10
    )

    assert (told.id, told.plan.control) == (0, "v1")
    assert book.experiments.list(model).items == ()


def test_a_version_is_compared_with_itself_through_every_door(book: Herdbook, model: str) -> None:
    name = f"{model}_aa"
    with pytest.raises(Invalid, match="compares v1 with itself"):
        book.experiments.start(name, model, "v2", aa=True)
    with pytest.raises(Invalid, match="1 to 10 treatments"):
        book.experiments.start(name, model)
    started = book.experiments.start(name, model, aa=True)
    assert [(arm.name, arm.number) for arm in started.plan.arms] == [
        ("control", "v1"),
        ("control-aa", "v1"),
    ]

    # Something is broken: of the second arm every fifth result is an error.
    for sequence in range(1, 6):
        arms = tuple(_errors(name, 20 if name == "control-aa" else 1) for name in ARMS)
        delta = Delta(
            worker=f"{model}-worker",
            sequence=sequence,
            recorded=(Recorded(experiment=name, arms=arms),),
        )
        book._door.call(Folded, "experiments.fold", delta=delta)
        book.experiments.evaluate(name)
    judged = book.experiments.evaluation(name)

    assert (judged.decision, judged.number) == ("hold", "v1")
    assert "Both arms are the same version, v1" in judged.recommendation
    assert "Yet a difference is seen" in judged.recommendation
    with pytest.raises(Conflict, match="nothing to promote; end it with stop") as refused:
        book.experiments.finalize(name, "promote")
    assert refused.value.field == "decision"
    assert book.experiments.finalize(name, "stop").outcome is Outcome.STOPPED
    assert book.get(f"{model}@champion").number == "v1"


ARMS = ("control", "control-aa")


def _errors(arm: str, errors: int) -> ArmSums:
    return ArmSums(
        phase=1,
        arm=arm,
        results=100,
        errors=errors,
        alone=100,
        alone_errors=errors,
    )


def test_what_was_recorded_arrives_whole_through_every_door(book: Herdbook, model: str) -> None:
    name = f"{model}_test"
    book.experiments.start(name, model, "v2")
    sums = ArmSums(
        phase=1,
        arm="treatment",
        results=4,
        errors=1,
        lost=1,
        alone=1,
        firsts=(0, (1 << 22) - 1),
        first_errors=(9,),
        means={"confidence": CellSums(cells={"1023": (2, 1.5, 1.25)})},
        histograms={"inference_time_ms": {"3": 2, "120": 1}},
        refused={"confidence is NaN": 1},
    )
    delta = Delta(
        worker=f"{model}-worker", sequence=7, recorded=(Recorded(experiment=name, arms=(sums,)),)
    )

    first, again = (book._door.call(Folded, "experiments.fold", delta=delta) for _ in range(2))

    assert (first.sequence, first.new, first.late) == (7, True, {})
    assert (again.sequence, again.new) == (7, False)
