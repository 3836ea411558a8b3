"""How the folder of a store is laid out: drafts, marks of sizes, and blobs in 256 folders."""

import os
import re
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from herdbook.core.blobs import Held
from herdbook.storage.blobs.files import disk_errors, own_folder, sync_folder

_NAME: Final = re.compile(r"[0-9a-f]{64}\Z")
_FANS: Final = tuple(f"{number:02x}" for number in range(256))


class Layout:
    """The folders of a store.

    Attributes:
        folder: the store.
        drafts: where files are written.
        sizes: marks of which sizes there are.
        blobs: where blobs lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drafts = folder / "tmp"
        self.sizes = folder / "sizes"
        self.blobs = folder / "sha256"
        self._made = False
        self._making = threading.Lock()

    def make(self) -> None:
        """Make what is missing, durably, once a process."""
        with self._making:
            if not self._made:
                self._make()
                self._made = True

    def _make(self) -> None:
        with disk_errors("make", self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.drafts, self.sizes, self.blobs):
                folder.mkdir(mode=0o700, exist_ok=True)
                own_folder(folder)
            there = {path.name for path in self.blobs.iterdir()}
            for fan in _FANS:
                if fan not in there:
                    (self.blobs / fan).mkdir(mode=0o700, exist_ok=True)
        for folder in (self.blobs, self.folder, self.folder.parent):
            sync_folder(folder)

    def each(self) -> Iterator[Held]:
        """Give every blob; a file whose name is no digest is none."""
        for fan in _FANS:
            with disk_errors("look into", self.folder):
                try:
                    entries = os.scandir(self.blobs / fan)
                except FileNotFoundError:
                    continue
            with entries:
                yield from filter(None, (_held(entry, fan) for entry in entries))


def _held(entry: "os.DirEntry[str]", fan: str) -> Held | None:
    """Read an entry, or nothing when it is no blob or was removed meanwhile."""
    if not _NAME.match(entry.name) or not entry.name.startswith(fan):
        return None
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    at = datetime.fromtimestamp(found.st_mtime, UTC)
    return Held(digest=f"sha256:{entry.name}", size=found.st_size, at=at)
