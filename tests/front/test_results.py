"""Results told after the fact: whose they are, and what never counts."""

import asyncio
import itertools
import math
import threading
from pathlib import Path
from typing import Any

import pytest

import herdbook
from herdbook.core.decisions import Clustering
from herdbook.errors import Conflict
from herdbook.front.book import Herdbook
from tests.front.trials import Trial, apart


@pytest.fixture
def trial(book: Herdbook) -> Trial:
    """A running experiment."""
    return Trial(book)


def test_a_result_is_of_the_unit_assigned_last(trial: Trial) -> None:
    experiments = trial.book.experiments
    for unit in itertools.islice(trial.units("treatment"), 3):
        experiments.get_version_for_request(trial.model, unit)
        assert experiments.record_result(trial.name, inference_time_ms=12.5, confidence=0.5)
        assert experiments.record_result(trial.name, "treatment", 12.5, 0.5, metrics={"cost": 2})

    said = trial.said()
    found = said.metrics("treatment")
    assert (found.results, found.units, found.alone) == (6, 3, 0)
    assert (found.inference_time_ms, found.means) == (12.5, {"cost": 2.0})
    assert said.clustering is Clustering.KNOWN


def test_the_seeds_own_call_works(trial: Trial) -> None:
    experiments = trial.book.experiments
    found = experiments.assign_variant(trial.model, user_id=trial.unit("control"))

    experiments.record_result(
        test_name=trial.name,
        variant=found.variant,
        inference_time_ms=124.5,
        confidence=0.87,
        error=True,
    )

    control = trial.of("control")
    assert (control.results, control.errors, control.units) == (1, 1, 1)


def test_another_unit_can_be_named(trial: Trial) -> None:
    last, other = itertools.islice(trial.units("treatment"), 2)
    trial.book.experiments.assign_variant(trial.model, last)

    for unit in (other, other, last):
        trial.book.experiments.record_result(trial.name, "treatment", 1.0, 0.5, unit=unit)

    found = trial.of()
    assert (found.results, found.units, found.alone) == (3, 2, 0)


def test_a_unit_that_takes_no_part_takes_the_place_of_the_last(book: Herdbook) -> None:
    trial = Trial(book, holdout_pct=50)
    experiments = book.experiments
    snapshot = experiments.snapshot
    users = (f"user{at}" for at in itertools.count())
    outside = next(user for user in users if not snapshot.assign(trial.model, user).experiment)

    for assigned in (
        lambda: experiments.assign_variant(trial.model, outside),
        lambda: book.serve(trial.model, unit=outside),
        lambda: book.serve(trial.model),
    ):
        experiments.assign_variant(trial.model, trial.unit())
        assigned()
        experiments.record_result(trial.name, confidence=0.5)

    assert trial.results() == (0, 0)


def test_a_model_without_an_experiment_in_between_changes_nothing(trial: Trial) -> None:
    book = trial.book
    book.models.register(f"{trial.model}-oracle", "v1", git_commit="")
    book.deployments.promote(f"{trial.model}-oracle:v1")

    book.experiments.assign_variant(trial.model, trial.unit())
    book.experiments.assign_variant(f"{trial.model}-oracle", "user1")
    book.experiments.record_result(trial.name, confidence=0.5)

    assert trial.of().units == 1


