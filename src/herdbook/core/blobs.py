"""What keeps bytes by their digest: the promises of every store, tested in one suite."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

# Told how many more bytes have been read.
Said = Callable[[int], None]


def silent(count: int) -> None:
    """Tell nobody."""


class How(StrEnum):
    """How bytes came to be at a path."""

    LINKED = "linked"  # the same file under a second name, read-only
    CLONED = "cloned"  # a copy that shares its blocks until one of the two is written
    COPIED = "copied"
    THERE = "there"  # it was there already


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a store holds now.

    Args:
        digest: `sha256:…` of the bytes.
        size: how many they are.
        new: whether they were not there before.
    """

    digest: str
    size: int
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A blob of a store, as it lies there; its bytes are not looked at."""

    digest: str
    size: int
    at: datetime


class Opened(Protocol):
    """A blob to be read at any place, in constant memory.

    Attributes:
        size: its bytes.
        sure: whether what is read was verified; else somebody may have touched it.
        read_bytes: how many bytes were read so far.
    """

    size: int
    sure: bool
    read_bytes: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Give `length` bytes from `offset`; fewer only where the bytes end."""


class Blobs(Protocol):
    """Bytes by their SHA-256, whole or not there at all.

    One blob need not be one stored object. Several processes and machines may use one store at
    once. Whatever fails raises Unavailable when trying again makes sense, and leaves nothing that
    `size` or `each` would tell of; all of it may be there where the answer of a network was lost.
    """

    @property
    def address(self) -> str:
        """Where it is, without secrets."""

    def size(self, digest: str) -> int | None:
        """Give the size of a blob, or None when it is not there."""

    def sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """Give the sizes of those that are there."""

    def file(self, digest: str) -> Path | None:
        """Give where a blob lies as a file that this process verified and nobody touched since.

        None when it has to be verified first, or is no file; NotFound when it is not there.
        """

    def verify(self, digest: str) -> None:
        """Make sure of a blob's bytes: read them, unless nobody can have touched them; Corrupt."""

    def opened(self, digest: str, *, verified: bool = False) -> AbstractContextManager[Opened]:
        """Open a blob to read parts of it; NotFound when it is not there.

        `verified` makes sure of all its bytes first, where that costs a read too; Corrupt.
        """

    def read(self, digest: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Give the bytes from `start` up to `end`, in chunks of about 1 MiB.

        NotFound when the blob is not there, before the first chunk. A whole blob is verified as it
        streams: Corrupt is raised in place of the last chunk, so that nobody who reads to the end
        has taken wrong bytes for right ones. A part is not verified.
        """

    def write(self, chunks: Iterable[bytes], *, digest: str = "", size: int = -1) -> Stored:
        """Take bytes in and make them durable, then visible, under their digest.

        Corrupt when they are not those of `digest` or not `size` many, where these are given; then
        nothing is kept. What an iterator raises is raised again, and nothing is kept.
        """

    def take(self, path: Path, *, said: Said = silent) -> Stored:
        """Take a regular file in, cloned where the file system can.

        Into a folder with one read of it; over a network a large one is read twice, so that what
        is there already is not sent. The file is never linked, for its owner may write it. Invalid
        when it is something else than a regular file or changed while it was read.
        """

    def take_all(self, paths: Iterable[Path], *, said: Said = silent) -> Iterator[Stored]:
        """Take many files in as `take` does and tell of each in their order, when it is durable.

        `said` hears of the bytes as they are read, from whatever thread reads them.

        Much faster than one by one, for what takes time is waited for once for many. The first
        error ends it; what was told of is kept, and of the rest whole files may be.
        """

    def give(self, digest: str, path: Path, *, link: bool = True) -> How:
        """Put a blob at a path that is not there yet, verified, whole, with mode 0444.

        Linked when `link` and both are on one file system, else cloned or copied. Corrupt leaves
        nothing at the path.
        """

    def each(self) -> Iterator[Held]:
        """Give every blob, in constant memory; what others add meanwhile may be missing."""

    def remove(self, digest: str) -> None:
        """Remove a blob; what is not there is no error."""

    def sweep(self, *, before: datetime) -> int:
        """Remove what writers that died before a time left half written; give how many."""

    def claim(self, key: str) -> str:
        """Leave the mark of a register in the store, unless there is one; give the one there is."""

    def close(self) -> None:
        """Give up connections."""
