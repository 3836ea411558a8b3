"""Detectors: the seed's story, on a register of this machine and behind a server."""

import math
import pickle
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

import herdbook
from herdbook.client.aio import connect_async
from herdbook.core.drift import Episode, Level, Mode, Status
from herdbook.core.references import Kind
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.front.book import Herdbook
from herdbook.front.detectors import DriftDetector, DriftScore
from tests.front.samples import connected

RNG = np.random.default_rng(5)
PREDICTIONS = RNG.standard_normal(2_000)
CONFIDENCES = RNG.beta(16, 4, 2_000)


@pytest.fixture
def model(book: Herdbook) -> str:
    """A model of the test's own, with a champion."""
    name = f"gnn-{uuid4().hex[:8]}"
    book.models.register(name, "v2.1.0")
    book.deployments.promote(f"{name}:v2.1.0")
    return name


@pytest.fixture
def detector(book: Herdbook, model: str) -> DriftDetector:
    """A detector whose reference is frozen."""
    found = book.drift.detector(model, "v2.1.0")
    found.add_reference_samples(PREDICTIONS, CONFIDENCES)
    found.freeze()
    return found


def values_of(detector: DriftDetector) -> dict[str, tuple[int, int]]:
    """What the register counted: by stream, values and missing ones."""
    return {each.stream: (each.values, each.missing) for each in detector.report().streams}


def test_the_story_of_the_seed(book: Herdbook, model: str) -> None:
    detector = herdbook.get_drift_detector(model, "v2.1.0", book=book)
    for prediction, confidence in zip(PREDICTIONS, CONFIDENCES, strict=True):
        detector.add_reference_sample(prediction, confidence)

    for _ in range(100):
        detector.add_production_sample(RNG.normal(), RNG.beta(16, 4))
    calm = detector.detect_drift()
    for _ in range(500):
        detector.add_production_sample(RNG.normal() + 1, RNG.beta(16, 4) - 0.2)
    drifted = detector.detect_drift()
    report = detector.get_drift_report()

    assert (calm.status, calm.level) == (Status.ACTIVE, Level.NORMAL)
    assert calm < 0.3 < 0.5 < drifted <= 1
    assert drifted.level is Level.CRITICAL
    assert list(report)[:5] == [
        "status",
        "current_drift_score",
        "avg_drift_7d",
        "alert_triggered",
        "recommendation",
    ]
    assert (report["status"], report["alert_triggered"]) == ("active", True)
    assert report["current_drift_score"] == drifted
    assert f"{report['avg_drift_7d']:.3f}"
    assert values_of(detector) == {"prediction": (600, 0), "confidence": (600, 0)}


def test_the_seeds_loop_over_all_detectors(book: Herdbook, detector: DriftDetector) -> None:
    found = {
        key: each.get_drift_report()["current_drift_score"]
        for key, each in herdbook.drift_detectors.items()
        if each is detector
    }

    assert found == {detector.ref: 0.0}
    assert book.drift.detectors[detector.ref] is detector
    assert book.drift.detector(detector.model, "2.1") is detector


def test_a_detector_of_what_there_is_none_of_is_refused(book: Herdbook, model: str) -> None:
    with pytest.raises(NotFound):
        book.drift.detector(model, "v9")


