"""What stands behind the front: something that runs a verb by its name."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

from herdbook.core.models import Version
from herdbook.core.pages import Page

T = TypeVar("T")


class Door(Protocol):
    """Runs verbs, each in a transaction of its own."""

    @property
    def address(self) -> str:
        """Where the register is, without secrets."""

    def call(self, kind: type[T], verb: str, /, **arguments: Any) -> T:
        """Run a verb that gives one value."""

    def page(self, kind: type[T], verb: str, /, **arguments: Any) -> Page[T]:
        """Run a verb that gives a page of values."""

    def lines(self, verb: str, /, **arguments: Any) -> Iterator[str]:
        """Run a verb that gives lines of text, in constant memory."""

    def load(self, kind: type[T], verb: str, lines: Iterable[str], /, **arguments: Any) -> T:
        """Run a verb that takes lines of text."""

    def fresh(self, ref: str, mark: str) -> tuple[str, Version] | None:
        """Give what a reference points at, and a mark; None when nothing changed since a mark."""

    def close(self) -> None:
        """Give up connections."""


def every(page: Any, /, **arguments: Any) -> Iterator[Any]:
    """Give the items of all pages, one page in memory at a time."""
    token: str | None = None
    while True:
        found = page(**arguments, page=token)
        yield from found.items
        token = found.next
        if token is None:
            return
