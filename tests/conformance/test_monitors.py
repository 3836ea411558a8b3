"""What every database promises of watched versions, what was counted of them, and episodes."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select

from herdbook.core.drift import (
    Episode,
    Level,
    Mode,
    Recent,
    Settings,
    State,
    StreamState,
    Watched,
)
from herdbook.core.models import Status
from herdbook.core.monitors import Answers, Monitor, Scored
from herdbook.core.references import Kind, Reference, Slot
from herdbook.core.sampling import HOURS, Hour, Mark, StreamSums
from herdbook.errors import Invalid, NotFound
from herdbook.services import models, versions
from herdbook.services.drift import fingerprint
from herdbook.storage.sql.drift_tables import drift_hours
from herdbook.storage.sql.work import writing
from tests.registers import NOON, Register

AT_ONCE = 8
HOUR = 491_000
WIDE = Reference(
    count=1_024,
    missing=1,
    edges=tuple(n / 1_023 for n in range(1_023)),
    counts=(1,) * 1_024,
    mean=0.1 + 0.2,
    sd=0.3,
    high=1.0,
    tau=1.5,
    slots=(Slot(edges=(0.5,), counts=(1, 2), mean=0.4),) * 24,
    accuracy=(0.5,) * 10,
)
PLAIN = Reference(kind=Kind.CATEGORICAL, count=3, categories=("de", "übrige"), counts=(1, 1, 1))
REFERENCES = {"prediction": WIDE, "country": PLAIN}


def references(register: Register, ref: str = "gnn:v1", **streams: Reference) -> Watched:
    """References of a version as they are frozen."""
    model, number = ref.split(":")
    said = streams or REFERENCES
    return Watched(
        model=model,
        number=number,
        fingerprint=fingerprint(said),
        references=said,
        frozen_at=register.clock(),
    )


def asked(register: Register, name: str, *args: Any, **kwargs: Any) -> Any:
    """Ask the port, in a transaction of its own that is kept."""
    return register.write(lambda work: getattr(work.drift, name)(*args, **kwargs))


def watch(register: Register, ref: str = "gnn:v1", **streams: Reference) -> Monitor:
    """Watch a version that is registered."""
    found = register.read(versions.get, ref)
    made: Monitor = asked(register, "watch", found, references(register, ref, **streams))
    return made


@pytest.fixture
def monitor(register: Register) -> Monitor:
    """The one of gnn v1, which is watched."""
    register.add("gnn:v1")
    return watch(register)


def sums(stream: str = "prediction", hour: int = HOUR, **said: Any) -> StreamSums:
    """What came of one stream in one hour."""
    return StreamSums(stream=stream, hour=hour, **({"counts": {"0": 1}} | said))


def count(register: Register, monitor: Monitor, *came: StreamSums, oldest: int = 0) -> None:
    """Add to hours."""
    asked(register, "count", monitor, came, oldest=oldest)


def held(register: Register, monitor: Monitor, stream: str = "prediction") -> dict[int, int]:
    """How many values each hour of a stream has."""
    found = asked(register, "hours", monitor, stream, since=0)
    return {each.hour: each.values for each in found}


def episode(ref: str = "gnn:v1", **said: Any) -> Episode:
    """An episode that just began."""
    model, number = ref.split(":")
    given: dict[str, Any] = {"id": "", "began_at": NOON, "level": Level.RETRAIN, "peak": 0.4}
    return Episode(**{"model": model, "number": number} | given | said)


STATE = State(
    streams={
        "prediction": StreamState(
            values=7,
            missing=2,
            logs=(-1.5, 0.1 + 0.2),
            recent=Recent(weight=3.5, total=-0.25, squares=1.0, offs=0.5),
        )
    },
    score=0.25,
    level=Level.WATCH,
    alarm=True,
    episode="drift-1",
    retrained_at=NOON,
    late=3,
)


# --- watched versions ---


def test_a_watched_version_is_given_as_it_was_frozen(register: Register) -> None:
    register.add("gnn:v1")
    given = references(register)

    made = asked(register, "watch", register.read(versions.get, "gnn:v1"), given)

    assert (made.model, made.number, made.fingerprint) == ("gnn", "v1", given.fingerprint)
    assert (made.frozen_at, set(made.streams)) == (given.frozen_at, set(REFERENCES))
    assert made.state == State()
    assert asked(register, "get", "gnn", "v1") == asked(register, "lock", "gnn", "v1") == made
    assert asked(register, "watched", made) == given


def test_a_version_is_found_by_the_value_of_its_number(
    register: Register, monitor: Monitor
) -> None:
    assert asked(register, "get", "gnn", "1.0.0") == monitor


@pytest.mark.usefixtures("monitor")
def test_what_is_not_watched_is_none(register: Register) -> None:
    register.add("gnn:v2")

    for model, number in (("gnn", "v2"), ("gnn", "v9"), ("oracle", "v1"), ("gnn", "no number")):
        assert asked(register, "get", model, number) is None
        assert asked(register, "lock", model, number) is None


def test_the_state_is_written_over_what_was_and_nothing_else_is(
    register: Register, monitor: Monitor
) -> None:
    asked(register, "save", replace(monitor, state=State(late=9)))
    asked(register, "save", replace(monitor, state=STATE))

    assert asked(register, "get", "gnn", "v1") == replace(monitor, state=STATE)
    assert asked(register, "watched", monitor).references == REFERENCES


def test_references_are_not_written_again_with_the_state(
    register: Register, monitor: Monitor
) -> None:
    with statements(register) as told:
        asked(register, "save", replace(monitor, state=STATE))

    assert [text for text in told if "drift_references" in text] == []
    assert sum(text.startswith("UPDATE monitors SET state=") for text in told) == 1


@contextmanager
def statements(register: Register) -> Iterator[list[str]]:
    """The statements that are run meanwhile."""
    told: list[str] = []

    def note(*said: Any) -> None:
        told.append(said[2])

    event.listen(register.database.engine, "before_cursor_execute", note)
    yield told
    event.remove(register.database.engine, "before_cursor_execute", note)


def test_other_references_take_away_what_was_counted_by_the_old_ones(
    register: Register, monitor: Monitor
) -> None:
    count(register, monitor, sums())
    asked(register, "score", monitor, HOUR, 0.5, oldest=0)
    asked(register, "save", replace(monitor, state=STATE))
    asked(register, "mark", monitor, [Mark(request="r", prediction="x")], at=NOON, since=NOON)

    again = watch(register, prediction=PLAIN)

    assert asked(register, "get", "gnn", "v1") == again
    assert (again.streams, again.state) == (("prediction",), State())
    assert asked(register, "watched", again).references == {"prediction": PLAIN}
    for each in (again, monitor):
        assert held(register, each) == {}
        assert asked(register, "scores", each, since=0) == []
    assert [register.count(table) for table in ("monitors", "drift_references")] == [1, 1]
    # What was predicted for requests is compared with no reference.
    assert asked(register, "answer", again, {"r": "x"}, at=NOON) == Answers(labels=1, right=1)


def test_what_is_watched_no_more_leaves_its_episodes_alone(
    register: Register, monitor: Monitor
) -> None:
    made = asked(register, "begin", episode())
    count(register, monitor, sums())
    asked(register, "score", monitor, HOUR, 0.5, oldest=0)
    asked(register, "mark", monitor, [Mark(request="r", prediction="x")], at=NOON, since=NOON)

    asked(register, "forget", monitor)

    assert asked(register, "get", "gnn", "v1") is None
    assert asked(register, "episode", made.id) == made
    for table in ("hours", "scores", "references", "marks"):
        assert register.count(f"drift_{table}") == 0
    with pytest.raises(NotFound, match="gnn:v1 is no longer watched"):
        asked(register, "watched", monitor)
    asked(register, "forget", monitor)
    assert asked(register, "answer", monitor, {"r": "x"}, at=NOON) == Answers()
    again = watch(register)
    assert held(register, again) == {}


def test_those_of_deleted_versions_and_models_are_hidden_until_they_are_restored(
    register: Register, monitor: Monitor
) -> None:
    count(register, monitor, sums())

    def shown() -> list[Any]:
        return [
            asked(register, "get", "gnn", "v1"),
            asked(register, "lock", "gnn", "v1"),
            *asked(register, "page", model=None, size=9, page=None).items,
            *asked(register, "every", limit=9),
        ]

    register.write(versions.delete, "gnn:v1")
    assert shown() == [None, None]
    register.write(versions.restore, "gnn:v1")
    assert shown() == [monitor] * 4
    register.write(models.delete, "gnn")
    assert shown() == [None, None]
    register.write(models.restore, "gnn")
    assert shown() == [monitor] * 4
    assert held(register, monitor) == {HOUR: 1}


def test_pages_are_newest_first_and_narrowed_by_model(register: Register) -> None:
    for ref in ("gnn:v1", "oracle:v1", "gnn:v2"):
        register.add(ref)
        watch(register, ref)

    def found(**how: Any) -> Any:
        page = asked(register, "page", **{"model": None, "size": 9, "page": None} | how)
        return [f"{each.model}:{each.number}" for each in page.items], page.next

    assert found() == (["gnn:v2", "oracle:v1", "gnn:v1"], None)
    assert found(model="gnn") == (["gnn:v2", "gnn:v1"], None)
    assert found(model="majora") == ([], None)
    first, token = found(size=2)
    assert first == ["gnn:v2", "oracle:v1"]
    assert found(size=2, page=token) == (["gnn:v1"], None)
    with pytest.raises(Invalid, match="page"):
        found(model="gnn", page=token)
    # Watched anew is watched last.
    watch(register, "gnn:v1", prediction=PLAIN)
    every = asked(register, "every", limit=2)
    assert [(each.model, each.number) for each in every] == [("gnn", "v1"), ("gnn", "v2")]


def test_who_may_not_see_a_model_sees_nothing_of_its_drift(register: Register) -> None:
    for ref in ("gnn:v1", "oracle:v1"):
        register.add(ref)
        watch(register, ref)
        asked(register, "begin", episode(ref))
        asked(register, "set_settings", ref.split(":")[0], Settings(window=99))
    stranger = register.seen_by("contributor:oracle")

    for name in ("get", "lock"):
        assert asked(stranger, name, "gnn", "v1") is None
        assert asked(stranger, name, "oracle", "v1") is not None
    monitors = asked(stranger, "page", model=None, size=9, page=None).items
    episodes = asked(stranger, "episodes", model=None, number=None, size=9, page=None).items
    every = asked(stranger, "every", limit=9)
    for found in (monitors, episodes, every):
        assert [each.model for each in found] == ["oracle"]
    assert asked(stranger, "page", model="gnn", size=9, page=None).items == ()
    for name in ("episode", "lock_episode"):
        with pytest.raises(NotFound, match="there is no episode 'drift-1'"):
            asked(stranger, name, "drift-1")
    assert asked(stranger, "settings", "gnn") is None
    assert asked(register.seen_by(), "every", limit=9) == []


def test_how_a_version_stands_is_its_state_in_short(register: Register, monitor: Monitor) -> None:
    asked(register, "save", replace(monitor, state=STATE))
    viewer, stranger = register.seen_by("viewer:gnn"), register.seen_by("viewer:oracle")

    short = [asked(who, "standing", "gnn", "1.0.0") for who in (register, viewer)]

    assert [(one.score, one.level, one.alarm) for one in short] == [(0.25, Level.WATCH, True)] * 2
    assert short[0] == short[1]
    assert asked(stranger, "standing", "gnn", "v1") is None
    assert asked(register, "standing", "gnn", "v2") is None
    register.write(versions.delete, "gnn:v1")
    assert asked(register, "standing", "gnn", "v1") is None


def test_all_that_are_watched_are_counted_but_for_deleted_and_archived_ones(
    register: Register,
) -> None:
    for ref in ("gnn:v1", "gnn:v2", "gnn:v3", "oracle:v1"):
        register.add(ref)
        watch(register, ref)
    register.write(versions.delete, "gnn:v1")
    register.write(versions.set_status, "gnn:v2", status=Status.ARCHIVED)

    every = asked(register, "every", limit=9)

    assert [f"{each.model}:{each.number}" for each in every] == ["oracle:v1", "gnn:v3"]
    assert asked(register, "total") == 2
    assert asked(register.seen_by("viewer:gnn"), "total") == 1
    assert len(asked(register, "page", model=None, size=9, page=None).items) == 3


# --- settings ---


def test_how_a_models_drift_is_judged_is_what_was_said_last(register: Register) -> None:
    register.add("gnn:v1")
    assert asked(register, "settings", "gnn") is None
    assert asked(register, "settings", "nothing") is None
    said = Settings(weights=(0.5, 0.25, 0.25), run_length=1e5, mode=Mode.LITERAL)

    asked(register, "set_settings", "gnn", Settings())
    asked(register, "set_settings", "gnn", said)

    assert asked(register, "settings", "gnn") == said
    with pytest.raises(NotFound):
        asked(register, "set_settings", "nothing", said)


# --- what was counted ---


def test_what_is_counted_is_added_by_stream_and_hour(register: Register, monitor: Monitor) -> None:
    count(
        register,
        monitor,
        sums(counts={"0": 2, "1023": 300}, missing=1, total=0.5, squares=0.25),
        sums(hour=HOUR + 1),
        sums("country", counts={"2": 1}),
    )
    count(register, monitor, sums(counts={"0": 254, "7": 1}, total=-1.0, squares=1.0))

    first, second = asked(register, "hours", monitor, "prediction", since=0)
    (country,) = asked(register, "hours", monitor, "country", since=0)
    assert first == Hour(
        hour=HOUR,
        counts=(256, *[0] * 6, 1, *[0] * 1_015, 300),
        missing=1,
        total=-0.5,
        squares=1.25,
    )
    assert (second.hour, second.values) == (HOUR + 1, 1)
    assert country == Hour(hour=HOUR, counts=(0, 0, 1))


def test_hours_are_given_from_one_on_oldest_first(register: Register, monitor: Monitor) -> None:
    for hour in (HOUR + 2, HOUR, HOUR + 1):
        count(register, monitor, sums(hour=hour))

    found = asked(register, "hours", monitor, "prediction", since=HOUR + 1)

    assert [each.hour for each in found] == [HOUR + 1, HOUR + 2]
    assert asked(register, "hours", monitor, "another", since=0) == []


def test_hours_nothing_came_in_are_left_out_and_those_where_all_was_missing_are_not(
    register: Register, monitor: Monitor
) -> None:
    count(register, monitor, sums(counts={}), sums(hour=HOUR + 1, counts={}, missing=4))

    (found,) = asked(register, "hours", monitor, "prediction", since=0)

    assert (found.hour, found.values, found.missing) == (HOUR + 1, 0, 4)


def test_counts_may_be_as_large_as_they_come(register: Register, monitor: Monitor) -> None:
    for _ in range(4):
        count(register, monitor, sums(counts={"1": 1 << 40, "2": 200}))

    (found,) = asked(register, "hours", monitor, "prediction", since=0)

    assert found.counts[:4] == (0, 1 << 42, 800, 0)


def test_sums_of_huge_values_stay_finite(register: Register, monitor: Monitor) -> None:
    for total in (-1.7e308, -1.7e308):
        count(register, monitor, sums(total=total, squares=1.7e308))

    (found,) = asked(register, "hours", monitor, "prediction", since=0)

    assert (found.total, found.squares) == (-1.7976931348623157e308, 1.7976931348623157e308)


def test_what_the_references_have_no_bin_for_is_refused_whole(
    register: Register, monitor: Monitor
) -> None:
    for wrong in (sums("another"), sums(counts={"1024": 1})):
        with pytest.raises(Invalid, match="no bin"):
            count(register, monitor, sums(), wrong)

    assert held(register, monitor) == {}


def test_hours_before_the_oldest_are_removed_and_not_added_to(
    register: Register, monitor: Monitor
) -> None:
    for at in range(3):
        count(register, monitor, sums(hour=HOUR + at), sums("country", hour=HOUR + at))

    count(register, monitor, sums(hour=HOUR), sums(hour=HOUR + 2), oldest=HOUR + 1)

    assert held(register, monitor) == {HOUR + 1: 1, HOUR + 2: 2}
    assert held(register, monitor, "country") == {HOUR + 1: 1, HOUR + 2: 1}
    # Also when nothing comes, and after a clock was set back and forth.
    count(register, monitor, oldest=HOUR + 2)
    assert held(register, monitor) == {HOUR + 2: 2}
    count(register, monitor, sums(hour=HOUR - 5), oldest=HOUR - 9)
    assert held(register, monitor) == {HOUR - 5: 1, HOUR + 2: 2}
    count(register, monitor, sums(hour=HOUR + 3), oldest=HOUR + 2)
    assert held(register, monitor) == {HOUR + 2: 2, HOUR + 3: 1}


def test_only_when_something_can_be_so_old_is_it_looked_for(
    register: Register, monitor: Monitor
) -> None:
    count(register, monitor, sums(), oldest=HOUR)
    asked(register, "score", monitor, HOUR, 0.5, oldest=HOUR)

    with statements(register) as told:
        count(register, monitor, sums(), oldest=HOUR)
        asked(register, "score", monitor, HOUR, 0.5, oldest=HOUR)
    assert [text for text in told if text.startswith("DELETE")] == []

    with statements(register) as told:
        count(register, monitor, sums(hour=HOUR + 1), oldest=HOUR + 1)
    assert sum(text.startswith("DELETE") for text in told) == 1


def test_a_week_of_a_stream_takes_less_than_one_and_a_half_megabytes(
    register: Register, monitor: Monitor
) -> None:
    # 100 million samples, and more in each bin than two bytes hold.
    counts = {str(at): 70_000 for at in range(1_024)}
    week = [sums(hour=HOUR + at, counts=counts) for at in range(HOURS)]

    count(register, monitor, *week)

    assert sum(held(register, monitor).values()) > 100_000_000
    with register.database.reading() as connection:
        taken = connection.execute(select(func.sum(func.length(drift_hours.c.counts)))).scalar_one()
    assert taken < 1_500_000


def test_scores_are_added_by_hour(register: Register, monitor: Monitor) -> None:
    for hour, score in ((HOUR + 1, 0.25), (HOUR, 0.5), (HOUR, 0.0)):
        asked(register, "score", monitor, hour, score, oldest=0)

    found = asked(register, "scores", monitor, since=0)

    assert found == [
        Scored(hour=HOUR, total=0.5, checks=2),
        Scored(hour=HOUR + 1, total=0.25, checks=1),
    ]
    assert asked(register, "scores", monitor, since=HOUR + 1) == found[1:]


def test_scores_before_the_oldest_are_removed_and_not_added_to(
    register: Register, monitor: Monitor
) -> None:
    for hour in (HOUR, HOUR + 1, HOUR + 2):
        asked(register, "score", monitor, hour, 0.5, oldest=0)

    asked(register, "score", monitor, HOUR, 0.5, oldest=HOUR + 1)
    assert [each.hour for each in asked(register, "scores", monitor, since=0)] == [
        HOUR + 1,
        HOUR + 2,
    ]
    asked(register, "score", monitor, HOUR + 2, 0.5, oldest=HOUR + 2)
    assert asked(register, "scores", monitor, since=0) == [
        Scored(hour=HOUR + 2, total=1.0, checks=2)
    ]


# --- together ---


def folded(register: Register, *, locked: bool, times: int) -> None:
    """Count and save from several threads at once, as workers do that serve one version."""
    ready = threading.Barrier(AT_ONCE)

    def fold(work: Any) -> None:
        find = work.drift.lock if locked else work.drift.get
        found = find("gnn", "v1")
        work.drift.count(found, [sums("country"), sums()], oldest=HOUR)
        work.drift.save(replace(found, state=State(late=found.state.late + 1)))

    def serve(_: int) -> None:
        ready.wait(20)
        for _ in range(times):
            register.write(fold)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(serve, range(AT_ONCE)))


def test_who_locks_a_watched_version_loses_nothing_to_others(
    register: Register, monitor: Monitor
) -> None:
    folded(register, locked=True, times=10)

    assert held(register, monitor) == held(register, monitor, "country") == {HOUR: 80}
    assert asked(register, "get", "gnn", "v1").state.late == 80


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_without_the_lock_counts_and_state_would_be_lost(
    register: Register, monitor: Monitor
) -> None:
    """The negative control: what the test above would find."""
    folded(register, locked=False, times=10)

    assert held(register, monitor)[HOUR] < 80
    assert asked(register, "get", "gnn", "v1").state.late < 80


def waits(register: Register, begun: Callable[[Any], object], then: Callable[[Any], Any]) -> Any:
    """Begin a work, see that another one waits for its end, and give what that one gave."""
    with ThreadPoolExecutor(1) as pool:
        with writing(register.database, register.by, clock=register.clock) as work:
            begun(work)
            waiting = pool.submit(register.write, then)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        return waiting.result(timeout=20)


@pytest.mark.usefixtures("monitor")
def test_who_locks_a_watched_version_keeps_others_waiting(register: Register) -> None:
    def saved(work: Any) -> None:
        found = work.drift.lock("gnn", "v1")
        work.drift.save(replace(found, state=State(late=5)))

    found = waits(register, saved, lambda work: work.drift.lock("gnn", "v1"))

    assert found.state.late == 5


def test_who_waited_while_others_were_frozen_is_given_those(
    register: Register, monitor: Monitor
) -> None:
    version = register.read(versions.get, "gnn:v1")
    given = references(register, prediction=PLAIN)

    found = waits(
        register,
        lambda work: work.drift.watch(version, given),
        lambda work: work.drift.lock("gnn", "v1"),
    )

    assert found.fingerprint == given.fingerprint
    assert found.id != monitor.id


@pytest.mark.usefixtures("monitor")
def test_what_is_frozen_anew_waits_for_who_counts(register: Register) -> None:
    version = register.read(versions.get, "gnn:v1")
    given = references(register, prediction=PLAIN)

    def counted(work: Any) -> None:
        work.drift.count(work.drift.lock("gnn", "v1"), [sums()], oldest=0)

    again = waits(register, counted, lambda work: work.drift.watch(version, given))

    assert held(register, again) == {}
    assert register.count("drift_hours") == 0


def test_of_works_that_watch_a_version_at_once_the_last_one_counts(register: Register) -> None:
    register.add("gnn:v1")
    ready = threading.Barrier(AT_ONCE)

    def begin(at: int) -> Monitor:
        ready.wait(20)
        version = register.read(versions.get, "gnn:v1")
        streams: dict[str, Any] = {f"feature {at}": PLAIN}
        given = references(register, **streams)
        made: Monitor = asked(register, "watch", version, given)
        return made

    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = list(pool.map(begin, range(AT_ONCE)))

    assert asked(register, "get", "gnn", "v1") == max(made, key=lambda each: each.id)
    assert [register.count(table) for table in ("monitors", "drift_references")] == [1, 1]


def test_works_that_mark_answer_and_remove_the_same_requests_never_wait_for_each_other(
    register: Register, monitor: Monitor
) -> None:
    names = [f"r{at}" for at in range(40)]
    ready = threading.Barrier(AT_ONCE)

    def act(at: int) -> None:
        order = names[at:] + names[:at]
        marks = [Mark(request=name, prediction="x") for name in order]
        since = NOON + timedelta(seconds=at % 3)
        ready.wait(20)
        for _ in range(4):
            asked(register, "mark", monitor, marks, at=NOON + timedelta(seconds=1), since=since)
            asked(register, "answer", monitor, dict.fromkeys(reversed(order), "x"), at=NOON)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(act, range(AT_ONCE)))

    assert asked(register, "answers", monitor, since=NOON).labels in {0, 40}


def test_what_is_taken_back_was_not_counted(register: Register, monitor: Monitor) -> None:
    with register.tried() as work:
        work.drift.count(work.drift.lock("gnn", "v1"), [sums()], oldest=0)
        assert work.drift.hours(monitor, "prediction", since=0) != []

    assert held(register, monitor) == {}
    count(register, monitor, sums())
    assert held(register, monitor) == {HOUR: 1}


# --- episodes ---


def test_an_episode_is_given_an_id_and_kept(register: Register) -> None:
    register.add("gnn:v1")

    made = [asked(register, "begin", episode(streams=("prediction",))) for _ in range(2)]

    assert [each.id for each in made] == ["drift-1", "drift-2"]
    assert made[0] == episode(id="drift-1", streams=("prediction",))
    for each in made:
        assert asked(register, "episode", each.id) == asked(register, "lock_episode", each.id)
        assert asked(register, "episode", each.id) == each


def test_there_is_no_episode_by_another_id(register: Register) -> None:
    register.add("gnn:v1")
    asked(register, "begin", episode())

    others = ("", "drift-", "drift-2", "drift-01", "1", "drift-1 ", "drift-٣", "drift-" + "9" * 19)
    for key in others:
        for name in ("episode", "lock_episode"):
            with pytest.raises(NotFound, match="drift episodes"):
                asked(register, name, key)


def test_an_episode_is_written_over_what_was(register: Register) -> None:
    register.add("gnn:v1")
    first, other = asked(register, "begin", episode()), asked(register, "begin", episode())
    ended = replace(first, ended_at=NOON, retrain_at=NOON, claimed_by="job", candidate="v2")

    asked(register, "save_episode", ended)

    assert asked(register, "episode", first.id) == ended
    assert asked(register, "episode", other.id) == other


def test_who_locks_an_episode_keeps_others_waiting(register: Register) -> None:
    register.add("gnn:v1")
    made = asked(register, "begin", episode())

    def claimed(work: Any) -> None:
        found = work.drift.lock_episode(made.id)
        work.drift.save_episode(replace(found, claimed_by="first"))

    found = waits(register, claimed, lambda work: work.drift.lock_episode(made.id))

    assert found.claimed_by == "first"


def test_episodes_are_newest_first_and_narrowed_by_model_and_version(register: Register) -> None:
    for ref in ("gnn:v1", "gnn:v2", "oracle:v1", "gnn:v1"):
        if ref.endswith("v2") or register.count("versions") in {0, 2}:
            register.add(ref)
        asked(register, "begin", episode(ref))

    def found(**how: Any) -> Any:
        given = {"model": None, "number": None, "size": 9, "page": None} | how
        page = asked(register, "episodes", **given)
        return [each.id for each in page.items], page.next

    assert found() == (["drift-4", "drift-3", "drift-2", "drift-1"], None)
    assert found(model="gnn") == (["drift-4", "drift-2", "drift-1"], None)
    assert found(model="gnn", number="1.0.0") == (["drift-4", "drift-1"], None)
    assert found(model="gnn", number="no number") == ([], None)
    first, token = found(model="gnn", size=2)
    assert first == ["drift-4", "drift-2"]
    assert found(model="gnn", size=2, page=token) == (["drift-1"], None)
    with pytest.raises(Invalid, match="page"):
        found(page=token)


# --- what was predicted for requests ---


def test_predictions_of_requests_wait_for_their_answers(
    register: Register, monitor: Monitor
) -> None:
    marks = [
        Mark(request="a", prediction="cat", confidence=0.9),
        Mark(request="b", prediction="dog"),
        Mark(request="ü", prediction="1.0", confidence=float("nan")),
    ]
    assert asked(register, "mark", monitor, marks, at=NOON, since=NOON) == 3

    told = asked(register, "answer", monitor, {"a": "cat", "ü": "2", "zzz": "cat"}, at=NOON)

    assert told == Answers(labels=2, right=1)
    assert asked(register, "answers", monitor, since=NOON) == Answers(labels=2, right=1)
    later = NOON + timedelta(microseconds=1)
    assert asked(register, "answers", monitor, since=later) == Answers()


def test_a_request_that_is_known_already_is_left_as_it_was(
    register: Register, monitor: Monitor
) -> None:
    first = [Mark(request="a", prediction="cat")]
    asked(register, "mark", monitor, first, at=NOON, since=NOON)
    asked(register, "answer", monitor, {"a": "cat"}, at=NOON)
    again = [Mark(request=name, prediction="dog") for name in ("a", "b", "b")]

    assert asked(register, "mark", monitor, again, at=NOON, since=NOON) == 1

    assert asked(register, "answers", monitor, since=NOON) == Answers(labels=1, right=1)
    assert asked(register, "mark", monitor, [], at=NOON, since=NOON) == 0


def test_a_request_that_was_answered_is_answered_anew(register: Register, monitor: Monitor) -> None:
    asked(register, "mark", monitor, [Mark(request="a", prediction="cat")], at=NOON, since=NOON)

    for label, right in (("dog", 0), ("cat", 1), ("cat", 1)):
        told = asked(register, "answer", monitor, {"a": label}, at=NOON)

        assert told == Answers(labels=1, right=right)
        assert asked(register, "answers", monitor, since=NOON) == told


def test_predictions_from_before_a_time_are_removed(register: Register, monitor: Monitor) -> None:
    for at, name in enumerate(("a", "b", "c")):
        marks = [Mark(request=name, prediction="x")]
        asked(register, "mark", monitor, marks, at=NOON + timedelta(days=at), since=NOON)

    since = NOON + timedelta(days=1)
    assert asked(register, "mark", monitor, [], at=since, since=since) == 0

    told = asked(register, "answer", monitor, dict.fromkeys("abc", "x"), at=since)
    assert told == Answers(labels=2, right=2)
    assert asked(register, "answers", monitor, since=NOON) == told
    late = [Mark(request="d", prediction="x")]
    assert asked(register, "mark", monitor, late, at=NOON, since=since) == 0


def test_the_requests_of_one_version_are_not_anothers(register: Register, monitor: Monitor) -> None:
    register.add("gnn:v2")
    other = watch(register, "gnn:v2")
    asked(register, "mark", monitor, [Mark(request="a", prediction="x")], at=NOON, since=NOON)

    assert asked(register, "answer", other, {"a": "x"}, at=NOON) == Answers()
    assert asked(register, "mark", other, [Mark(request="a", prediction="y")], at=NOON, since=NOON)
    assert asked(register, "answers", monitor, since=NOON) == Answers()


def test_thousands_of_requests_are_answered_at_once(register: Register, monitor: Monitor) -> None:
    marks = [Mark(request=f"r{at}", prediction=str(at % 7)) for at in range(3_001)]

    assert asked(register, "mark", monitor, marks, at=NOON, since=NOON) == 3_001

    labels = {mark.request: "3" for mark in marks}
    right = sum(mark.prediction == "3" for mark in marks)
    told = asked(register, "answer", monitor, labels, at=NOON)
    assert told == Answers(labels=3_001, right=right)
    assert asked(register, "answers", monitor, since=NOON) == told