def test_threads_do_not_record_for_each_others_units(trial: Trial) -> None:
    together = threading.Barrier(2)
    experiments = trial.book.experiments

    def work(arm: str) -> None:
        experiments.assign_variant(trial.model, trial.unit(arm))
        together.wait(10)
        for _ in range(10):
            experiments.record_result(trial.name, confidence=0.2 if arm == "control" else 0.8)

    threads = [threading.Thread(target=work, args=(arm,)) for arm in ("control", "treatment")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    control, treatment = trial.said().arms
    assert (control.results, control.units) == (10, 1)
    assert (treatment.results, treatment.units) == (10, 1)
    assert control.confidence == pytest.approx(0.2)
    assert treatment.confidence == pytest.approx(0.8)


def test_tasks_do_not_record_for_each_others_units(trial: Trial) -> None:
    experiments = trial.book.experiments

    async def task(arm: str) -> None:
        experiments.assign_variant(trial.model, trial.unit(arm))
        for _ in range(10):
            await asyncio.sleep(0)
            experiments.record_result(trial.name, confidence=0.2 if arm == "control" else 0.8)

    async def both() -> None:
        await asyncio.gather(task("control"), task("treatment"))

    asyncio.run(both())

    control, treatment = trial.said().arms
    assert (control.results, treatment.results) == (10, 10)
    assert control.confidence == pytest.approx(0.2)
    assert treatment.confidence == pytest.approx(0.8)


def test_without_any_unit_each_result_stands_alone_and_the_evaluation_says_so(
    trial: Trial,
) -> None:
    def tell() -> None:
        for arm in ("control", "treatment", "treatment"):
            assert trial.book.experiments.record_result(trial.name, arm, 3.0, 0.5, error=False)

    apart(tell)

    said = trial.said()
    assert [(arm.results, arm.alone, arm.units) for arm in said.arms] == [(1, 1, 0), (2, 2, 0)]
    assert said.clustering is Clustering.UNKNOWN


def test_some_results_without_a_unit_make_it_partly_known(trial: Trial) -> None:
    with trial.serve():
        pass
    apart(lambda: trial.book.experiments.record_result(trial.name, "treatment", 3.0, 0.5))

    assert trial.said().clustering is Clustering.PARTLY


def test_what_nobody_knows_is_never_raised_and_never_counted(trial: Trial) -> None:
    def tell() -> None:
        record: Any = trial.book.experiments.record_result
        record("gnn_never_started", "control", 1.0, 0.5)
        record(trial.name, "champion", 1.0, 0.5)
        record(trial.name, "treatment-7", 1.0, 0.5)
        for arm in ("", "c\n", None, ["treatment"], 7):
            record(trial.name, arm, 1.0, 0.5)
        record(["gnn"], "control", 1.0, 0.5)
        record("", "control", 1.0, 0.5)

    apart(tell)

    assert trial.results() == (0, 0)
    assert trial.said().late == 2
    assert trial.book.experiments._calls.recorder.dropped == 0  # what has no label is sent as such


def test_no_value_is_worth_an_exception(trial: Trial) -> None:
    class Odd:
        def __bool__(self) -> bool:
            raise ValueError("odd")

    wrong: list[Any] = [math.nan, math.inf, -math.inf, -1.0, "fast", None, [1], 10**400]
    record: Any = trial.book.experiments.record_result
    trial.book.experiments.assign_variant(trial.model, trial.unit())

    for value in wrong:
        assert record(trial.name, "treatment", value, 0.5)
        assert record(trial.name, "treatment", 1.0, value)
    for metrics in ({"cost": "dear"}, {7: 1.0}, {"no\nkey": 1.0}, 5, ["cost"], {"error": 1.0}):
        record(trial.name, "treatment", 1.0, 0.5, metrics=metrics)
    record(trial.name, "treatment", 1.0, 0.5, error="what was raised")
    record(trial.name, "treatment", 1.0, 0.5, error=Odd())
    record(trial.name, "treatment", 1.0, 0.5, unit=1.5)

    found = trial.of()
    assert (found.results, found.errors, found.alone) == (2 * len(wrong) + 6 + 3, 1, 1)
    assert found.confidence == pytest.approx(0.5)
    assert found.inference_time_ms == pytest.approx(1.0)
    assert found.refused["inference_time_ms is NaN"] == found.refused["confidence is NaN"] == 1
    assert found.refused["inference_time_ms is negative"] == 1
    assert found.means == {}


def test_recording_does_not_raise_where_the_register_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path))
    away = herdbook.connect("http://127.0.0.1:1")

    kept = apart(lambda: away.experiments.record_result("gnn_test", "control", 1.0, 0.5))

    away.close()
    assert kept


def test_after_the_end_of_an_experiment_results_are_late(trial: Trial) -> None:
    trial.book.experiments.assign_variant(trial.model, trial.unit())
    trial.book.experiments.record_result(trial.name, confidence=0.5)
    trial.book.experiments.flush()
    trial.book.experiments.finalize(trial.name, "stop")

    assert trial.book.experiments.record_result(trial.name, confidence=0.5)

    assert (trial.results(), trial.said().late) == ((0, 1), 1)
    trial.look()
    with trial.book.serve(trial.model, unit="user1") as call:
        pass
    assert (call.version, call.assignment.experiment) == ("v1", "")


def test_what_an_experiment_may_be_called_can_be_recorded(book: Herdbook) -> None:
    trial = Trial(book)
    book.experiments.finalize(trial.name)
    trial.name = f"2.{trial.model}+a_b-c"
    book.experiments.start(trial.name, trial.model, "v2")
    trial.look()

    with trial.serve():
        pass

    assert trial.results() == (0, 1)


# --- phases ---


def test_each_phase_counts_and_a_pause_gives_everyone_the_champion(book: Herdbook) -> None:
    trial = Trial(book, ramp=[10, 50])
    unit = trial.unit()

    def serve() -> Any:
        trial.look()
        with book.serve(trial.model, unit=unit) as call:
            call.observe(confidence=0.5)
        return call.assignment

    first = serve()
    book.experiments.widen(trial.name)
    second = serve()
    book.experiments.pause(trial.name)
    paused = serve()
    with pytest.raises(Conflict):
        book.experiments.widen(trial.name)
    book.experiments.resume(trial.name)
    third = serve()

    assert [each.phase for each in (first, second, paused, third)] == [1, 2, 0, 3]
    assert {first.version, second.version, third.version} == {"v2"}
    assert (paused.version, paused.experiment) == ("v1", "")
    said = trial.said()
    assert (said.phase, said.metrics("treatment").results) == (3, 3)


def test_a_result_without_a_unit_is_of_the_phase_that_is_now(trial: Trial) -> None:
    trial.book.experiments.pause(trial.name)
    trial.book.experiments.resume(trial.name)
    trial.look()

    apart(lambda: trial.book.experiments.record_result(trial.name, "treatment", 1.0, 0.5))

    assert trial.book.experiments._calls.assigner.phase(trial.name) == 2
    assert trial.results() == (0, 1)
