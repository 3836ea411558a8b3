"""`herdbook artifacts show` and `diff`, the lineage of bytes, and the file policy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import herdbook
from herdbook.front.book import Herdbook
from tests.cli.conftest import Run
from tests.formats.samples import archive, safetensors_file, torch_file
from tests.front.samples import classifier, weights


def pushed(book: Herdbook, model: str, folder: Path, **facts: Any) -> None:
    book.artifacts.push(model, path=folder, **facts)


def told(run: Run, *words: str) -> str:
    answer = run(*words)
    assert answer.status == 0, answer.err
    return answer.out


def test_the_command_line_shows_and_compares(run: Run, tmp_path: Path) -> None:
    tensors = weights()
    folder = classifier(tmp_path / "m", tensors, ["spam", "ham"])
    (folder / "extra.bin").write_bytes(torch_file())
    with herdbook.connect() as book:
        pushed(book, "majora", folder)
        tensors["layer.2.weight"] = tensors["layer.2.weight"] * np.float32(2)
        folder = classifier(tmp_path / "m", tensors, ["spam", "eggs"])
        pushed(book, "majora", folder, parent="majora:v1")

    shown = told(run, "artifacts", "show", "majora:v1")
    before = told(run, "lineage", "majora:v2")
    changed = told(run, "artifacts", "diff", "majora:v1", "majora:v2")
    after = told(run, "lineage", "majora:v2")
    as_json = json.loads(told(run, "artifacts", "diff", "majora:v1", "majora:v2", "--json"))

    assert "!  extra.bin" in shown
    assert "1,024 in 8 tensors" in shown
    assert "extra.bin: a pickle begins at byte 0" in shown
    assert "1 of 8 tensors changed (512 B), config.json changed, labels.txt changed" in changed
    assert "~  layer.2.weight  F32   16x8   512 B   100.00%" in changed
    assert "8 tensors not compared" in before
    assert "majora:v1 → majora:v2: 1 of 8 tensors changed (512 B)" in after
    assert as_json["tensors"][0]["distance"] == pytest.approx(1.0)


def test_a_version_with_parents_but_no_bytes_has_a_lineage_all_the_same(run: Run) -> None:
    with herdbook.connect() as book:
        book.models.register("majora", "v1")
        book.models.register("majora", "v2", parent="majora:v1")

    assert "→" not in told(run, "lineage", "majora:v2")


def test_archives_and_their_names_are_harmless_on_a_terminal(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.zip").write_bytes(archive({"a\x1b[31m.pkl": b"\x80\x04N."}))
    (folder / "model.safetensors").write_bytes(
        safetensors_file(**{"head\x1b[2J": np.ones(3, np.float32)})
    )
    with herdbook.connect() as book:
        pushed(book, "majora", folder)
        (folder / "model.safetensors").unlink()
        pushed(book, "majora", folder)

    shown = told(run, "artifacts", "show", "majora:v1")
    shown += told(run, "artifacts", "diff", "majora:v1", "majora:v2")

    assert "\x1b" not in shown


def test_a_push_is_warned_about_refused_or_taken_as_the_policy_says(
    run: Run, tmp_path: Path
) -> None:
    folder = classifier(tmp_path / "m", weights(), ["spam"])
    (folder / "modeling.py").write_text("import os")

    warned = run("artifacts", "push", "majora", str(folder))
    told(run, "models", "update", "majora", "--file-policy", "refuse")
    refused = run("artifacts", "push", "majora", str(folder))

    assert (warned.status, refused.status) == (0, 1)
    assert "Warning: modeling.py: it is Python code, by its name" in warned.out
    assert "modeling.py (it is Python code, by its name)" in refused.err
    assert "file policy  refuse" in told(run, "info", "majora")
    assert "modeling.py: it is Python code" in told(run, "info", "majora:v1")
