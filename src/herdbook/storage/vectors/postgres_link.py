"""A connection to PostgreSQL that comes back after the server did."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format

from herdbook.errors import Invalid, NotFound, Unavailable

Connection = psycopg.Connection[tuple[Any, ...]]

# Searches filtered by space look on until they have enough; placeholders before pgvector 0.8.
_SETTINGS: Final = """
SELECT set_config('hnsw.iterative_scan', 'strict_order', false),
       set_config('hnsw.ef_search', '100', false),
       set_config('hnsw.max_scan_tuples', '2147483647', false)
"""
# An acknowledged write survives the server's crash, whatever the database's default is.
_KEPT: Final = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
_TOO_MUCH: Final = (psycopg.errors.ProgramLimitExceeded, psycopg.errors.StatementTooComplex)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a table of documents and its columns are called.

    Args:
        schema: "" for the connection's own.
        id: the column of ids.
        text: the column of texts.
        metadata: a column of JSON.
        vector: the column of the first vector field.
    """

    schema: str = ""
    id: str = "id"
    text: str = "document"
    metadata: str = "metadata"
    vector: str = "embedding"


@dataclass(slots=True)
class Wire:
    """A value in the binary form PostgreSQL takes it in; the statement casts it."""

    data: bytes


class _WireDumper(Dumper):
    format = Format.BINARY
    oid = 0

    def dump(self, obj: Wire) -> bytes:
        return obj.data


def parsed(address: str) -> tuple[dict[str, Any], Names]:
    """Read `pgvector://…` into the parameters of a connection and the names of a table.

    Raises:
        Invalid: it cannot be read.
    """
    parts = urlsplit(address)
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    named = {key: asked.pop(key) for key in Names.__dataclass_fields__ if key in asked}
    rest = urlencode(asked, quote_via=quote)
    where = f"postgresql://{parts.netloc}{parts.path}" + (f"?{rest}" if rest else "")
    try:
        found = conninfo_to_dict(where)
    except psycopg.ProgrammingError as error:
        raise Invalid(f"{address!r:.120} cannot be read: {error}", field="store") from None
    if not all(each for key, each in named.items() if key != "schema"):
        raise Invalid("a column's name in the address is not empty", field="store")
    return {"connect_timeout": 10, "application_name": "herdbook", **found}, Names(**named)


class Link:
    """One connection for all threads, one at a time; no transaction outlives a call."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._parameters = parameters
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._process = 0

    @contextmanager
    def using(self, place: object = "") -> Iterator[Connection]:
        """Give the connection, and errors as ours.

        Args:
            place: what is worked on, for the error that it is not there.
        """
        with self._lock, translated(place):
            connection = self._opened()
            try:
                yield connection
            finally:
                if connection.closed:
                    self._connection = None

    @contextmanager
    def another(self) -> Iterator[Connection]:
        """Give a connection of its own, for what takes long."""
        with translated(), self.connected() as connection:
            yield connection

    def connected(self) -> Connection:
        """Connect."""
        connection = psycopg.connect(**self._parameters, autocommit=True)
        connection.adapters.register_dumper(Wire, _WireDumper)
        connection.execute(_SETTINGS)
        connection.execute(_KEPT)
        return connection

    def close(self) -> None:
        """End the connection; the next call would make another."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _opened(self) -> Connection:
        # A connection inherited from the parent process is the parent's.
        if self._connection is None or self._process != os.getpid():
            self._connection = self.connected()
            self._process = os.getpid()
        return self._connection


@contextmanager
def translated(place: object = "") -> Iterator[None]:
    """Raise PostgreSQL's errors as ours.

    Raises:
        Unavailable: the server does not answer, is going down or is busy; nothing was written.
        NotFound: a table or column went away meanwhile.
        Invalid: it refused a statement or a value.
    """
    try:
        yield
    except _TOO_MUCH as error:
        raise Invalid(f"PostgreSQL refuses it: {_said(error)}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(f"PostgreSQL does not answer: {_said(error)}; try again") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise NotFound(f"there is no {place} any more: {_said(error)}") from error
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise Invalid(f"PostgreSQL refuses it: {_said(error)}") from error


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def name(*parts: str) -> sql.Composable:
    """Quote an identifier; empty parts are left out."""
    return sql.Identifier(*(part for part in parts if part))
