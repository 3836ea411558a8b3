"""Locks between processes: who uses a snapshot, who pulls it. The kernel gives up a dead one's.

A lock file may be removed by whoever holds it alone: who waited for it finds that it is gone, and
begins again.
"""

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from herdbook.errors import Unavailable
from herdbook.storage.cache.disk import disk_errors

SHARED: Final = fcntl.LOCK_SH
ALONE: Final = fcntl.LOCK_EX

_READ_ONLY: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@dataclass(slots=True)
class _Hold:
    fd: int
    count: int


# What this process uses. A child of a fork has the same open files, and so keeps them locked
# after its parent has ended; one that begins another program has not.
_used: Final[dict[Path, _Hold]] = {}
# Locks of work that only the parent of a fork goes on with.
_working: Final[set[int]] = set()
_guard: Final = threading.RLock()


def _in_child() -> None:
    for fd in _working:
        with contextlib.suppress(OSError):
            os.close(fd)
    _working.clear()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_in_child)


@contextlib.contextmanager
def locked(path: Path, how: int = ALONE, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock during a block; gives whether it was got, which it is when waited for.

    Raises:
        Unavailable: the file system has no locks.
    """
    fd = _taken(path, how, wait=wait)
    try:
        yield fd is not None
    finally:
        if fd is not None:
            with _guard:
                _working.discard(fd)
                os.close(fd)


def use(path: Path) -> None:
    """Share a lock until this process and its forks end, or it is dropped."""
    with _guard:
        hold = _used.get(path)
        if hold is not None and _names(path, hold.fd):
            hold.count += 1
            return
    fd = _taken(path, SHARED, wait=True)
    if fd is None:
        return  # where nothing can be locked nothing can be removed
    with _guard:
        _working.discard(fd)
        hold = _used.get(path)
        if hold is not None and _names(path, hold.fd):
            os.close(fd)
            hold.count += 1
        else:
            _close(_used.pop(path, None))
            _used[path] = _Hold(fd, 1)


@contextlib.contextmanager
def used(path: Path) -> Iterator[None]:
    """Use a lock from now on, unless the block fails."""
    use(path)
    try:
        yield
    except BaseException:
        drop(path)
        raise


def drop(path: Path, *, entirely: bool = False) -> None:
    """Take back one `use`, or all of this process."""
    with _guard:
        hold = _used.get(path)
        if hold is None:
            return
        hold.count -= 1
        if entirely or not hold.count:
            _close(_used.pop(path))


def is_free(path: Path) -> bool:
    """Whether nobody holds a lock; of one that may not be looked at nobody knows."""
    if not os.path.lexists(path):
        return True
    with locked(path, wait=False) as got:
        return got


def _taken(path: Path, how: int, *, wait: bool) -> int | None:
    while True:
        with _guard:
            fd = _opened(path)
            if fd is None:
                return None
            _working.add(fd)
        try:
            got = _flock(fd, how if wait else how | fcntl.LOCK_NB)
            if got and _names(path, fd):
                return fd
        except BaseException:
            _give_up(fd)
            raise
        _give_up(fd)
        if not got:
            return None


def _give_up(fd: int) -> None:
    with _guard:
        _working.discard(fd)
        os.close(fd)


def _flock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how)
    except BlockingIOError:
        return False
    except OSError as error:
        raise Unavailable(
            f"the file system of the cache has no locks ({error.strerror}); set HERDBOOK_CACHE to "
            "a folder on a disk of this machine"
        ) from error
    return True


def _opened(path: Path) -> int | None:
    """Open a lock file; None where it cannot be made because nothing can be written."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    with disk_errors(f"lock {path}"):
        try:
            return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
        try:
            return os.open(path, flags | os.O_RDONLY)
        except FileNotFoundError:
            return None


def _names(path: Path, fd: int) -> bool:
    """Whether a path still is the open file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _close(hold: _Hold | None) -> None:
    if hold is not None:
        os.close(hold.fd)
