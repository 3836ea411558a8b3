"""A large file comes into a folder whole, from the same disk and from another."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from herdbook.core.artifacts import digest_of
from herdbook.errors import Invalid
from herdbook.storage.blobs.files import Draft, Source
from herdbook.storage.blobs.folder import FolderBlobs

DATA = os.urandom((3 << 20) + 77)


@pytest.fixture(params=["this disk", "another"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder for the file that is taken; from another disk the system moves nothing itself."""
    if request.param == "this disk":
        yield tmp_path
        return
    memory = Path("/dev/shm")  # noqa: S108 - the other file system, if there is one
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_a_large_file_is_taken_whole_and_told_of_once(place: Path, tmp_path: Path) -> None:
    (place / "model.safetensors").write_bytes(DATA)
    store = FolderBlobs(tmp_path / "blobs")
    told: list[int] = []

    stored = store.take(place / "model.safetensors", said=told.append)

    assert stored.digest == digest_of(DATA)
    assert sum(told) == len(DATA)
    assert b"".join(store.read(stored.digest)) == DATA


@pytest.mark.parametrize("by", [b"more", b"x" * (2 << 20)], ids=["a little", "much"])
def test_a_large_file_that_grows_while_it_is_copied_is_refused(
    place: Path, tmp_path: Path, by: bytes
) -> None:
    path = place / "model.safetensors"
    path.write_bytes(DATA)

    with Source(path) as source, Draft(tmp_path) as draft:
        coming = source.copied_to(draft)
        next(coming)
        with path.open("ab") as file:
            file.write(by)

        with pytest.raises(Invalid, match="changed while it was read"):
            list(coming)


def test_a_large_file_that_is_cut_while_it_is_copied_is_refused(
    place: Path, tmp_path: Path
) -> None:
    path = place / "model.safetensors"
    path.write_bytes(DATA)

    with Source(path) as source, Draft(tmp_path) as draft:
        coming = source.copied_to(draft)
        next(coming)
        os.truncate(path, 1 << 20)

        with pytest.raises(Invalid, match="changed while it was read"):
            list(coming)
