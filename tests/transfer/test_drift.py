"""Drift moves with the register: what was counted is not lost, and watching goes on."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import herdbook as hb
from herdbook.core.drift import Episode, Level, Settings, State, StreamState, Watched
from herdbook.core.monitors import Answers
from herdbook.core.refs import VersionRef
from herdbook.core.sampling import Mark, StreamSums
from herdbook.services.drift import fingerprint
from tests.conformance.test_monitors import HOUR, REFERENCES
from tests.registers import NOON
from tests.transfer.registers import furnish, opened
from tests.transfer.test_broken_exports import edited, noticed, refused_whole
from tests.transfer.test_experiments import WAYS, on, urls

__all__ = ["urls"]
KINDS = {
    "drift_settings": 2,
    "episodes": 2,
    "monitors": 3,
    "drift_hours": 5,
    "drift_scores": 2,
    "marks": 3,
}
assert WAYS


def watch_versions(book: hb.Herdbook) -> None:
    """Fill a register with watched versions, also of a deleted one, and all that is of them."""
    furnish(book)
    on(book, _watched)
    on(book, _counted)
    book.versions.delete("majora:v3", reason="drifted")


def _watched(work: Any) -> None:
    # Numbers that were given to nothing: ids of the copy are not those of the original.
    for ref in ("majora:v2", "gnn:1.0.0", "majora:v3", "majora:v2"):
        version = work.versions.get(VersionRef(*ref.split(":")))
        given = Watched(
            model=version.model,
            number=version.number,
            fingerprint=fingerprint(REFERENCES),
            references=REFERENCES,
            frozen_at=NOON,
        )
        work.drift.watch(version, given)
    for model in ("majora", "gnn"):
        work.drift.set_settings(model, Settings(window=500, run_length=1e5))


def _counted(work: Any) -> None:
    found = work.drift.lock("majora", "v2")
    begun = Episode(id="", model="majora", number="v2", began_at=NOON, level=Level.WATCH, peak=0.3)
    ended = work.drift.begin(replace(begun, ended_at=NOON, claimed_by="審査"))
    episode = work.drift.begin(begun)
    assert [ended.id, episode.id] == ["drift-1", "drift-2"]
    streams = {"prediction": StreamState(values=3, logs=(-0.5, 0.1 + 0.2))}
    state = State(streams=streams, score=0.1 + 0.2, alarm=True, episode=episode.id, late=2)
    work.drift.save(replace(found, state=state))
    for hour in (HOUR, HOUR + 1):
        came = [
            StreamSums(stream="prediction", hour=hour, counts={"0": 70_000, "1023": 1}, total=0.1),
            StreamSums(stream="country", hour=hour, counts={"2": 3}, missing=4),
        ]
        work.drift.count(found, came, oldest=0)
        work.drift.score(found, hour, 0.1 + 0.2, oldest=0)
    hidden = work.drift.lock("majora", "v3")
    work.drift.count(hidden, [StreamSums(stream="country", hour=HOUR, missing=1)], oldest=0)
    marks = [Mark(request=f"ä-{at}", prediction="cat", confidence=0.7) for at in range(3)]
    work.drift.mark(found, marks, at=NOON, since=NOON)
    work.drift.answer(found, {"ä-0": "cat", "ä-1": "dog"}, at=NOON)


def test_what_was_exported_and_imported_is_exported_the_same(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        watch_versions(one)
        lines = list(one.export())

        loaded = two.load(lines)

        assert list(two.export()) == lines
        assert KINDS.items() <= loaded.counts.items()
        assert KINDS.items() <= json.loads(lines[-1])["counts"].items()
        assert two.events.verify().ok


def told(work: Any) -> Any:
    """All there is of the version that was counted, but for the id in this database."""
    found = work.drift.get("majora", "v2")
    return (
        replace(found, id=0),
        work.drift.watched(found),
        [work.drift.hours(found, stream, since=0) for stream in found.streams],
        work.drift.scores(found, since=0),
        work.drift.settings("majora"),
        work.drift.episodes(model=None, number=None, size=9, page=None),
        work.drift.answers(found, since=NOON),
    )


def test_watching_goes_on_after_an_import(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        watch_versions(one)
        two.load(one.export())

        assert on(two, told) == on(one, told)
        assert on(two, lambda work: work.drift.get("majora", "v3")) is None
        two.versions.restore("majora:v3")
        assert on(two, lambda work: work.drift.get("majora", "v3")) is not None
        assert on(two, _gone_on) == "drift-3"


def _gone_on(work: Any) -> str:
    """Count, answer and begin an episode where the original left off; give its id."""
    found = work.drift.lock("majora", "v2")
    later = [StreamSums(stream="country", hour=HOUR + 1, counts={"2": 1})]
    work.drift.count(found, later, oldest=HOUR + 1)
    work.drift.score(found, HOUR + 1, 0.0, oldest=HOUR + 1)
    (hour,) = work.drift.hours(found, "country", since=0)
    (scored,) = work.drift.scores(found, since=0)
    assert (hour.counts, hour.missing, scored.checks) == ((0, 0, 4), 4, 2)
    known = [Mark(request="ä-2", prediction="dog")]
    assert work.drift.mark(found, known, at=NOON, since=NOON - timedelta(days=1)) == 0
    assert work.drift.answer(found, {"ä-2": "cat"}, at=NOON) == Answers(labels=1, right=1)
    assert work.drift.answers(found, since=NOON) == Answers(labels=3, right=2)
    assert work.drift.lock_episode(found.state.episode).ended_at is None
    begun: Episode = work.drift.begin(work.drift.episode("drift-1"))
    return begun.id


def test_a_register_without_drift_is_exported_as_it_was(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/one.db") as book:
        furnish(book)

        counts = json.loads(list(book.export())[-1])["counts"]

        assert not counts.keys() & KINDS.keys()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of a good export."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('good')}/own.db") as book:
        watch_versions(book)
        return list(book.export())


def line(kind: str, **said: Any) -> Callable[[list[str]], list[str]]:
    """Say something else in the first line of a kind."""
    return lambda lines: edited(lines, kind, lambda body: body.update(said))


def inside(kind: str, place: str, **said: Any) -> Callable[[list[str]], list[str]]:
    """The same a level deeper."""
    return lambda lines: edited(lines, kind, lambda body: body[place].update(said))


BROKEN: list[tuple[str, Callable[[list[str]], list[str]], str]] = [
    ("settings of an unknown model", line("drift_settings", model="gbert"), "gbert, which no line"),
    ("settings that cannot be", inside("drift_settings", "doc", run_length=1), "run_length"),
    ("settings of another type", inside("drift_settings", "doc", window="x"), "not int"),
    ("an episode of an unknown version", inside("episode", "doc", number="v77"), "majora:v77"),
    ("an episode of no id", inside("episode", "doc", id="drift-x"), "no id of an episode"),
    ("an episode twice", inside("episode", "doc", id="drift-2"), "twice"),
    ("an episode of no time", inside("episode", "doc", began_at="noon"), "not a time"),
    ("a monitor of an unknown version", line("monitor", number="v77"), "v77, which no line"),
    ("a monitor twice", line("monitor", model="majora", number="v2"), "twice"),
    ("another fingerprint", line("monitor", fingerprint="0" * 32), "one of them was changed"),
    ("references that cannot be",
     lambda x: edited(x, "monitor", lambda b: b["references"]["country"].update(count=9)),
     "do not add up"),
    ("references that were changed",
     lambda x: edited(x, "monitor", lambda b: b["references"]["prediction"].update(mean=9.0)),
     "one of them was changed"),
    ("no references", line("monitor", references=None), "Watched"),
    ("no state", line("monitor", state=None), "State"),
    ("an unknown episode", inside("monitor", "state", episode="drift-9"), "drift-9, which no line"),
    ("an episode of another version", inside("monitor", "state", episode="drift-2"), "drift-2"),
    ("streams of no reference", inside("monitor", "state", streams={"x": {}}), "no references of"),
    ("a state beyond any number",
     inside("monitor", "state", streams={"country": {"logs": [10**400]}}), "beyond any"),
    ("a sum beyond any", line("drift_hour", total=10**400), "beyond any"),
    ("squares of nothing", line("drift_hour", squares=-1.0), "beyond any"),
    ("a score of no hour", line("drift_score", hour=1 << 63), "its hour"),
    ("a mark of two lines", line("mark", request="a\nb"), "does not show"),
    ("a mark beyond any number", line("mark", confidence=10**400), "no number"),
    ("an hour of what is not watched", line("drift_hour", number="v1"), "majora:v1, watched"),
    ("an hour of an unknown version", line("drift_hour", number="v77"), "majora:v77, which"),
    ("an hour of an unknown stream", line("drift_hour", stream="x"), "its reference has none"),
    ("other bins", line("drift_hour", counts=[1]), "its reference has 3"),
    ("less than nothing", line("drift_hour", counts=[0, -1, 0]), "-1 is no count"),
    ("more than is kept", line("drift_hour", counts=[0, 1 << 63, 0]), "is no count"),
    ("half a value", line("drift_hour", missing=0.5), "not int"),
    ("an hour twice", line("drift_hour", hour=HOUR + 1, model="majora", number="v2",
                           stream="country", counts=[0, 0, 0]), "twice"),
    ("scores beyond 1", line("drift_score", total=7.0), "no 1 scores"),
    ("scores of nothing", line("drift_score", checks=0), "no 0 scores"),
    ("a mark of an unknown version", line("mark", number="v77"), "majora:v77"),
    ("a mark of nothing", line("mark", request=None), "not str"),
    ("an answer that is no text", line("mark", answer=1), "no text"),
    ("an answer of no time", line("mark", answered_at="noon"), "not a time"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "broken", "match"), BROKEN, ids=[what for what, _, _ in BROKEN])
def test_what_cannot_be_is_refused_by_its_line_and_nothing_is_written(
    tmp_path: Path,
    exported: list[str],
    what: str,  # noqa: ARG001 - names the test
    broken: Callable[[list[str]], list[str]],
    match: str,
) -> None:
    refused_whole(tmp_path, broken(exported), match)


def test_a_line_that_is_missing_is_noticed(tmp_path: Path, exported: list[str]) -> None:
    kinds = ("drift_settings", "episode", "monitor", "drift_hour", "drift_score", "mark")
    noticed(tmp_path, exported, kinds)
