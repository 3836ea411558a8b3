"""What hostile and broken workers tell of drift, and references that are traps, harm nobody."""

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from herdbook.core.drift import CONFIDENCE, PREDICTION, Settings, Status, Watched
from herdbook.core.recording import Delta
from herdbook.core.references import Reference, Slot
from herdbook.core.sampling import Mark, Sampled, StreamSums
from herdbook.core.wire import dumps
from herdbook.errors import HerdbookError, Invalid, NotFound
from herdbook.services import drift, episodes, observing, references, retraining, serving
from tests.drift import REF, Worker, hour, made, normal, sums, sure, watched
from tests.registers import Register

LARGEST = sys.float_info.max
BEYOND = 10**400


@pytest.fixture
def worker(register: Register) -> Worker:
    """A worker that serves a watched version."""
    return Worker(register, watched(register))


def of(register: Register, **changed: object) -> StreamSums:
    """Forty values of a stream, changed."""
    found = StreamSums(stream=CONFIDENCE, hour=hour(register), counts={"5": 40}, squares=1.0)
    return replace(found, **changed)  # type: ignore[arg-type]


def read_all(register: Register, ref: str = REF) -> None:
    """Everything that is said of a version can be said, as JSON."""
    for verb in (drift.report, drift.history, drift.standing, drift.references):
        dumps(register.read(verb, ref))
    register.read(observing.observed)


# --- what a worker may tell ---


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"total": -LARGEST, "squares": LARGEST}, "beyond any"),
        ({"total": BEYOND}, "beyond any"),
        ({"squares": BEYOND}, "beyond any"),
        ({"total": float("nan")}, "beyond any"),
        ({"counts": {}, "missing": 40, "total": 1.0}, "beyond any"),
        ({"total": -30.0, "squares": 1.0}, "sum of squares"),
        # They add up, but every one of them would count as nearer.
        ({"total": -40e12, "squares": 40e24}, "further off"),
        ({"counts": {"5": 1 << 41}}, "counts"),
    ],
)
def test_sums_that_no_values_have_are_refused_and_weigh_on_nothing(
    worker: Worker, changed: dict[str, object], why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        worker.say(worker.sampled(of(worker.register, **changed)))

    for turn in range(3):
        worker.tell(normal(400, seed=turn), sure(400, seed=turn))
    said = worker.register.read(drift.report, REF)
    assert said.current_drift_score is not None
    assert said.current_drift_score < 0.1
    assert said.samples == 1_200


def test_equal_values_however_small_or_large_can_be_summed(register: Register) -> None:
    for number, value in enumerate((5e-324, 1e-162, 0.1, 1e8)):
        of_one = references.numeric([0.0, 1.0] * 50)
        worker = Worker(
            register, watched(register, f"gnn:v{number}", prediction=of_one), f"w{number}"
        )

        worker.tell([value] * 1_000)

        assert register.read(drift.report, f"gnn:v{number}").samples == 1_000


@pytest.mark.parametrize("wrong", [-5, 1.5, BEYOND])
def test_values_left_out_are_told_as_counts(worker: Worker, wrong: int) -> None:
    with pytest.raises(Invalid, match="unbinned"):
        worker.say(replace(worker.sampled(), unbinned={"length": wrong}))

    read_all(worker.register)
    assert worker.register.read(drift.report, REF).late == 0


def test_a_confidence_beyond_any_float_is_refused(worker: Worker) -> None:
    mark = Mark(request="r1", prediction="spam", confidence=BEYOND)

    with pytest.raises(Invalid, match="confidence"):
        worker.say(worker.sampled(marks=(mark,)))


def test_counts_stop_where_the_database_does_and_counting_goes_on(worker: Worker) -> None:
    register = worker.register
    most = 1 << 40
    many = of(register, counts={"5": most}, missing=most)
    monitor = register.read(lambda work: work.drift.get("gnn", "v2.1.0"))
    huge = replace(many, counts={"5": (1 << 63) - 5}, missing=(1 << 63) - 5, squares=0.0)
    register.write(lambda work: work.drift.count(monitor, [huge], oldest=0))

    worker.say(worker.sampled(many))
    worker.tell(normal(40), sure(40))

    said = register.read(drift.distribution, REF, stream=CONFIDENCE)
    assert said.current[5] == (1 << 63) - 1
    read_all(register)


# --- references that are traps ---


def trap(**changed: object) -> Reference:
    """A reference of a hundred values, changed."""
    found = Reference(count=100, edges=(0.0, 1.0), counts=(0, 100, 0), high=1.0, sd=0.3, mean=0.5)
    return replace(found, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        trap(count=1 << 60, counts=(0, 1 << 60, 0)),
        trap(missing=BEYOND),
        trap(missing=-1),
        trap(mean=BEYOND),
        trap(edges=(0.0, BEYOND)),
        trap(
            slots=(
                Slot(edges=(0.0,), counts=(50, 50), mean=LARGEST),
                Slot(edges=(0.0,), counts=(50, 50), mean=-LARGEST),
            )
        ),
    ],
)
def test_references_that_nothing_can_be_computed_of_are_refused(
    register: Register, wrong: Reference
) -> None:
    register.add(REF)

    with pytest.raises(Invalid):
        register.write(drift.watch, REF, references={PREDICTION: wrong})