def test_without_a_reference_the_score_is_nothing_and_says_so(
    book: Herdbook, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    detector = book.drift.detector(model, "v2.1.0")
    detector.add_reference_sample(0.5)
    detector.add_production_sample(0.5, 0.9)

    score, report = detector.detect_drift(), detector.get_drift_report()
    until = time.monotonic() + 10
    while "is not watched" not in caplog.text and time.monotonic() < until:
        time.sleep(0.05)

    assert (score, score.status) == (0.0, Status.NO_REFERENCE)
    assert (report["status"], report["current_drift_score"]) == ("no_reference", 0.0)
    assert f"1 samples of {detector.ref} are left out" in caplog.text


def test_too_few_production_samples_are_too_little_to_say(detector: DriftDetector) -> None:
    detector.add_production_sample(99.0, 0.0)

    score = detector.detect_drift()

    assert (score, score.status) == (0.0, Status.INSUFFICIENT)


def test_the_same_reference_is_frozen_by_every_process_and_another_one_refused(
    detector: DriftDetector, caplog: pytest.LogCaptureFixture
) -> None:
    detector.add_reference_samples(PREDICTIONS, CONFIDENCES)
    again = detector.freeze()
    detector.add_reference_samples(PREDICTIONS + 1, CONFIDENCES)

    # A service that starts again with other samples goes on, and says so.
    assert detector.add_production_sample(0.5)

    assert "these are others" in caplog.text
    detector.add_reference_samples(PREDICTIONS + 1, CONFIDENCES)
    with pytest.raises(Conflict, match="others"):
        detector.detect_drift()
    assert detector.report().fingerprint == again.fingerprint
    with pytest.raises(Invalid, match="no reference samples"):
        detector.freeze()


def test_another_reference_takes_its_place_when_that_is_said(detector: DriftDetector) -> None:
    detector.add_production_samples(PREDICTIONS[:50])
    before = values_of(detector)
    detector.add_reference_samples(PREDICTIONS + 1, CONFIDENCES)
    detector.freeze(replace=True)
    after = values_of(detector)

    detector.add_production_samples(PREDICTIONS[:70])

    assert [found["prediction"][0] for found in (before, after)] == [50, 0]
    assert values_of(detector)["prediction"] == (70, 0)


def test_twenty_reference_samples_are_too_few_to_freeze_one_less(
    book: Herdbook, model: str
) -> None:
    detector = book.drift.detector(model, "v2.1.0")
    detector.add_reference_samples([0.5] * 19)
    with pytest.raises(Invalid, match="20"):
        detector.freeze()

    detector.add_reference_sample(0.5)

    assert detector.freeze().references["prediction"].count == 20


def test_what_cannot_be_frozen_is_said_and_production_goes_on(
    book: Herdbook, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    detector = book.drift.detector(model, "v2.1.0")
    for at in range(60):
        detector.add_reference_sample(float(at), age=None)

    assert detector.add_production_sample(0.5)
    assert detector.add_production_sample(0.5)

    assert caplog.text.count("is not frozen: age: a reference is made of at least 20") == 1
    with pytest.raises(Invalid, match="age: a reference"):
        detector.freeze()
    for at in range(20):
        detector.add_reference_sample(float(at), age=at)
    assert detector.add_production_sample(0.5)
    # What was sent before there was a reference is left out.
    assert 1 <= values_of(detector)["prediction"][0] <= 3


def test_features_and_categories_have_streams_of_their_own(book: Herdbook, model: str) -> None:
    detector = book.drift.detector(model, "v2.1.0")
    for at in range(60):
        detector.add_reference_sample(
            "leak" if at % 3 else "wear", 0.9, load=float(at), machine=f"m{at % 4}"
        )
    watched = detector.freeze()

    detector.add_production_sample("leak", 0.8, load=7, machine="m1", age=3.5)
    detector.add_production_sample("fire", 0.8, load="high", machine=None)
    detector.add_production_samples(
        ["leak", "wear"], [0.8, math.nan], load=[1.0, math.nan], machine=np.array(["m1", "m9"])
    )

    assert {name: each.kind for name, each in watched.references.items()} == {
        "prediction": Kind.CATEGORICAL,
        "confidence": Kind.NUMERIC,
        "load": Kind.NUMERIC,
        "machine": Kind.CATEGORICAL,
    }
    assert values_of(detector) == {
        "prediction": (4, 0),
        "confidence": (3, 1),
        "load": (2, 2),
        "machine": (3, 1),
    }
    counts = book.drift.distribution(detector.ref, "machine").current
    assert counts == (0, 2, 0, 0, 1)


def test_any_number_of_categories_comes_to_those_of_the_reference_and_others(
    detector: DriftDetector, book: Herdbook
) -> None:
    machines = [f"m{at % 5}" for at in range(100)]
    detector.add_reference_samples(PREDICTIONS[:100], machine=machines)
    detector.freeze(replace=True)

    for at in range(600):
        detector.add_production_sample(0.5, machine=f"other{at}")
    detector.add_production_samples([0.5] * 100, machine=machines)

    assert detector.report().late == 0
    assert book.drift.distribution(detector.ref, "machine").current == (20,) * 5 + (600,)


def test_samples_lie_in_the_hours_they_came_in(book: Herdbook, detector: DriftDetector) -> None:
    now = datetime.now(UTC).replace(minute=30)
    hour = int(now.timestamp()) // 3600
    before = now - timedelta(hours=5)

    detector.add_production_sample(0.5, at=before)
    detector.add_production_sample(0.5, at=before.replace(tzinfo=None))
    detector.add_production_samples([0.5] * 3, at=(now - timedelta(hours=3)).timestamp())
    naive = now.replace(tzinfo=None)
    times = np.array([naive - timedelta(hours=h) for h in (5, 2)], "datetime64[ms]")
    detector.add_production_samples([0.5, 0.5], at=times)
    book.drift.flush()

    found = {point.hour: point.values for point in book.drift.history(detector.ref).items}
    assert {at - hour: count for at, count in found.items() if count} == {-5: 3, -3: 3, -2: 1}
    with pytest.raises(Invalid, match="no time"):
        detector.add_production_sample(0.5, at=math.nan)


def test_a_reference_that_spans_days_knows_their_hours(book: Herdbook, model: str) -> None:
    detector = book.drift.detector(model, "v2.1.0")
    rng = random.Random(3)  # noqa: S311 - not a secret
    start = datetime(2026, 1, 10, tzinfo=UTC)
    for at in range(2_400):
        hour = at % 72
        detector.add_reference_sample(
            math.sin(hour / 24 * 2 * math.pi) + rng.gauss(0, 0.1), at=start + timedelta(hours=hour)
        )

    assert len(detector.freeze().references["prediction"].slots) in {4, 6, 8, 12, 24}


def test_answers_that_come_late_are_joined_by_request(
    book: Herdbook, detector: DriftDetector
) -> None:
    for at in range(10):
        detector.add_production_sample(float(at % 2), 0.9, request=f"r{at}")
    detector.add_production_sample(0.5, request="\n")
    book.drift.flush()

    answers = book.drift.label(detector.ref, {f"r{at}": "1" for at in range(20)})

    assert (answers.labels, answers.right) == (10, 5)
    assert detector.report().accuracy == 0.5
    assert values_of(detector)["prediction"] == (11, 0)


def test_the_accuracy_is_estimated_where_it_was_known_of_the_reference(
    book: Herdbook, model: str
) -> None:
    detector = book.drift.detector(model, "v2.1.0")
    right = RNG.random(2_000) < CONFIDENCES
    detector.add_reference_samples(PREDICTIONS, CONFIDENCES, correct=right)

    detector.add_production_samples(PREDICTIONS, CONFIDENCES)

    assert detector.report().expected_accuracy == pytest.approx(0.8, abs=0.03)


def test_arrays_of_other_lengths_are_refused_and_nothing_of_them_kept(
    detector: DriftDetector,
) -> None:
    with pytest.raises(Invalid, match="3 predictions and 2 of confidences"):
        detector.add_production_samples([1.0, 2.0, 3.0], [0.5, 0.5])
    with pytest.raises(Invalid, match="3 predictions and 2 of at"):
        detector.add_production_samples([1.0, 2.0, 3.0], at=[1e9, 1e9])
    with pytest.raises(Invalid, match="3 predictions and 2 of correct"):
        detector.add_reference_samples([1.0, 2.0, 3.0], [1.0] * 3, correct=[True, False])

    assert values_of(detector)["prediction"] == (0, 0)


def test_more_at_once_than_the_journal_holds_are_all_counted(detector: DriftDetector) -> None:
    many = RNG.standard_normal(600_000)

    assert detector.add_production_samples(many) == 600_000

    assert values_of(detector)["prediction"] == (600_000, 0)


def test_a_score_is_a_number_that_travels() -> None:
    score = DriftScore(0.42, Status.ACTIVE, Level.RETRAIN)

    again = pickle.loads(pickle.dumps(score))  # noqa: S301 - written here

    assert (again, again.status, again.level) == (0.42, Status.ACTIVE, Level.RETRAIN)
    assert f"{again:.2f}" == "0.42"


# --- versions that are served ---


def test_what_is_served_counts_for_the_drift_of_its_version(
    book: Herdbook, detector: DriftDetector
) -> None:
    for unit in (None, "user123", "user7"):
        with book.serve(detector.model, unit=unit) as call:
            call.observe(prediction=0.5, confidence=0.9)
    with book.serve(detector.model) as call:
        call.observe(confidence=0.8)
    with book.serve(detector.model) as call:
        call.observe(prediction=0.5)
        call.leave_out()
    with book.serve(detector.model):
        pass

    assert values_of(detector) == {"prediction": (3, 0), "confidence": (4, 0)}


def test_both_arms_of_an_experiment_are_sampled_as_the_versions_they_are(
    book: Herdbook, model: str
) -> None:
    book.models.register(model, "v2.2.0")
    book.experiments.start(f"{model}_test", model, "v2.2.0")
    both = [book.drift.detector(model, number) for number in ("v2.1.0", "v2.2.0")]
    for detector in both:
        detector.add_reference_samples(PREDICTIONS, CONFIDENCES)
        detector.freeze()

    for user in range(100):
        with book.serve(model, unit=f"user{user}") as call:
            call.observe(prediction=0.5, confidence=0.9, tokens=7)

    counted = [values_of(detector)["prediction"][0] for detector in both]
    arms = book.experiments.evaluate(f"{model}_test").arms
    assert sum(counted) == 100
    assert [arm.results for arm in arms] == counted


def test_a_version_that_is_not_watched_is_not_sampled_for_long(book: Herdbook, model: str) -> None:
    def serve_one() -> None:
        with book.serve(model) as call:
            call.observe(prediction=0.5)

    serve_one()
    book.drift.flush()
    journal = book.experiments.recorder._journal
    assert journal is not None
    before = journal.state.tail
    for _ in range(100):
        serve_one()
    book.drift.flush()

    assert journal.state.tail == before


def test_it_is_sampled_again_once_it_is_watched(book: Herdbook, model: str) -> None:
    with book.serve(model) as call:
        call.observe(prediction=0.5)
    book.drift.flush()
    detector = book.drift.detector(model, "v2.1.0")
    detector.add_reference_samples(PREDICTIONS)
    detector.freeze()

    with book.serve(model) as call:
        call.observe(prediction=0.5)

    assert values_of(detector)["prediction"] == (1, 0)


# --- what is done when a version drifts ---


def drift_far(detector: DriftDetector) -> None:
    detector.add_production_samples(PREDICTIONS + 2, CONFIDENCES - 0.4)
    detector.detect_drift()


def wait_for(found: list[Any], *, count: int = 1) -> None:
    until = time.monotonic() + 15
    while len(found) < count and time.monotonic() < until:
        time.sleep(0.05)


def test_a_retraining_is_begun_once_however_many_listen(
    book: Herdbook, detector: DriftDetector, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[Episode] = []

    def train(episode: Episode) -> None:
        called.append(episode)
        raise ValueError("no data")

    with connected("" if book.address.startswith("sqlite") else book.address) as other:
        for each in (book, other, book):
            each.drift.on_retrain(train, model=detector.model)
        drift_far(detector)
        wait_for(called)
        time.sleep(2.5)

    (episode,) = called
    assert (episode.model, episode.number) == (detector.model, "v2.1.0")
    assert episode.claimed_by
    assert f"the retraining of {detector.ref} failed" in caplog.text
    with pytest.raises(Conflict):
        book.drift.claim(episode.id, by="somebody else")
    book.models.register(detector.model, "v2.2.0", parent=detector.ref)
    assert book.drift.retrained(episode.id, "v2.2.0").candidate == "v2.2.0"


def test_what_hinders_the_looking_is_said_once_and_the_recording_goes_on(
    detector: DriftDetector, book: Herdbook, caplog: pytest.LogCaptureFixture
) -> None:
    book.drift.on_retrain(print, model="nobody knows this one")
    until = time.monotonic() + 10
    while "cannot be seen" not in caplog.text and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(2.5)

    assert caplog.text.count("cannot be seen") == 1
    detector.add_production_sample(0.5)
    assert values_of(detector)["prediction"] == (1, 0)


# --- the other verbs ---


def test_references_are_frozen_from_arrays_and_the_rest_is_asked_for(
    book: Herdbook, model: str
) -> None:
    ref = f"{model}:v2.1.0"
    watched = book.drift.watch(ref, {"prediction": PREDICTIONS, "kind": ["a", None, "b"] * 20})

    assert watched.references["kind"].missing == 20
    assert book.drift.references(ref) == watched
    assert [each.number for each in book.drift.list(model).items] == ["v2.1.0"]
    assert book.drift.report(ref).status is Status.INSUFFICIENT
    assert book.drift.history(ref).items == ()
    assert book.drift.episodes(model).items == ()
    assert sum(book.drift.distribution(ref).reference) == 2_000
    assert book.drift.unwatch(ref).fingerprint == watched.fingerprint
    assert book.drift.report(ref).status is Status.NO_REFERENCE


def test_settings_are_given_by_name(book: Herdbook, model: str) -> None:
    book.drift.configure(model, thresholds=(0.2, 0.4, 0.6), mode=Mode.LITERAL)

    found = book.drift.settings(model)

    assert (found.thresholds, found.mode, found.window) == ((0.2, 0.4, 0.6), Mode.LITERAL, 1_000)


async def _asked(address: str, ref: str) -> tuple[Status, int]:
    async with connect_async(address) as book:
        detector = book.detecting.detector(*ref.split(":"))
        detector.add_production_sample(0.5)
        book.detecting.flush()
        found = await book.drift.report(ref)
        return found.status, found.samples


@pytest.mark.parametrize("book", ["server"], indirect=True)
def test_the_async_front_samples_and_asks(book: Herdbook, detector: DriftDetector) -> None:
    import anyio

    assert anyio.run(_asked, book.address, detector.ref) == (Status.INSUFFICIENT, 1)


# --- a process of its own ---

SCRIPT = """
import sys
import herdbook
herdbook.connect().models.register("gnn", "v1")
detector = herdbook.get_drift_detector("gnn", "v1")
assert herdbook.get_drift_detector("gnn", "v1") is detector
for at in range(100):
    detector.add_reference_sample(float(at), 0.5)
for at in range(50):
    detector.add_production_sample(float(at), 0.5)
print(detector.report().samples, *sorted({"numpy", "scipy", "pandas"} & set(sys.modules)))
"""


def test_a_program_with_few_samples_never_imports_numpy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={"HERDBOOK_HOME": str(tmp_path), "PATH": "", "HERDBOOK_ACTOR": "someone"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("50\n", "")


@pytest.fixture
def threads() -> Iterator[list[threading.Thread]]:
    """Threads that are over at the end."""
    found: list[threading.Thread] = []
    yield found
    for thread in found:
        thread.join()


def test_threads_share_a_detector(detector: DriftDetector, threads: list[threading.Thread]) -> None:
    def add() -> None:
        for at in range(500):
            detector.add_production_sample(float(at), 0.5)
        detector.add_production_samples(PREDICTIONS[:500], CONFIDENCES[:500])

    threads += [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert values_of(detector) == {"prediction": (8_000, 0), "confidence": (8_000, 0)}
