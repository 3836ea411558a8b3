"""Values to JSON and back: the one notation of HTTP, `--json`, exports and stored documents.

Field names are the values' own, times ISO 8601 in UTC with microseconds and `Z`. Reading
ignores fields it does not know, so that an older client understands a newer server.
"""

import json
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from herdbook.core import names
from herdbook.errors import Invalid

T = TypeVar("T")


@lru_cache(maxsize=64)  # a work writes its one time many times
def time_text(at: datetime) -> str:
    """Write a time: ISO 8601, UTC, microseconds, `Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_value(text: str, *, field: str = "time") -> datetime:
    """Read a time; without an offset it is UTC.

    Raises:
        Invalid: it is not ISO 8601.

    Example:
        >>> time_value("2026-01-14T12:00:00").isoformat()
        '2026-01-14T12:00:00+00:00'
    """
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        raise Invalid(
            f"{field} {text!r:.60} is not a time: write 2026-01-14 or 2026-01-14T12:00:00Z",
            field=field,
        ) from None


# A field that is declared with this is left out while it is empty: texts that were written, and
# digested, before there was such a field stay what they are.
LATER: Mapping[str, bool] = types.MappingProxyType({"later": True})

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_SAME = frozenset({type(None), bool, int, float, str})


def plain(value: object) -> Any:
    """Give a value as what `json.dumps` takes."""
    kind: Any = type(value)
    return value if kind in _SAME else _writer(kind)(value)


@cache
def _writer(kind: Any) -> Callable[[Any], Any]:  # noqa: PLR0911 - one answer a kind
    if issubclass(kind, Enum):
        return attrgetter("value")
    if issubclass(kind, datetime):
        return time_text
    if issubclass(kind, Mapping):
        return lambda data: {str(k): v if type(v) in _SAME else plain(v) for k, v in data.items()}
    if issubclass(kind, tuple | list):
        return lambda data: [v if type(v) in _SAME else plain(v) for v in data]
    if is_dataclass(kind):
        return _dataclass_writer(kind)
    if issubclass(kind, int | float | str):
        return lambda data: data
    return _foreign


def _dataclass_writer(kind: Any) -> Callable[[Any], Any]:
    names = tuple(f.name for f in fields(kind))
    later = frozenset(f.name for f in fields(kind) if f.metadata == LATER)
    if not later:
        return lambda data: {name: plain(getattr(data, name)) for name in names}
    return lambda data: {
        name: plain(found) for name in names if (found := getattr(data, name)) or name not in later
    }


def _foreign(data: object) -> Any:
    found = names.scalar(data)
    if type(found) not in _SAME:
        raise TypeError(f"{type(data).__name__} has no JSON notation")
    return found


def dumps(value: object) -> str:
    """Write a value as compact JSON, its fields in their own order.

    Raises:
        Invalid: a number in it is NaN or infinite; the message says which.
    """
    data = plain(value)
    try:
        return _ENCODER.encode(data)
    except ValueError:
        place = next(_not_finite(data, ""), "a number").strip(".")
        raise Invalid(
            f"{place} is NaN or infinite; JSON has no such number, leave it out", field=place
        ) from None


def _not_finite(data: Any, place: str) -> Iterator[str]:
    if isinstance(data, float) and not math.isfinite(data):
        yield place
    elif isinstance(data, dict):
        for name, inner in data.items():
            yield from _not_finite(inner, f"{place}.{name}")
    elif isinstance(data, list):
        for inner in data:
            yield from _not_finite(inner, place)


def canonical(value: object) -> str:
    """Write a value as JSON in which equal values are equal texts: sorted keys, no spaces."""
    return json.dumps(
        plain(value),
        separators=(",", ":"),
        ensure_ascii=True,
        sort_keys=True,
        allow_nan=False,
    )


def value(kind: type[T], data: object) -> T:
    """Read a value of a kind from what `json.loads` gave.

    Raises:
        Invalid: the data does not have the kind's shape.
    """
    reader: Callable[[Any], T] = _reader(typing.cast(Any, kind))
    try:
        return reader(data)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise Invalid(f"this is not a {kind.__name__}: {error}") from error


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:  # noqa: C901, PLR0911, PLR0912 - one answer a kind
    origin = get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        inner = _reader(next(a for a in get_args(kind) if a is not type(None)))
        return lambda data: None if data is None else inner(data)
    if origin is tuple:
        inner = _reader(get_args(kind)[0])
        return lambda data: tuple(inner(item) for item in data)
    if origin is not None and issubclass(origin, Mapping):
        inner = _reader(get_args(kind)[1])
        return lambda data: {str(k): inner(v) for k, v in data.items()}
    if isinstance(kind, type):
        if is_dataclass(kind):
            return _dataclass_reader(kind)
        if kind is datetime:
            return time_value
        if issubclass(kind, Enum):
            return kind
        if kind is float:
            return lambda data: data if isinstance(data, int | float) else _not(kind, data)
        if kind in (str, int, bool):
            return lambda data: data if isinstance(data, kind) else _not(kind, data)
    return lambda data: data


def _not(kind: type, data: object) -> None:
    raise TypeError(f"{data!r:.40} is not {kind.__name__}")


def _dataclass_reader(kind: type) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers = {f.name: _reader(hints[f.name]) for f in fields(kind)}
    needed = {f.name for f in fields(kind) if f.default is f.default_factory is MISSING}

    def read(data: Mapping[str, Any]) -> object:
        missing = needed - data.keys()
        if missing:
            raise TypeError(f"{', '.join(sorted(missing))} missing")
        return kind(**{name: readers[name](data[name]) for name in readers if name in data})

    return read
