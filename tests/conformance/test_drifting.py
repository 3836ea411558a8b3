"""What every register promises of drift: what is frozen, what counts, what is raised, and once."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from herdbook.core.drift import (
    CONFIDENCE,
    PREDICTION,
    Level,
    Mode,
    Settings,
    Standing,
    Status,
)
from herdbook.core.monitors import Answers
from herdbook.core.references import Kind, Reference
from herdbook.core.sampling import Mark
from herdbook.errors import Conflict, Forbidden, Invalid, NotFound
from herdbook.services import drift, events, models, references, retraining, versions
from herdbook.services.versions import Draft
from tests.drift import REF, Worker, hour, made, normal, sums, sure, watched
from tests.registers import Register


@pytest.fixture
def worker(register: Register) -> Worker:
    """A worker that serves a watched version."""
    return Worker(register, watched(register))


def actions(register: Register) -> list[str]:
    """The actions of the log that are of drift, oldest first."""
    every = [event.action for event in register.read(events.page, page_size=100).items]
    return [action for action in every if action.startswith("drift.")]


def drifted(worker: Worker, *, shift: float = 3.0, number: int = 200) -> None:
    """Tell of values that are far from the reference."""
    worker.tell(normal(number, mean=shift, seed=9), sure(number, seed=10))


def calm(worker: Worker) -> None:
    """Tell of values like those of the reference until all is forgotten."""
    for turn in range(40):
        worker.tell(normal(400, seed=turn), sure(400, seed=turn))


# --- references ---


def test_a_reference_is_frozen_once_and_the_same_again_changes_nothing(register: Register) -> None:
    first = watched(register)

    again = register.write(drift.watch, REF, references=made())

    assert again == first
    assert actions(register) == ["drift.watched"]
    assert register.read(drift.references, REF) == first


def test_other_references_are_refused_unless_they_shall_replace(worker: Worker) -> None:
    worker.tell(normal(100, seed=3), sure(100, seed=4))
    other = made(1_000)

    with pytest.raises(Conflict, match="never change"):
        worker.register.write(drift.watch, REF, references=other)

    replaced = worker.register.write(drift.watch, REF, references=other, replace=True)
    said = worker.register.read(drift.report, REF)
    assert replaced.fingerprint == said.fingerprint != worker.of.fingerprint
    assert (said.status, said.samples) == (Status.INSUFFICIENT, 0)


def test_values_counted_in_other_references_are_named_and_left_out(worker: Worker) -> None:
    worker.register.write(drift.watch, REF, references=made(1_000), replace=True)

    told = worker.tell(normal(50, seed=3), sure(50, seed=4))

    assert told.stale == {REF: 100}
    assert worker.register.read(drift.report, REF).samples == 0


def test_whoever_holds_the_references_is_not_sent_them_again(worker: Worker) -> None:
    held = worker.register.read(drift.references, REF, mark=worker.of.fingerprint)

    assert (held.fingerprint, held.references) == (worker.of.fingerprint, {})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, "0 streams"),
        ({"": references.numeric(normal(50))}, "references"),
        ({"confidence": references.numeric([50.0, 99.0] * 20)}, "divide per cents"),
        ({"x": Reference(count=3, edges=(2.0, 1.0), counts=(1, 1, 1))}, "ascend"),
        ({"x": Reference(count=3, edges=(1.0,), counts=(1, 1))}, "add up"),
        ({"x": Reference(count=3, edges=(1.0,), counts=(1, 1, 1))}, "one more"),
        ({"x": Reference(count=2, edges=(1.0,), counts=(1, 1), tau=0.5)}, "tau"),
        ({"x": Reference(count=2, edges=(1.0,), counts=(1, 1), sd=float("nan"))}, "finite"),
        (
            {
                "x": Reference(
                    kind=Kind.CATEGORICAL, count=2, categories=("a",) * 2, counts=(1, 1, 0)
                )
            },
            "no two",
        ),
    ],
)
def test_references_that_cannot_be_are_refused(
    register: Register, wrong: dict[str, Reference], why: str
) -> None:
    register.add(REF)

    with pytest.raises(Invalid, match=why):
        register.write(drift.watch, REF, references=wrong)

    assert register.read(drift.page).items == ()


def test_a_version_that_is_watched_no_more_is_forgotten(worker: Worker) -> None:
    drifted(worker)

    worker.register.write(drift.unwatch, REF)

    assert worker.register.read(drift.report, REF).status is Status.NO_REFERENCE
    assert worker.tell(normal(10), sure(10)).stale == {REF: 20}
    assert actions(worker.register)[-1] == "drift.unwatched"
    with pytest.raises(NotFound, match="not watched"):
        worker.register.write(drift.unwatch, REF)
    # What happened stays known.
    assert len(worker.register.read(retraining.episodes).items) == 1


# --- what counts ---


def test_without_a_change_there_is_no_alarm_and_hardly_a_score(worker: Worker) -> None:
    for turn in range(50):
        worker.tell(normal(40, seed=100 + turn), sure(40, seed=200 + turn))

    said = worker.register.read(drift.report, REF)

    assert (said.status, said.level, said.alert_triggered) == (Status.ACTIVE, Level.NORMAL, False)
    assert said.current_drift_score is not None
    assert said.current_drift_score < 0.1
    assert said.samples == 2_000
    assert actions(worker.register) == ["drift.watched"]


def test_a_shift_is_an_alarm_with_its_parts_and_what_moved(worker: Worker) -> None:
    for turn in range(30):
        worker.tell(normal(40, mean=1, seed=turn), sure(40, drop=0.1, seed=turn))

    said = worker.register.read(drift.report, REF)

    assert said.alert_triggered
    assert said.level is Level.CRITICAL
    assert said.components is not None
    assert said.components.statistical == 1
    assert said.components.performance > 0.2
    assert said.components.distribution == pytest.approx(1, abs=0.1)
    first = next(each for each in said.streams if each.stream == PREDICTION)
    assert first.mean == pytest.approx(1, abs=0.1)
    assert first.ks == pytest.approx(0.38, abs=0.05)
    assert first.moved
    assert said.recommendation == "Critical drift! Retrain urgently."


def test_in_short_a_version_stands_as_its_report_says(worker: Worker) -> None:
    register = worker.register
    assert register.read(drift.standing, REF) == Standing(status=Status.INSUFFICIENT)
    for _ in range(3):
        drifted(worker)

    short, said = register.read(drift.standing, REF), register.read(drift.report, REF)

    assert (short.status, short.score, short.level, short.alarm) == (
        said.status,
        said.current_drift_score,
        said.level,
        said.alert_triggered,
    )
    assert register.seen_by("viewer").read(drift.standing, REF) == short
    register.add("gnn:v3")
    assert register.read(drift.standing, "gnn:v3") == Standing(status=Status.NO_REFERENCE)
    with pytest.raises(NotFound):
        register.read(drift.standing, "gnn:v9")
    with pytest.raises((NotFound, Forbidden)):
        register.seen_by("viewer:majora").read(drift.standing, REF)


def test_a_delta_that_comes_twice_counts_once(worker: Worker) -> None:
    worker.tell(normal(40), sure(40))
    worker.sequence -= 1

    again = worker.tell(normal(40), sure(40))

    assert not again.new
    assert worker.register.read(drift.report, REF).samples == 40


def test_the_same_values_count_the_same_whoever_tells_of_them(register: Register) -> None:
    one = Worker(register, watched(register))
    several = watched(register, "gnn:v2.2.0")
    values, confidences = normal(300, seed=5), sure(300, seed=6)

    one.tell(values, confidences)
    for at in range(3):
        Worker(register, several, f"w{at}").tell(values[at::3], confidences[at::3])

    held = [
        register.read(drift.distribution, ref, stream=stream).current
        for ref in (REF, "gnn:v2.2.0")
        for stream in (PREDICTION, CONFIDENCE)
    ]
    assert held[:2] == held[2:]
    assert sum(held[0]) == 300


def test_too_little_is_said_and_not_scored(worker: Worker) -> None:
    worker.tell(normal(3, mean=50), sure(3))

    said = worker.register.read(drift.report, REF)

    assert (said.status, said.current_drift_score) == (Status.INSUFFICIENT, None)
    assert said.recommendation == "Too few values to say anything: 3 of 30."
    assert not said.alert_triggered


def test_values_that_stop_coming_are_drift_themselves(worker: Worker) -> None:
    for _ in range(5):
        worker.tell([], sure(40), missing=40)

    said = worker.register.read(drift.report, REF)

    assert said.alert_triggered
    assert said.level is Level.CRITICAL
    gone = next(each for each in said.streams if each.stream == PREDICTION)
    assert (gone.values, gone.missing, gone.missing_share, gone.ks) == (0, 200, 1.0, None)
    assert gone.warnings == ("all values of the last 24 hours are missing",)


def test_another_value_than_the_only_one_there_was_is_drift(register: Register) -> None:
    worker = Worker(register, watched(register, prediction=references.numeric([0.5] * 200)))
    for _ in range(5):
        worker.tell([0.5] * 40)
    assert not register.read(drift.report, REF).alert_triggered

    worker.tell([0.7] * 60)

    said = register.read(drift.report, REF)
    assert said.alert_triggered
    assert "all values of the reference are 0.5" in said.streams[0].warnings


def test_categories_drift_too_and_new_ones_are_counted_as_others(register: Register) -> None:
    before = ["bearing"] * 600 + ["pump"] * 300 + ["valve"] * 100
    random.Random(1).shuffle(before)  # noqa: S311 - made-up traffic
    worker = Worker(register, watched(register, prediction=references.categorical(before)))
    for _ in range(10):
        worker.tell(["bearing"] * 24 + ["pump"] * 12 + ["valve"] * 4)
    said = register.read(drift.report, REF)
    assert (said.alert_triggered, said.current_drift_score) == (False, 0)

    for _ in range(5):
        worker.tell(["bearing"] * 20 + ["rotor"] * 20)

    said = register.read(drift.report, REF)
    assert said.alert_triggered
    assert said.level is Level.CRITICAL
    assert actions(register)[-1] == "drift.retrain"
    assert said.streams[0].chi_square is not None
    assert said.streams[0].chi_square > 10
    assert "others" in {each.what for each in said.streams[0].moved}


def test_bins_that_the_reference_has_not_are_refused_whole(worker: Worker) -> None:
    good = sums(CONFIDENCE, worker.of.references[CONFIDENCE], sure(10), at=hour(worker.register))
    wrong = replace(good, stream=PREDICTION, counts={"1023": 5})

    with pytest.raises(Invalid, match="bins"):
        worker.say(worker.sampled(good, wrong))

    assert worker.register.read(drift.report, REF).samples == 0


def test_clocks_that_are_ahead_count_now_and_ones_far_behind_are_told_of(worker: Worker) -> None:
    now, reference = hour(worker.register), worker.of.references[PREDICTION]
    ahead = sums(PREDICTION, reference, normal(40), at=now + 500)
    behind = sums(PREDICTION, reference, normal(40), at=now - 500)

    worker.say(worker.sampled(ahead, behind))

    said = worker.register.read(drift.report, REF)
    assert (said.samples, said.late) == (40, 40)
    assert sum(worker.register.read(drift.distribution, REF).current) == 40


def test_hours_older_than_seven_days_are_let_go(worker: Worker) -> None:
    worker.tell(normal(40), sure(40))
    worker.register.clock.at += timedelta(days=8)
    worker.tell(normal(40, seed=3), sure(40, seed=4))

    points = worker.register.read(drift.history, REF).items

    assert [point.values for point in points] == [40]
    assert sum(worker.register.read(drift.distribution, REF, hours=168).current) == 40
    assert worker.register.read(drift.report, REF).samples == 80


def test_the_seven_day_average_is_one_of_hours(worker: Worker) -> None:
    for _ in range(20):
        worker.tell(normal(40, mean=4, seed=1), sure(40))
    worker.register.clock.at += timedelta(hours=3)
    for _ in range(4):
        worker.tell(normal(2_000, seed=2), sure(2_000))

    points = worker.register.read(drift.history, REF).items
    said = worker.register.read(drift.report, REF)

    scores = [point.score for point in points if point.score is not None]
    assert len(scores) == 2
    assert said.avg_drift_7d == pytest.approx(sum(scores) / 2)


def test_parts_of_the_day_are_compared_with_their_own_reference(register: Register) -> None:
    hours = [at // 60 for at in range(60 * 24 * 4)]
    values = normal(len(hours), seed=3)
    day = [value + 3 * (at % 24 >= 12) for value, at in zip(values, hours, strict=True)]
    seasonal = references.numeric(day, hours=hours)
    assert seasonal.slots
    worker = Worker(register, watched(register, prediction=seasonal))

    # A whole night of night's values is no drift; by day they would be.
    register.clock.at = register.clock.at.replace(hour=2, minute=0)
    for turn in range(20):
        worker.tell(normal(60, seed=50 + turn))
    assert not register.read(drift.report, REF).alert_triggered

    register.clock.at = register.clock.at.replace(hour=15)
    for turn in range(5):
        worker.tell(normal(60, seed=80 + turn))
    assert register.read(drift.report, REF).alert_triggered


# --- levels and episodes ---


def test_an_episode_begins_rises_asks_for_a_retraining_and_ends_once(worker: Worker) -> None:
    register = worker.register
    drifted(worker, number=60)
    drifted(worker)
    drifted(worker)
    calm(worker)

    (episode,) = register.read(retraining.episodes, model="gnn").items

    assert episode.ended_at is not None
    assert episode.level is Level.CRITICAL
    assert episode.retrain_at is not None
    assert episode.streams == (PREDICTION,)
    found = actions(register)
    assert found[0] == "drift.watched"
    assert found.count("drift.raised") == found.count("drift.retrain") == 1
    assert found[-1] == "drift.ended"
    assert not register.read(drift.report, REF).alert_triggered


def test_a_retraining_is_not_asked_for_again_before_it_cooled_down(worker: Worker) -> None:
    register = worker.register
    for _ in range(2):
        for _ in range(3):
            drifted(worker)
        calm(worker)

    assert actions(register).count("drift.raised") == 2
    assert actions(register).count("drift.retrain") == 1

    register.clock.at += timedelta(hours=25)
    for _ in range(3):
        drifted(worker)
    assert actions(register).count("drift.retrain") == 2


def test_one_of_those_who_ask_gets_the_retraining(worker: Worker) -> None:
    for _ in range(3):
        drifted(worker)
    register = worker.register
    (episode,) = register.read(retraining.episodes).items

    mine = register.write(retraining.claim, episode.id, by="worker-1")

    assert mine.claimed_by == "worker-1"
    assert register.write(retraining.claim, episode.id, by="worker-1") == mine
    with pytest.raises(Conflict, match="worker-1 has the retraining"):
        register.write(retraining.claim, episode.id, by="worker-2")
    taken = register.write(retraining.claim, episode.id, by="worker-2", force=True)
    assert taken.claimed_by == "worker-2"


def test_an_episode_that_asks_for_nothing_cannot_be_taken(worker: Worker) -> None:
    mild = Settings(thresholds=(0.1, 0.3, 0.99))
    worker.register.write(drift.configure, "gnn", settings=mild)
    for _ in range(3):
        drifted(worker)
    (episode,) = worker.register.read(retraining.episodes).items

    with pytest.raises(Conflict, match="asks for no retraining"):
        worker.register.write(retraining.claim, episode.id)
    with pytest.raises(NotFound):
        worker.register.write(retraining.claim, "drift-99")


def test_what_came_of_a_retraining_is_a_child_of_what_drifted(worker: Worker) -> None:
    for _ in range(3):
        drifted(worker)
    register = worker.register
    (episode,) = register.read(retraining.episodes).items
    register.add("gnn:v2.2.0")
    child = register.write(versions.register, "gnn", draft=Draft(number="v2.3.0", parents=(REF,)))

    with pytest.raises(Conflict, match="no child"):
        register.write(retraining.retrained, episode.id, candidate="v2.2.0")
    changed = register.write(retraining.retrained, episode.id, candidate=child.number)

    assert changed.candidate == "v2.3.0"
    assert actions(register)[-1] == "drift.retrained"


# --- settings ---


def test_settings_are_a_models_own(register: Register) -> None:
    watched(register)
    register.add("majora:v1")
    strict = Settings(weights=(0.6, 0.2, 0.2), thresholds=(0.2, 0.4, 0.6), run_length=1e5)

    register.write(drift.configure, "gnn", settings=strict)

    assert register.read(drift.settings, "gnn") == strict
    assert register.read(drift.settings, "majora") == Settings()
    assert actions(register)[-1] == "drift.configured"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Settings(weights=(0.5, 0.5, 0.5)), "sum to 1"),
        (Settings(thresholds=(0.3, 0.2, 0.5)), "rise"),
        (Settings(weights=(0.2, 0.4, 0.4)), "no proof alone"),
        (Settings(run_length=10.0), "run_length"),
        (Settings(window=0), "window"),
        (Settings(window=20), "never holds"),
        (Settings(cool_down_hours=-1.0), "cool_down"),
    ],
)
def test_settings_that_cannot_be_are_refused(register: Register, wrong: Settings, why: str) -> None:
    register.add(REF)

    with pytest.raises(Invalid, match=why):
        register.write(drift.configure, "gnn", settings=wrong)


def test_the_literal_formula_alarms_by_its_score_alone(worker: Worker) -> None:
    register = worker.register
    register.write(drift.configure, "gnn", settings=Settings(mode=Mode.LITERAL))

    for turn in range(10):
        worker.tell(normal(100, mean=1, seed=turn), sure(100, seed=turn))

    said = register.read(drift.report, REF)
    assert said.components is not None
    assert said.components.statistical == pytest.approx(1)
    assert said.components.distribution == 1
    assert said.alert_triggered


# --- true answers ---


def test_true_answers_are_joined_by_request(worker: Worker) -> None:
    marks = tuple(Mark(request=f"r{at}", prediction="pump", confidence=0.8) for at in range(10))
    worker.tell(normal(10), sure(10), marks=marks)
    register = worker.register

    told = register.write(
        drift.label, REF, labels={f"r{at}": "pump" if at < 7 else "valve" for at in range(12)}
    )

    assert told == Answers(labels=10, right=7)
    said = register.read(drift.report, REF)
    assert (said.accuracy, said.labels) == (0.7, 10)


def test_the_accuracy_is_estimated_from_confidences_before_answers_come(
    register: Register,
) -> None:
    confidences = sure(2_000)
    right = [at % 10 < 8 for at in range(2_000)]
    made_of = references.numeric(confidences)
    known = replace(made_of, accuracy=references.accuracies(confidences, right))
    worker = Worker(register, watched(register, confidence=known))

    worker.tell((), sure(200, seed=8))

    said = register.read(drift.report, REF)
    assert said.expected_accuracy == pytest.approx(0.8, abs=0.03)


# --- who sees what ---


def test_drift_of_models_one_may_not_see_is_not_there(worker: Worker) -> None:
    register = worker.register
    for _ in range(3):
        drifted(worker)
    register.add("majora:v1")
    other = register.seen_by("contributor:majora")

    assert other.read(drift.page).items == ()
    assert other.read(retraining.episodes).items == ()
    for verb in (drift.report, drift.references, drift.history):
        with pytest.raises((NotFound, Forbidden)):
            other.read(verb, REF)
    told = Worker(other, worker.of, "stranger").tell(normal(10), sure(10))
    assert told.stale == {REF: 20}


def test_viewers_may_look_and_not_touch(worker: Worker) -> None:
    viewer = worker.register.seen_by("viewer")

    assert viewer.read(drift.report, REF).fingerprint
    with pytest.raises(Forbidden):
        viewer.write(drift.watch, REF, references=made())
    with pytest.raises(Forbidden):
        viewer.write(drift.unwatch, REF)
    with pytest.raises(Forbidden):
        viewer.write(drift.label, REF, labels={"r": "x"})
    with pytest.raises(Forbidden):
        viewer.write(drift.configure, "gnn", settings=Settings())


def test_drift_goes_with_its_version_and_comes_back_with_it(worker: Worker) -> None:
    register = worker.register
    worker.tell(normal(40), sure(40))

    register.write(versions.delete, REF)
    assert register.read(drift.page).items == ()
    assert worker.tell(normal(40), sure(40)).stale

    register.write(versions.restore, REF)
    assert register.read(drift.report, REF).samples == 40


def test_a_model_that_is_deleted_takes_its_drift_along(worker: Worker) -> None:
    register = worker.register
    register.write(models.delete, "gnn")

    assert register.read(drift.page).items == ()
    assert worker.tell(normal(40), sure(40)).stale
