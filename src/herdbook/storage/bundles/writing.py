"""Writing bundles: whole and durable, or not there."""

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from herdbook.errors import AlreadyExists, Corrupt, NotFound, TooLarge, Unavailable
from herdbook.storage.bundles.blocks import BLOCK, END, header_of, padded
from herdbook.storage.bundles.layout import Entry, Packed, entries
from herdbook.storage.bundles.limits import LIMITS, Limits

CHUNK: Final = 1 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_UNLINKABLE: Final = frozenset({errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A bundle that is written and durable.

    Args:
        path: where.
        size: its bytes.
        versions: how many.
        blobs: how many files of versions, each once however many versions have it.
    """

    path: Path
    size: int
    versions: int
    blobs: int


def write_bundle(
    path: Path,
    contents: Iterable[Packed],
    read: Callable[[str], Iterator[bytes]],
    *,
    said: Callable[[int], None] | None = None,
    limits: Limits = LIMITS,
) -> Written:
    """Write versions and their files as a bundle, visible when all of it is there.

    Args:
        path: where nothing is yet.
        contents: the versions, in the order they will be read in.
        read: gives the bytes of a digest, which are verified here again.
        said: called with every count of bytes more that are written.
        limits: those of whoever will read it.

    Raises:
        AlreadyExists: something is at the path.
        NotFound: its folder, or what `read` does not find, is not there.
        Corrupt: `read` gave other bytes.
        TooLarge: whoever reads it would not take it.
        Unavailable: the disk is full or failing.
    """
    told = said or (lambda _: None)
    every = tuple(contents)
    parts = entries(every)
    size = sum(BLOCK + padded(part.size) for part in parts) + len(END)
    _refuse_large(parts, size, limits)
    with _draft(path) as file:
        for part in parts:
            file.write(header_of(part.name, part.size))
            for chunk in (part.data,) if part.data is not None else _exactly(part, read):
                file.write(chunk)
                told(len(chunk))
            file.write(bytes(padded(part.size) - part.size))
        file.write(END)
    files = {file.digest for one in every for file in one.manifest.files}
    return Written(path=path, size=size, versions=len(every), blobs=len(files))


def _exactly(part: Entry, read: Callable[[str], Iterator[bytes]]) -> Iterator[bytes]:
    passed, count = hashlib.sha256(), 0
    for chunk in read(part.digest):
        count += len(chunk)
        if count > part.size:
            break
        passed.update(chunk)
        yield chunk
    if count != part.size or f"sha256:{passed.hexdigest()}" != part.digest:
        raise Corrupt(
            f"the store holds other bytes under {part.digest} than those; nothing was written"
        )


def _refuse_large(parts: list[Entry], size: int, limits: Limits) -> None:
    documents = [part.size for part in parts if part.data is not None]
    for what, count, limit in (
        ("bytes", size, limits.size),
        ("entries", len(parts), limits.entries),
        ("bytes in one document", max(documents), limits.document),
        ("bytes of documents", sum(documents), limits.documents),
    ):
        if count > limit:
            raise TooLarge(
                f"the bundle would have {count:,} {what}, the limit is {limit:,}; "
                "write fewer versions into each"
            )


@contextmanager
def _draft(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write that gets its name when it is whole and durable, or is removed."""
    if os.path.lexists(path):
        raise _taken(path)
    if not path.parent.is_dir():
        raise NotFound(f"there is no folder {path.parent} to put a bundle in", field="path")
    draft = path.with_name(f".herdbook-{os.getpid()}-{secrets.token_hex(8)}")
    try:
        with draft.open("xb", buffering=CHUNK) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _publish(draft, path)
    except OSError as problem:
        mends = "free some space" if problem.errno in _FULL else "mend it"
        raise Unavailable(
            f"cannot write {path}: {problem.strerror}; {mends} and try again"
        ) from problem
    finally:
        draft.unlink(missing_ok=True)


def _publish(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)  # unlike a rename it replaces nothing
    except FileExistsError:
        raise _taken(path) from None
    except OSError as problem:
        if problem.errno not in _UNLINKABLE:
            raise
        if os.path.lexists(path):
            raise _taken(path) from None
        draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _taken(path: Path) -> AlreadyExists:
    return AlreadyExists(f"{path} is there already; nothing was written over it", field="path")
