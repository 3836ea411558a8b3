"""Open a database. Every difference between SQLite and PostgreSQL is in this file.

SQLite 3.7.0 to 3.51.2 can corrupt a write-ahead log when several processes write
(sqlite.org/wal.html, "The WAL-Reset Bug"). With such a version the log is used only while one
process owns the file, which a lock on `<file>-owner` shows; otherwise the journal mode is
DELETE, as it is for whoever cannot be sure.
"""

import contextlib
import errno
import fcntl
import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from herdbook.errors import Corrupt, HerdbookError, Invalid, Owned, Unavailable
from herdbook.storage.sql.owning import locked, owner

BUSY_TIMEOUT_MS: Final = 30_000
WAL_SAFE: Final = sqlite3.sqlite_version_info >= (3, 51, 3)


class Database:
    """An opened database that gives out transactions.

    Args:
        url: `sqlite:///path` or `postgresql://user@host/name`.
        owner_url: for a server, the address at which it answers for the file it owns.
        busy_timeout_ms: how long a SQLite writer waits for another.

    Raises:
        Invalid: the address is not one, or nothing can be opened there.
        Owned: a server owns the SQLite file.
        Unavailable: the database cannot be opened now, but may be later.
    """

    def __init__(
        self, url: str, *, owner_url: str = "", busy_timeout_ms: int = BUSY_TIMEOUT_MS
    ) -> None:
        self.url = _address(url)
        self._timeout_ms = busy_timeout_ms
        self._served = bool(owner_url)
        self._lock_file: int | None = None
        self.owns_file = False
        self._single = threading.Lock()
        # An owner's writer, and the reader of the thread that serves, stay taken: to take a
        # connection up anew costs a tenth of a short read or write.
        self._kept: Connection | None = None
        self._reader: Connection | None = None
        # How often this process committed; where it owns the file, nobody else can.
        self.commits = 0
        if self.is_sqlite:
            self._claim(owner_url)
        self.engine = self._sqlite() if self.is_sqlite else self._postgresql()
        self._writer = self._sqlite(single=True) if self.owns_file else self.engine
        if self.owns_file:
            # The journal changes while nobody reads; later it would have to wait for readers.
            with self._translated(), self._writer.connect():
                pass
        _OPEN.add(self)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def _driver(self) -> Any:
        return self.engine.dialect.loaded_dbapi

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database or "") if self.is_sqlite else None

    @property
    def shown(self) -> str:
        """The address without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that only reads."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def glancing(self) -> Iterator[Connection]:
        """Give the same to the one thread that serves; it ends before the next begins."""
        if not self.owns_file:
            with self.reading() as connection:
                yield connection
            return
        with self._translated():
            if self._reader is None or self._reader.closed:
                self._reader = _roomy(self.engine.connect())
            yield from self._glanced(self._reader)

    @staticmethod
    def _glanced(connection: Connection) -> Iterator[Connection]:
        # On the driver: what SQLAlchemy does around a transaction takes as long as a read.
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN")
        try:
            yield connection
        finally:
            if connection.in_transaction():
                connection.rollback()
            driver.rollback()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction that writes; leaving it commits, an error rolls it back."""
        one = self._single if self.owns_file else contextlib.nullcontext()
        with one, self._translated(), self._to_write() as connection:
            with connection.begin():
                yield connection
            self.commits += 1

    @contextlib.contextmanager
    def _to_write(self) -> Iterator[Connection]:
        if not self.owns_file:
            with self._writer.connect() as opened:
                yield opened.execution_options(herdbook_writes=True)
            return
        if self._kept is None or self._kept.closed:
            opened = self._writer.connect().execution_options(herdbook_writes=True)
            self._kept = _roomy(opened)
        yield self._kept

    def close(self) -> None:
        """Close every connection and give up the file."""
        _OPEN.discard(self)
        for kept in filter(None, (self._kept, self._reader)):
            kept.close()
        self._kept = self._reader = None
        if self._writer is not self.engine:
            self.engine.dispose()
        self._writer.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def forget(self) -> None:
        """Let go, in the child of a fork, of connections that are the parent's."""
        self._single = threading.Lock()  # a thread of the parent's may have held it
        self._kept = self._reader = None
        self.engine.dispose(close=False)
        self._writer.dispose(close=False)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeout, self._driver.Error) as error:
            raise self._clear(error) from error

    def _clear(self, error: Exception) -> Exception:
        text = str(getattr(error, "orig", error)).strip()
        kind, mend = next((told for sign, told in _MENDS.items() if sign in text), (None, ""))
        # psycopg's OperationalError is about the server, sqlite3's may also be about the SQL.
        lost = getattr(error, "connection_invalidated", False) or (
            isinstance(error, (OperationalError, self._driver.OperationalError))
            and not self.is_sqlite
        )
        if kind is None and not lost:
            return error
        if kind is None or (kind is Invalid and self._served):
            # Whoever asks a server has no hand in where its database is.
            kind = Unavailable
        first = text.splitlines()[0] if text else type(error).__name__
        return kind(f"{self.shown} cannot be used: {first}; {mend or 'try again'}")

    def _postgresql(self) -> Engine:
        return create_engine(
            self.url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=20,
            pool_timeout=30,
            connect_args={"connect_timeout": 10, "application_name": "herdbook"},
        )

    def _sqlite(self, *, single: bool = False) -> Engine:
        options: dict[str, Any] = {"poolclass": StaticPool} if single else {}
        engine = create_engine(
            self.url.set(drivername="sqlite"),
            connect_args={"check_same_thread": False, "timeout": self._timeout_ms / 1000},
            **options,
        )
        reads_only = self.owns_file and not single

        @event.listens_for(engine, "do_connect")
        def begin_private(*_: object) -> None:
            if self.path is not None and not self.path.exists():
                with contextlib.suppress(OSError):  # SQLite will say what is wrong there
                    create_private(self.path)

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None  # BEGIN is ours to say
            connection.execute(f"PRAGMA busy_timeout={self._timeout_ms}")
            if not reads_only:
                self._journal(connection)
            connection.execute("PRAGMA synchronous=FULL")
            # Four times the usual log: fewer commits wait for it to be copied back.
            connection.execute("PRAGMA wal_autocheckpoint=4000")
            # What undoes a savepoint is small, and a file of its own is not.
            connection.execute("PRAGMA temp_store=MEMORY")
            # SQLite ignores foreign keys unless each connection asks for them.
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA case_sensitive_like=ON")
            if reads_only:
                connection.execute("PRAGMA query_only=ON")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A read that turns into a write fails BUSY whatever the timeout: writers say so.
            writes = connection.get_execution_options().get("herdbook_writes")
            driver: Any = connection.connection.driver_connection
            if not driver.in_transaction:  # a glance has begun on the driver itself
                driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _journal(self, connection: sqlite3.Connection) -> None:
        mode = "wal" if WAL_SAFE or self.owns_file else "delete"
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != mode:
            connection.execute(f"PRAGMA journal_mode={mode}")

    def _claim(self, owner_url: str) -> None:
        path = self.path
        if "uri" in self.url.query:
            raise Invalid("give the path of the file itself, without uri=", field="url")
        if path is None or self.url.database in {None, "", ":memory:"}:
            raise Invalid(
                "a register in memory would be lost; give sqlite:///a-file.db", field="url"
            )
        with self._opening():
            there = path.parent.is_dir()
        if not there:
            raise Invalid(
                f"the folder {path.parent} is not there; make it, or choose another", field="url"
            )
        if WAL_SAFE or not os.access(path.parent, os.W_OK):
            return
        # One file has one owner, whatever link it was reached by.
        with self._opening():
            self._lock_file = os.open(
                f"{path.resolve()}-owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        if owner_url:
            self.owns_file = locked(self._lock_file, fcntl.LOCK_EX)
        if self.owns_file:
            os.ftruncate(self._lock_file, 0)
            os.pwrite(
                self._lock_file,
                json.dumps({"url": owner_url, "pid": os.getpid()}).encode(),
                0,
            )
        elif not locked(self._lock_file, fcntl.LOCK_SH):
            held = owner(self._lock_file)
            os.close(self._lock_file)
            self._lock_file = None
            raise Owned(
                f"{path} is in use by the server at {held.get('url', '?')}; ask that, with --url",
                details={"url": held.get("url", "")},
            )

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = Unavailable if error.errno in _PASSING else Invalid
            raise kind(f"{self.shown} cannot be opened: {error.strerror}") from error


# A connection must not cross a fork: two processes would write into one socket. One hook serves
# all, for none can be taken back: one for each database would slow every fork for ever.
_OPEN: Final["weakref.WeakSet[Database]"] = weakref.WeakSet()


def _forget_all() -> None:
    for database in list(_OPEN):
        database.forget()


os.register_at_fork(after_in_child=_forget_all)

# Unavailable is what may heal by itself, so that trying again makes sense.
_PASSING: Final = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO}
_MENDS: Final[dict[str, tuple[type[HerdbookError], str]]] = {
    "locked": (Unavailable, "another process is writing; try again"),
    "disk is full": (Unavailable, "free some space and try again"),
    "No space left": (Unavailable, "free some space and try again"),
    "disk I/O": (Unavailable, "look at the disk, then run `herdbook doctor`"),
    "malformed": (Corrupt, "restore a backup with `herdbook db restore`"),
    "not a database": (Corrupt, "give the path of a Herdbook database"),
    "readonly": (Invalid, "make the file and its folder writable"),
    "unable to open": (Invalid, "make sure its folder exists and is writable"),
    "authentication": (Invalid, "give the right user and password"),
    "does not exist": (Invalid, "create the database first"),
    "invalid connection option": (Invalid, "leave that out of the address"),
    "resolve": (Unavailable, "make sure the host's name is right"),
    "connect": (Unavailable, "make sure the server runs and the address is right"),
    "terminat": (Unavailable, "the server stopped; try again when it runs"),
    "shutting down": (Unavailable, "the server stopped; try again when it runs"),
}


