"""Registers for tests: real SQLite files and PostgreSQL databases, brought up to date fast."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import uuid4

import pytest
from psycopg import sql
from sqlalchemy import text

from herdbook.core.access import Actor, everything, grants
from herdbook.core.models import Parent, Status, Version
from herdbook.core.numbers import Number
from herdbook.services import versions
from herdbook.services.versions import Draft
from herdbook.storage.sql import schema
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.work import reading, writing
from tests.postgres import PostgresServer, fresh_database

T = TypeVar("T")
P = ParamSpec("P")

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)
ANYONE = everything("curator")
BACKENDS = ("sqlite", "postgresql")


class RolledBack(Exception):
    """Ends a transaction whose changes are not kept."""


@dataclass
class Clock:
    """A clock that is set by hand and never stands still: a second passes at each look."""

    at: datetime = NOON

    def __call__(self) -> datetime:
        """Give the time."""
        self.at += timedelta(seconds=1)
        return self.at


@dataclass
class Register:
    """A database, who acts on it, and a clock: each verb in a transaction of its own."""

    database: Database
    by: Actor = ANYONE
    clock: Clock = field(default_factory=Clock)

    def write(self, verb: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb that writes."""
        with writing(self.database, self.by, clock=self.clock) as work:
            return verb(work, *args, **kwargs)

    def read(self, verb: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a verb that reads."""
        with reading(self.database, self.by, clock=self.clock) as work:
            return verb(work, *args, **kwargs)

    def add(self, ref: str, **draft: Any) -> Version:
        """Register a version, `majora` for the next number or `majora:v2`."""
        model, _, number = ref.partition(":")
        return self.write(versions.register, model, draft=Draft(number=number, **draft))

    def status(self, ref: str) -> Status:
        """Give the status of a version."""
        return self.read(versions.get, ref).status

    def seen_by(self, *roles: str) -> "Register":
        """The same register through the eyes of someone with these roles."""
        return Register(self.database, Actor("someone", grants(roles) if roles else ()), self.clock)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self.database.reading() as connection:
            found = connection.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608
            return int(found.scalar_one())

    def execute(self, statement: str, **values: Any) -> None:
        """Change the database behind the program's back."""
        with self.database.writing() as connection:
            connection.execute(text(statement), values)

    @contextmanager
    def tried(self) -> Iterator[Any]:
        """A unit of work of which nothing is kept."""
        try:
            with writing(self.database, self.by, clock=self.clock) as work:
                yield work
                raise RolledBack  # noqa: TRY301 - the only way to end it without a commit
        except RolledBack:
            pass


def parent(ref: str) -> Parent:
    """A parent by its reference."""
    model, _, number = ref.partition(":")
    return Parent(model=model, number=Number(number).text)


def drop_guards(register: Register) -> None:
    """Take away what keeps the history from being changed, as whoever owns a database can."""
    with register.database.writing() as connection:
        if register.database.is_sqlite:
            asked = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in connection.execute(asked).all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            connection.exec_driver_sql("DROP FUNCTION herdbook_refuse() CASCADE")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file up to date; copied, never opened."""
    path = tmp_path_factory.mktemp("template") / "herdbook.db"
    database = Database(f"sqlite:///{path}")
    schema.upgrade(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a PostgreSQL database up to date; copied, never changed."""
    with fresh_database(postgres_server) as url:
        database = Database(url)
        schema.upgrade(database)
        database.close()
        yield f"test_{url.partition('/test_')[2].partition('?')[0]}"


@contextmanager
def copied(server: PostgresServer, template: str) -> Iterator[str]:
    """The address of a copy of a PostgreSQL database, dropped at the end."""
    name = f"copy_{uuid4().hex}"
    make = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    with server.connect() as connection:
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield server.url(name)
    finally:
        with server.connect() as connection:
            connection.execute(drop)


@pytest.fixture(params=BACKENDS)
def register_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty register, once of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "herdbook.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    with copied(server, request.getfixturevalue("postgres_template")) as url:
        yield url


@pytest.fixture
def database(register_url: str) -> Iterator[Database]:
    """An empty register's database, once of each kind."""
    opened = Database(register_url)
    yield opened
    opened.close()


@pytest.fixture
def register(database: Database) -> Register:
    """An empty register, once of each kind."""
    return Register(database)
