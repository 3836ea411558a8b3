"""Many processes on one register at once. Each check must also catch code that is naive."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from herdbook.core.deployments import Move
from herdbook.core.evaluations import Observation
from herdbook.core.models import Status
from herdbook.errors import Conflict, NotFound, Unavailable
from herdbook.services import deployments, evaluations, events, versions
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.work import utc_now
from tests.registers import Register

FORK = multiprocessing.get_context("fork")
WRITERS = 8
KILL_SECONDS = 60
EACH = 200

Task = Callable[[Register, int], Any]


def opened(url: str) -> Register:
    """A register opened by a process of its own."""
    return Register(Database(url), clock=utc_now)  # type: ignore[arg-type]


def _child(url: str, task: Task, mine: int, start: Any, found: Any) -> None:
    register = opened(url)
    start.wait()
    try:
        found.put(task(register, mine))
    except BaseException as error:
        found.put(error)
        raise
    finally:
        register.database.close()


def together(url: str, task: Task, *, processes: int = WRITERS) -> list[Any]:
    """Run a task in several processes that begin at the same moment; give what each returned."""
    start, found = FORK.Barrier(processes), FORK.Queue()
    workers = [
        FORK.Process(target=_child, args=(url, task, mine, start, found))
        for mine in range(processes)
    ]
    for worker in workers:
        worker.start()
    results = [found.get(timeout=100) for _ in workers]
    for worker in workers:
        worker.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


# --- numbers ---


def register_many(register: Register, _mine: int) -> list[tuple[int, str]]:
    """Register two hundred versions; give what was acknowledged."""
    made = [register.add("majora") for _ in range(EACH)]
    return [(version.ordinal, version.number) for version in made]


def is_dense(ordinals: list[int]) -> bool:
    """Whether they are 1 to n, none twice, none missing."""
    return sorted(ordinals) == list(range(1, len(ordinals) + 1))


def test_numbers_given_to_many_processes_are_dense_and_none_is_lost(register_url: str) -> None:
    results = [pair for found in together(register_url, register_many) for pair in found]

    assert is_dense([ordinal for ordinal, _ in results])
    assert sorted(int(n.removeprefix("v")) for _, n in results) == list(
        range(1, WRITERS * EACH + 1)
    )
    register = opened(register_url)
    assert register.count("versions") == WRITERS * EACH
    assert register.count("events") == WRITERS * EACH + 1
    assert register.read(events.verify).ok
    register.database.close()


def highest_plus_one(register: Register, _mine: int) -> list[int]:
    """Take numbers the naive way: look at the highest, add one."""
    taken = []
    for _ in range(50):
        with register.database.writing() as connection:
            asked = text("SELECT coalesce(max(CAST(name AS integer)), 0) + 1 FROM naive")
            number = int(connection.execute(asked).scalar_one())
            connection.execute(text("INSERT INTO naive VALUES (:n)"), {"n": str(number)})
            taken.append(number)
    return taken


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_the_highest_plus_one_is_caught_by_that_check(register_url: str) -> None:
    register = opened(register_url)
    register.execute("CREATE TABLE naive (name text)")

    taken = [n for found in together(register_url, highest_plus_one) for n in found]

    assert not is_dense(taken)
    register.database.close()


# --- averages ---

OBSERVED = Observation(inference_time_ms=2.0, confidence=0.5)
FAILED = Observation(error=True)


def observe_hundred(register: Register, _mine: int) -> None:
    """Fold a hundred observations in fifty pairs."""
    for _ in range(50):
        register.write(evaluations.observe, "majora:v1", observations=[OBSERVED, FAILED])


def test_observations_of_many_processes_are_counted_exactly(register_url: str) -> None:
    register = opened(register_url)
    register.add("majora:v1")

    together(register_url, observe_hundred)

    found = register.read(evaluations.operational, "majora:v1")
    assert (found.count, found.error_rate) == (WRITERS * 100, 0.5)
    assert (found.inference_time_ms, found.confidence) == (2.0, 0.5)
    register.database.close()


def average_naively(register: Register, _mine: int) -> None:
    """Read a count, add one, write it back."""
    for _ in range(100):
        with register.database.writing() as connection:
            count = connection.execute(text("SELECT count FROM naive")).scalar_one()
            connection.execute(text("UPDATE naive SET count = :c"), {"c": count + 1})


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_reading_and_writing_back_is_caught_by_that_check(register_url: str) -> None:
    register = opened(register_url)
    register.execute("CREATE TABLE naive (count integer)")
    register.execute("INSERT INTO naive VALUES (0)")

    together(register_url, average_naively)

    with register.database.reading() as connection:
        count = connection.execute(text("SELECT count FROM naive")).scalar_one()
    assert count != WRITERS * 100
    register.database.close()


# --- the champion ---


def champions(register: Register) -> list[str]:
    """The versions in production, as one statement sees them."""
    found = register.read(versions.page, model="majora", filter="status = 'production'")
    return [v.number for v in found.items]


def move_or_look(register: Register, mine: int) -> list[int]:
    """Two of eight processes look; the others promote and roll back."""
    seen = []
    for turn in range(40):
        if mine < 2:
            seen.append(len(champions(register)))
            continue
        try:
            if turn % 4 == 3:
                register.write(deployments.rollback, "majora")
            else:
                register.write(deployments.promote, f"majora:v{(mine + turn) % 5 + 1}")
        except (Conflict, NotFound):
            pass  # it is there already, or there is nothing to go back to
    return seen


def history(register: Register) -> list[Move]:
    """Every move of the champion, oldest first."""
    found: list[Move] = []
    page = None
    while True:
        some = register.read(deployments.history, model="majora", page_size=500, page=page)
        found += some.items
        if (page := some.next) is None:
            return found[::-1]


def test_there_is_exactly_one_champion_at_every_look(register_url: str) -> None:
    register = opened(register_url)
    for number in range(1, 6):
        register.add(f"majora:v{number}")
    register.write(deployments.promote, "majora:v1")

    seen = [count for found in together(register_url, move_or_look) for count in found]

    assert seen == [1] * 80
    moves = history(register)
    assert [m.epoch for m in moves] == list(range(1, len(moves) + 1))
    assert [m.from_number for m in moves[1:]] == [m.to_number for m in moves[:-1]]
    assert len(moves) > 20
    assert champions(register) == [moves[-1].to_number]
    assert register.read(events.verify).ok
    register.database.close()


def flag_or_look(register: Register, mine: int) -> list[int]:
    """The naive way: a flag on each version, the old one put down before the new one goes up."""
    seen = []
    for turn in range(60):
        # Such code deadlocks too, but that it is told.
        with contextlib.suppress(Unavailable), register.database.writing() as connection:
            if mine >= 2:
                connection.execute(text("UPDATE naive SET live = 0 WHERE live = 1"))
                up = text("UPDATE naive SET live = 1 WHERE id = :id")
                connection.execute(up, {"id": (mine + turn) % 5})
        with register.database.reading() as connection:
            live = connection.execute(text("SELECT count(*) FROM naive WHERE live = 1"))
            seen.append(int(live.scalar_one()))
    return seen


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_a_flag_on_each_version_is_caught_by_that_check(register_url: str) -> None:
    register = opened(register_url)
    register.execute("CREATE TABLE naive (id integer PRIMARY KEY, live integer)")
    for number in range(5):
        register.execute("INSERT INTO naive VALUES (:n, :l)", n=number, l=int(number == 0))

    seen = [count for found in together(register_url, flag_or_look) for count in found]

    assert seen != [1] * len(seen)
    register.database.close()


# --- kill -9 ---


def _write_until_killed(url: str, ledger: Path) -> None:
    register = opened(url)
    with ledger.open("a") as log:
        while True:
            try:
                status = Status.PRODUCTION if os.getpid() % 2 else Status.DEVELOPMENT
                made = register.add("majora", status=status)
            except Unavailable:
                continue
            # Written after the answer: what stands here was acknowledged.
            log.write(f"{made.ordinal} {made.digest}\n")
            log.flush()


@contextlib.contextmanager
def writing(url: str, folder: Path, *, processes: int) -> Iterator[None]:
    """Processes that write until the end, then are killed."""
    workers = [
        FORK.Process(target=_write_until_killed, args=(url, folder / f"acknowledged-{mine}"))
        for mine in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            assert worker.pid
            os.kill(worker.pid, signal.SIGKILL)
        for worker in workers:
            worker.join()


def acknowledged(folder: Path) -> dict[int, str]:
    """What the writers were told is there; a last line may be cut off."""
    found: dict[int, str] = {}
    for ledger in folder.glob("acknowledged-*"):
        for line in ledger.read_text().splitlines():
            ordinal, _, digest = line.partition(" ")
            if len(digest) == 64:
                found[int(ordinal)] = digest
    return found


def _registrations(work: Any) -> int:
    return sum(event.action == "version.registered" for event in events.every(work))


@pytest.mark.parametrize("register_url", ["sqlite"], indirect=True)
def test_nothing_acknowledged_is_lost_to_kill_9(register_url: str, tmp_path: Path) -> None:
    until, rounds = time.monotonic() + KILL_SECONDS, 0
    while time.monotonic() < until:
        with writing(register_url, tmp_path, processes=3):
            time.sleep(0.3 + (rounds % 7) / 20)
        rounds += 1

    register = opened(register_url)
    told = acknowledged(tmp_path)
    with register.database.reading() as connection:
        rows = connection.execute(text("SELECT ordinal, digest FROM versions")).all()
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    kept = {int(row[0]): str(row[1]) for row in rows}
    told_of = register.read(_registrations)

    assert len(told) > rounds > 5
    assert told_of == len(kept)
    assert told.items() <= kept.items()
    assert is_dense(list(kept))
    assert register.read(events.verify).ok
    assert len(champions(register)) <= 1
    register.database.close()
