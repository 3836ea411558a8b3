"""What rows hold beside texts and numbers: times, tombstones, the JSON of a version."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, func, select, tuple_

from herdbook.core import wire
from herdbook.core.models import Version

BATCH: Final = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Give a time as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def moment(count: int) -> datetime:
    """Give microseconds since 1970 as a time."""
    return _EPOCH + timedelta(microseconds=count)


def tombstone(text: str) -> str:
    """Say of something deleted when, by whom and why."""
    gone = json.loads(text)
    why = f": {gone['reason']}" if gone["reason"] else ""
    return f"on {gone['at'][:10]} by {gone['by']}{why}"


def decoded(text: str) -> Version:
    """Give a version from its JSON text."""
    return wire.value(Version, json.loads(text))


def row_text(row: Any) -> str:
    """Give the JSON text of a version: what is known about it, with what it is put inside."""
    return f'{row.about[:-1]},"facts":{row.facts}}}'


def inserting(connection: Connection, table: Table) -> Any:
    """Give an INSERT that can say ON CONFLICT; only the database at hand is imported for it."""
    if connection.dialect.name == "sqlite":
        return import_module("sqlalchemy.dialects.sqlite").insert(table)
    return import_module("sqlalchemy.dialects.postgresql").insert(table)


def continuing(connection: Connection, table: Table) -> None:
    """Let the ids of new rows of a table go on after those that were given to rows by hand."""
    if connection.dialect.name == "postgresql":  # SQLite goes on after the highest anyway
        sequence = func.pg_get_serial_sequence(table.name, "id")
        highest = select(func.max(table.c.id)).scalar_subquery()
        connection.execute(select(func.setval(sequence, highest)))


def each(
    connection: Connection, asked: Select[Any], keys: tuple[Any, ...], *, size: int = BATCH
) -> Iterator[Any]:
    """Give every row by its keys, which it holds and no other row shares, in constant memory."""
    ordered = asked.order_by(*keys).limit(size)
    rows = connection.execute(ordered).all()
    while rows:
        yield from rows
        last = [rows[-1]._mapping[key] for key in keys]
        rows = connection.execute(ordered.where(tuple_(*keys) > tuple_(*last))).all()
