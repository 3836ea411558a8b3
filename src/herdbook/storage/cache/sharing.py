"""Every file of the cache once: what a version has in common with another is linked, not fetched.

Where the file system has no hard links nothing is shared, and every snapshot has its own files.
"""

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from herdbook.core.artifacts import Artifact
from herdbook.storage.cache.disk import (
    READ,
    UNLINKABLE,
    Identity,
    digest_of_file,
    identity,
    read_plain,
    write_whole,
)
from herdbook.storage.cache.layout import Layout, name_of
from herdbook.storage.cache.locks import locked

# A smaller file is read again whenever another snapshot takes it: that costs less than a record.
LARGE: Final = 1 << 20

_NAME: Final = re.compile(r"[0-9a-f]{64}\Z")


class Shared:
    """The files of all snapshots, by digest."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @contextlib.contextmanager
    def alone(self, file: Artifact) -> Iterator[None]:
        """Keep others from fetching a large file meanwhile, for another snapshot."""
        if file.size < LARGE:
            yield
            return
        with locked(self._layout.locks / f"{name_of(file.digest)}.file"):
            yield

    def has(self, file: Artifact) -> bool:
        """Whether it is there, unverified."""
        try:
            return self._path(file.digest).lstat().st_size == file.size
        except OSError:
            return False

    def lend(self, file: Artifact, path: Path) -> Identity | None:
        """Link a file to a path where nothing is, and tell what it looks like.

        None when it is not there or not what it should be; then it is forgotten. It is read,
        unless it is large and looks as it did when it was verified.
        """
        source = self._path(file.digest)
        try:
            fd = os.open(source, READ)
        except OSError:
            return None
        try:
            found = os.fstat(fd)
            if not self._intact(file, fd, found):
                self.forget(file.digest)
                return None
            return _linked(source, path, found)
        finally:
            os.close(fd)

    def _intact(self, file: Artifact, fd: int, found: os.stat_result) -> bool:
        if not stat.S_ISREG(found.st_mode) or found.st_size != file.size or found.st_mode & 0o222:
            return False
        return self._seen(file.digest) == identity(found) or digest_of_file(fd) == file.digest

    def keep(self, file: Artifact, path: Path, found: Identity, *, draft: Path) -> None:
        """Take a verified file in under a second name; a large one must be durable.

        Args:
            file: which.
            path: where it is.
            found: what it looked like when it was verified.
            draft: a path where nothing is.
        """
        kept = self._path(file.digest)
        try:
            os.link(path, draft, follow_symlinks=False)
        except OSError as error:
            if error.errno in UNLINKABLE:
                return
            raise
        draft.replace(kept)
        # Of two names of one file, replacing one by the other does nothing.
        draft.unlink(missing_ok=True)
        if file.size >= LARGE:
            data = json.dumps(found).encode()
            write_whole(self._known(file.digest), data, draft=draft, durable=False)

    def _seen(self, digest: str) -> Identity | None:
        try:
            inode, size, changed = json.loads(read_plain(self._known(digest)))
        except (OSError, ValueError, TypeError):  # a lost record costs only a read
            return None
        return (inode, size, changed)

    def each(self) -> Iterator[str]:
        """Give every digest."""
        for path in self._layout.files.iterdir():
            if _NAME.match(path.name):
                yield f"sha256:{path.name}"

    def forget(self, digest: str) -> None:
        """Let go of a file; snapshots that have it keep it."""
        self._known(digest).unlink(missing_ok=True)
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._layout.files / name_of(digest)

    def _known(self, digest: str) -> Path:
        return self._layout.known / name_of(digest)


def _linked(source: Path, path: Path, found: os.stat_result) -> Identity | None:
    try:
        os.link(source, path, follow_symlinks=False)
    except OSError as error:
        if error.errno in UNLINKABLE or isinstance(error, FileNotFoundError):
            return None
        raise
    if os.path.samestat(path.lstat(), found):
        return identity(found)
    path.unlink()  # it was replaced meanwhile
    return None
