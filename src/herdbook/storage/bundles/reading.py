"""Reading bundles: nothing is unpacked, and what is not as it should be is refused."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from herdbook.core.artifacts import digest_of
from herdbook.errors import Corrupt, Invalid, NotFound, TooLarge
from herdbook.storage.bundles.blocks import Scan, changed, read
from herdbook.storage.bundles.layout import BLOBS, Entry, entries, packed
from herdbook.storage.bundles.limits import LIMITS, Limits

CHUNK: Final = 1 << 20


class Bundle:
    """An open bundle whose structure is sound; its files are verified as they are read.

    Attributes:
        contents: the versions, in the order they were written in.
        size: the bytes of all of it.
    """

    def __init__(self, fd: int, limits: Limits) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size
        if self.size > limits.size:
            raise TooLarge(f"the bundle has {self.size:,} bytes, the limit is {limits.size:,}")
        self._places = Scan(fd, self.size, limits.entries).places
        self._left, self._limits = limits.documents, limits
        self.contents = packed(self._document)
        self._compare(entries(self.contents))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def blobs(self) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Give every file of the versions once: its digest, its size, and its bytes.

        The last of its chunks comes only when all of them together have the digest.

        Raises:
            Corrupt: in place of that chunk.
        """
        files = {file.digest: file.size for one in self.contents for file in one.manifest.files}
        for digest, size in sorted(files.items()):
            yield digest, size, self._chunks(digest)

    def _chunks(self, digest: str) -> Iterator[bytes]:
        start, size = self._places[_name(digest)]
        passed, kept = hashlib.sha256(), b""
        for at in range(start, start + size, CHUNK):
            if kept:
                yield kept
            kept = read(self._fd, at, min(CHUNK, start + size - at))
            passed.update(kept)
        if f"sha256:{passed.hexdigest()}" != digest:
            raise Corrupt(f"the bundle holds other bytes than those of {digest}; copy it again")
        if kept:
            yield kept

    def _document(self, digest: str) -> bytes:
        """Give a document by its digest, or one of the two that go by a name."""
        name = _name(digest)
        if name not in self._places:
            raise changed(f"it lacks {name}")
        start, size = self._places[name]
        # However often one is asked for, so that none can be named a million times.
        self._left -= size
        if size > self._limits.document or self._left < 0:
            raise TooLarge(
                f"{name} in the bundle has {size:,} bytes; the limit is "
                f"{self._limits.document:,}, and {self._limits.documents:,} for all documents"
            )
        data = read(self._fd, start, size)
        if name != digest and digest_of(data) != digest:
            raise changed(f"{name} holds other bytes")
        return data

    def _compare(self, expected: list[Entry]) -> None:
        """Refuse whatever a bundle of these versions would not hold."""
        for part in expected:
            place = self._places.get(part.name)
            if place is None:
                raise changed(f"it lacks {part.name}")
            if place[1] != part.size:
                raise Invalid(
                    f"{part.name} in the bundle has {place[1]:,} bytes, and {part.size:,} where "
                    "it is named",
                    field="path",
                )
            if part.data is not None and read(self._fd, *place) != part.data:
                raise changed(f"{part.name} is not what its versions ask for")
        names = [part.name for part in expected]
        extra = next(iter(self._places.keys() - set(names)), "")
        if extra:
            raise Invalid(f"{extra} in the bundle belongs to no version", field="path")
        if names != list(self._places):
            raise Invalid("the bundle holds its files in another order than written", field="path")


def read_bundle(path: Path, *, limits: Limits = LIMITS) -> Bundle:
    """Open a bundle and check all of it but the bytes of its files.

    Nothing is written anywhere, and of what an archive can hold only plain files with the very
    names, owners and times that a bundle has are taken.

    Raises:
        NotFound: nothing is at the path.
        Invalid: it is no bundle, or holds what no bundle does.
        TooLarge: it holds more than the limits.
        Corrupt: it was cut off or changed.
    """
    fd = _opened(path)
    try:
        return Bundle(fd, limits)
    except BaseException:
        os.close(fd)
        raise


def _opened(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"there is no bundle at {path}", field="path") from None
    except OSError as problem:
        raise Invalid(f"{path} cannot be read: {problem.strerror}", field="path") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Invalid(f"{path} is no file; give the bundle itself", field="path")
    return fd


def _name(digest: str) -> str:
    return BLOBS + digest.removeprefix("sha256:") if ":" in digest else digest
