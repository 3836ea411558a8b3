"""`export -o` and `import`: where the lines go, and what is said of what was taken."""

import json
import os
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_an_export_goes_through_a_pipe_with_a_name_and_leaves_it(
    example: Run, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()

    answer = example("export", "-o", str(pipe))

    reader.join(10)
    assert answer.status == 0, answer.err
    assert pipe.is_fifo()
    assert '"kind":"end"' in read[0]


@pytest.mark.parametrize("there", [True, False])
def test_an_export_goes_where_a_link_points(example: Run, tmp_path: Path, *, there: bool) -> None:
    (tmp_path / "kept").mkdir()
    real, link = tmp_path / "kept" / "real.jsonl", tmp_path / "link.jsonl"
    if there:
        real.write_text("old")
    link.symlink_to(real)

    assert example("export", "-o", str(link)).status == 0

    assert link.is_symlink()
    assert '"kind":"end"' in real.read_text()
    assert [left.name for left in (tmp_path / "kept").iterdir()] == ["real.jsonl"]


def test_a_link_that_leads_to_itself_is_wrong_use(example: Run, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert example("export", "-o", str(tmp_path / "a")).status == 2
    assert (tmp_path / "a").is_symlink()


def test_a_rehearsed_import_names_what_it_would_take(run: Run, tmp_path: Path) -> None:
    for name in ("majora", "oracle"):
        (tmp_path / "artifacts" / name / "v1").mkdir(parents=True)
        (tmp_path / "artifacts" / name / "v1" / "model.safetensors").write_text("")

    told = run("import", "--from", "folder", "artifacts", "--dry-run")
    value = run("import", "--from", "folder", "artifacts", "--dry-run", "--json")

    assert told.status == 0, told.err
    assert "Would take 2 models, 2 versions" in told.out
    assert len(json.loads(value.out)["refs"]) == 2
    assert all(f"  {ref}\n" in told.out for ref in json.loads(value.out)["refs"])


def test_what_was_skipped_was_not_taken(run: Run, tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "majora" / "v1").mkdir(parents=True)
    (tmp_path / "artifacts" / "majora" / "v1" / "model.safetensors").write_text("")

    first = run("import", "--from", "folder", "artifacts").out
    again = run("import", "--from", "folder", "artifacts").out

    assert first.startswith("Took 1 model, 1 version")
    assert again.startswith("Took nothing; 1 skipped.")
