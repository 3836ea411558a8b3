"""How much is held of what is in versions, and what of it may be remembered."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors.numpy
from obstore.store import MemoryStore

from herdbook.bootstrap import LocalDoor
from herdbook.core.artifacts import Artifact
from herdbook.front.book import Herdbook
from herdbook.services.examination import Examiner
from herdbook.services.store import Store
from herdbook.storage.blobs.objects import ObjectBlobs
from tests.front.samples import opened

TENSORS = 1_000


def crowded(folder: Path, *, files: int) -> Path:
    """Files of many empty tensors each, all different."""
    folder.mkdir()
    for number in range(files):
        names = (f"{number}.{at}" for at in range(TENSORS))
        said = {name: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for name in names}
        header = json.dumps(said).encode()
        (folder / f"{number}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder


def files_of(book: Herdbook, folder: Path) -> tuple[Artifact, ...]:
    version = book.artifacts.push("majora", path=folder).version
    assert version is not None
    return book.artifacts.files(version.ref).files


def test_no_more_tensors_are_held_than_allowed(home: Path, tmp_path: Path) -> None:
    with opened(home) as (door, book):
        files = files_of(book, crowded(tmp_path / "m", files=30))
        _forget(door, files)

        anew = Examiner(door.store, limit_tensors=2 * TENSORS).look(files)
        known = Examiner(door.store, limit_tensors=2 * TENSORS).look(files)

    assert sum(found.looked for found in anew.values()) == 2
    assert sum(found.looked for found in known.values()) == 2


def _forget(door: LocalDoor, files: tuple[Artifact, ...]) -> None:
    known = {file.digest: "{}" for file in files}
    door.write(lambda work: work.artifacts.describe(known))


def test_a_policy_decides_about_files_however_many_tensors_they_have(
    home: Path, tmp_path: Path
) -> None:
    folder = crowded(tmp_path / "m", files=5)
    (folder / "run.py").write_text("import os")
    with opened(home) as (door, book):
        files = files_of(book, folder)
        _forget(door, files)
        risks = Examiner(door.store, limit_tensors=1).risks(files)
        _forget(door, files)
        unread = Examiner(door.store, limit_tensors=1, limit_bytes=1).risks(files)

    assert [risk.path for risk in risks] == ["run.py"]
    assert len(unread) == 5, "one was looked into, the others are doubtful"


class Lying(ObjectBlobs):
    """An object store that gives other bytes when it is asked for a part."""

    lies = True

    def read(self, digest: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        for piece in super().read(digest, start=start, end=end):
            yield piece.replace(b"weight", b"wicked") if self.lies and end is not None else piece


def test_what_was_read_in_parts_is_read_again_before_it_is_remembered(
    home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    tensors = {"weight": np.zeros(1 << 19, np.float32)}
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(tensors))
    with opened(home) as (door, book):
        blobs = Lying(MemoryStore(), "memory:")
        door.store = Store(blobs, door)
        file = files_of(book, folder)[0]

        examiner = Examiner(door.store)
        found = examiner.look([file])[file.path]
        blobs.lies = False
        digested = examiner.digest(file)
        remembered = Examiner(door.store).recall([file])[file.path]

    assert found.contents is not None
    assert [tensor.name for tensor in found.contents.tensors] == ["wicked"]
    assert [tensor.name for tensor in digested] == ["weight"]
    assert remembered.contents is not None
    assert [tensor.name for tensor in remembered.contents.tensors] == ["weight"]


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_diff_opens_two_files_at_a_time(home: Path, tmp_path: Path) -> None:
    most = 0

    def counted(number: int) -> Path:
        folder = tmp_path / "m"
        folder.mkdir(exist_ok=True)
        for at in range(40):
            tensors = {f"w{at}": np.full(8, number, np.float32)}
            (folder / f"{at}.safetensors").write_bytes(safetensors.numpy.save(tensors))
        return folder

    with opened(home) as (door, book):
        for number in (1, 2):
            assert book.artifacts.push("gnn", path=counted(number)).version is not None
        before, real = _open_files(), door.store.blobs.opened

        def watched(digest: str, *, verified: bool = False):  # type: ignore[no-untyped-def]
            nonlocal most
            most = max(most, _open_files() - before)
            return real(digest, verified=verified)

        door.store.blobs.opened = watched  # type: ignore[method-assign]
        changes = book.artifacts.diff("gnn:v1", "gnn:v2")

    assert {tensor.distance for tensor in changes.tensors} == {1.0}
    assert len(changes.tensors) == 40
    assert most < 10
