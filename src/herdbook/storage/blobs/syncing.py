"""Making many files durable at once, where the system can: one wait for all of them."""

import ctypes
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from herdbook.storage.blobs.files import disk_errors, sync_folder

# Below so many, to wait for each is not slower, and what others write is not waited for.
FEW: Final = 8


def sync_files(fds: Sequence[int]) -> bool:
    """Make open files of one file system durable; whether all else on it was too."""
    with disk_errors("make files durable"):
        if len(fds) >= FEW and _whole_system(fds[0]):
            return True
        for fd in fds:
            os.fsync(fd)
        return False


def sync_folders(folders: set[str]) -> None:
    """Make the names in folders of one file system durable."""
    if len(folders) >= FEW:
        with disk_errors("make files durable"):
            fd = os.open(next(iter(folders)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if _whole_system(fd):
                    return
            finally:
                os.close(fd)
    for folder in folders:
        sync_folder(folder)


def _whole_system(fd: int) -> bool:
    """Sync the file system of an open file; False where that cannot be done."""
    syncfs = _syncfs()
    if syncfs is None:
        return False
    if syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True


@cache
def _syncfs() -> Callable[[int], int] | None:
    # Before Linux 5.8 it did not tell of bytes that could not be written.
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    if sys.platform != "linux" or not release or tuple(map(int, release.groups())) < (5, 8):
        return None
    found = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if found is None:
        return None
    called: Callable[[int], int] = found
    return called
