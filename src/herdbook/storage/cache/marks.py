"""Marks of completeness: what the files of a snapshot looked like when they had been verified."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from herdbook.core.artifacts import Manifest
from herdbook.errors import Corrupt
from herdbook.storage.cache.disk import Identity, identity, read_plain

CHANGED: Final = "changed"

_OTHERS_WRITE: Final = 0o022


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file of a snapshot.

    Args:
        path: within the snapshot; "" for the snapshot itself.
        what: changed, missing, added, …
    """

    path: str
    what: str


@dataclass(frozen=True, slots=True)
class MarkedFile:
    """A file as it was when it had been verified."""

    digest: str
    size: int
    identity: Identity


@dataclass(frozen=True, slots=True)
class Mark:
    """That a snapshot is complete.

    Args:
        files: by path.
        manifest: its text.
    """

    files: dict[str, MarkedFile]
    manifest: str

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files.values())

    def data(self) -> bytes:
        """Give what `read_mark` reads."""
        rows = [[path, f.digest, f.size, *f.identity] for path, f in self.files.items()]
        return sheet(rows, self.manifest)


def read_mark(path: Path) -> Mark | None:
    """Read a mark, or None where there is none.

    Raises:
        Corrupt: it is damaged.
    """
    found = read_sheet(path)
    if found is None:
        return None
    rows, manifest = found
    files = {row[0]: MarkedFile(row[1], row[2], (row[3], row[4], row[5])) for row in rows}
    return Mark(files, manifest)


def sheet(head: object, manifest: str) -> bytes:
    """Write facts and a manifest so that damage to them is noticed."""
    body = json.dumps(head, separators=(",", ":")) + "\n" + manifest
    data = body.encode()
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def read_sheet(path: Path) -> tuple[Any, str] | None:
    """Read what `sheet` wrote, or None where there is nothing.

    Raises:
        Corrupt: it is damaged, or no regular file.
    """
    try:
        said, _, data = read_plain(path).partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Corrupt(f"{path} cannot be read: {error.strerror}; remove it") from None
    if hashlib.sha256(data).hexdigest().encode() != said:
        raise Corrupt(f"{path} is damaged; remove it and pull again")
    head, _, manifest = data.decode().partition("\n")
    return json.loads(head), manifest


def whole_manifest(text: str, digest: str) -> Manifest:
    """Read a manifest that was kept.

    Raises:
        Corrupt: it is another one.
    """
    found = Manifest.parse(text)
    if found.digest != digest:
        raise Corrupt(f"what is kept as the manifest {digest} is that of {found.digest}")
    return found


def problems(mark: Mark, folder: Path) -> Iterator[Problem]:
    """Tell how a snapshot differs from its mark, without reading a byte of it."""
    missing = dict(mark.files)
    folders = {str(parent) for path in mark.files for parent in PurePosixPath(path).parents}
    try:
        waiting = [("", folder)] if stat.S_ISDIR(folder.lstat().st_mode) else []
    except OSError:
        waiting = []
    if not waiting:
        yield Problem("", "missing")
        return
    while waiting:
        prefix, place = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                path = prefix + entry.name
                if path in folders and entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{path}/", place / entry.name))
                elif what := _difference(entry, missing.pop(path, None)):
                    yield Problem(path, what)
    for path in missing:
        yield Problem(path, "missing")


def _difference(entry: "os.DirEntry[str]", marked: MarkedFile | None) -> str:
    if marked is None:
        return "added"
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return "missing"
    if not stat.S_ISREG(found.st_mode):
        return "replaced by something that is no file"
    if identity(found) != marked.identity:
        return CHANGED
    return "writable by others" if found.st_mode & _OTHERS_WRITE else ""
