"""What stands behind the front: something that runs a verb by its name."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from herdbook.core.artifacts import Artifact
from herdbook.core.blobs import How, Said, Stored, silent
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

    def send(self, paths: Sequence[Path], *, said: Said = silent) -> Iterator[Stored]:
        """Bring files into the register's store, and tell of each in their order.

        Args:
            paths: regular files.
            said: told the bytes as they go, from whatever thread moves them.
        """

    def take(self, chunks: Iterable[bytes], *, digest: str, size: int) -> Stored:
        """Bring bytes into the store; Corrupt when they are not those of the digest."""

    def stream(self, file: Artifact) -> Iterator[bytes]:
        """Give the bytes of a file in chunks; Corrupt in place of the last when they are wrong."""

    def fetch(self, file: Artifact, to: Path, *, link: bool = True, said: Said = silent) -> How:
        """Put the bytes of a file at a path that is not there yet, verified, whole, mode 0444."""

    def fresh(self, ref: str, mark: str) -> tuple[str, Version] | None:
        """Give what a reference points at, and a mark; None when nothing changed since a mark."""

    def advance(self) -> None:
        """Look at the experiments that are due, where nobody else does: not behind a server."""

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
