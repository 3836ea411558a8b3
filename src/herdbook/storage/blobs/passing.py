"""Bytes that are counted and hashed as they pass."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from herdbook.errors import Corrupt, Invalid

CHUNK: Final = 1 << 20
# What a store says whose it is.
MARK: Final = "register"
MARK_LIMIT: Final = 100


class Fingerprint:
    """The digest and the number of the bytes that passed so far."""

    __slots__ = ("_hash", "size")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    @classmethod
    def of(cls, chunks: Iterable[bytes | memoryview]) -> "Fingerprint":
        """Let all of them pass."""
        passed = cls()
        for chunk in chunks:
            passed.add(chunk)
        return passed

    def add(self, chunk: bytes | memoryview) -> None:
        """Let a chunk pass."""
        self._hash.update(chunk)
        self.size += len(chunk)

    @property
    def digest(self) -> str:
        """Of all that passed."""
        return f"sha256:{self._hash.hexdigest()}"

    def check(self, digest: str = "", size: int = -1) -> None:
        """Compare with what was promised, as far as it was.

        Raises:
            Corrupt: other bytes passed, or another number of them.
        """
        if size >= 0 and size != self.size:
            raise Corrupt(f"{self.size:,} bytes arrived where {size:,} were promised")
        if digest and digest != self.digest:
            raise Corrupt(f"the bytes are those of {self.digest}, not of {digest}")


def verified(chunks: Iterable[bytes], digest: str) -> Iterator[bytes]:
    """Pass chunks on, the last only when all of them together have the digest.

    Raises:
        Corrupt: in place of the last chunk.
    """
    passed, kept = Fingerprint(), b""
    for chunk in chunks:
        if kept:
            yield kept
        passed.add(chunk)
        kept = chunk
    passed.check(digest)
    if kept:
        yield kept


def damaged(passed: Fingerprint, there: int) -> Corrupt:
    """What to raise when a store holds another number of bytes under a digest than it should."""
    return Corrupt(
        f"the store holds {there:,} bytes under {passed.digest}, not {passed.size:,}; "
        "remove it and push it again"
    )


def span(start: int, end: int | None, size: int) -> tuple[int, int]:
    """Give where to read from and to; what lies beyond the end is left out.

    Raises:
        Invalid: it is no span.
    """
    if start < 0 or (end is not None and end < start):
        raise Invalid(f"bytes {start} to {end} are no part of a blob", field="start")
    return min(start, size), size if end is None else min(end, size)
