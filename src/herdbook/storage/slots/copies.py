"""Copies of a folder's files, compared with what was read, and sealed for those who read them."""

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from herdbook.core.artifacts import Artifact, Manifest, role_of
from herdbook.errors import Corrupt, Invalid, NotFound, Unavailable
from herdbook.storage.slots.disk import disk_errors, sync

CHUNK: Final = 1 << 20
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def surveyed(folder: Path) -> Manifest:
    """Read a folder: every file in it, its size and its digest.

    Raises:
        NotFound: there is no such folder.
        Invalid: it is empty, or holds a link, a pipe, a device, or a name no version may have.
    """
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}", field="ref")
    root = folder.resolve()
    files = tuple(_artifact(root, path) for path in sorted(regular_files(root)))
    if not files:
        raise Invalid(f"{folder} holds no files; there is nothing to stage", field="ref")
    return Manifest(files)


def _artifact(root: Path, path: Path) -> Artifact:
    name = path.relative_to(root).as_posix()
    digest, size = _hashed(path)
    return Artifact(path=name, size=size, digest=digest, role=role_of(name))


def regular_files(folder: Path) -> Iterator[Path]:
    """Give every file below a folder.

    Raises:
        Invalid: something else than files and folders is there.
    """
    with disk_errors(f"read {folder}"):
        entries = list(os.scandir(folder))
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from regular_files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        else:
            kind = "a symbolic link" if entry.is_symlink() else "no regular file"
            raise Invalid(
                f"{entry.path} is {kind}: a slot holds files alone, so that what it holds cannot "
                "change from elsewhere; put the file itself there or leave it out",
                field="ref",
            )


def copied(folder: Path, manifest: Manifest) -> Callable[[Path], None]:
    """Give what fills a new folder with copies of the files that were surveyed.

    Args:
        folder: where they are.
        manifest: what `surveyed` said of it.

    Returns:
        A function of the folder to make. It raises Invalid when a file changed since, and Corrupt
        when what is read back is not what was written.
    """
    root = folder.resolve()

    def fill(to: Path) -> None:
        to.mkdir()
        for file in manifest.files:
            target = to / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            found = copy_file(root / file.path, target)
            if found != (file.digest, file.size):
                raise Invalid(
                    f"{root / file.path} changed while it was read; try again when nobody "
                    "writes it",
                    field="ref",
                )

    return fill


def copy_file(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file to a new path, durably, read-only, and read it back.

    Returns:
        The digest and the size of both.
    """
    fingerprint, size = hashlib.sha256(), 0
    with disk_errors(f"write {target}"):
        fd = os.open(target, _WRITE, 0o600)
    try:
        for chunk in _chunks(source):
            fingerprint.update(chunk)
            size += len(chunk)
            with disk_errors(f"write {target}"):
                _write(fd, chunk)
        with disk_errors(f"write {target}"):
            os.fchmod(fd, 0o444)
            os.fsync(fd)
            _forget(fd)
    finally:
        os.close(fd)
    read = f"sha256:{fingerprint.hexdigest()}", size
    if _hashed(target) != read:
        raise Corrupt(f"{target} does not hold what was written there; look after this disk")
    return read


def sealed(folder: Path) -> Iterator[int]:
    """Make what was filled read-only, its own and durable; give the size of each file."""
    if not folder.is_dir():
        raise NotFound(f"{folder} was not filled: there is nothing to stage", field="ref")
    for path in regular_files(folder):
        if path.lstat().st_nlink > 1:
            # Whoever wrote through the other name would change what services read.
            beside = path.with_name(f".own-{secrets.token_hex(8)}")
            copy_file(path, beside)
            beside.replace(path)
        path.chmod(0o444)
        sync(path)
        yield path.lstat().st_size
    for inner, _, _ in os.walk(folder, topdown=False):
        Path(inner).chmod(0o755)
        sync(Path(inner))


def _hashed(path: Path) -> tuple[str, int]:
    fingerprint, size = hashlib.sha256(), 0
    for chunk in _chunks(path):
        fingerprint.update(chunk)
        size += len(chunk)
    return f"sha256:{fingerprint.hexdigest()}", size


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        fd = os.open(path, _READ)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", field="ref") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Invalid(f"{path} is no regular file any more; leave it out", field="ref")
        while chunk := _read(fd, path):
            yield chunk
    finally:
        os.close(fd)


def _read(fd: int, path: Path) -> bytes:
    try:
        return os.read(fd, CHUNK)
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}; look after its disk") from error


def _write(fd: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(fd, left) :]


def _forget(fd: int) -> None:
    # So that it is read back from the disk, where the system does as it is told.
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
