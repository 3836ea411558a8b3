"""Making room: snapshots go least recently used first, and never one that is in use."""

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from herdbook.errors import Corrupt
from herdbook.storage.cache.disk import disk_errors, remove_tree, sync_folder
from herdbook.storage.cache.layout import Layout
from herdbook.storage.cache.locks import is_free, locked
from herdbook.storage.cache.marks import Mark, read_mark
from herdbook.storage.cache.pulling import GONE, clear, set_aside
from herdbook.storage.cache.records import Records
from herdbook.storage.cache.sharing import Shared

_NAME: Final = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed, or would be.

    Args:
        removed: digests of snapshots, in the order they went.
        in_use: digests of those that would have gone but are in use.
        freed_bytes: what they had that no other snapshot has.
        left_bytes: what remains. A file of several snapshots counts once, and one that is linked
            from a store on the same disk counts too, though removing it frees nothing.
    """

    removed: tuple[str, ...]
    in_use: tuple[str, ...]
    freed_bytes: int
    left_bytes: int


@dataclass(frozen=True, slots=True)
class Marked:
    """A snapshot as its mark tells: None for a mark that is damaged."""

    name: str
    mark: Mark | None
    used: datetime

    @property
    def digest(self) -> str:
        """Of its manifest."""
        return f"sha256:{self.name}"


def every_mark(layout: Layout) -> list[Marked]:
    """Give all, least recently used first."""
    found = list(_marks(layout))
    return sorted(found, key=lambda marked: (marked.used, marked.name))


def _marks(layout: Layout) -> Iterator[Marked]:
    for path in layout.marks.iterdir():
        if not _NAME.match(path.name):
            continue
        try:
            used = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
        except FileNotFoundError:
            continue
        try:
            mark = read_mark(path)
        except Corrupt:
            yield Marked(path.name, None, used)
        else:
            if mark is not None:  # else it was removed meanwhile
                yield Marked(path.name, mark, used)


class Weights:
    """The bytes of snapshots, each file counted once however many have it."""

    def __init__(self, every: list[Marked]) -> None:
        self._sizes: dict[str, int] = {}
        self._uses: Counter[str] = Counter()
        for marked in every:
            for digest, size in _files(marked).items():
                self._sizes[digest] = size
                self._uses[digest] += 1
        self.total = sum(self._sizes.values())

    def without(self, marked: Marked) -> int:
        """Take a snapshot away and give the bytes that go with it."""
        self._uses.subtract(_files(marked).keys())
        gone = sum(size for digest, size in _files(marked).items() if not self._uses[digest])
        self.total -= gone
        return gone


def _files(marked: Marked) -> dict[str, int]:
    files = marked.mark.files.values() if marked.mark else ()
    return {file.digest: file.size for file in files}


def pruned(layout: Layout, *, to_bytes: int, dry_run: bool) -> Pruned:
    """Remove snapshots until no more than so many bytes are left, and what the dead have left."""
    with disk_errors(f"remove from {layout.root}"):
        every = every_mark(layout)
        weights = Weights(every)
        removed, in_use, freed = [], [], 0
        for marked in every:
            if marked.mark is not None and to_bytes > 0 and weights.total <= to_bytes:
                continue
            if not _gone(layout, marked.name, dry_run=dry_run):
                in_use.append(marked.digest)
                continue
            removed.append(marked.digest)
            freed += weights.without(marked)
        if not dry_run:
            _tidy(layout)
    return Pruned(
        removed=tuple(removed),
        in_use=tuple(in_use),
        freed_bytes=freed,
        left_bytes=weights.total,
    )


def _gone(layout: Layout, name: str, *, dry_run: bool) -> bool:
    """Remove a snapshot unless it is in use; whether that was, or would be, done."""
    lock = layout.locks / name
    if dry_run:
        return is_free(lock)
    with locked(lock, wait=False) as got:
        if got:
            dismantle(layout, name)
            # Whoever waits for it finds it gone and makes another.
            lock.unlink(missing_ok=True)
        return got


def dismantle(layout: Layout, name: str) -> None:
    """Remove a snapshot, the mark durably before anything else."""
    mark, place = layout.marks / name, layout.snapshots / name
    mark.unlink(missing_ok=True)
    sync_folder(mark.parent)
    clear(layout, name)
    aside = layout.pulls / f"{name}{GONE}"
    with contextlib.suppress(FileNotFoundError):
        set_aside(place, aside)
        remove_tree(aside)


def _tidy(layout: Layout) -> None:
    """Remove what no snapshot and nobody at work has."""
    marked = {path.name for path in layout.marks.iterdir()}
    begun = {path.name.removesuffix(GONE) for path in layout.pulls.iterdir()}
    placed = {path.name for path in layout.snapshots.iterdir()}
    for name in filter(_NAME.match, begun | placed - marked):
        _clear_dead(layout, name)
    # In this order: a pull leaves its list of files only when its mark is there.
    wanted = _wanted(layout)
    every = every_mark(layout)
    wanted |= {digest for each in every for digest in _files(each)}
    shared = Shared(layout)
    for digest in shared.each():
        if digest not in wanted:
            shared.forget(digest)
    Records(layout).forget_all_but({each.digest for each in every})
    _remove_locks(layout)


def _clear_dead(layout: Layout, name: str) -> None:
    with locked(layout.locks / name, wait=False) as got:
        if not got:
            return
        clear(layout, name)
        if not os.path.lexists(layout.marks / name):
            dismantle(layout, name)


def _wanted(layout: Layout) -> set[str]:
    found: set[str] = set()
    for path in layout.pulls.glob("*/manifest"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            layers = json.loads(path.read_bytes())["layers"]
            found |= {str(layer["digest"]) for layer in layers}
    return found


def _remove_locks(layout: Layout) -> None:
    for path in layout.locks.iterdir():
        if os.path.lexists(layout.marks / path.name):
            continue
        _remove_lock(path)


def _remove_lock(path: Path) -> None:
    with locked(path, wait=False) as got:
        if got:
            path.unlink(missing_ok=True)
