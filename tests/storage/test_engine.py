"""How databases are opened: transactions, journals, ownership, and clear refusals."""

import contextlib
import gc
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from herdbook.errors import Corrupt, Invalid, Owned, Unavailable
from herdbook.services import events, versions
from herdbook.storage.sql import schema
from herdbook.storage.sql.engine import WAL_SAFE, Database
from tests.registers import Register

FORK = multiprocessing.get_context("fork")
URL = "http://127.0.0.1:8477"
needs_lock = pytest.mark.skipif(WAL_SAFE, reason="this SQLite needs no owner for its journal")


@pytest.fixture
def path(tmp_path: Path, sqlite_template: Path) -> Path:
    """A SQLite file, up to date."""
    return Path(shutil.copy(sqlite_template, tmp_path / "herdbook.db"))


@contextlib.contextmanager
def opened(path: Path, **more: Any) -> Iterator[Database]:
    """A database, closed at the end."""
    database = Database(f"sqlite:///{path}", **more)
    try:
        yield database
    finally:
        database.close()


def pragma(database: Database, name: str, *, writes: bool = False) -> Any:
    """The value of a pragma on a connection that reads or writes."""
    with database.writing() if writes else database.reading() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_every_connection_keeps_foreign_keys_and_writes_through(path: Path) -> None:
    with opened(path) as database:
        for writes in (False, True):
            assert pragma(database, "foreign_keys", writes=writes) == 1
            assert pragma(database, "synchronous", writes=writes) == 2  # FULL


def test_a_row_that_points_nowhere_is_refused(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"(?i)foreign key"), database.writing() as connection:
        connection.execute(
            text("INSERT INTO model_tags (model_id, key, value) VALUES (9, 'a', 'b')")
        )


def test_a_writer_holds_the_file_from_its_first_line_on(path: Path) -> None:
    with (
        opened(path) as one,
        opened(path, busy_timeout_ms=50) as other,
        one.writing(),
        pytest.raises(Unavailable, match="another process is writing; try again"),
        other.writing(),
    ):
        pass


def test_readers_do_not_keep_each_other_waiting(path: Path) -> None:
    with opened(path, busy_timeout_ms=50) as one, one.reading() as first, one.reading() as second:
        for connection in (first, second):
            assert connection.exec_driver_sql("SELECT count(*) FROM models").scalar() == 0


def test_an_error_leaves_nothing_and_the_database_usable(database: Database) -> None:
    statement = text("INSERT INTO datasets (name) VALUES ('oracle')")
    with pytest.raises(DBAPIError), database.writing() as connection:  # noqa: PT012
        connection.execute(statement)
        connection.execute(statement)

    assert Register(database).count("datasets") == 0
    with database.writing() as connection:
        connection.execute(statement)
    assert Register(database).count("datasets") == 1


# --- ownership ---


@needs_lock
def test_a_shared_file_has_no_write_ahead_log(path: Path) -> None:
    with opened(path) as database:
        Register(database).add("majora:v1")

        assert pragma(database, "journal_mode") == "delete"
        assert not path.with_name("herdbook.db-wal").exists()


@needs_lock
def test_an_owned_file_has_one_and_gives_it_up(path: Path) -> None:
    with opened(path, owner_url=URL) as database:
        assert database.owns_file
        assert pragma(database, "journal_mode") == "wal"
        Register(database).add("majora:v1")

    with opened(path) as after:
        assert pragma(after, "journal_mode") == "delete"
        assert Register(after).read(versions.get, "majora@latest").number == "v1"


@needs_lock
def test_whoever_comes_second_is_told_where_to_ask(path: Path) -> None:
    with opened(path, owner_url=URL):
        with pytest.raises(
            Owned, match=r"in use by the server at http://127\.0\.0\.1:8477"
        ) as caught:
            Database(f"sqlite:///{path}")
        assert caught.value.details == {"url": URL}
        with pytest.raises(Owned):
            Database(f"sqlite:///{path}", owner_url="http://127.0.0.1:9999")

    with opened(path) as after:
        assert not after.owns_file


@needs_lock
def test_a_server_does_not_take_a_file_from_those_who_use_it(path: Path) -> None:
    with opened(path) as first, opened(path, owner_url=URL) as server:
        assert not server.owns_file
        Register(first).add("majora")
        Register(server).add("majora")

        assert pragma(server, "journal_mode") == "delete"


def _own_and_wait(path: Path, ready: Any) -> None:
    database = Database(f"sqlite:///{path}", owner_url=URL)
    Register(database).add("majora:v1")
    ready.set()
    time.sleep(60)


@needs_lock
def test_an_owner_that_is_killed_frees_the_file(path: Path) -> None:
    ready = FORK.Event()
    owner = FORK.Process(target=_own_and_wait, args=(path, ready))
    owner.start()
    assert ready.wait(30)
    with pytest.raises(Owned):
        Database(f"sqlite:///{path}")

    assert owner.pid
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()

    with opened(path) as after:
        assert Register(after).read(versions.get, "majora@latest").number == "v1"
        assert Register(after).read(events.verify).ok


