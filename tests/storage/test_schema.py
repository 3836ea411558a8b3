"""Revisions of the schema, on both databases."""

import multiprocessing
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from herdbook.core.artifacts import Artifact, digest_of
from herdbook.core.models import Status
from herdbook.errors import SchemaMismatch, Unavailable
from herdbook.services import artifacts, events, models, transfer, versions
from herdbook.services.versions import Draft
from herdbook.storage.sql import health, schema
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.tables import metadata
from tests.registers import BACKENDS, Register

PROCESSES = 4


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    """An empty database, once of each kind."""
    database = Database(empty_url)
    yield database
    database.close()


def shape(connection: Connection) -> dict[str, Any]:
    """What a schema consists of, in words that do not depend on the database."""
    seen = inspect(connection)
    found: dict[str, Any] = {}
    for table in set(seen.get_table_names()) - {"alembic_version"}:
        uniques = seen.get_unique_constraints(table)
        found[table] = {
            "columns": {c["name"]: c["nullable"] for c in seen.get_columns(table)},
            "key": seen.get_pk_constraint(table)["constrained_columns"],
            "uniques": {tuple(u["column_names"]) for u in uniques},
            "indexes": {
                (i["name"], tuple(i["column_names"]))
                for i in seen.get_indexes(table)
                if not i.get("duplicates_constraint")
            },
            "foreign": {
                (tuple(f["constrained_columns"]), f["referred_table"])
                for f in seen.get_foreign_keys(table)
            },
        }
    return found


def test_an_upgrade_from_nothing_makes_the_tables_the_program_uses(empty: Database) -> None:
    assert schema.check(empty) is None

    assert schema.upgrade(empty) is None

    with empty.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert schema.check(empty) == schema.HEAD
    schema.require(empty)


def test_both_databases_arrive_at_the_same_schema(tmp_path: Path, postgres_url: str) -> None:
    shapes = []
    for url in (f"sqlite:///{tmp_path / 'one.db'}", postgres_url):
        database = Database(url)
        schema.upgrade(database)
        with database.reading() as connection:
            shapes.append(shape(connection))
        database.close()

    assert shapes[0] == shapes[1]


def test_a_second_upgrade_changes_nothing(empty: Database) -> None:
    schema.upgrade(empty)
    Register(empty).add("majora:v1", status=Status.PRODUCTION)

    assert schema.upgrade(empty) == schema.HEAD

    assert Register(empty).status("majora") is Status.PRODUCTION


@pytest.fixture
def first(empty: Database) -> Database:
    """A database at revision 0001, with what a register of then held."""
    with empty.writing() as connection:
        schema._run(connection, to="0001")
        # Today's verbs ask for experiments; those of then did not.
        connection.execute(text("CREATE TABLE experiments (model_id integer, due_at bigint)"))
    register = Register(empty)
    register.add("oracle:v1", training_data=("toolbench",), metrics={"f1": 0.5})
    register.add("majora:v1", parents=("oracle:v1",), status=Status.PRODUCTION)
    register.add("majora:v2", status=Status.DRAFT)
    register.execute("DROP TABLE experiments")
    return empty


def exported(database: Database) -> list[str]:
    """The whole register as text."""
    return Register(database).read(lambda work: list(transfer.dump(work)))


def names(database: Database) -> set[str]:
    """The tables there are."""
    with database.reading() as connection:
        return set(inspect(connection).get_table_names())


def test_a_register_of_the_first_revision_keeps_all_it_held(first: Database) -> None:
    before = digests(first)
    assert "blobs" not in names(first)
    with pytest.raises(SchemaMismatch, match=r"is at revision 0001.*herdbook db upgrade"):
        schema.require(first)

    assert schema.upgrade(first) == "0001"

    assert schema.check(first) == schema.HEAD
    assert digests(first) == before
    assert Register(first).read(events.verify).ok
    with first.reading() as connection:
        assert list(health.inconsistencies(connection)) == []


def digests(database: Database) -> list[str]:
    """What the versions of a register are."""
    found = Register(database).read(versions.page, page_size=100)
    return [version.digest for version in found.items]


def test_a_register_of_the_first_revision_takes_bytes_after_its_upgrade(first: Database) -> None:
    schema.upgrade(first)
    register = Register(first)
    one = Artifact(path="labels.json", size=2, digest=digest_of(b"{}"), role="labels")

    register.write(artifacts.stored, sizes={one.digest: 2})
    register.add("majora:v3", artifacts=(one,))
    register.write(versions.revise, "majora:v2", draft=Draft(artifacts=(one,)))

    assert register.read(artifacts.files, "majora:v2").files == (one,)
    assert register.read(artifacts.files, "majora:v3").files == (one,)
    assert register.status("majora@champion") is Status.PRODUCTION
    with first.reading() as connection:
        assert list(health.inconsistencies(connection)) == []


def test_an_upgraded_schema_is_that_of_a_new_database(first: Database, tmp_path: Path) -> None:
    schema.upgrade(first)
    new = Database(f"sqlite:///{tmp_path / 'new.db'}")
    schema.upgrade(new)

    with first.reading() as old, new.reading() as connection:
        assert shape(old) == shape(connection)
    new.close()


def test_the_first_revision_is_backed_up_beside_a_file_before_it_is_upgraded(
    first: Database,
) -> None:
    text_before = exported_of_then(first)

    schema.upgrade(first)

    if first.path is None:  # PostgreSQL has its own ways, and the upgrade is one transaction
        return
    (backup,) = first.path.parent.glob(f"*.before-{schema.HEAD}-*.db")
    kept = Database(f"sqlite:///{backup}")
    assert schema.check(kept) == "0001"
    schema.upgrade(kept, backup=False)
    assert exported(kept) == exported(first)
    assert text_before == exported_of_then(first)
    kept.close()


