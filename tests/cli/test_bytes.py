"""What `info` and `doctor` say of the bytes of versions, and of the store they are in."""

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run

Findings = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def pushed(example: Run, tmp_path: Path) -> Run:
    """A register whose majora v3 has two files."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("weights")
    assert example("add", "majora", "v3", "--path", str(folder)).status == 0
    return example


@pytest.fixture
def findings(run: Run) -> Findings:
    """What `herdbook doctor` finds: judgement and sentence by name."""

    def looked(*words: str) -> dict[str, tuple[str, str]]:
        told: dict[str, Any] = json.loads(run("doctor", "--json", *words).out)
        return {one["name"]: (one["judgement"], one["told"]) for one in told["findings"]}

    return looked


def damaged(home: Path, statement: str) -> None:
    """Change the database behind the program's back."""
    with closing(sqlite3.connect(home / "herdbook.db")) as connection, connection:
        connection.execute(statement)


def test_info_says_which_bytes_a_version_is(pushed: Run) -> None:
    told = pushed("info", "majora:v3").out
    value = json.loads(pushed("info", "majora:v3", "--json").out)

    assert value["facts"]["manifest"] in told
    assert "2 files, 9 bytes" in told


def test_info_says_nothing_of_bytes_a_version_does_not_have(pushed: Run) -> None:
    answer = pushed("info", "majora:v1")

    assert answer.status == 0
    assert "manifest" not in answer.out
    assert "bytes" not in answer.out


def test_info_shows_a_version_whose_manifest_is_damaged(pushed: Run, home: Path) -> None:
    damaged(home, "UPDATE manifests SET doc = replace(doc, 'config.json', 'konfig.json')")

    answer = pushed("info", "majora:v3")

    assert answer.status == 0, answer.err
    assert "not known: the manifest kept under sha256:" in answer.out


def test_doctor_counts_what_is_in_the_store(pushed: Run, findings: Findings, home: Path) -> None:
    before = json.loads(pushed("doctor", "--json").out)["ok"]

    judgement, told = findings()["store"]

    assert before
    assert judgement in {"good", "warning"}  # how full the disk of this machine is
    assert f"{home / 'blobs'} on " in told
    assert ": 2 blobs, 0.0 GiB" in told


@pytest.mark.usefixtures("example")
def test_doctor_does_not_mind_a_store_that_is_not_there_yet(findings: Findings) -> None:
    judgement, told = findings()["store"]

    assert judgement == "good"
    assert "the first push makes it" in told


@pytest.mark.usefixtures("example")
def test_doctor_finds_a_store_that_is_no_folder(run: Run, findings: Findings, home: Path) -> None:
    (home / "blobs").write_text("")

    assert findings()["store"][0] == "bad"
    assert "is no folder: move it away, or set HERDBOOK_BLOBS" in findings()["store"][1]
    assert run("doctor").status == 1


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="no /proc here: there nobody can write, not even root"
)
@pytest.mark.usefixtures("example")
def test_doctor_finds_a_store_that_cannot_be_written(
    findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERDBOOK_BLOBS", "/proc/self")

    judgement, told = findings()["store"]

    assert judgement == "bad"
    assert "on proc: 0 blobs" in told
    assert "it cannot be written" in told


@pytest.mark.usefixtures("example")
def test_doctor_knows_whether_an_object_store_can_be_spoken_to(
    findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERDBOOK_BLOBS", "memory:")
    there = findings()["store"]
    monkeypatch.delitem(sys.modules, "herdbook.storage.blobs.objects")
    monkeypatch.setitem(sys.modules, "obstore", None)

    judgement, told = findings()["store"]

    assert there == ("good", "memory:; `herdbook artifacts verify` looks for what is in it")
    assert judgement == "bad"
    assert "pip install 'herdbook[objects]'" in told


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE blobs SET size = 99 WHERE size = 2", "is noted with 99 bytes, not 2"),
        ("DELETE FROM version_manifests", "majora:v3 says its manifest is sha256:"),
        ("UPDATE manifests SET doc = replace(doc, '\"size\":2}', '\"size\":3}')", "it was changed"),
    ],
)
def test_doctor_finds_what_was_changed(
    pushed: Run, findings: Findings, home: Path, statement: str, told: str
) -> None:
    assert findings()["contents"][0] == "good"
    damaged(home, statement)

    judgement, found = findings()["contents"]

    assert judgement == "bad"
    assert told in found
    assert pushed("doctor").status == 1
