"""The commit of the folder one works in."""

import subprocess
from pathlib import Path

import pytest

from herdbook.front.git import commit_here
from herdbook.front.models import draft


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    for words in (
        ["init", "-q"],
        ["config", "user.email", "test@example.com"],
        ["config", "user.name", "test"],
    ):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def commit(folder: Path) -> str:
    (folder / "train.py").write_text("print(1)\n")
    subprocess.run(["git", "-C", str(folder), "add", "."], check=True)
    subprocess.run(["git", "-C", str(folder), "commit", "-qm", "train"], check=True)
    words = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_a_clean_repository_gives_its_commit(repository: Path) -> None:
    made = commit(repository)

    assert commit_here(repository) == (made, False)


def test_a_changed_file_makes_it_dirty(repository: Path) -> None:
    made = commit(repository)
    (repository / "train.py").write_text("print(2)\n")

    assert commit_here(repository) == (made, True)


def test_a_commit_is_told_where_its_changes_cannot_be(repository: Path) -> None:
    made = commit(repository)
    (repository / ".git" / "index").write_bytes(b"no index")

    assert commit_here(repository) == (made, None)


def test_outside_and_before_the_first_commit_there_is_none(
    repository: Path, tmp_path: Path
) -> None:
    assert commit_here(repository) == ("", None)
    assert commit_here(tmp_path) == ("", None)


def test_a_given_commit_wins(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = commit(repository)
    monkeypatch.chdir(repository)

    assert draft("v1").git_commit == found
    assert draft("v1", git_commit="abc123").git_commit == "abc123"
    assert draft("v1", git_commit="").git_commit == ""