def watching(register: Register, stream: str, given: Reference) -> Watched:
    """Watch one stream of a version."""
    register.add(REF)
    return register.write(drift.watch, REF, references={stream: given})


@pytest.mark.parametrize(
    "odd",
    [
        trap(edges=(-LARGEST, LARGEST), low=-LARGEST, high=LARGEST, sd=LARGEST),
        trap(edges=(LARGEST / 2, LARGEST), counts=(0, 50, 50), low=LARGEST / 2, high=LARGEST),
        trap(edges=(0.0, 1e300), high=1e300, sd=5e-324),
        trap(mean=LARGEST, high=LARGEST),
        trap(low=5.0, high=-5.0),
        trap(tau=100.0),
    ],
)
@pytest.mark.parametrize("stream", [PREDICTION, "length"])
def test_references_of_very_large_values_can_be_reported_on(
    register: Register, odd: Reference, stream: str
) -> None:
    given = replace(odd, accuracy=(0.5,) * 10)
    worker = Worker(register, watching(register, stream, given))

    for at in ("0", "1", "2"):
        worker.say(worker.sampled(of(register, stream=stream, counts={at: 50}, squares=50.0)))

    read_all(register)
    score = register.read(drift.report, REF).current_drift_score
    assert score is not None
    assert 0 <= score <= 1


@pytest.mark.parametrize("odd", [trap(low=-1.0), trap(high=LARGEST), trap(low=5.0, high=-5.0)])
def test_confidences_outside_of_0_to_1_are_no_reference(register: Register, odd: Reference) -> None:
    with pytest.raises(Invalid, match="a confidence is 0 to 1"):
        watching(register, CONFIDENCE, odd)


