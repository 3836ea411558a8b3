"""The files of a folder as those of a version."""

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from herdbook.core.artifacts import FILES_LIMIT, file_path, role_of
from herdbook.errors import Invalid, NotFound

# What tools leave beside a model and nobody means to ship.
LEFT_OUT: Final = frozenset({".git", ".cache", "__pycache__", ".DS_Store", ".ipynb_checkpoints"})
CHUNK: Final = 1 << 20
_DEPTH_LIMIT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file of a folder.

    Args:
        path: where it is within the version.
        place: where it is on this machine.
        role: what it is for.
        size: its bytes when it was found.
    """

    path: str
    place: Path
    role: str
    size: int


def found_in(place: Path, *, roles: Mapping[str, str] | None = None) -> list[Found]:
    """Give the files of a folder, or the one file that is given, by path.

    What `LEFT_OUT` names is left out. Anything that is neither a regular file nor a folder is
    refused, and so is a name that could not be written on another system.

    Args:
        place: the folder or file.
        roles: path to role, where the name of the file does not tell it.

    Raises:
        NotFound: there is nothing.
        Invalid: naming the file and what is wrong with it; or there is none.
    """
    roles = roles or {}
    files = [
        Found(path=path, place=at, role=roles.get(path) or role_of(path), size=size)
        for path, at, size in _every(place)
    ]
    for path in roles.keys() - {file.path for file in files}:
        raise NotFound(f"there is no file {path} in {place} to give a role", field="roles")
    if not files:
        raise Invalid(f"there is no file in {place}; give the folder of a model", field="path")
    return sorted(files, key=lambda file: file.path)


def _every(place: Path) -> Iterator[tuple[str, Path, int]]:
    try:
        found = place.stat()
    except OSError as error:
        raise NotFound(f"{place} cannot be read: {error.strerror}", field="path") from None
    if stat.S_ISREG(found.st_mode):
        # The file was named by its owner; where a link leads is the file they mean.
        at = place.resolve()
        yield _named(place.name), at, found.st_size
        return
    if not stat.S_ISDIR(found.st_mode):
        raise Invalid(f"{place} is neither a folder nor a file", field="path")
    for count, each in enumerate(_walked(place, "", _DEPTH_LIMIT), start=1):
        if count > FILES_LIMIT:
            raise Invalid(
                f"{place} holds over {FILES_LIMIT:,} files; pack small ones into one archive",
                field="path",
            )
        yield each


def _walked(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, Path, int]]:
    if not depth:
        raise Invalid(f"{folder} is over {_DEPTH_LIMIT} folders deep", field="path")
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise Invalid(f"{folder} cannot be read: {error.strerror}", field="path") from None
    for entry in listed:
        if entry.name in LEFT_OUT:
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError as error:
            raise Invalid(
                f"{entry.path!r} cannot be read: {error.strerror}", field="path"
            ) from None
        if stat.S_ISDIR(found.st_mode):
            yield from _walked(Path(entry.path), f"{prefix}{entry.name}/", depth - 1)
        elif stat.S_ISREG(found.st_mode):
            yield _named(f"{prefix}{entry.name}"), Path(entry.path), found.st_size
        else:
            raise Invalid(
                f"{entry.path!r} is {_kind(found.st_mode)}; put the file itself there, or leave it "
                "out",
                field="path",
            )


def _kind(mode: int) -> str:
    return "a symbolic link" if stat.S_ISLNK(mode) else "a pipe, a socket or a device"


def _named(path: str) -> str:
    # Some systems spell an umlaut as two characters; in a version it is always one.
    return file_path(unicodedata.normalize("NFC", path))


def hashed(path: Path) -> tuple[str, int]:
    """Give digest and size of a regular file.

    Raises:
        Invalid: it changed while it was read.
    """
    passed, size = hashlib.sha256(), 0
    with opened(path) as file:
        before = os.fstat(file.fileno())
        # No further than it was: one that grows as fast as it is read has no end.
        while size <= before.st_size and (chunk := file.read(CHUNK)):
            passed.update(chunk)
            size += len(chunk)
        after = os.fstat(file.fileno())
    if (size, before.st_mtime_ns) != (before.st_size, after.st_mtime_ns):
        raise changed(path)
    return f"sha256:{passed.hexdigest()}", size


def changed(path: Path) -> Invalid:
    """Give the error for a file that changed while it was read."""
    return Invalid(
        f"{path} changed while it was read; try again when nobody writes it", field="path"
    )


def opened(path: Path) -> Any:
    """Open a regular file, and nothing else."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise Invalid(f"{path} is no regular file; leave it out", field="path")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.fdopen(os.open(path, flags), "rb", buffering=0)
    except FileNotFoundError:
        raise NotFound(f"there is no file at {path}", field="path") from None
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", field="path") from None
    # Once more: it may have been replaced between the two.
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Invalid(f"{path} is no regular file; leave it out", field="path")
    return file
