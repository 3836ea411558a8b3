"""A large file comes into a folder whole, from the same disk and from another."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from herdbook.core.artifacts import digest_of
from herdbook.errors import Invalid
from herdbook.storage.blobs.files import Draft, Source
from herdbook.storage.blobs.folder import GROUP, FolderBlobs

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


def small_files(folder: Path, count: int) -> list[Path]:
    """Write files of which every third has the bytes of another, far from it."""
    folder.mkdir()
    paths = [folder / f"{at}.bin" for at in range(count)]
    for at, path in enumerate(paths):
        path.write_bytes(f"{at % (count // 3 * 2)}".encode())
    return paths


def test_more_files_than_one_wait_makes_durable_are_told_of_in_their_order(tmp_path: Path) -> None:
    paths = small_files(tmp_path / "model", 3 * GROUP + 9)
    store = FolderBlobs(tmp_path / "blobs")

    stored = list(store.take_all(paths))

    assert [each.digest for each in stored] == [digest_of(path.read_bytes()) for path in paths]
    assert len({each.digest for each in stored if each.new}) == sum(each.new for each in stored)
    assert {each.digest for each in store.each()} == {each.digest for each in stored}
    assert not list((tmp_path / "blobs" / "tmp").iterdir())


def test_who_stops_asking_keeps_what_was_told_of_and_leaves_no_draft(tmp_path: Path) -> None:
    paths = small_files(tmp_path / "model", 3 * GROUP)
    store = FolderBlobs(tmp_path / "blobs")
    coming = store.take_all(paths)

    told = [next(coming) for _ in range(GROUP + 1)]
    coming.close()  # type: ignore[attr-defined]

    assert all(store.size(each.digest) == each.size for each in told)
    assert not list((tmp_path / "blobs" / "tmp").iterdir())


def test_a_file_that_gives_less_at_once_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labels.json").write_bytes(DATA[:5_000])
    at_once = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, at: at_once(fd, min(length, 99), at))

    with Source(tmp_path / "labels.json") as source:
        assert source.whole() == DATA[:5_000]
