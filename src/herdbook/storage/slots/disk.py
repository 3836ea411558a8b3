"""Names and bytes on the disk, made so that a crash leaves the old or the new, never a part."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from herdbook.errors import Conflict, Invalid, Unavailable

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Say of an error of the disk what was being done.

    Raises:
        Invalid: this user may not.
        Unavailable: the disk is full, read-only, gone or failing.
    """
    try:
        yield
    except (PermissionError, NotADirectoryError) as error:
        raise Invalid(
            f"cannot {what}: {error.strerror}; give a folder this user may write in", field="to"
        ) from error
    except OSError as error:
        mends = "free some space" if error.errno in _FULL else "mend it"
        raise Unavailable(
            f"cannot {what}: {error.strerror or error}; {mends} and try again"
        ) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; who dies gives it up."""
    with disk_errors(f"lock {path}"):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with disk_errors(f"lock {path}"):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def link_target(path: Path) -> str | None:
    """Give what a link says, or None where nothing is.

    Raises:
        Conflict: something else is there.
    """
    with disk_errors(f"look at {path}"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISLNK(found.st_mode):
            kind = "folder" if stat.S_ISDIR(found.st_mode) else "file"
            raise Conflict(f"{path} is a {kind} that was not staged here; move it away", field="to")
        # It may have been replaced by another link meanwhile; either is an answer.
        return str(path.readlink())


def point(link: Path, target: str, *, scratch: Path) -> None:
    """Make a link, or replace it in one step, durably."""
    beside = scratch / f"link-{secrets.token_hex(8)}"
    with disk_errors(f"make the link {link}"), _replacing(link, beside):
        beside.symlink_to(target)


@contextlib.contextmanager
def _replacing(path: Path, beside: Path) -> Iterator[None]:
    """Give what is made beside a path its name in one step, durably; else it is removed."""
    try:
        yield
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def tidy(scratch: Path) -> None:
    """Remove what died before it got its name; only who has the lock for moving may."""
    with disk_errors(f"look into {scratch}"):
        for entry in list(scratch.iterdir()):
            if entry.name.startswith(("link-", "text-")):
                entry.unlink(missing_ok=True)


def write_whole(path: Path, text: str, *, scratch: Path) -> None:
    """Write a file, or replace it in one step, durably."""
    beside = scratch / f"text-{secrets.token_hex(8)}"
    with (
        disk_errors(f"write {path}"),
        _replacing(path, beside),
        beside.open("w", encoding="utf-8") as file,
    ):
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
