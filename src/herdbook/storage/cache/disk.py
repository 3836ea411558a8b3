"""Files of the cache as the disk keeps them: written whole, made durable, removed."""

import contextlib
import ctypes
import errno
import hashlib
import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from herdbook.errors import Unavailable

# What a file system answers that has no hard links, or no more of them, or not from there to here.
UNLINKABLE: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Below so many, to wait for each is not slower, and what others write is not waited for.
_FEW: Final = 8

Identity = tuple[int, int, int]


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Say of an error of the disk what was being done.

    Raises:
        Unavailable: the disk is full, read-only, gone or failing.
    """
    try:
        yield
    except OSError as error:
        mends = "mend it"
        if error.errno in _FULL:
            mends = "free some space, `herdbook artifacts cache prune` does,"
        raise Unavailable(f"cannot {what}: {error.strerror or error}; {mends} and try again") from (
            error
        )


def told_full(error: BaseException | None) -> bool:
    """Whether an error came from a disk that is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False


def identity(found: os.stat_result) -> Identity:
    """Give what shows that a file was neither replaced nor written: inode, size and time."""
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def digest_of_file(fd: int) -> str:
    """Give the digest of an open file's bytes."""
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb", buffering=0, closefd=False) as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def read_plain(path: Path) -> bytes:
    """Read a regular file, never through a link.

    Raises:
        OSError: it is not there, is something else or cannot be read.
    """
    fd = os.open(path, READ)
    with open(fd, "rb") as file:  # noqa: PTH123 - it is open already
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a file", str(path))
        return file.read()


def write_whole(path: Path, data: bytes, *, draft: Path, durable: bool) -> None:
    """Give a file new contents at once.

    Args:
        path: the file.
        data: the contents.
        draft: a path on the same file system where nothing is.
        durable: whether they are on the disk before this returns.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(draft, flags, 0o600), "wb") as file:  # noqa: PTH123 - with its own flags
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    draft.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _sync(folder)


def make_durable(paths: Sequence[Path]) -> None:
    """Make files and folders of one file system durable."""
    if len(paths) < _FEW or not _whole_system(paths[0]):
        for path in paths:
            _sync(path)


def _sync(path: Path) -> None:
    fd = os.open(path, READ)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _whole_system(path: Path) -> bool:
    """Sync the file system of a file; False where that cannot be done."""
    syncfs = _syncfs()
    if syncfs is None:
        return False
    fd = os.open(path, READ)
    try:
        if syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(fd)
    return True


@cache
def _syncfs() -> Callable[[int], int] | None:
    # Before Linux 5.8 it did not tell of bytes that could not be written.
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    if sys.platform != "linux" or not release or tuple(map(int, release.groups())) < (5, 8):
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    return found


def remove_tree(path: Path) -> None:
    """Remove whatever is at a path, read-only folders too, following no link."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(0o700)
        shutil.rmtree(path)
