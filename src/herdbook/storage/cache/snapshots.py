"""The cache of pulled versions."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from herdbook.core.artifacts import Manifest
from herdbook.errors import Corrupt, Unavailable
from herdbook.storage.cache.checking import Checked, checked
from herdbook.storage.cache.disk import disk_errors
from herdbook.storage.cache.layout import Layout, name_of
from herdbook.storage.cache.locks import drop, is_free, locked, used
from herdbook.storage.cache.marks import problems, read_mark
from herdbook.storage.cache.pruning import Pruned, every_mark, pruned
from herdbook.storage.cache.pulling import Fetch, Pull
from herdbook.storage.cache.records import Records
from herdbook.storage.cache.sharing import Shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A complete snapshot of the cache.

    Args:
        digest: of its manifest.
        path: its folder.
        refs: what it was pulled as, of whichever register.
        files: how many it has.
        size_bytes: their bytes; files that other snapshots have too are counted here and there.
        used_at: when it was asked for last.
        in_use: whether a process uses it now.
    """

    digest: str
    path: str
    refs: tuple[str, ...]
    files: int
    size_bytes: int
    used_at: datetime
    in_use: bool


def ignore(_: int) -> None:
    """Make nothing of progress."""


class Cache:
    """Pulled versions in a folder, shared by the processes of one user on one machine.

    What `snapshot` and `present` give stays until the process and its forks have ended, or
    `release` was called: nothing in use is removed, not even to make room.

    Args:
        folder: where; made when something is written, for this user alone.
        limit_bytes: what `snapshot` makes room for, by removing what is not in use; 0 for no
            limit. Never a reason to refuse: a version larger than the limit is pulled all the same.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = 0) -> None:
        self._layout = Layout(folder)
        self._limit = limit_bytes
        self._records = Records(self._layout)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._layout.root

    # --- using ---

    def present(self, manifest_digest: str) -> Path | None:
        """Give a snapshot's folder if it is complete and no file of it has changed since.

        Looks at inode, size and time of every file and reads none. From then on it is in use.

        Raises:
            Invalid: this is no digest, or others may write in the cache.
        """
        name = name_of(manifest_digest)
        if not self._layout.exists() or not os.path.lexists(self._layout.marks / name):
            return None
        lock = self._layout.locks / name
        with used(lock):  # before it is looked at: nobody may remove it any more
            found = self._intact(name)
        if found is None:
            drop(lock)
        return found

    def snapshot(
        self, manifest: Manifest, fetch: Fetch, *, said: Callable[[int], None] = ignore
    ) -> Path:
        """Give a folder with exactly the files of a manifest, read-only, complete and verified.

        What is missing or has changed is fetched, by one process for all; what another snapshot
        has is linked. From then on it is in use.

        Args:
            manifest: which files.
            fetch: puts one file at a path where nothing is and tells how; called from a few
                threads at once, once for each digest that is missing. What it linked or cloned
                is taken as verified by the store that did, and a linked file must be read-only;
                all else is read again here and compared with the digest.
            said: told the bytes of each file that is in place, by the calling thread.

        Raises:
            Corrupt: what was fetched is not what the manifest says.
            Invalid: others may write in the cache.
            Unavailable: the disk is full or fails, or has no locks.
        """
        if found := self.present(manifest.digest):
            return found
        self._layout.make()
        name = name_of(manifest.digest)
        lock = self._layout.locks / name
        with used(lock), locked(self._layout.locks / f"{name}.pull") as got:
            if not got:
                raise Unavailable(
                    f"the cache {self.folder} cannot be written; set HERDBOOK_CACHE to another"
                )
            # Somebody may have pulled it while this waited.
            return self._intact(name) or self._pulled(manifest, fetch, said)

    def _pulled(self, manifest: Manifest, fetch: Fetch, said: Callable[[int], None]) -> Path:
        if self._limit:
            self._make_room(manifest)
        Pull(self._layout, manifest, fetch).run(said)
        if self._limit:
            # Others may have pulled as well meanwhile.
            pruned(self._layout, to_bytes=self._limit, dry_run=False)
        found = self._intact(name_of(manifest.digest))
        if found is None:
            raise Corrupt(
                f"files of {manifest.digest} changed while they were pulled; pull again when "
                "nobody writes them"
            )
        return found

    def _make_room(self, manifest: Manifest) -> None:
        shared = Shared(self._layout)
        wanted = {file.digest: file for file in manifest.files}.values()
        coming = sum(file.size for file in wanted if not shared.has(file))
        pruned(self._layout, to_bytes=max(self._limit - coming, 1), dry_run=False)

    def _intact(self, name: str) -> Path | None:
        """Give a snapshot's folder, noting that it is used, or None."""
        mark, place = self._layout.marks / name, self._layout.snapshots / name
        with disk_errors(f"look into {self.folder}"):
            try:
                found = read_mark(mark)
            except Corrupt:
                return None
            if found is None or next(problems(found, place), None):
                return None
        with contextlib.suppress(OSError):  # a cache that cannot be written is as good
            os.utime(mark)
        return place

    def release(self, manifest_digest: str) -> None:
        """Stop using a snapshot in this process: whatever of it is open may be removed."""
        drop(self._layout.locks / name_of(manifest_digest), entirely=True)

    # --- references ---

    def remember(self, register: str, ref: str, manifest: Manifest, version: str) -> None:
        """Note what a reference was when it was pulled; call it when its snapshot is there.

        Args:
            register: the address of the register; of which only a digest is kept.
            ref: the reference as it was given.
            manifest: of the version it was.
            version: the version's own reference, such as `majora:v2`.
        """
        self._layout.make()
        self._records.write(register, ref, manifest, version)

    def recall(self, register: str, ref: str) -> tuple[Manifest, str, datetime] | None:
        """Give what a reference was when it was pulled last, the version and when that was.

        Raises:
            Corrupt: the record of it is damaged.
        """
        return self._records.read(register, ref) if self._layout.exists() else None

    # --- keeping house ---

    def listing(self) -> list[Snapshot]:
        """Give every complete snapshot, least recently used first; none is read or looked into."""
        if not self._layout.exists():
            return []
        with disk_errors(f"look into {self.folder}"):
            refs = self._records.refs()
            return [
                Snapshot(
                    digest=marked.digest,
                    path=str(self._layout.snapshots / marked.name),
                    refs=tuple(refs.get(marked.digest, ())),
                    files=len(marked.mark.files),
                    size_bytes=marked.mark.size,
                    used_at=marked.used,
                    in_use=not is_free(self._layout.locks / marked.name),
                )
                for marked in every_mark(self._layout)
                if marked.mark is not None
            ]

    def verify(self, *, remove: bool = False, said: Callable[[int], None] = ignore) -> Checked:
        """Read every byte and tell which files of which snapshots are damaged.

        Args:
            remove: whether damaged snapshots go, in use or not, so that the next pull fetches
                what is damaged anew.
            said: told the bytes of each file that was read.
        """
        if not self._layout.exists():
            return Checked(snapshots=0, files=0, size_bytes=0, damage=())
        return checked(self._layout, remove=remove, said=said)

    def prune(self, *, to_bytes: int = 0, dry_run: bool = False) -> Pruned:
        """Remove snapshots, least recently used first, until so many bytes are left.

        What is in use stays. Also goes what processes that died have left, files that belong to
        no snapshot, and records of references whose snapshot is gone.

        Args:
            to_bytes: 0 removes all.
            dry_run: only tell what would go.
        """
        if not self._layout.exists():
            return Pruned(removed=(), in_use=(), freed_bytes=0, left_bytes=0)
        return pruned(self._layout, to_bytes=to_bytes, dry_run=dry_run)
