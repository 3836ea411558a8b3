"""Settings to Herdbook: the only place where parts are put together."""

import getpass
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from herdbook.core.access import Actor, everything
from herdbook.core.artifacts import Artifact
from herdbook.core.blobs import How, Said, Stored, silent
from herdbook.core.models import Version
from herdbook.core.pages import Page
from herdbook.core.ports import Work
from herdbook.errors import Invalid, Owned, Unavailable, Unreachable
from herdbook.front.book import Herdbook
from herdbook.front.door import Door
from herdbook.front.resolver import Resolver
from herdbook.front.serving import ServedExperiments
from herdbook.services import inspection, leading
from herdbook.services.store import Store
from herdbook.services.verbs import LINES, LOADS, READS, STORES, WRITES
from herdbook.services.versions import Draft
from herdbook.settings import Settings
from herdbook.storage import blobs
from herdbook.storage.cache import Cache
from herdbook.storage.sql import schema
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.work import Clock, SqlWork, reading, utc_now, writing

T = TypeVar("T")
# What is done because of evidence is no person's doing.
_LEADER: Final = everything("herdbook")


class LocalDoor:
    """Runs verbs on a database, each in a transaction of its own.

    Args:
        database: an opened database at the right revision.
        by: who acts.
        store: the address of the store of bytes.
        clock: tells the time.
    """

    def __init__(
        self, database: Database, by: Actor, *, store: str = "", clock: Clock = utc_now
    ) -> None:
        self.database = database
        self._by = by
        self._address = store
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
            raise Unavailable("this register was closed; connect again")
        return self.database

    @cached_property
    def store(self) -> Store:
        """The bytes of the register."""
        return Store(blobs.opened(self._address), self)

    def read(self, job: Callable[[Work], T]) -> T:
        """Run a job in a unit of work that reads."""
        with self.reading() as work:
            return job(cast(Work, work))

    def write(self, job: Callable[[Work], T], *, long: bool = False) -> T:
        """Run a job in a unit of work that writes."""
        with self.writing() as work:
            return job(cast(Work, work))

    def send(self, paths: Sequence[Path], *, said: Said = silent) -> Iterator[Stored]:
        """Take files into the store, and tell of each in their order."""
        self._open()
        return self.store.take_all(paths, said=said)

    def take(self, chunks: Iterable[bytes], *, digest: str, size: int) -> Stored:
        """Take bytes into the store."""
        self._open()
        return self.store.write(chunks, digest=digest, size=size)

    def stream(self, file: Artifact) -> Iterator[bytes]:
        """Give the bytes of a file, verified as they go."""
        return self.store.blobs.read(file.digest)

    def fetch(self, file: Artifact, to: Path, *, link: bool = True, said: Said = silent) -> How:
        """Put the bytes of a file at a path, linked where that can be."""
        how = self.store.blobs.give(file.digest, to, link=link)
        said(file.size)
        return how

    def call(self, kind: type[T], verb: str, /, **arguments: Any) -> T:
        """Run a verb that gives one value."""
        found: T = self._run(verb, arguments)
        return found

    def page(self, kind: type[T], verb: str, /, **arguments: Any) -> Page[T]:
        """Run a verb that gives a page of values."""
        found: Page[T] = self._run(verb, arguments)
        return found

    def _run(self, verb: str, arguments: dict[str, Any]) -> Any:
        if verb in STORES:
            self._open()
            return STORES[verb](self.store, **arguments)
        draft = arguments.get("draft")
        if isinstance(draft, Draft) and draft.artifacts:
            arguments["draft"] = inspection.checked(self.store, draft)
        if verb == "artifacts.sign":
            # What checks signatures takes its time to load, and few commands sign.
            from herdbook.signing.vouching import proven

            arguments["proof"] = proven(self, arguments["ref"], arguments["signature"])
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

    def advance(self) -> None:
        """Look at the experiments that are due."""
        with reading(self._open(), _LEADER, clock=self._clock) as work:
            if not leading.due(cast(Work, work)):
                return
        with writing(self._open(), _LEADER, clock=self._clock) as work:
            leading.advance(cast(Work, work))

    def close(self) -> None:
        """Give up connections."""
        self._closed = True
        if "store" in self.__dict__:
            self.store.blobs.close()
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
    cache = Cache(settings.cache, limit_bytes=settings.cache_bytes)
    experiments = ServedExperiments(
        door,
        resolver,
        journal=settings.home / "journal",
        identity=settings.actor,
        interval=settings.refresh_seconds,
    )
    alone = _is_alone(settings)
    return Herdbook(
        door,
        resolver=resolver,
        cache=cache,
        experiments=experiments,
        offline=alone,
        again=partial(connect, settings=settings),
    )


def _is_alone(settings: Settings) -> bool:
    """Whether the bytes are behind a network that may not be used."""
    address = settings.database_url.startswith(("http://", "https://"))
    return settings.offline and (address or "://" in settings.blobs)


def open_door(settings: Settings) -> Door:
    """Open the door the settings name: a server, or a database."""
    address = settings.database_url
    if address.startswith(("http://", "https://")):
        return _remote(address, settings)
    if settings.offline and not address.startswith("sqlite:"):
        raise Unreachable(
            "HERDBOOK_OFFLINE=1 forbids to connect to a database server; use a register in a file, "
            "or a server whose versions were pulled before"
        )
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
    by = everything(actor_name(settings))
    return LocalDoor(database, by, store=settings.blobs_address)


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

    return RemoteDoor(
        address,
        token=settings.token,
        timeout_seconds=settings.timeout_seconds,
        offline=settings.offline,
    )
