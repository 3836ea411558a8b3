"""The unit of work on SQL: one transaction, one actor, its changes chained at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from sqlalchemy import Connection

from herdbook.core.access import Actor
from herdbook.core.events import Change
from herdbook.errors import HerdbookError
from herdbook.storage.sql.access import SqlReplays, SqlTokens
from herdbook.storage.sql.artifacts import SqlArtifacts
from herdbook.storage.sql.deployments import SqlDeployments
from herdbook.storage.sql.documents import SqlDocuments
from herdbook.storage.sql.drift import SqlDrift
from herdbook.storage.sql.engine import Database, savepoint
from herdbook.storage.sql.evaluations import SqlEvaluations
from herdbook.storage.sql.events import SqlEvents
from herdbook.storage.sql.experiments import SqlExperiments
from herdbook.storage.sql.lineage import SqlLineage
from herdbook.storage.sql.models import SqlModels
from herdbook.storage.sql.transfer import SqlTransfer
from herdbook.storage.sql.versions import SqlVersions
from herdbook.storage.sql.webhooks import SqlWebhooks

T = TypeVar("T")
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Give the time, aware and in UTC."""
    return datetime.now(UTC)


class SqlWork:
    """One transaction by one actor at one time."""

    def __init__(self, connection: Connection, by: Actor, *, clock: Clock = utc_now) -> None:
        self._by = by
        self._now = clock()
        self._changes: list[Change] = []
        self.connection = connection
        self.models = SqlModels(connection, by)
        self.versions = SqlVersions(connection, by, self.models)
        self.deployments = SqlDeployments(connection, by, self.models, self.versions)
        self.lineage = SqlLineage(connection, by, self.versions)
        self.evaluations = SqlEvaluations(connection, by, self.versions)
        self.events = SqlEvents(connection, by)
        self.webhooks = SqlWebhooks(connection, by)
        self.tokens = SqlTokens(connection)
        self.replays = SqlReplays(connection, self._now)
        self.transfer = SqlTransfer(connection, self._now)
        self.artifacts = SqlArtifacts(connection, by, self.versions, self._now)
        self.experiments = SqlExperiments(connection, by, self.models, self._now)
        self.drift = SqlDrift(connection, by, self.models, self.versions)
        self.documents = SqlDocuments(connection, by, self.models)

    @property
    def by(self) -> Actor:
        """Who acts."""
        return self._by

    def now(self) -> datetime:
        """The time of this work, the same throughout."""
        return self._now

    def record(self, change: Change) -> None:
        """Write a change to the audit log and the outbox when the work is committed."""
        self._changes.append(change)

    def finish(self) -> None:
        """Chain what was recorded; the last thing before the commit."""
        if self._changes:
            self.events.append(self._changes, at=self._now)
            self._changes.clear()


@contextmanager
def glancing(database: Database, by: Actor, *, clock: Clock = utc_now) -> Iterator[SqlWork]:
    """Open a unit of work for a short read of the one thread that serves."""
    with database.glancing() as connection:
        yield SqlWork(connection, by, clock=clock)


@contextmanager
def reading(database: Database, by: Actor, *, clock: Clock = utc_now) -> Iterator[SqlWork]:
    """Open a unit of work that only reads."""
    with database.reading() as connection:
        yield SqlWork(connection, by, clock=clock)


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """What an actor wants done in a unit of work; it changes nothing but that."""

    by: Actor
    run: Callable[[SqlWork], T]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What a job gave, and whether it left something in the outbox."""

    value: T
    enqueued: bool


def together(
    database: Database, jobs: Sequence[Job[T]], *, clock: Clock = utc_now
) -> list[Done[T] | HerdbookError]:
    """Do jobs in one transaction, in order, each whole or not at all, with one commit.

    Gives for each what it gave, or why it was refused; what else it raises undoes them all.
    """
    with database.writing() as connection:
        if len(jobs) == 1:
            return [_done(connection, jobs[0], clock)]
        return [_apart(connection, job, clock) for job in jobs]


def _apart(connection: Connection, job: Job[T], clock: Clock) -> Done[T] | HerdbookError:
    try:
        with savepoint(connection):
            return _done(connection, job, clock)
    except HerdbookError as refusal:
        return refusal


def _done(connection: Connection, job: Job[T], clock: Clock) -> Done[T]:
    work = SqlWork(connection, job.by, clock=clock)
    found = job.run(work)
    work.finish()
    return Done(found, work.events.enqueued)


@contextmanager
def writing(database: Database, by: Actor, *, clock: Clock = utc_now) -> Iterator[SqlWork]:
    """Open a unit of work that writes; leaving it commits, an error rolls it back."""
    with database.writing() as connection:
        work = SqlWork(connection, by, clock=clock)
        yield work
        work.finish()
