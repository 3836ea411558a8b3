"""Pushing in processes of their own, and what must hold of a register whatever became of them."""

import hashlib
import json
import multiprocessing
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

import herdbook
from herdbook.bootstrap import LocalDoor
from herdbook.core.access import everything
from herdbook.core.artifacts import digest_of
from herdbook.front.book import Herdbook
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database

# Not a fork of this process: by the time this runs it may have threads of its own, whose locks a
# child would inherit held.
CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["herdbook.bootstrap", "herdbook.client.remote", __name__])


@dataclass(slots=True)
class Found:
    """What a register was found to be."""

    versions: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    @property
    def is_whole(self) -> bool:
        """Whether every version has its bytes, and every blob those of its name."""
        return not self.lost and not self.broken


def opened(home: Path, url: str = "") -> herdbook.Herdbook:
    """Open the register of a folder, or another whose bytes are there."""
    settings = Settings(
        home=home, url=url, cache=home / "cache", actor="pusher", timeout_seconds=20.0
    )
    return herdbook.connect(settings=settings)


def later(home: Path, url: str) -> Herdbook:
    """Open it two days from now, when nobody waits any more for what was sent today."""

    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(days=2)

    door = LocalDoor(Database(url), everything("keeper"), store=str(home / "blobs"), clock=clock)
    return Herdbook(door)


def filled(folder: Path, seed: str) -> Path:
    """Make a folder of files: small ones, a large one, one that every folder has."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(rng.randbytes(1_300_000))
    for name in ("config.json", "onnx/model.onnx", "labels.json", "vocab.txt"):
        (folder / name).write_bytes(rng.randbytes(rng.randrange(1, 40_000)))
    (folder / "LICENSE").write_bytes(b"the same for all")
    return folder


def digests_below(folder: Path) -> dict[str, int]:
    """The digests and sizes of the files of a folder."""
    return {
        digest_of(path.read_bytes()): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


class Examiner:
    """Looks at a register and its store from outside, with nothing of the program's."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        self._good: set[str] = set()

    def look(self) -> Found:
        """Compare every version with the bytes there are."""
        found, there = Found(), self._there()
        for digest, path in there.items():
            if digest not in self._good:
                right = hashlib.sha256(path.read_bytes()).hexdigest() == digest
                (self._good if right else found.broken).add(digest)
        for ref, doc in self.manifests():
            found.versions[ref] = digest_of(doc.encode())
            named = {layer["digest"].removeprefix("sha256:") for layer in json.loads(doc)["layers"]}
            found.lost |= {f"{ref} {digest}" for digest in named - there.keys()}
        return found

    def _there(self) -> dict[str, Path]:
        every = (self.home / "blobs" / "sha256").rglob("*")
        return {path.name: path for path in every if path.is_file()}

    def blobs(self) -> set[str]:
        """The digests of what the store holds."""
        return {f"sha256:{name}" for name in self._there()}

    def drafts(self) -> set[str]:
        """What is half written."""
        return {path.name for path in (self.home / "blobs" / "tmp").glob("*")}

    def manifests(self) -> list[tuple[str, str]]:
        """Every version with the text of its manifest."""
        asked = (
            "SELECT m.name || ':' || v.number, d.doc FROM versions v"
            " JOIN models m ON m.id = v.model_id"
            " LEFT JOIN version_manifests vm ON vm.version_id = v.id"
            " LEFT JOIN manifests d ON d.id = vm.manifest_id"
        )
        if self.url.startswith("sqlite:///"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as reading:
                rows: list[Any] = reading.execute(asked).fetchall()
        else:
            database = Database(self.url)
            with database.reading() as connection:
                rows = [tuple(row) for row in connection.execute(text(asked))]
            database.close()
        assert all(doc for _, doc in rows), "a version is there without its files"
        return rows
