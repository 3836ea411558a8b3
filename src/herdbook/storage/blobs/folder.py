"""Blobs in a folder: `sha256/ab/<64 digits>`, read-only files in folders of their owner alone.

What is written begins as a draft in `tmp/`. It is synced before it gets its name, and its name is
synced before anyone is told of it.
"""

import contextlib
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from herdbook.core.artifacts import blob_digest
from herdbook.core.blobs import Held, How, Opened, Said, Stored, silent
from herdbook.errors import Corrupt, NotFound, Unavailable
from herdbook.storage.blobs.files import (
    DRAFT_PREFIX,
    UNLINKABLE,
    Draft,
    Source,
    abandoned,
    disk_errors,
    look_of,
    marked,
    pieces,
    publish_at,
    refuse_taken,
    sync_folder,
    taken,
)
from herdbook.storage.blobs.layout import Layout
from herdbook.storage.blobs.opening import opened
from herdbook.storage.blobs.passing import CHUNK, MARK, Fingerprint, damaged, span, verified
from herdbook.storage.blobs.syncing import sync_files, sync_folders

KNOWN_LIMIT: Final = 65_536
GROUP: Final = 200
AT_ONCE: Final = 4


class FolderBlobs:
    """Blobs in a folder, which is made when the first is written.

    Several processes may use it at once, and several machines where it is a shared file system.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().absolute()
        self._layout = Layout(self._folder)
        self._ready = False
        self._owner = ""
        self._making = threading.Lock()
        # What this process wrote or verified, by the inode, size and time it had then.
        self._known: dict[str, tuple[int, int, int]] = {}

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self._folder)

    # --- what is there ---

    def size(self, digest: str) -> int | None:
        """Give the size of a blob, or None when it is not there."""
        with disk_errors(f"look into {self._folder}"):
            try:
                found = os.lstat(self._where(digest))
            except FileNotFoundError:
                return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """Give the sizes of those that are there."""
        found = ((digest, self.size(digest)) for digest in digests)
        return {digest: size for digest, size in found if size is not None}

    def each(self) -> Iterator[Held]:
        """Give every blob; a file whose name is no digest is none."""
        return self._layout.each()

    # --- out ---

    def file(self, digest: str) -> Path | None:
        """Give where a blob lies that this process verified and nobody touched since, or None."""
        path = self._path(digest)
        with disk_errors(f"look into {self._folder}"):
            try:
                found = path.lstat()
            except FileNotFoundError:
                raise self._missing(digest) from None
        return path if self._known.get(digest) == look_of(found) else None

    def verify(self, digest: str) -> None:
        """Read a whole blob, unless it was verified and nobody touched it since; Corrupt."""
        fd = self._opened(digest)
        try:
            self._verify(digest, fd)
        finally:
            os.close(fd)

    def opened(self, digest: str, *, verified: bool = False) -> AbstractContextManager[Opened]:
        """Open a blob to read parts of it."""
        return opened(self, digest, verified=verified)

    def read(self, digest: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Give the bytes; a whole blob is verified, see the port."""
        size = self.size(digest)
        if size is None:
            raise self._missing(digest)
        start, end = span(start, end, size)
        return self._read(digest, start, end, whole=(start, end) == (0, size))

    def _read(self, digest: str, start: int, end: int, *, whole: bool) -> Iterator[bytes]:
        fd = self._opened(digest)
        try:
            if whole:
                found = os.fstat(fd)
                yield from verified(pieces(fd, 0, None), digest)
                self._trust(digest, found)
            else:
                yield from pieces(fd, start, end)
        finally:
            os.close(fd)

    def give(self, digest: str, path: Path, *, link: bool = True) -> How:
        """Put a blob at a path that is not there yet, see the port."""
        if self.size(digest) is None:
            raise self._missing(digest)
        refuse_taken(path)
        fd = self._opened(digest)
        try:
            if link and self._linked(digest, fd, path):
                return How.LINKED
            return self._copied(digest, fd, path)
        finally:
            os.close(fd)

    def _linked(self, digest: str, fd: int, path: Path) -> bool:
        self._verify(digest, fd)
        try:
            os.link(self._path(digest), path, follow_symlinks=False)
        except FileExistsError:
            raise taken(path) from None
        except OSError as error:
            if error.errno in UNLINKABLE:
                return False
            raise Unavailable(f"cannot link {path}: {error.strerror}; try again") from error
        if not os.path.samestat(path.lstat(), os.fstat(fd)):
            path.unlink()
            raise Unavailable(f"{digest} was written anew meanwhile; try again")
        return True

    def _copied(self, digest: str, fd: int, path: Path) -> How:
        with Draft(path.parent) as draft:
            if draft.clone(fd):
                Fingerprint.of(pieces(draft.fd, 0, None)).check(digest)
                publish_at(path, draft)
                return How.CLONED
            passed = Fingerprint()
            for piece in pieces(fd, 0, None):
                passed.add(piece)
                draft.write(piece)
            passed.check(digest)
            publish_at(path, draft)
        return How.COPIED

    def _verify(self, digest: str, fd: int) -> None:
        found = os.fstat(fd)
        if self._known.get(digest) == look_of(found):
            return
        try:
            Fingerprint.of(pieces(fd, 0, None)).check(digest)
        except Corrupt:
            self._known.pop(digest, None)
            raise
        self._trust(digest, found)

    def _trust(self, digest: str, found: os.stat_result) -> None:
        if len(self._known) >= KNOWN_LIMIT:
            self._known.clear()
        self._known[digest] = look_of(found)

    # --- in ---

    def write(self, chunks: Iterable[bytes], *, digest: str = "", size: int = -1) -> Stored:
        """Take bytes in; those of a digest that is there are only compared with it."""
        there = self.size(digest) if digest else None
        if there is not None and size in {-1, there}:
            passed = Fingerprint.of(chunks)
            passed.check(digest, size)
            return self._met(passed)
        self._make()
        passed = Fingerprint()
        with Draft(self._layout.drafts) as draft:
            for chunk in chunks:
                passed.add(chunk)
                draft.write(chunk)
            passed.check(digest, size)
            return self._publish(draft, passed)

    def take(self, path: Path, *, said: Said = silent) -> Stored:
        """Take a file in with one read; a second only where one of its size is known already."""
        with Source(path, said) as source:
            if source.size <= CHUNK:
                return self._take_small(source)
            if (self._layout.sizes / str(source.size)).exists():
                passed = Fingerprint.of(source.chunks())
                if self.size(passed.digest) == passed.size:
                    return self._met(passed)
            return self._take_large(source)

    def _take_small(self, source: Source) -> Stored:
        data = b"".join(map(bytes, source.chunks()))
        passed = Fingerprint.of([data])
        if self.size(passed.digest) == passed.size:
            return self._met(passed)
        self._make()
        with Draft(self._layout.drafts) as draft:
            draft.write(data)
            return self._publish(draft, passed)

    def take_all(self, paths: Iterable[Path], *, said: Said = silent) -> Iterator[Stored]:
        """Take many files in, made durable together."""
        coming = iter(paths)
        while group := list(islice(coming, GROUP)):
            yield from self._take_group(group, said)

    def _take_group(self, paths: list[Path], said: Said) -> list[Stored]:
        self._make()
        with contextlib.ExitStack() as stack:
            every = self._all_drafted(paths, stack, said)
            drafts = [found for found in every if isinstance(found, _Drafted)]
            sync_files([each.draft.fd for each in drafts])
            stored = [
                self._place(found.draft, found.passed, found.draft.stat())
                if isinstance(found, _Drafted)
                else found
                for found in every
            ]
            # Those met here too: who wrote them may not have come to this yet.
            sync_folders({self._path(each.digest).parent for each in stored})
        return stored

    def _all_drafted(
        self, paths: list[Path], stack: contextlib.ExitStack, said: Said
    ) -> "list[_Drafted | Stored]":
        """Read small files one after the other, and large ones several at once."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="blobs") as pool:
            begun = [self._drafted(path, stack, said, pool) for path in paths]
            try:
                return [one.result() if isinstance(one, Future) else one for one in begun]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _drafted(
        self, path: Path, stack: contextlib.ExitStack, said: Said, pool: Executor
    ) -> "_Drafted | Stored | Future[Stored]":
        """Read a small file and write its draft, unless it is there; have a large one taken."""
        with Source(path, said) as source:
            if source.size > CHUNK:
                return pool.submit(self.take, path, said=said)
            data = b"".join(map(bytes, source.chunks()))
        passed = Fingerprint.of([data])
        if self.size(passed.digest) == passed.size:
            return Stored(digest=passed.digest, size=passed.size, new=False)
        draft = stack.enter_context(Draft(self._layout.drafts))
        draft.write(data)
        draft.close_to_writing()
        return _Drafted(draft, passed)

    def _take_large(self, source: Source) -> Stored:
        self._make()
        passed = Fingerprint()
        with Draft(self._layout.drafts) as draft:
            if draft.clone(source.fd):
                passed = Fingerprint.of(pieces(draft.fd, 0, None))
                source.settle(passed.size)
            else:
                for chunk in source.copied_to(draft):
                    passed.add(chunk)
            return self._publish(draft, passed)

    def _met(self, passed: Fingerprint) -> Stored:
        """Answer for bytes that are there already."""
        path, there = self._path(passed.digest), self.size(passed.digest)
        if there is None:
            raise Unavailable(f"{passed.digest} was removed meanwhile; try again")
        if there != passed.size:
            raise damaged(passed, there)
        # Whoever wrote it may not have come to this yet, and nobody is told before it is done.
        sync_folder(path.parent)
        return Stored(digest=passed.digest, size=passed.size, new=False)

    def _publish(self, draft: Draft, passed: Fingerprint) -> Stored:
        path = self._path(passed.digest)
        if self.size(passed.digest) == passed.size:
            return self._met(passed)
        stored = self._place(draft, passed, draft.seal())
        sync_folder(path.parent)
        return stored

    def _place(self, draft: Draft, passed: Fingerprint, sealed: os.stat_result) -> Stored:
        """Give a durable draft its name."""
        digest, size = passed.digest, passed.size
        path = self._path(digest)
        new = draft.publish(path)
        if not new and self.size(digest) != size:
            draft.replace(path)  # what lay there was damaged: it had another size
            new = True
        if new:
            self._trust(digest, sealed)
            self._remember(size)
        return Stored(digest=digest, size=size, new=new)

    def _remember(self, size: int) -> None:
        """Leave a mark that a blob of a size exists; a lost or a stale one costs only a read."""
        if size > CHUNK:
            with contextlib.suppress(OSError):
                (self._layout.sizes / str(size)).touch(mode=0o400)

    # --- keeping house ---

    def claim(self, key: str) -> str:
        """Leave the mark of a register, see the port."""
        self._make()
        self._owner = self._owner or marked(self._folder / MARK, key)
        return self._owner

    def remove(self, digest: str) -> None:
        """Remove a blob; what is not there is no error."""
        self._known.pop(digest, None)
        with disk_errors(f"remove from {self._folder}"):
            self._path(digest).unlink(missing_ok=True)

    def sweep(self, *, before: datetime) -> int:
        """Remove the drafts of writers that died; those of the living are locked."""
        removed = 0
        with disk_errors(f"look into {self._layout.drafts}"):
            drafts = sorted(self._layout.drafts.glob(f"{DRAFT_PREFIX}*"))
        for path in drafts:
            if abandoned(path, before.timestamp()):
                with disk_errors(f"remove {path}"):
                    path.unlink(missing_ok=True)
                removed += 1
        return removed

    def close(self) -> None:
        """Forget what was verified."""
        self._known.clear()

    def _path(self, digest: str) -> Path:
        return Path(self._where(digest))

    def _where(self, digest: str) -> str:
        name = blob_digest(digest).removeprefix("sha256:")
        return f"{self._layout.blobs}/{name[:2]}/{name}"

    def _opened(self, digest: str) -> int:
        try:
            return os.open(self._path(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._missing(digest) from None
        except OSError as error:
            raise Unavailable(f"{digest} cannot be read: {error.strerror}; try again") from error

    def _missing(self, digest: str) -> NotFound:
        return NotFound(f"the store {self._folder} holds no {digest}", field="digest")

    def _make(self) -> None:
        """Make the folders, durably, once a process."""
        with self._making:
            if self._ready:
                return
            self._layout.make()
            self._ready = True


@dataclass(frozen=True, slots=True)
class _Drafted:
    """A file that is written and waits for its name."""

    draft: Draft
    passed: Fingerprint
