"""Files as a store reads and writes them: whole or not there, and never anything but files."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Self

from herdbook.core.blobs import Said, silent
from herdbook.errors import AlreadyExists, Invalid, NotFound, Unavailable
from herdbook.storage.blobs.passing import CHUNK, MARK_LIMIT

DRAFT_PREFIX: Final = ".herdbook-"
# What is read, hashed and written stays in the processor's own memory all that while; with a MiB
# at once it does not, which costs nearly twice the time.
NEAR: Final = 1 << 17

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What a file system answers that has no hard links, or no more of them, or not from there to here.
UNLINKABLE: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})
_FICLONE: Final = 0x40049409
# What it answers that moves no bytes from one file to another by itself.
_UNMOVABLE: Final = UNLINKABLE | {errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF}
_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class _DiskErrors:
    # No generator: a dozen of these are entered for every small file.
    __slots__ = ("_what", "_where")

    def __init__(self, what: str, where: object) -> None:
        self._what, self._where = what, where

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            mends = "free some space" if error.errno in _FULL else "mend it"
            what = f"{self._what} {self._where}".strip()
            raise Unavailable(
                f"cannot {what}: {error.strerror or error}; {mends} and try again"
            ) from error


def disk_errors(what: str, where: object = "") -> AbstractContextManager[None]:
    """Say of an error of the disk what was being done, and where.

    Raises:
        Unavailable: the disk is full, read-only, gone or failing.
    """
    return _DiskErrors(what, where)


class Draft:
    """A file nobody looks for yet, in the folder it is made in; published whole, or removed.

    Its writer holds a lock on it, so that others know what only the dead have left.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = f"{folder}/{DRAFT_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        with disk_errors("write in", folder):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self.fd = os.open(self.path, flags, 0o600)
        # Some network file systems have no locks; there the age of a draft alone tells.
        with contextlib.suppress(OSError):
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108 - a Path for each small file takes as long
        os.close(self.fd)

    def write(self, chunk: bytes | memoryview) -> None:
        """Add a chunk."""
        with disk_errors("write in", self._folder):
            written = os.write(self.fd, chunk)
            while written < len(chunk):  # a disk that is nearly full, or more than 2 GiB at once
                written += os.write(self.fd, memoryview(chunk)[written:])

    def append(self, source: int) -> int:
        """Add about a MiB of an open file from where it stands; give how many bytes.

        0 at its end, or where the system cannot move them.
        """
        if not hasattr(os, "copy_file_range"):
            return 0
        try:
            return os.copy_file_range(source, self.fd, CHUNK)
        except OSError as error:
            if error.errno not in _UNMOVABLE:
                with disk_errors("write in", self._folder):
                    raise
            return 0

    def clone(self, source: int) -> bool:
        """Share the blocks of an open file, where the file system can."""
        if sys.platform != "linux":
            return False
        try:
            fcntl.ioctl(self.fd, _FICLONE, source)
        except OSError:
            return False
        return True

    def seal(self) -> os.stat_result:
        """Make it read-only and durable."""
        self.close_to_writing()
        with disk_errors("write in", self._folder):
            os.fsync(self.fd)
        return self.stat()

    def close_to_writing(self) -> None:
        """Make it read-only."""
        with disk_errors("write in", self._folder):
            os.fchmod(self.fd, 0o444)

    def stat(self) -> os.stat_result:
        """What the file system says of it."""
        return os.fstat(self.fd)

    def publish(self, path: str | Path) -> bool:
        """Give it its name, unless something has it; whether it got it."""
        with disk_errors("write", path):
            try:
                os.link(self.path, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in UNLINKABLE:
                    raise
                if os.path.lexists(path):
                    return False
                Path(self.path).rename(path)
            return True

    def replace(self, path: str | Path) -> None:
        """Give it a name that something else has, which is lost."""
        with disk_errors("write", path):
            os.replace(self.path, path)


class Source:
    """A regular file to read once, from its beginning to its end.

    Raises:
        NotFound: nothing is at the path.
        Invalid: it is a link, a folder, a pipe, a device, or may not be read.
    """

    def __init__(self, path: Path, said: Said = silent) -> None:
        self.path = path
        self._said, self._told = said, 0
        try:
            # Before it is opened: to open a device may already do something.
            _refuse_unless_regular(path, os.lstat(path))
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self.fd = os.open(path, flags)
        except FileNotFoundError:
            raise NotFound(f"there is no file at {path}", field="path") from None
        except OSError as error:
            raise Invalid(f"{path} cannot be read: {error.strerror}", field="path") from None
        self._before = os.fstat(self.fd)
        try:
            _refuse_unless_regular(path, self._before)
        except Invalid:
            os.close(self.fd)
            raise
        self.size = self._before.st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def chunks(self) -> Iterator[memoryview]:
        """Give its bytes in a buffer that the next chunk overwrites.

        Raises:
            Invalid: it changed meanwhile.
        """
        buffer = memoryview(bytearray(min(NEAR, self.size + 1)))
        read = 0
        with disk_errors("read", self.path):
            os.lseek(self.fd, 0, os.SEEK_SET)
        while count := self._into(buffer):
            read += count
            if read > self.size:
                raise self.changed()
            self._tell(read)
            yield buffer[:count]
        self.settle(read)

    def whole(self) -> bytes:
        """Give its bytes at once; of a small file. See `chunks`."""
        with disk_errors("read", self.path):
            data = os.pread(self.fd, self.size + 1, 0)
        if len(data) < self.size:  # some systems give less at once
            return b"".join(map(bytes, self.chunks()))
        self.settle(len(data))
        return data

    def copied_to(self, draft: Draft) -> Iterator[memoryview]:
        """Copy its bytes into a draft, and give them as they are there; see `chunks`.

        The system moves them, which takes it half of what reading and writing them takes.
        """
        buffer, read = memoryview(bytearray(NEAR)), 0
        os.lseek(self.fd, 0, os.SEEK_SET)
        while count := draft.append(self.fd):
            end = read + count
            if end > self.size:
                raise self.changed()
            while read < end:
                with disk_errors("read a draft"):
                    there = os.preadv(draft.fd, [buffer[: end - read]], read)
                if not there:
                    raise self.changed()
                read += there
                yield buffer[:there]
            self._tell(read)
        if read or not self.size:
            self.settle(read)
            return
        for chunk in self.chunks():
            draft.write(chunk)
            yield chunk

    def _tell(self, read: int) -> None:
        # What is read a second time was told of the first time.
        if read > self._told:
            self._said(read - self._told)
            self._told = read

    def _into(self, buffer: memoryview) -> int:
        with disk_errors("read", self.path):
            return os.readv(self.fd, [buffer])

    def settle(self, read: int) -> None:
        """Make sure that what was read is the file that is there now.

        Raises:
            Invalid: it is not.
        """
        try:
            named = os.lstat(self.path)
        except OSError:
            raise self.changed() from None
        same = _identity(self._before) == _identity(os.fstat(self.fd)) == _identity(named)
        if not same or read != self.size:
            raise self.changed()
        self._tell(read)

    def changed(self) -> Invalid:
        """What to raise when it did."""
        return Invalid(
            f"{self.path} changed while it was read; try again when nobody writes it", field="path"
        )


def put_at(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a new read-only file, visible when all of it is there.

    Raises:
        AlreadyExists: something is at the path.
        NotFound: there is no folder to put it in.
    """
    refuse_taken(path)
    with Draft(path.parent) as draft:
        for chunk in chunks:
            draft.write(chunk)
        publish_at(path, draft)


def marked(path: Path, text: str) -> str:
    """Write a small text at a path, unless there is one; give the one there is."""
    with contextlib.suppress(AlreadyExists):
        put_at(path, [text.encode()])
    with disk_errors("read", path):
        return path.read_text(encoding="ascii", errors="replace")[:MARK_LIMIT]


def publish_at(path: Path, draft: Draft) -> None:
    """Give a draft the name a caller asked for.

    Raises:
        AlreadyExists: something is at the path.
    """
    draft.seal()
    if not draft.publish(path):
        raise taken(path)


def refuse_taken(path: Path) -> None:
    """Refuse a path that something is at, or that has no folder to be in.

    Raises:
        AlreadyExists: the former.
        NotFound: the latter.
    """
    if os.path.lexists(path):
        raise taken(path)
    if not path.parent.is_dir():
        raise NotFound(f"there is no folder {path.parent} to put a file in", field="path")


def taken(path: Path) -> AlreadyExists:
    """What to raise where something is at a path."""
    return AlreadyExists(f"{path} is there already; nothing was written over it", field="path")


def abandoned(path: Path, before: float) -> bool:
    """Whether a draft is older than a time and its writer is dead."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(fd).st_mtime >= before:
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks here
    finally:
        os.close(fd)
    return True


def sync_folder(folder: str | Path) -> None:
    """Make the names in a folder durable."""
    with disk_errors("write in", folder):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def own_folder(folder: Path) -> None:
    """Refuse a link that somebody laid there, and take others' rights away."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise Invalid(f"{folder} is no folder; move it away", field="blobs")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def pieces(fd: int, start: int, end: int | None) -> Iterator[bytes]:
    """Give the bytes of an open file from a place to another, or to its end."""
    while end is None or start < end:
        with disk_errors("read a blob"):
            piece = os.pread(fd, CHUNK if end is None else min(CHUNK, end - start), start)
        if not piece:
            return
        start += len(piece)
        yield piece


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _refuse_unless_regular(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise Invalid(f"{path} is {kind}, not a file; leave it out", field="path")
