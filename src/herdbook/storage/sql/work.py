"""The unit of work on SQL: one transaction, one actor, its changes chained at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection

from herdbook.core.access import Actor
from herdbook.core.events import Change
from herdbook.storage.sql.access import SqlReplays, SqlTokens
from herdbook.storage.sql.deployments import SqlDeployments
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.evaluations import SqlEvaluations
from herdbook.storage.sql.events import SqlEvents
from herdbook.storage.sql.lineage import SqlLineage
from herdbook.storage.sql.models import SqlModels
from herdbook.storage.sql.transfer import SqlTransfer
from herdbook.storage.sql.versions import SqlVersions
from herdbook.storage.sql.webhooks import SqlWebhooks

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
        self.evaluations = SqlEvaluations(connection, self.versions)
        self.events = SqlEvents(connection, by)
        self.webhooks = SqlWebhooks(connection, by)
        self.tokens = SqlTokens(connection)
        self.replays = SqlReplays(connection, self._now)
        self.transfer = SqlTransfer(connection)

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
def reading(database: Database, by: Actor, *, clock: Clock = utc_now) -> Iterator[SqlWork]:
    """Open a unit of work that only reads."""
    with database.reading() as connection:
        yield SqlWork(connection, by, clock=clock)


@contextmanager
def writing(database: Database, by: Actor, *, clock: Clock = utc_now) -> Iterator[SqlWork]:
    """Open a unit of work that writes; leaving it commits, an error rolls it back."""
    with database.writing() as connection:
        work = SqlWork(connection, by, clock=clock)
        yield work
        work.finish()