@needs_lock
def test_an_owners_readers_cannot_write(path: Path) -> None:
    with (
        opened(path, owner_url=URL) as database,
        pytest.raises(Exception, match="readonly"),
        database.reading() as connection,
    ):
        connection.exec_driver_sql("INSERT INTO datasets (name) VALUES ('oracle')")


# --- forks ---


def _in_child(register: Register, found: Any) -> None:
    try:
        for _ in range(5):
            register.add("majora")
        found.put("done")
    except BaseException as error:
        found.put(repr(error))
        raise


@pytest.mark.parametrize("children", [3])
def test_connections_do_not_cross_a_fork(register: Register, children: int) -> None:
    register.add("majora")
    found = FORK.Queue()

    with register.database.reading() as connection:
        connection.execute(text("SELECT count(*) FROM models")).scalar()
    workers = [FORK.Process(target=_in_child, args=(register, found)) for _ in range(children)]
    for worker in workers:
        worker.start()
    for _ in range(5):
        register.add("majora")
    outcomes = [found.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()

    assert outcomes == ["done"] * children
    assert register.add("majora").ordinal == 1 + 5 * (children + 1) + 1
    assert register.read(events.verify).ok


# --- refusals ---


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://user@host/name",
        "sqlite://",
        "sqlite://herdbook.db",
        "sqlite://folder/herdbook.db",
        "sqlite:///:memory:",
        "postgresql://host:port/name",
        "http://127.0.0.1:8477",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        Database(url)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(Invalid) as caught:
        Database("mysql://user:hunter2@host/name")
    assert "hunter2" not in str(caught.value)

    database = Database("postgresql://user:hunter2@127.0.0.1:1/name")
    assert "hunter2" not in database.shown
    with pytest.raises(Unavailable) as refused, database.reading():
        pass
    assert "hunter2" not in str(refused.value)
    database.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"the folder .* is not there"):
        Database(f"sqlite:///{tmp_path / 'none' / 'herdbook.db'}")


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are notes, no register\n" * 100)

    with (
        opened(tmp_path / "notes.txt") as database,
        pytest.raises(Corrupt, match="not a database; give the path"),
    ):
        schema.check(database)


def test_an_address_of_two_slashes_is_told_of_the_third() -> None:
    with pytest.raises(Invalid, match=r"three slashes.*sqlite:///folder/herdbook\.db"):
        Database("sqlite://folder/herdbook.db")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_file_and_a_copy_of_it_are_their_owners_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with opened(tmp_path / "herdbook.db") as database:
            schema.upgrade(database)
            Register(database).add("majora:v1")
        schema.copy(tmp_path / "herdbook.db", tmp_path / "copy.db")
    finally:
        os.umask(before)

    for name in ("herdbook.db", "copy.db"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_what_is_wrong_with_a_servers_own_file_is_not_its_callers_fault(tmp_path: Path) -> None:
    (tmp_path / "herdbook.db").mkdir()

    with pytest.raises(Unavailable, match="unable to open"):
        Database(f"sqlite:///{tmp_path / 'herdbook.db'}", owner_url=URL).engine.connect()


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "herdbook.db").mkdir()

    with (
        opened(tmp_path / "herdbook.db") as database,
        pytest.raises(Invalid, match="unable to open"),
    ):
        schema.check(database)


def test_a_damaged_file_says_to_restore_a_backup(path: Path) -> None:
    with opened(path) as database:
        for _ in range(30):
            Register(database).add("majora", notes="x" * 10_000)
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 60] = b"\xff" * (4096 * 58)
    path.write_bytes(content)

    with opened(path) as database, pytest.raises(Corrupt, match="restore a backup"):
        Register(database).add("majora")


def _write_as_nobody(path: Path, found: Any) -> None:
    os.setgid(65534)
    os.setuid(65534)
    try:
        with opened(path) as database:
            read = Register(database).read(versions.get, "majora@latest").number
            try:
                Register(database).add("majora")
            except Invalid as error:
                found.put((read, str(error)))
                return
        found.put((read, "it was written"))
    except BaseException as error:
        found.put(("", repr(error)))
        raise


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder everyone may look into, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_file_one_may_only_read_can_be_read(open_folder: Path, sqlite_template: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become someone else")
    path = Path(shutil.copy(sqlite_template, open_folder / "herdbook.db"))
    with opened(path) as database:
        Register(database).add("majora:v1")
    path.with_name("herdbook.db-owner").unlink(missing_ok=True)
    path.chmod(0o444)
    found = FORK.Queue()

    worker = FORK.Process(target=_write_as_nobody, args=(path, found))
    worker.start()
    read, refused = found.get(timeout=30)
    worker.join()

    assert read == "v1"
    assert "make the file and its folder writable" in refused


def test_what_a_file_owner_writes_in_its_lock_is_json(path: Path) -> None:
    if WAL_SAFE:
        pytest.skip("no lock file is needed")
    with opened(path, owner_url=URL):
        held = json.loads(path.with_name("herdbook.db-owner").read_text())

    assert held == {"url": URL, "pid": os.getpid()}
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM chain").fetchone() == (1,)
    connection.close()


def test_a_closed_database_is_not_remembered_for_forks(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/herdbook.db")
    kept = weakref.ref(database)

    database.close()
    del database
    gc.collect()

    assert kept() is None
