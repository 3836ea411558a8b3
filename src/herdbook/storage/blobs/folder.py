"""Blobs in a folder: `sha256/ab/<64 digits>`, read-only files in folders of their owner alone.

What is written begins as a draft in `tmp/`. It is synced before it gets its name, and its name is
synced before anyone is told of it.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
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
    marked,
    pieces,
    publish_at,
    refuse_taken,
    sync_folder,
    taken,
)
from herdbook.storage.blobs.known import Known
from herdbook.storage.blobs.layout import Layout
from herdbook.storage.blobs.opening import SHORT_BYTES, SMALL_BYTES, OnDisk, Whole
from herdbook.storage.blobs.passing import CHUNK, MARK, Fingerprint, damaged, span, verified
from herdbook.storage.blobs.syncing import sync_files, sync_folders

GROUP: Final = 200
AT_ONCE: Final = 4


class FolderBlobs:
    """Blobs in a folder, which is made when the first is written.

    Several processes may use it at once, and several machines where it is a shared file system.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().absolute()
        self._layout = Layout(self._folder)
        self._blobs = str(self._layout.blobs)
        self._owner = ""
        self._known = Known()

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self._folder)

    # --- what is there ---

    def size(self, digest: str) -> int | None:
        """Give the size of a blob, or None when it is not there."""
        with disk_errors("look into", self._folder):
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
        with disk_errors("look into", self._folder):
            try:
                found = path.lstat()
            except FileNotFoundError:
                raise self._missing(digest) from None
        return path if self._known.has(digest, found) else None

    def verify(self, digest: str) -> None:
        """Read a whole blob, unless it was verified and nobody touched it since; Corrupt."""
        fd = self._opened(digest)
        try:
            self._verify(digest, fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def opened(self, digest: str, *, verified: bool = False) -> Iterator[Opened]:
        """Open a blob to read parts of it."""
        fd = self._opened(digest)
        try:
            yield self._reader(digest, fd, verified=verified)
        finally:
            os.close(fd)

    def _reader(self, digest: str, fd: int, *, verified: bool) -> Opened:
        found = os.fstat(fd)
        known = self._known.has(digest, found)
        if not known and found.st_size <= SMALL_BYTES:
            data = b"".join(pieces(fd, 0, None))
            Fingerprint.of([data]).check(digest)
            self._known.add(digest, found)
            return Whole(data)
        if verified:
            self._verify(digest, fd)
        if found.st_size <= SHORT_BYTES:
            # Parts of a short one cost more each than all of it at once.
            return Whole(os.pread(fd, found.st_size, 0))
        return OnDisk(fd, found.st_size, sure=known or verified)

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
                self._known.add(digest, found)
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
        if self._known.has(digest, found):
            return
        try:
            Fingerprint.of(pieces(fd, 0, None)).check(digest)
        except Corrupt:
            self._known.forget(digest)
            raise
        self._known.add(digest, found)

    # --- in ---

    def write(self, chunks: Iterable[bytes], *, digest: str = "", size: int = -1) -> Stored:
        """Take bytes in; those of a digest that is there are only compared with it."""
        there = self.size(digest) if digest else None
        if there is not None and size in {-1, there}:
            passed = Fingerprint.of(chunks)
            passed.check(digest, size)
            return self._met(passed)
        self._layout.make()
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
        data = source.whole()
        passed = Fingerprint.of([data])
        if self.size(passed.digest) == passed.size:
            return self._met(passed)
        self._layout.make()
        with Draft(self._layout.drafts) as draft:
            draft.write(data)
            return self._publish(draft, passed)

    def take_all(self, paths: Iterable[Path], *, said: Said = silent) -> Iterator[Stored]:
        """Take many files in, made durable together."""
        coming, placed = iter(paths), list[Stored]()
        while group := list(islice(coming, GROUP)):
            self._layout.make()
            with contextlib.ExitStack() as stack:
                every = self._all_drafted(group, stack, said)
                # One wait for these and for the names of those before.
                if not sync_files([one.draft.fd for one in every if isinstance(one, _Drafted)]):
                    self._sync_names(placed)
                yield from placed
                placed = [
                    self._place(one.draft, one.passed, one.draft.stat())
                    if isinstance(one, _Drafted)
                    else one
                    for one in every
                ]
        self._sync_names(placed)
        yield from placed

    def _sync_names(self, placed: Iterable[Stored]) -> None:
        # Those met here too: who wrote them may not have come to this yet.
        sync_folders({self._fan(each.digest) for each in placed})

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
            data = source.whole()
        passed = Fingerprint.of([data])
        digest = passed.digest
        if self.size(digest) == passed.size:
            return Stored(digest=digest, size=passed.size, new=False)
        draft = stack.enter_context(Draft(self._layout.drafts))
        draft.write(data)
        draft.close_to_writing()
        return _Drafted(draft, passed)

    def _take_large(self, source: Source) -> Stored:
        self._layout.make()
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
        there = self.size(passed.digest)
        if there is None:
            raise Unavailable(f"{passed.digest} was removed meanwhile; try again")
        if there != passed.size:
            raise damaged(passed, there)
        # Whoever wrote it may not have come to this yet, and nobody is told before it is done.
        sync_folder(self._fan(passed.digest))
        return Stored(digest=passed.digest, size=passed.size, new=False)

    def _publish(self, draft: Draft, passed: Fingerprint) -> Stored:
        if self.size(passed.digest) == passed.size:
            return self._met(passed)
        stored = self._place(draft, passed, draft.seal())
        sync_folder(self._fan(stored.digest))
        return stored

    def _place(self, draft: Draft, passed: Fingerprint, sealed: os.stat_result) -> Stored:
        """Give a durable draft its name."""
        digest, size = passed.digest, passed.size
        path = self._where(digest)
        new = draft.publish(path)
        if not new and self.size(digest) != size:
            draft.replace(path)  # what lay there was damaged: it had another size
            new = True
        if new:
            self._known.add(digest, sealed)
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
        self._layout.make()
        self._owner = self._owner or marked(self._folder / MARK, key)
        return self._owner

    def remove(self, digest: str) -> None:
        """Remove a blob; what is not there is no error."""
        self._known.forget(digest)
        with disk_errors("remove from", self._folder):
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
        return f"{self._fan(digest)}/{digest[7:]}"

    def _fan(self, digest: str) -> str:
        return f"{self._blobs}/{blob_digest(digest)[7:9]}"

    def _opened(self, digest: str) -> int:
        try:
            return os.open(self._where(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._missing(digest) from None
        except OSError as error:
            raise Unavailable(f"{digest} cannot be read: {error.strerror}; try again") from error

    def _missing(self, digest: str) -> NotFound:
        return NotFound(f"the store {self._folder} holds no {digest}", field="digest")


@dataclass(frozen=True, slots=True)
class _Drafted:
    """A file that is written and waits for its name."""

    draft: Draft
    passed: Fingerprint
