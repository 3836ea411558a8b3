"""Settings to Herdbook: the only place where parts are put together."""

import getpass
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from herdbook.core.access import Actor, everything
from herdbook.core.models import Version
from herdbook.core.pages import Page
from herdbook.errors import Invalid, Owned
from herdbook.front.book import Herdbook
from herdbook.front.door import Door
from herdbook.front.resolver import Resolver
from herdbook.services.verbs import LINES, LOADS, READS, WRITES
from herdbook.settings import Settings
from herdbook.storage.sql import schema
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.work import Clock, SqlWork, reading, utc_now, writing

T = TypeVar("T")


class LocalDoor:
    """Runs verbs on a database, each in a transaction of its own.

    Args:
        database: an opened database at the right revision.
        by: who acts.
        clock: tells the time.
    """

    def __init__(self, database: Database, by: Actor, *, clock: Clock = utc_now) -> None:
        self.database = database
        self._by = by
        self._clock = clock
        self._closed = False

    @property
    def address(self) -> str:
        """Where the register is, without secrets."""
        return self.database.shown

    def reading(self) -> AbstractContextManager[SqlWork]:
        """Open a unit of work that reads."""
        return reading(self._open(), self._by, clock=self._clock)

    def writing(self) -> AbstractContextManager[SqlWork]:
        """Open a unit of work that writes."""
        return writing(self._open(), self._by, clock=self._clock)

    def _open(self) -> Database:
        if self._closed:
            raise Invalid("this register was closed; connect again")
        return self.database

    def call(self, kind: type[T], verb: str, /, **arguments: Any) -> T:
        """Run a verb that gives one value."""
        found: T = self._run(verb, arguments)
        return found

    def page(self, kind: type[T], verb: str, /, **arguments: Any) -> Page[T]:
        """Run a verb that gives a page of values."""
        found: Page[T] = self._run(verb, arguments)
        return found

    def _run(self, verb: str, arguments: dict[str, Any]) -> Any:
        if verb in READS:
            with self.reading() as work:
                return READS[verb](work, **arguments)
        with self.writing() as work:
            return WRITES[verb](work, **arguments)

    def lines(self, verb: str, /, **arguments: Any) -> Iterator[str]:
        """Run a verb that gives lines of text, in one transaction and constant memory."""
        with self.reading() as work:
            yield from LINES[verb](work, **arguments)

    def load(self, kind: type[T], verb: str, lines: Iterable[str], /, **arguments: Any) -> T:
        """Run a verb that takes lines of text."""
        with self.writing() as work:
            found: T = LOADS[verb](work, lines, **arguments)
            return found

    def fresh(self, ref: str, mark: str) -> tuple[str, Version] | None:
        """Give what a reference points at; the mark is the place in the audit log."""
        with self.reading() as work:
            seq = str(work.events.head().seq)
            return None if seq == mark else (seq, READS["versions.get"](work, ref))

    def close(self) -> None:
        """Give up connections."""
        self._closed = True
        self.database.close()


def connect(
    url: str | None = None, *, token: str | None = None, settings: Settings | None = None
) -> Herdbook:
    """Open a register.

    Args:
        url: `sqlite:///herdbook.db`, `postgresql://user@host/name` or `http://host:8477`;
            left out, what the settings say, at last `herdbook.db` in the home folder.
        token: for a server that asks for one.
        settings: instead of those of the environment.

    Raises:
        Invalid: the address is not one.
        Unavailable, Unreachable: nothing answers there.
        SchemaMismatch: the database needs `herdbook db upgrade`, or a newer Herdbook.
    """
    settings = settings or Settings.load(url=url, token=token)
    door = open_door(settings)
    resolver = Resolver(
        door,
        interval=settings.refresh_seconds,
        max_staleness=settings.max_staleness_seconds or None,
    )
    return Herdbook(door, resolver=resolver)


def open_door(settings: Settings) -> Door:
    """Open the door the settings name: a server, or a database."""
    address = settings.database_url
    if address.startswith(("http://", "https://")):
        return _remote(address, settings)
    if not settings.url:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        database = Database(address, busy_timeout_ms=settings.busy_timeout_ms)
    except Owned as owned:
        # A server owns the file; the same verbs go through it, once it has said where it is.
        if not owned.details.get("url"):
            raise
        return _remote(str(owned.details["url"]), settings)
    prepare(database)
    return LocalDoor(database, everything(actor_name(settings)))


def prepare(database: Database) -> None:
    """Bring a SQLite file up to date by itself; a shared database only when it is empty."""
    if schema.check(database) is None or database.is_sqlite:
        schema.upgrade(database)
    else:
        schema.require(database)


def actor_name(settings: Settings) -> str:
    """Give the name local changes are recorded under."""
    if settings.actor:
        return settings.actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise Invalid("this user has no name; set HERDBOOK_ACTOR", field="actor") from None


def _remote(address: str, settings: Settings) -> Door:
    from herdbook.client.remote import RemoteDoor

    return RemoteDoor(address, token=settings.token, timeout_seconds=settings.timeout_seconds)
