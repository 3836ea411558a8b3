"""What was fetched from outside: whole folders, each made once, with a mark that says what is in.

A snapshot is there when its mark is: `<name>.json` beside the folder `<name>`. Where it is made,
`<name>.incomplete`, a download that was stopped goes on.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from herdbook.core.artifacts import digest_of
from herdbook.errors import Corrupt
from herdbook.loader.files import Fact, read_fact, refuse_changed, refuse_others, walk
from herdbook.storage.blobs.files import Draft, disk_errors, sync_folder

FORMAT: Final = "herdbook-snapshot/1"
_BY: Final = "its mark"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder that was fetched whole.

    Args:
        folder: where it is.
        files: what is in it.
        left_out: what its source has besides.
    """

    folder: Path
    files: Mapping[str, Fact]
    left_out: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of one place.

    Args:
        folder: where they are kept; it need not be there yet.
    """

    folder: Path

    def noted(self, what: str) -> str:
        """Give the name of the snapshot that something movable last stood for, or ""."""
        try:
            return (self.folder / "refs" / _file_name(what)).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def note(self, what: str, name: str) -> None:
        """Keep what something movable stands for now."""
        at = self.folder / "refs" / _file_name(what)
        if self.noted(what) != name:
            _written(at, name)

    def present(self, name: str) -> Snapshot | None:
        """Give a snapshot that is there, verified; None when it is not there.

        A file whose inode, size and times are those of the mark is not read again.

        Raises:
            Corrupt: it is not what was fetched.
        """
        mark = self._mark(name)
        if mark is None:
            return None
        folder = self.folder / name
        files = {path: Fact(one["size"], one["digest"]) for path, one in mark["files"].items()}
        try:
            refuse_others(folder, files, by=_BY)
            for path, fact in files.items():
                if _identity((folder / path).lstat()) != mark["files"][path]["identity"]:
                    refuse_changed(folder, path, fact, by=_BY)
        except Corrupt as error:
            raise Corrupt(
                f"{error.message.rpartition(';')[0]}; remove {folder} and {folder}.json, then "
                "fetch it again"
            ) from None
        return Snapshot(folder, files, tuple(mark["left_out"]))

    def made(self, name: str, fill: Callable[[Path], tuple[str, ...]]) -> Snapshot:
        """Give a snapshot, made by one process while others wait for it.

        Args:
            name: what it is called.
            fill: puts its files into a folder, in which a try before may have left some, checks
                that they are those of the source, and gives the names of what it left out.
        """
        with self._alone(name):
            there = self.present(name)
            if there:
                return there
            draft = self.folder / f"{name}.incomplete"
            with disk_errors(f"write in {self.folder}"):
                draft.mkdir(mode=0o700, exist_ok=True)
            left_out = fill(draft)
            self._settle(name, draft, left_out)
            return self.present(name) or _gone(draft)

    def _settle(self, name: str, draft: Path, left_out: tuple[str, ...]) -> None:
        files = {}
        for path in walk(draft):
            fact = read_fact(draft / path)
            files[path] = {
                "size": fact.size,
                "digest": fact.digest,
                "identity": _sealed(draft / path),
            }
        folder = self.folder / name
        with disk_errors(f"write in {self.folder}"):
            shutil.rmtree(folder, ignore_errors=True)  # one that was never marked
            draft.rename(folder)
            sync_folder(self.folder)
        said = {"format": FORMAT, "left_out": list(left_out), "files": files}
        _written(self.folder / f"{name}.json", json.dumps(said, indent=1))

    def _mark(self, name: str) -> dict[str, Any] | None:
        path = self.folder / f"{name}.json"
        try:
            said: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            said = {}
        if said.get("format") != FORMAT:
            raise Corrupt(f"{path} is no mark of this Herdbook; remove it and fetch again")
        return said

    @contextlib.contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with disk_errors(f"write in {self.folder}"):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(self.folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _sealed(path: Path) -> list[int]:
    """Make a file read-only and durable, and say which it is."""
    with disk_errors(f"write {path}"):
        path.chmod(0o444)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            return _identity(os.fstat(fd))
        finally:
            os.close(fd)


def _identity(found: os.stat_result) -> list[int]:
    # Nobody can set the time of the last change back.
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _written(path: Path, text: str) -> None:
    with disk_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Draft(path.parent) as draft:
        draft.write(text.encode())
        draft.seal()
        draft.replace(path)


def _file_name(what: str) -> str:
    return digest_of(what.encode()).removeprefix("sha256:")[:32]


def _gone(folder: Path) -> Snapshot:
    raise Corrupt(f"{folder} was removed while it was made; try again")
