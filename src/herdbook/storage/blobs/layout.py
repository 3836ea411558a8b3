"""How the folder of a store is laid out: drafts, marks of sizes, and blobs in 256 folders."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from herdbook.core.blobs import Held
from herdbook.storage.blobs.files import disk_errors, held, own_folder, sync_folder

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

    def make(self) -> None:
        """Make what is missing, durably."""
        with disk_errors(f"make {self.folder}"):
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
            with disk_errors(f"look into {self.folder}"):
                try:
                    entries = os.scandir(self.blobs / fan)
                except FileNotFoundError:
                    continue
            with entries:
                yield from filter(None, (held(entry, fan) for entry in entries))
