"""Who lives: a process holds its journals locked, and the kernel gives up a dead one's locks.

The lock is of a file description that nothing else uses: a memory map keeps a copy of its own, and
the child of a fork would hold the lock with it after its parent's death.
"""

import contextlib
import fcntl
import os
import threading
from pathlib import Path
from typing import Final

_held: Final[set[int]] = set()
_guard: Final = threading.RLock()


def _in_child() -> None:
    for fd in _held:
        with contextlib.suppress(OSError):
            os.close(fd)
    _held.clear()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_in_child)


def held(path: Path) -> int | None:
    """Lock a file of ours, and give what holds it; None when another does, or it is gone.

    Raises:
        OSError: it cannot be opened or locked.
    """
    with _guard:
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        _held.add(fd)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            # Whoever made it could say anything in our name, or truncate it under our feet.
            let_go(fd)
            return None
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_at(path, fd):
            return fd
    except BlockingIOError:
        pass
    except BaseException:
        let_go(fd)
        raise
    let_go(fd)
    return None


def let_go(fd: int) -> None:
    """Give up a lock, unless a fork has."""
    with _guard:
        if fd in _held:
            _held.discard(fd)
            os.close(fd)


def is_at(path: Path, fd: int) -> bool:
    """Whether a path still is the locked file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except OSError:
        return False
