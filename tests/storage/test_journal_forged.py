"""Journals that somebody made up are set aside or left alone, and stop nobody."""

import os
import struct
from pathlib import Path

import pytest

from herdbook.services.folding import Label
from herdbook.storage.journal.journal import Journal, create
from herdbook.storage.journal.layout import HEAD, LABELS_AT, STATES_AT, Sizes, State
from herdbook.storage.journal.orphans import orphans


def left(folder: Path) -> Path:
    """A journal whose process has let go of it."""
    made = create(
        folder, [Label("gnn_test", 1, "control")], owner={}, sizes=Sizes(records=64, labels=4096)
    )
    made.close()
    return made.path


def changed(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def adopted(folder: Path) -> list[Journal]:
    return list(orphans(folder, owner={}))


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (STATES_AT[0], State(number=9, tail=0, to=1 << 63).encoded()),
        (STATES_AT[0], State(number=9, tail=1 << 60, to=5).encoded()),
        (HEAD.size, b"[" * 1_500),
        (12, struct.pack("=I", 0)),
    ],
    ids=["an end without end", "an end before its beginning", "deep JSON", "no records"],
)
def test_a_forged_journal_is_set_aside(tmp_path: Path, at: int, what: bytes) -> None:
    path = left(tmp_path)
    changed(path, at, what)

    assert adopted(tmp_path) == []
    assert path.with_suffix(".damaged").exists()


@pytest.mark.parametrize("line", [b'["a",Infinity,"x",""]\n', b"[" * 3_000 + b"\n"])
def test_a_forged_label_means_nothing(tmp_path: Path, line: bytes) -> None:
    changed(left(tmp_path), LABELS_AT, line)

    (journal,) = adopted(tmp_path)

    assert journal.labels()[1] == Label("", 0, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_journal_of_another_user_is_left_alone(tmp_path: Path) -> None:
    path = left(tmp_path)
    path.chmod(0o666)
    os.chown(path, 12_345, 12_345)

    assert adopted(tmp_path) == []
    assert path.exists()
