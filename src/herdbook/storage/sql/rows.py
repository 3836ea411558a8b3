"""What rows hold beside texts and numbers: times and tombstones."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, tuple_

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


def each(connection: Connection, asked: Select[Any], keys: tuple[Any, ...]) -> Iterator[Any]:
    """Give every row by its keys, which it holds and no other row shares, in constant memory."""
    ordered = asked.order_by(*keys).limit(BATCH)
    rows = connection.execute(ordered).all()
    while rows:
        yield from rows
        last = [rows[-1]._mapping[key] for key in keys]
        rows = connection.execute(ordered.where(tuple_(*keys) > tuple_(*last))).all()
