"""A blob as the readers of formats want it: bytes at any place, in constant memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from herdbook.core.blobs import Blobs, Opened
from herdbook.errors import NotFound

# Up to this size a blob that is no file here is read as a whole, and so verified, at once.
SMALL_BYTES: Final = 1 << 20
SHORT_BYTES: Final = 1 << 17
_WINDOW_BYTES: Final = 1 << 20


class OnDisk:
    """A file of the store.

    Args:
        fd: the opened file.
        size: its bytes.
        sure: whether its bytes were verified.
    """

    def __init__(self, fd: int, size: int, *, sure: bool) -> None:
        self.size = size
        self.sure = sure
        self.read_bytes = 0
        self._fd = fd

    def read_at(self, offset: int, length: int) -> bytes:
        """Give a part of it."""
        found = os.pread(self._fd, length, offset)
        self.read_bytes += len(found)
        return found


class Ranged:
    """A blob that is read by ranges, a MiB at a time, and therefore not verified."""

    def __init__(self, blobs: Blobs, digest: str, size: int) -> None:
        self.size = size
        self.sure = False
        self.read_bytes = 0
        self._blobs = blobs
        self._digest = digest
        self._held, self._start = b"", 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Give a part of it."""
        length = max(0, min(length, self.size - offset))
        at = offset - self._start
        if at < 0 or at + length > len(self._held):
            end = min(self.size, offset + max(length, _WINDOW_BYTES))
            self._held = b"".join(self._blobs.read(self._digest, start=offset, end=end))
            self._start, at = offset, 0
            self.read_bytes += len(self._held)
        return self._held[at : at + length]


class Whole:
    """A small blob in memory, which was verified."""

    def __init__(self, data: bytes) -> None:
        self.size = self.read_bytes = len(data)
        self.sure = True
        self._data = data

    def read_at(self, offset: int, length: int) -> bytes:
        """Give a part of it."""
        return self._data[offset : offset + length]


@contextmanager
def opened(blobs: Blobs, digest: str, *, verified: bool) -> Iterator[Opened]:
    """Open a blob of a store that has no files, see the port."""
    size = blobs.size(digest)
    if size is None:
        raise NotFound(f"the store {blobs.address} holds no {digest}", field="digest")
    if size <= SMALL_BYTES:
        yield Whole(b"".join(blobs.read(digest)))
        return
    if verified:
        blobs.verify(digest)
    made = Ranged(blobs, digest, size)
    made.sure = verified
    yield made
