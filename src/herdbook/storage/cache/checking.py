"""Reading every byte of the cache, to find what has changed without a trace."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from herdbook.core.artifacts import Artifact, Manifest
from herdbook.errors import Corrupt, HerdbookError
from herdbook.storage.cache.disk import READ, digest_of_file, disk_errors
from herdbook.storage.cache.layout import Layout
from herdbook.storage.cache.locks import locked
from herdbook.storage.cache.marks import (
    CHANGED,
    Mark,
    Problem,
    problems,
    read_mark,
    whole_manifest,
)
from herdbook.storage.cache.pruning import Marked, dismantle, every_mark
from herdbook.storage.cache.records import Records
from herdbook.storage.cache.sharing import Shared

WORKERS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A snapshot that is not what it should be.

    Args:
        digest: of its manifest; "" for a file that belongs to no snapshot any more.
        refs: what it was pulled as.
        problems: its files and what is wrong with them.
        removed: whether it is gone, so that the next pull fetches what is damaged.
    """

    digest: str
    refs: tuple[str, ...]
    problems: tuple[Problem, ...]
    removed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found when every byte was read.

    Args:
        snapshots: how many were read.
        files: how many files; one that several snapshots have counts once.
        size_bytes: their bytes.
        damage: what is damaged.
    """

    snapshots: int
    files: int
    size_bytes: int
    damage: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damage


class Reading:
    """What files contain; one that has several names is read once."""

    def __init__(self, said: Callable[[int], None]) -> None:
        self._said = said
        self._read: dict[tuple[int, int], str] = {}
        self.size = 0

    @property
    def files(self) -> int:
        """How many were read."""
        return sum(1 for digest in self._read.values() if digest)

    def has_read(self, path: Path) -> bool:
        """Whether a file was read already, under this or another name."""
        return _inode(path) in self._read

    def digests(self, paths: list[Path]) -> dict[Path, str]:
        """Give what is at paths; "" for what cannot be read."""
        found: dict[Path, str] = {}
        inodes = {path: _inode(path) for path in paths}
        fresh = {inode: path for path, inode in inodes.items() if inode not in self._read}
        with ThreadPoolExecutor(WORKERS) as workers:
            done = workers.map(_digest, fresh.values())
            for inode, (digest, size) in zip(fresh, done, strict=True):
                self._read[inode] = digest
                self.size += size
                self._said(size)
        for path, inode in inodes.items():
            found[path] = self._read[inode]
        return found


def _inode(path: Path) -> tuple[int, int]:
    try:
        found = path.lstat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def _digest(path: Path) -> tuple[str, int]:
    try:
        fd = os.open(path, READ)
    except OSError:
        return "", 0
    try:
        return digest_of_file(fd), os.fstat(fd).st_size
    except OSError:
        return "", 0
    finally:
        os.close(fd)


def checked(layout: Layout, *, remove: bool, said: Callable[[int], None]) -> Checked:
    """Read every byte and tell what is damaged."""
    reading = Reading(said)
    with disk_errors(f"read {layout.root}"):
        refs = Records(layout).refs()
        every = every_mark(layout)
        damage = []
        for marked in every:
            found = tuple(_found(layout, marked, reading))
            if found:
                gone = remove and _removed(layout, marked)
                told = tuple(refs.get(marked.digest, ()))
                damage.append(Damage(digest=marked.digest, refs=told, problems=found, removed=gone))
        damage += _unshared(layout, reading, remove=remove)
    return Checked(
        snapshots=len(every),
        files=reading.files,
        size_bytes=reading.size,
        damage=tuple(damage),
    )


def _found(layout: Layout, marked: Marked, reading: Reading) -> Iterator[Problem]:
    if marked.mark is None:
        yield Problem("", "its mark is damaged")
        return
    place = layout.snapshots / marked.name
    told = list(problems(marked.mark, place))
    changed = {problem.path for problem in told if problem.what == CHANGED}
    gone = {problem.path for problem in told} - changed
    yield from (problem for problem in told if problem.path in gone)
    try:
        manifest = _manifest(marked.mark, marked.digest)
    except HerdbookError as error:
        yield Problem("", error.message)
        return
    there = {place / file.path: file for file in manifest.files if file.path not in gone}
    digests = reading.digests(list(there))
    for path, file in there.items():
        if digests[path] != file.digest:
            yield Problem(file.path, "has other bytes")
        elif file.path in changed:
            yield Problem(file.path, "was touched, its bytes are right")


def _manifest(mark: Mark, digest: str) -> Manifest:
    found = whole_manifest(mark.manifest, digest)
    marked = {path: (file.digest, file.size) for path, file in mark.files.items()}
    if marked != {file.path: _facts(file) for file in found.files}:
        raise Corrupt("its mark tells of other files than its manifest")
    return found


def _facts(file: Artifact) -> tuple[str, int]:
    return (file.digest, file.size)


def _removed(layout: Layout, marked: Marked) -> bool:
    """Remove a snapshot, in use or not: whoever uses it uses wrong bytes, and keeps its files."""
    with locked(layout.locks / f"{marked.name}.pull"):
        again = _mark_now(layout, marked.name) == marked.mark  # not pulled anew meanwhile
        if again:
            dismantle(layout, marked.name)
        return again


def _mark_now(layout: Layout, name: str) -> Mark | None:
    try:
        return read_mark(layout.marks / name)
    except Corrupt:
        return None


def _unshared(layout: Layout, reading: Reading, *, remove: bool) -> Iterator[Damage]:
    """Tell of damaged files that the next snapshot would have been given."""
    shared = Shared(layout)
    paths = {layout.files / digest.removeprefix("sha256:"): digest for digest in shared.each()}
    known = {path for path in paths if reading.has_read(path)}
    found = reading.digests(list(paths))
    for path, digest in paths.items():
        if found[path] == digest:
            continue
        if remove:
            shared.forget(digest)
        if path in known:
            continue  # told as a file of its snapshots
        what = Problem(f"files/{path.name}", "has other bytes")
        yield Damage(digest="", refs=(), problems=(what,), removed=remove)
