"""`python -m herdbook.loader` and the two commands."""

import json
from pathlib import Path

import click
import pytest

from herdbook.cli import main as command_line
from herdbook.cli.creation import create, download
from herdbook.cli.session import Session
from herdbook.errors import HerdbookError, Invalid
from herdbook.loader import __main__ as door
from herdbook.settings import Settings
from tests.loader.hub import Hub, Repository
from tests.loader.samples import LABELS, classifier_files, written


def run(command: click.Command, *words: str) -> None:
    command.main(list(words), obj=Session(), standalone_mode=False)


@pytest.fixture
def repository(hub: Hub) -> Repository:
    """A classifier on the hub."""
    hub.repositories["deepset/gbert-base"] = Repository(classifier_files())
    return hub.repositories["deepset/gbert-base"]


def test_statuses_are_those_of_the_command_line() -> None:
    assert door.EXIT == command_line.EXIT


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("words", [[], ["setup"], ["download"], ["hf:deepset/gbert-base"]])
def test_an_init_container_fetches_what_the_setting_names(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_MODEL_REF", "hf:deepset/gbert-base")
    asked = ["download", "hf:deepset/gbert-base"] if words == ["download"] else words

    status = door.main(asked)

    folder = Path(capsys.readouterr().out.strip())
    assert status == 0
    assert (folder / "config.json").is_file()


@pytest.mark.parametrize(
    ("ref", "status", "said"),
    [
        ("local:nowhere", 3, "is not there"),
        ("hf:no--name", 2, "hf: the repository"),
        ("hf:deepset/unknown", 3, "no such repository"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_what_cannot_be_fetched_ends_with_its_status(
    ref: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main([ref]) == status
    assert said in capsys.readouterr().err


def test_without_the_setting_setup_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["setup"]) == 2
    assert "set ML_MODEL_REF" in capsys.readouterr().err


@pytest.mark.usefixtures("repository")
def test_download_says_where_the_model_is(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    run(download, "hf:deepset/gbert-base", "--json")
    answer = json.loads(capsys.readouterr().out)
    run(download, "hf:deepset/gbert-base")
    text = capsys.readouterr().out

    assert Path(answer["folder"]).is_relative_to(settings.cache)
    assert (answer["verified"], answer["files"]) == (True, 4)
    assert text.startswith(f"{answer['folder']}\n")
    assert "verified   yes" in text


def test_create_makes_an_artifact_with_labels(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    words = ["--from", "hf:deepset/gbert-base", "--version", "v1", "--labels", "labels.txt"]

    run(create, *words, "--json")

    answer = json.loads(capsys.readouterr().out)
    assert answer["folder"] == str(tmp_path / "artifacts" / "model-v1")
    assert answer["revision"] == repository.refs["main"]
    assert (tmp_path / "artifacts" / "model-v1" / "labels.txt").is_file()
    with pytest.raises(HerdbookError, match="there already"):
        run(create, *words)


def test_labels_that_contradict_the_model_are_refused(tmp_path: Path, settings: Settings) -> None:
    source = written(tmp_path / "m", classifier_files())
    (tmp_path / "labels.txt").write_text("x\ny\nz\n")

    with pytest.raises(Invalid, match=r"but config\.json names"):
        run(create, "--from", f"local:{source}", "--version", "v1", "--labels", "labels.txt")

    assert not (tmp_path / "artifacts" / "model-v1").exists()
    assert settings.home.name
