"""Folders `model-v1`: whole or not at all, verified wherever they are copied to."""

import json
import shutil
from pathlib import Path

import pytest

from herdbook.errors import AlreadyExists, Corrupt, Invalid, NotFound
from herdbook.loader import create_model_artifact, find, load_labels
from herdbook.settings import Settings
from tests.loader.hub import Hub, Repository
from tests.loader.samples import LABELS, classifier_files, written


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A folder of a model."""
    return f"local:{written(tmp_path / 'out', classifier_files())}"


def test_an_artifact_holds_the_files_and_where_they_came_from(
    hub: Hub, settings: Settings, tmp_path: Path
) -> None:
    files = {**classifier_files(), "pytorch_model.bin": b"pickled"}
    hub.repositories["deepset/gbert-base"] = Repository(files)

    folder = create_model_artifact(
        "hf:deepset/gbert-base", "v1", to=tmp_path / "artifacts", settings=settings
    )

    said = json.loads((folder / "artifact_metadata.json").read_text())
    assert folder == tmp_path / "artifacts" / "model-v1"
    assert said["source"] == "hf:deepset/gbert-base"
    assert said["revision"] == hub.repositories["deepset/gbert-base"].refs["main"]
    assert said["left_out"] == ["pytorch_model.bin"]
    assert said["created"].endswith("Z")
    assert said["files"].keys() == classifier_files().keys()
    assert [path.name for path in folder.parent.iterdir()] == ["model-v1"]


def test_a_copy_is_verified_when_it_is_found(
    source: str, settings: Settings, tmp_path: Path
) -> None:
    made = create_model_artifact(source, "v1", to=tmp_path / "artifacts", settings=settings)
    shutil.copytree(made, tmp_path / "production" / "model-v1")

    found = find("local:production/model-v1", settings=settings)

    assert found.verified
    assert not find(source, settings=settings).verified


@pytest.mark.parametrize("path", [*classifier_files()])
def test_one_bit_that_differs_is_refused(
    path: str, source: str, settings: Settings, tmp_path: Path
) -> None:
    made = create_model_artifact(source, "v1", to=tmp_path / "artifacts", settings=settings)
    data = bytearray((made / path).read_bytes())
    data[len(data) // 2] ^= 1
    (made / path).chmod(0o644)
    (made / path).write_bytes(data)

    with pytest.raises(Corrupt, match=path.replace(".", r"\.")):
        find("local:artifacts/model-v1", settings=settings)


def test_a_file_too_many_or_missing_is_refused(
    source: str, settings: Settings, tmp_path: Path
) -> None:
    made = create_model_artifact(source, "v1", to=tmp_path / "artifacts", settings=settings)

    (made / "pytorch_model.bin").write_bytes(b"planted")
    with pytest.raises(Corrupt, match=r"holds pytorch_model\.bin"):
        find("local:artifacts/model-v1", settings=settings)

    (made / "pytorch_model.bin").unlink()
    (made / "vocab.txt").unlink()
    with pytest.raises(Corrupt, match=r"lacks vocab\.txt"):
        find("local:artifacts/model-v1", settings=settings)


def test_a_link_in_place_of_a_file_is_refused(
    source: str, settings: Settings, tmp_path: Path
) -> None:
    made = create_model_artifact(source, "v1", to=tmp_path / "artifacts", settings=settings)
    (made / "vocab.txt").rename(tmp_path / "elsewhere.txt")
    (made / "vocab.txt").symlink_to(tmp_path / "elsewhere.txt")

    with pytest.raises(Invalid, match="symbolic link"):
        find("local:artifacts/model-v1", settings=settings)


def test_damaged_metadata_is_refused_and_that_of_others_does_not_count(
    source: str, settings: Settings, tmp_path: Path
) -> None:
    made = create_model_artifact(source, "v1", to=tmp_path / "artifacts", settings=settings)
    path = made / "artifact_metadata.json"
    text = path.read_text()
    path.chmod(0o644)

    path.write_text(text[:-20])
    with pytest.raises(Corrupt, match="cannot be read"):
        find("local:artifacts/model-v1", settings=settings)

    path.write_text('{"model": "deepset/gbert-base"}')
    assert not find("local:artifacts/model-v1", settings=settings).verified


def test_an_artifact_is_not_written_over(source: str, settings: Settings) -> None:
    create_model_artifact(source, "v1", settings=settings)

    with pytest.raises(AlreadyExists, match="choose another version"):
        create_model_artifact(source, "v1", settings=settings)


@pytest.mark.parametrize("version", ["", "../v1", "v1/", ".v1", "v 1", "v" * 65])
def test_a_version_that_is_no_name_is_refused(
    version: str, source: str, settings: Settings
) -> None:
    with pytest.raises(Invalid, match="the version is"):
        create_model_artifact(source, version, settings=settings)


def test_nothing_is_left_where_the_source_cannot_be_read(
    settings: Settings, tmp_path: Path
) -> None:
    folder = written(tmp_path / "out", classifier_files())
    (folder / "secret").symlink_to("/etc/hostname")

    with pytest.raises(Invalid, match="symbolic link"):
        create_model_artifact(f"local:{folder}", "v1", settings=settings)

    assert list((tmp_path / "artifacts").iterdir()) == []


def test_an_artifact_of_an_artifact_has_metadata_of_its_own(
    source: str, settings: Settings
) -> None:
    create_model_artifact(source, "v1", settings=settings)

    made = create_model_artifact("local:artifacts/model-v1", "v1.1", settings=settings)

    said = json.loads((made / "artifact_metadata.json").read_text())
    assert said["source"] == "local:artifacts/model-v1"
    assert "artifact_metadata.json" not in said["files"]


def test_labels_go_with_an_artifact(settings: Settings, tmp_path: Path) -> None:
    files = classifier_files(id2label={str(at): f"LABEL_{at}" for at in range(3)})
    source = f"local:{written(tmp_path / 'out', files)}"

    made = create_model_artifact(source, "v1", labels=LABELS, settings=settings)

    assert (made / "labels.txt").read_text().splitlines() == list(LABELS)
    assert load_labels("local:artifacts/model-v1", settings=settings) == list(LABELS)
    with pytest.raises(Invalid, match="make them the same"):
        create_model_artifact(source, "v2", labels=["yes", "no"], settings=settings)


def test_a_source_that_is_not_there_is_named(settings: Settings) -> None:
    with pytest.raises(NotFound, match=r"local:nowhere: .*/nowhere is not there"):
        create_model_artifact("local:nowhere", "v1", settings=settings)


def test_a_link_to_a_folder_is_followed_once(settings: Settings, tmp_path: Path) -> None:
    made = [
        create_model_artifact(
            f"local:{written(tmp_path / v, classifier_files(seed=v))}", v, settings=settings
        )
        for v in ("v1", "v2")
    ]
    (tmp_path / "current").symlink_to(made[0])
    found = find("local:current", settings=settings)

    (tmp_path / "next").symlink_to(made[1])
    (tmp_path / "next").rename(tmp_path / "current")

    assert found.folder == made[0]
    assert find("local:current", settings=settings).folder == made[1]
