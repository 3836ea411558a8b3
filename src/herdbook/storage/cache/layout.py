"""Where things lie in the cache, and that nobody else may have put them there."""

import os
import stat
from pathlib import Path
from typing import Final

from herdbook.core.artifacts import blob_digest
from herdbook.errors import Invalid
from herdbook.storage.cache.disk import disk_errors

_OTHERS_WRITE: Final = 0o022
# Programs that back up a home folder leave out what has this (bford.info/cachedir).
_TAG: Final = "Signature: 8a477f597d28d172789f06886806bc55\n"


def name_of(digest: str) -> str:
    """Give the name of a digest's files, after making sure that it is one."""
    return blob_digest(digest).removeprefix("sha256:")


class Layout:
    """The folders of a cache."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.snapshots = self.root / "snapshots"
        self.marks = self.root / "marks"
        self.files = self.root / "files"
        self.known = self.root / "known"
        self.refs = self.root / "refs"
        self.locks = self.root / "locks"
        self.pulls = self.root / "pulls"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those within it."""
        parts = (self.snapshots, self.marks, self.files, self.known, self.refs)
        return (*parts, self.locks, self.pulls)

    def exists(self) -> bool:
        """Whether there is a cache.

        Raises:
            Invalid: there is, and others could have put into it what they like.
        """
        with disk_errors(f"look into {self.root}"):
            if not _safe(self.root):
                return False
            return all(_safe(folder) for folder in self.folders)

    def make(self) -> None:
        """Make what is missing, for nobody but this user.

        Raises:
            Invalid: see `exists`.
        """
        if self.exists():
            return
        with disk_errors(f"make {self.root}"):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in self.folders:
                folder.mkdir(mode=0o700, exist_ok=True)
            tag = self.root / "CACHEDIR.TAG"
            if not tag.exists():
                tag.touch(mode=0o600)
                tag.write_text(_TAG, encoding="utf-8")
        self.exists()


def _safe(folder: Path) -> bool:
    """Whether a folder is there; one that others could write is refused."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        raise Invalid(
            f"{folder} is no folder but a link or a file; the cache follows no links: set "
            "HERDBOOK_CACHE to the folder that is meant, or move it away",
            field="cache",
        )
    if found.st_uid not in (0, os.geteuid()):
        raise Invalid(
            f"{folder} belongs to the user {found.st_uid}, who could change models in it; set "
            "HERDBOOK_CACHE to a folder of your own",
            field="cache",
        )
    if stat.S_IMODE(found.st_mode) & _OTHERS_WRITE:
        raise Invalid(
            f"others may write in {folder} and could have changed models in it; chmod 700 it, then "
            "run `herdbook artifacts cache verify`, or remove it",
            field="cache",
        )
    return True
