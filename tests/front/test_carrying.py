"""Versions carried from one register into another in an archive."""

from pathlib import Path

import pytest

from herdbook.errors import AlreadyExists, NotFound
from tests.front.samples import opened


def test_an_archive_with_a_number_that_was_deleted_is_refused_before_anything(
    home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    for number in ("v1", "v2"):
        (folder / "labels.txt").write_text(number)
        with opened(home) as (_, book):
            book.artifacts.push("gnn", number, path=folder)
    with opened(home) as (_, book):
        book.artifacts.export(["gnn:v1", "gnn:v2"], tmp_path / "gnn.tar")

    with opened(tmp_path / "other") as (_, other):
        other.models.register("gnn", "v2")
        other.versions.delete("gnn:v2")

        with pytest.raises(AlreadyExists, match=r"deleted .* nothing of the archive was taken"):
            other.artifacts.load(tmp_path / "gnn.tar")

        with pytest.raises(NotFound):
            other.versions.get("gnn:v1")


def test_a_parent_is_kept_wherever_it_stands_in_the_archive(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    with opened(home) as (_, book):
        for number, parent in (("v1", ()), ("v2", ("gnn:v1",))):
            (folder / "labels.txt").write_text(number)
            book.artifacts.push("gnn", number, path=folder, parent=parent)
        book.artifacts.export(["gnn:v2", "gnn:v1"], tmp_path / "gnn.tar")

    with opened(tmp_path / "other") as (_, other):
        carried = other.artifacts.load(tmp_path / "gnn.tar")
        parents = other.versions.get("gnn:v2").facts.parents

    assert [(one.ref, one.notes) for one in carried] == [("gnn:v2", ()), ("gnn:v1", ())]
    assert [parent.ref for parent in parents] == ["gnn:v1"]