def create_private(path: Path) -> None:
    """Make an empty file only its owner may read and write, whatever the umask.

    What SQLite puts beside a database has the same mode.
    """
    made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(made, 0o600)
    finally:
        os.close(made)


def alone(connection: Connection, key: int) -> None:
    """Wait until no other transaction holds a key; SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


@contextlib.contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """Undo what an error leaves half done within a transaction, without SQLAlchemy's own way."""
    driver: Any = connection.connection.driver_connection
    driver.execute("SAVEPOINT herdbook")
    try:
        yield
    except BaseException:
        driver.execute("ROLLBACK TO herdbook")
        raise
    finally:
        driver.execute("RELEASE herdbook")


def hold_still(connection: Connection) -> None:
    """Let a transaction that has read nothing yet see one state of the database throughout."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _roomy(connection: Connection) -> Connection:
    """Let one of the two connections a server keeps hold more pages, 16 MB, than others do."""
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA cache_size=-16000")
    return connection


def triggers(connection: Connection) -> set[str]:
    """Give the names of the triggers that are there and not switched off."""
    asked = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    if connection.dialect.name == "postgresql":
        asked = (
            "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') "
            "AND relnamespace = current_schema()::regnamespace"
        )
    return {str(name) for (name,) in connection.exec_driver_sql(asked)}


def _address(url: str) -> URL:
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        found = None
    if found is None or found.get_backend_name() not in {"sqlite", "postgresql"}:
        raise Invalid(
            f"{url.split('@')[-1]!r} is not the address of a register: write "
            "sqlite:///herdbook.db, postgresql://user@host/name or http://host:8477",
            field="url",
        )
    if found.get_backend_name() == "sqlite" and found.host:
        path = "/".join(filter(None, (found.host, found.database)))
        raise Invalid(
            f"the address of a file has three slashes, of an absolute path four: sqlite:///{path}",
            field="url",
        )
    return found
