"""Putting a snapshot together, so that it is there whole or not at all.

Files are fetched into a folder nobody looks into, verified, and made durable; the folder is
renamed into its place, and the mark that makes it a snapshot is written last. Whatever died
before that left no mark, and what it left is cleared by the next that pulls the same.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from typing import Final

from herdbook.core.artifacts import Artifact, Manifest
from herdbook.core.blobs import How
from herdbook.errors import Corrupt, Invalid
from herdbook.storage.cache.disk import (
    READ,
    UNLINKABLE,
    Identity,
    digest_of_file,
    disk_errors,
    identity,
    make_durable,
    remove_tree,
    sync_folder,
    told_full,
    write_whole,
)
from herdbook.storage.cache.layout import Layout, name_of
from herdbook.storage.cache.marks import Mark, MarkedFile
from herdbook.storage.cache.sharing import LARGE, Shared

Fetch = Callable[[Artifact, Path], How]
WORKERS: Final = 4
GONE: Final = ".gone"

# A store that links or clones a file has verified it in that call; everything else is read here.
_VERIFIED: Final = frozenset({How.LINKED, How.CLONED})


def clear(layout: Layout, name: str) -> None:
    """Remove what was begun under a name and not ended."""
    for left in (layout.pulls / name, layout.pulls / f"{name}{GONE}"):
        remove_tree(left)


class Pull:
    """One snapshot that is being put together; nobody else may pull the same meanwhile."""

    def __init__(self, layout: Layout, manifest: Manifest, fetch: Fetch) -> None:
        self._layout = layout
        self._shared = Shared(layout)
        self._manifest = manifest
        self._fetch = fetch
        self._name = name_of(manifest.digest)
        self._staging = layout.pulls / self._name
        self._tree = self._staging / "tree"
        self._kept: list[str] = []

    def run(self, said: Callable[[int], None]) -> None:
        """Fetch what is missing and make the snapshot visible.

        Raises:
            Corrupt: a file is not what the manifest says.
            Unavailable: the disk is full, or fails.
        """
        try:
            with disk_errors(f"write in {self._layout.root}"):
                self._begin()
                found = self._filled(said)
                self._publish(found)
        except BaseException as error:
            # Whole files stay for the next try, unless they fill the disk to no use.
            if told_full(error):
                for digest in self._kept:
                    self._shared.forget(digest)
            raise
        finally:
            with contextlib.suppress(OSError):
                remove_tree(self._staging)

    def _begin(self) -> None:
        clear(self._layout, self._name)
        self._staging.mkdir(mode=0o700)
        # For whoever tidies up: files it names are wanted.
        (self._staging / "manifest").write_text(self._manifest.text, encoding="utf-8")
        for folder in ["", *_folders(self._manifest)]:
            (self._tree / folder).mkdir(mode=0o700)

    # --- the files ---

    def _filled(self, said: Callable[[int], None]) -> dict[str, Identity]:
        """Put every file in its place and tell what each looks like."""
        alike: dict[str, list[Artifact]] = {}
        for file in sorted(self._manifest.files, key=lambda file: -file.size):
            alike.setdefault(file.digest, []).append(file)
        found: dict[str, Identity] = {}
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="herdbook-cache") as workers:
            waiting = [workers.submit(self._fill, files) for files in alike.values()]
            try:
                for done in as_completed(waiting):
                    for file, seen in done.result():
                        found[file.path] = seen
                        said(file.size)
            except BaseException:
                _cancel(waiting)
                raise
        return found

    def _fill(self, files: list[Artifact]) -> list[tuple[Artifact, Identity]]:
        """Put files with the same bytes in their places: fetched once, or not at all."""
        first, *others = files
        with self._shared.alone(first):
            seen = self._shared.lend(first, self._tree / first.path) or self._fetched(first)
        filled = [(first, seen)]
        for other in others:
            linked = _link(self._tree / first.path, self._tree / other.path)
            filled.append((other, seen if linked else self._fetched(other)))
        return filled

    def _fetched(self, file: Artifact) -> Identity:
        path = self._tree / file.path
        with disk_errors(f"fetch {file.path} into {self._layout.root}"):
            how = self._fetch(file, path)
            seen = _accepted(file, path, how)
            draft = self._staging / f"{name_of(file.digest)}.draft"
            self._shared.keep(file, path, seen, draft=draft)
        self._kept.append(file.digest)
        return seen

    # --- the snapshot ---

    def _publish(self, found: dict[str, Identity]) -> None:
        """Give it its place and its mark, each durable before the next begins."""
        folders = [self._tree / folder for folder in ["", *_folders(self._manifest)]]
        make_durable([*(self._tree / path for path in found), *folders])
        mark, place = self._layout.marks / self._name, self._layout.snapshots / self._name
        if os.path.lexists(mark):
            mark.unlink()
            sync_folder(mark.parent)
        if os.path.lexists(place):
            set_aside(place, self._staging / "old")
        self._tree.rename(place)
        sync_folder(place.parent)
        for folder in _folders(self._manifest):
            (place / folder).chmod(0o555)
        place.chmod(0o555)
        write_whole(mark, self._mark(found).data(), draft=self._staging / "mark", durable=True)

    def _mark(self, found: dict[str, Identity]) -> Mark:
        files = {
            file.path: MarkedFile(file.digest, file.size, found[file.path])
            for file in self._manifest.files
        }
        return Mark(files, self._manifest.text)


def set_aside(place: Path, to: Path) -> None:
    """Rename a folder, be it read-only, or whatever else is there."""
    if stat.S_ISDIR(place.lstat().st_mode):
        place.chmod(0o700)  # else it may not be moved to another folder
    place.rename(to)


def _accepted(file: Artifact, path: Path, how: How) -> Identity:
    """Verify what was fetched, make it read-only and tell what it looks like."""
    try:
        fd = os.open(path, READ)
    except OSError:
        raise Corrupt(f"nothing that is a file arrived as {file.path}; pull again") from None
    try:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise Corrupt(f"what arrived as {file.path} is no file; pull again")
        if before.st_size != file.size:
            raise Corrupt(
                f"{before.st_size:,} bytes arrived as {file.path} where {file.size:,} were "
                "promised; pull again"
            )
        if how == How.LINKED and before.st_mode & 0o222:
            # Its owner may write it at any time, and its mode is not ours to change.
            raise Invalid(f"{file.path} was linked to a file that can be written; copy it")
        if how not in _VERIFIED and digest_of_file(fd) != file.digest:
            raise Corrupt(f"what arrived as {file.path} is not {file.digest}; pull again")
        os.fchmod(fd, 0o444)
        if file.size >= LARGE and how != How.LINKED:
            os.fsync(fd)
        # From before it was read: what is written meanwhile is noticed later.
        return identity(before)
    finally:
        os.close(fd)


def _folders(manifest: Manifest) -> list[str]:
    """Give the folders within a snapshot, each after the one it is in."""
    found = {
        str(parent) for file in manifest.files for parent in PurePosixPath(file.path).parents
    } - {"."}
    return sorted(found, key=lambda folder: folder.count("/"))


def _link(source: Path, path: Path) -> bool:
    try:
        os.link(source, path, follow_symlinks=False)
    except OSError as error:
        if error.errno in UNLINKABLE:
            return False
        raise
    return True


def _cancel(waiting: Iterable[Future[list[tuple[Artifact, Identity]]]]) -> None:
    for each in waiting:
        each.cancel()