def exported_of_then(database: Database) -> list[tuple[str, str]]:
    """What is stored of the versions, to the letter."""
    with database.reading() as connection:
        found = connection.execute(text("SELECT about, facts FROM versions ORDER BY id"))
        return [(row[0], row[1]) for row in found]


def test_processes_that_upgrade_the_first_revision_at_once_back_it_up_once(
    first: Database, empty_url: str
) -> None:
    path = first.path
    first.close()

    assert upgraded_at_once(empty_url) == [schema.HEAD] * PROCESSES

    if path is not None:
        assert len(list(path.parent.glob(f"*.before-{schema.HEAD}-*.db"))) == 1
    database = Database(empty_url)
    assert Register(database).read(events.verify).ok
    database.close()


def _upgrade(url: str, start: Any, found: Any) -> None:
    database = Database(url)
    start.wait()
    try:
        schema.upgrade(database)
        found.put(schema.check(database))
    except BaseException as error:
        found.put(repr(error))
        raise
    finally:
        database.close()


def upgraded_at_once(url: str) -> list[Any]:
    """Where a database is after several processes upgraded it at once, as each found it."""
    context = multiprocessing.get_context("fork")
    start, found = context.Barrier(PROCESSES), context.Queue()
    workers = [context.Process(target=_upgrade, args=(url, start, found)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    outcomes = [found.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    return outcomes


def test_processes_that_upgrade_at_once_all_succeed(empty_url: str) -> None:
    assert upgraded_at_once(empty_url) == [schema.HEAD] * PROCESSES

    database = Database(empty_url)
    assert Register(database).count("chain") == 1
    database.close()


def test_a_failed_upgrade_leaves_an_empty_database(empty: Database) -> None:
    with empty.writing() as connection:
        connection.execute(text("CREATE VIEW versions AS SELECT 1 AS id"))

    with pytest.raises(Exception, match="versions"):
        schema.upgrade(empty)

    with empty.reading() as connection:
        assert inspect(connection).get_table_names() == []


@pytest.mark.parametrize("newer", ["0006", "9999", "abcdef"])
def test_a_newer_revision_is_refused(register: Register, newer: str) -> None:
    register.execute("UPDATE alembic_version SET version_num = :newer", newer=newer)

    for refuses in (schema.check, schema.upgrade, schema.require):
        with pytest.raises(SchemaMismatch, match=f"at revision {newer}.*update this one"):
            refuses(register.database)


def test_a_foreign_database_is_refused_and_left_alone(empty: Database) -> None:
    with empty.writing() as connection:
        connection.execute(text("CREATE TABLE invoices (id integer)"))

    with pytest.raises(SchemaMismatch, match="holds invoices and no register"):
        schema.upgrade(empty)

    with empty.reading() as connection:
        assert inspect(connection).get_table_names() == ["invoices"]


def test_an_empty_database_is_behind_and_says_what_to_run(empty: Database) -> None:
    with pytest.raises(SchemaMismatch, match="herdbook db upgrade"):
        schema.require(empty)


@pytest.fixture
def file_register(tmp_path: Path, sqlite_template: Path) -> Iterator[Register]:
    """A register in a SQLite file whose folder has an awkward name."""
    folder = tmp_path / "a folder #1 50%20"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "herdbook.db")
    database = Database(f"sqlite:///{quote(str(folder / 'herdbook.db'))}")
    yield Register(database)
    database.close()


def test_an_upgrade_backs_the_file_up_first(file_register: Register) -> None:
    file_register.add("majora:v1")
    file_register.execute("UPDATE alembic_version SET version_num = '0000'")
    path = file_register.database.path
    assert path

    with pytest.raises(SchemaMismatch, match="0000"):
        schema.upgrade(file_register.database)

    (backup,) = path.parent.glob("herdbook.before-*.db")
    with closing(sqlite3.connect(backup)) as kept:
        assert kept.execute("SELECT number FROM versions").fetchall() == [("v1",)]
    assert file_register.count("versions") == 1


def test_a_copy_under_load_is_whole_and_verifies(file_register: Register, tmp_path: Path) -> None:
    # A plain `cp` under the same load was corrupt in 5 of 25 tries when it was measured.
    path = file_register.database.path
    assert path
    file_register.add("majora:v1")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            file_register.add("majora", status=Status.PRODUCTION, metrics={"f1": 0.5})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for at in range(5):
            schema.copy(path, tmp_path / f"copy-{at}.db")
    finally:
        stop.set()
        writer.join()

    for at in range(5):
        copy = Database(f"sqlite:///{tmp_path / f'copy-{at}.db'}")
        with copy.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert Register(copy).read(events.verify).ok
        found = Register(copy).read(models.get, "majora")
        assert found.versions == Register(copy).count("versions")
        copy.close()


def test_a_copy_never_replaces_a_file_and_leaves_no_part(
    file_register: Register, tmp_path: Path
) -> None:
    path = file_register.database.path
    assert path
    (tmp_path / "there.db").write_text("precious")

    with pytest.raises(Unavailable, match="there already"):
        schema.copy(path, tmp_path / "there.db")
    with pytest.raises(Unavailable):
        schema.copy(path, tmp_path / "no such folder" / "x.db")
    with pytest.raises(Unavailable):
        schema.copy(tmp_path / "none.db", tmp_path / "copy.db")

    assert (tmp_path / "there.db").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.glob("*.db*")) == ["there.db"]
