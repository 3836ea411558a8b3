"""Pages of a collection: at most 1,000 items and where the next page begins."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Generic, TypeVar

from herdbook.errors import Invalid

T = TypeVar("T")

PAGE_LIMIT = 1_000
PAGE_DEFAULT = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page.

    Args:
        items: in the order asked for.
        next: give it back as `page` to get what follows; None at the end.
    """

    items: tuple[T, ...]
    next: str | None = None


def page_size(given: int) -> int:
    """Check a page size: 1 to 1,000."""
    if type(given) is not int or not 1 <= given <= PAGE_LIMIT:
        raise Invalid(
            f"page_size is {given!r:.30}; it must be 1 to {PAGE_LIMIT:,}", field="page_size"
        )
    return given


def page_token(shape: str, position: list[object]) -> str:
    """Write where a page ended, bound to the shape of the question."""
    text = json.dumps([shape, position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def page_position(token: str | None, *, shape: str, kinds: tuple[type, ...]) -> list[object] | None:
    """Read a page token.

    Raises:
        Invalid: forged, cut off, or from another question.
    """
    if token is None:
        return None
    try:
        found, position = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        found, position = None, None
    if (
        found != shape
        or not isinstance(position, list)
        or [type(p) for p in position] != list(kinds)
        or not all(map(_storable, position))
    ):
        raise Invalid(
            "page is not the `next` of this question: begin again without it, and keep filter "
            "and order the same from page to page",
            field="page",
        )
    return position


def _storable(value: object) -> bool:
    """Whether a database can compare with it: a forged token may hold anything."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63
