"""A push that fails or is stopped does not go on sending what it had not begun."""

import threading
import time
from pathlib import Path

import pytest

import herdbook
from tests.running import served

FILES = 200


def test_an_error_ends_what_was_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / "home"))
    folder = tmp_path / "m"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.txt").write_text(str(number))
    begun, turn = 0, threading.Lock()

    def said(count: int) -> None:
        nonlocal begun
        if count:
            with turn:
                begun += 1
            time.sleep(0.02)
            raise KeyboardInterrupt

    with (
        served(f"sqlite:///{tmp_path}/herdbook.db", HERDBOOK_HOME=str(tmp_path)) as address,
        herdbook.connect(address) as book,
        pytest.raises(KeyboardInterrupt),
    ):
        book.artifacts.push("gnn", path=folder, said=said)

    assert begun < FILES / 4
