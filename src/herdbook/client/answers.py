"""What a server answers: values, pages, and the errors they raise again."""

import json
from typing import Any, Final, TypeVar

from herdbook import errors
from herdbook.core import wire
from herdbook.core.pages import Page
from herdbook.errors import HerdbookError, Unreachable

T = TypeVar("T")


def _tree(kind: type[HerdbookError]) -> dict[str, type[HerdbookError]]:
    found = {kind.code: kind}
    for child in kind.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: Final = _tree(errors.HerdbookError)


def read(kind: type[T], text: bytes) -> T:
    """Read one value."""
    return wire.value(kind, json.loads(text))


def read_page(kind: type[T], text: bytes) -> Page[T]:
    """Read a page of values."""
    found = json.loads(text)
    return Page(tuple(wire.value(kind, item) for item in found["items"]), found["next"])


def failure(status: int, text: bytes, *, address: str) -> HerdbookError:
    """Give the error a problem body stands for; its code is the class it was raised as."""
    try:
        found: dict[str, Any] = json.loads(text)
        kind = BY_CODE[found["code"]]
    except (ValueError, KeyError, TypeError):
        return Unreachable(
            f"{address} answered {status} and nothing Herdbook says: is another server, or a "
            "proxy, at that address?"
        )
    return kind(
        found.get("detail", ""),
        field=found.get("field", ""),
        details=found.get("details", {}),
    )
