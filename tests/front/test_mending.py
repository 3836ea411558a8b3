"""Damaged bytes are taken out and pushed anew."""

from pathlib import Path

import pytest

import herdbook
from herdbook.errors import AlreadyExists, Conflict, Corrupt, Invalid, NotFound


def test_a_push_of_the_right_bytes_mends_a_version_whose_damaged_ones_were_removed(
    home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "majora"
    folder.mkdir()
    (folder / "model.bin").write_bytes(bytes(range(256)) * 8)
    with herdbook.connect() as book:
        book.artifacts.push("majora", path=folder)
        digest = book.artifacts.files("majora:v1").files[0].digest.removeprefix("sha256:")
        blob = home / "blobs" / "sha256" / digest[:2] / digest
        blob.chmod(0o600)
        blob.write_bytes(b"\xff" + blob.read_bytes()[1:])
        with pytest.raises(Corrupt, match=r"model\.bin is damaged"):
            book.artifacts.pull("majora:v1", to=tmp_path / "refused")

        found = book.artifacts.verify(read_percent=100, remove=True)
        after = book.artifacts.verify()
        pushed = book.artifacts.push("majora", path=folder)
        pulled = book.artifacts.pull("majora:v1", to=tmp_path / "mended")

    assert [each.versions for each in found.damage] == [("majora:v1",)]
    assert after.damage[0].problem == "it is not in the store"
    assert pushed.new_bytes == 2048
    assert (pulled / "model.bin").read_bytes() == (folder / "model.bin").read_bytes()


def test_a_store_serves_one_register(tmp_path: Path) -> None:
    folder = tmp_path / "majora"
    folder.mkdir()
    (folder / "labels.txt").write_text("yes\nno\n")
    with herdbook.connect() as book:
        book.artifacts.push("majora", path=folder)

    with herdbook.connect(f"sqlite:///{tmp_path}/other.db") as other:
        with pytest.raises(Conflict, match="holds the bytes of another register"):
            other.artifacts.push("gnn", path=folder)
        with pytest.raises(Conflict, match="HERDBOOK_BLOBS"):
            other.artifacts.collect(grace_hours=0)

    with herdbook.connect() as book:
        assert book.artifacts.verify(read_percent=100).damaged == 0


def test_what_registering_would_refuse_is_refused_before_a_byte_is_stored(
    home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "majora"
    folder.mkdir()
    (folder / "labels.txt").write_text("yes\nno\n")
    with herdbook.connect() as book:
        book.models.register("majora", "v1")

        with pytest.raises(AlreadyExists, match="a version never changes"):
            book.artifacts.push("majora", "v1", path=folder)
        with pytest.raises(NotFound):
            book.artifacts.push("majora", path=folder, parent="majora:v7")
        with pytest.raises(Invalid):
            book.artifacts.push("ma jora", path=folder)

    assert not (home / "blobs").exists()


def test_a_folder_that_holds_the_version_already_is_left_as_it_is(tmp_path: Path) -> None:
    folder, there = tmp_path / "majora", tmp_path / "served"
    folder.mkdir()
    (folder / "labels.txt").write_text("yes\nno\n")
    with herdbook.connect() as book:
        book.artifacts.push("majora", path=folder)
        there.mkdir()

        first = book.artifacts.pulled("majora:v1", to=there)
        again = book.artifacts.pulled("majora:v1", to=there)
        (there / "more.txt").write_text("mine")

        assert (sum(first.how.values()), again.how) == (1, {"there": 1})
        with pytest.raises(AlreadyExists, match="holds something else"):
            book.artifacts.pull("majora:v1", to=there)