def test_no_more_detectors_are_remembered_than_there_is_room_for(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = episodes._Known()
    monkeypatch.setattr(episodes, "_known", known)
    monkeypatch.setattr(episodes, "_REMEMBERED_BINS", 500)

    for number in range(5):
        made_of = references.numeric(normal(2_000, seed=number))
        worker = Worker(
            register, watched(register, f"gnn:v{number}", prediction=made_of), f"w{number}"
        )
        worker.tell(normal(40))
        worker.tell(normal(40))

    assert len(known._held) in {1, 2}
    assert known._bins == sum(map(episodes._bins, known._held.values()))


# --- alarms that were silently off, episodes that never ended ---


def test_a_window_as_narrow_as_what_is_needed_still_looks_at_mean_and_confidence(
    worker: Worker,
) -> None:
    worker.register.write(drift.configure, "gnn", settings=Settings(window=100, least=100))

    for turn in range(20):
        worker.tell(normal(40, mean=2, seed=turn), sure(40, drop=0.4, seed=turn))

    parts = worker.register.read(drift.report, REF).components
    assert parts is not None
    assert parts.performance > 0.5
    assert parts.distribution > 0.5


@pytest.mark.parametrize("how", ["replaced", "unwatched"])
def test_an_episode_ends_with_the_references_it_was_seen_by(worker: Worker, how: str) -> None:
    register = worker.register
    for _ in range(5):
        worker.tell(normal(40, mean=3), sure(40))

    if how == "replaced":
        register.write(drift.watch, REF, references=made(1_000), replace=True)
    else:
        register.write(drift.unwatch, REF)

    (episode,) = register.read(retraining.episodes).items
    assert episode.ended_at is not None
    said = register.read(drift.report, REF)
    assert said.status in {Status.INSUFFICIENT, Status.NO_REFERENCE}
    assert said.episode == ""


# --- several at once ---


def at_once(*jobs: Callable[[], None]) -> list[HerdbookError]:
    """Run jobs in threads; gives what they ended with."""
    found: list[HerdbookError] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except HerdbookError as problem:
            found.append(problem)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_versions_whose_numbers_are_spelt_otherwise_do_not_lock_each_other_out(
    register: Register,
) -> None:
    one = watched(register, "gnn:v1.2")
    watched(register, "gnn:v1.9")
    told = sums(PREDICTION, one.references[PREDICTION], normal(10), at=hour(register))

    def tell(name: str, numbers: Sequence[str]) -> None:
        sampled = tuple(
            Sampled(model="gnn", number=each, fingerprint=one.fingerprint, streams=(told,))
            for each in numbers
        )
        for sequence in range(1, 41):
            delta = Delta(worker=name, sequence=sequence, recorded=(), sampled=sampled)
            register.write(serving.fold, delta=delta)

    wrong = at_once(lambda: tell("a", ("1.9", "v1.2")), lambda: tell("b", ("1.2", "1.9")))

    assert wrong == []
    assert register.read(drift.report, "gnn:v1.2").samples == 800


def test_what_is_told_while_references_are_replaced_counts_in_one_of_them_or_is_stale(
    register: Register,
) -> None:
    first = watched(register)
    stale: list[int] = []

    def tell(name: str) -> None:
        worker = Worker(register, first, name)
        for turn in range(15):
            told = worker.tell(normal(40, mean=3, seed=turn))
            stale.append(told.stale.get(REF, 0))

    def change() -> None:
        for turn in range(8):
            if turn % 3 == 2:
                register.write(drift.unwatch, REF)
            given = made() if turn % 2 else made(1_000)
            register.write(drift.watch, REF, references=given, replace=True)

    wrong = at_once(lambda: tell("a"), lambda: tell("b"), change)

    assert wrong == []
    read_all(register)
    found = register.read(retraining.episodes, page_size=50).items
    open_ones = [each.id for each in found if each.ended_at is None]
    said = register.read(drift.report, REF)
    assert open_ones == ([said.episode] if said.episode else [])
    assert said.samples + sum(stale) <= 1_200


def test_of_all_that_is_of_drift_whoever_may_read_one_model_sees_that_one(worker: Worker) -> None:
    register = worker.register
    for _ in range(5):
        worker.tell(normal(40, mean=3), sure(40), marks=(Mark(request="r", prediction="a"),))
    register.add("majora:v1")
    other = register.seen_by("deployer:majora")
    (episode,) = register.read(retraining.episodes).items

    assert other.read(drift.page).items == ()
    assert other.read(retraining.episodes).items == ()
    for attempt in (
        lambda: other.read(drift.distribution, REF),
        lambda: other.read(drift.references, REF),
        lambda: other.read(drift.settings, "gnn"),
        lambda: other.read(retraining.episodes, model="gnn"),
        lambda: other.read(observing.observed),
        lambda: other.write(drift.label, REF, labels={"r": "a"}),
        lambda: other.write(retraining.claim, episode.id, force=True),
        lambda: register.seen_by("viewer").write(retraining.claim, episode.id),
    ):
        with pytest.raises((NotFound, HerdbookError)):
            attempt()
    assert register.read(retraining.episodes).items == (episode,)
    told = Worker(other, worker.of, "theirs").tell(normal(40, mean=-3))
    assert told.stale == {REF: 40}
