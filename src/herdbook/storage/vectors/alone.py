"""Folders only one process may have open: what is opened is shared within the process.

The kernel gives up the lock of a process that dies. Programs that open the folder without
Herdbook do not ask for the lock: those are not noticed.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from herdbook.errors import Invalid, Unavailable

_LOCK: Final = ".herdbook.lock"


class Closing(Protocol):
    """Something that can be closed."""

    def close(self) -> Any:
        """Give it up."""


T = TypeVar("T", bound=Closing)


@dataclass(slots=True)
class Held(Generic[T]):
    """What a folder was opened as.

    Args:
        thing: the store's own client.
        folder: where it is.
        turn: held by who writes, and by who reads where reads do not bear it.
        users: how many in this process have it open.
    """

    thing: T
    folder: Path
    turn: AbstractContextManager[Any]
    fd: int
    users: int = field(default=1)

    def close(self) -> None:
        """Give it up; the last one closes it and lets other processes have the folder."""
        with _guard:
            self.users -= 1
            if self.users:
                return
            _open.pop(self.folder, None)
            try:
                self.thing.close()
            finally:
                os.close(self.fd)


_open: Final[dict[Path, Held[Any]]] = {}
_guard: Final = threading.RLock()


def _in_child() -> None:
    # What a fork inherits is its parent's: a child that has it open as well would write over it,
    # and its copy of the lock would outlive its parent.
    for held in _open.values():
        with contextlib.suppress(OSError):
            os.close(held.fd)
    _open.clear()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_in_child)


def hold(folder: Path, make: Callable[[Path], T]) -> Held[T]:
    """Open a folder, or share what this process has open there.

    Raises:
        Unavailable: another process has it open.
        Invalid: there can be no folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.resolve()
    except OSError as error:
        raise Invalid(f"{folder} is no folder to keep vectors in: {error}") from None
    with _guard:
        held = _open.get(path)
        if held is not None:
            held.users += 1
            return held
        fd = _locked(path)
        try:
            held = Held(make(path), path, threading.RLock(), fd)
        except BaseException:
            os.close(fd)
            raise
        _open[path] = held
        return held


def _locked(folder: Path) -> int:
    try:
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Invalid(f"{folder} cannot be written to: {error}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Unavailable(
            f"another process has {folder} open, and only one may; end it, or run the store's "
            "server and give its address"
        ) from None
    except OSError as error:
        os.close(fd)
        raise Unavailable(f"{folder} cannot be locked: {error}") from None
    return fd
