"""`herdbook export` and `herdbook import`, as they are typed."""

import io
import json
import sys
from pathlib import Path

import pytest

from herdbook.cli.main import main
from tests.transfer import samples
from tests.transfer.registers import furnish, opened


@pytest.fixture
def source(tmp_path: Path) -> str:
    """The address of a furnished register."""
    url = f"sqlite:///{tmp_path}/source.db"
    with opened(url) as book:
        furnish(book)
    return url


@pytest.fixture
def target(tmp_path: Path) -> str:
    """The address of an empty register."""
    return f"sqlite:///{tmp_path}/target.db"


def test_an_export_to_a_file_is_imported_from_it(
    source: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "register.jsonl"

    statuses = [
        main(["--url", source, "export", "-o", str(path)]),
        main(["--url", target, "import", str(path), "--dry-run"]),
        main(["--url", target, "import", str(path)]),
    ]

    told = capsys.readouterr()
    assert statuses == [0, 0, 0]
    assert "lines written to" in told.err
    assert "Would take 4 models, 7 versions" in told.out
    assert "Took 4 models, 7 versions" in told.out
    with opened(source) as one, opened(target) as two:
        assert list(one.export()) == list(two.export()) == path.read_text().splitlines()
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []


def test_an_export_to_standard_output_is_imported_from_standard_input(
    source: str,
    target: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main(["--url", source, "export"])
    piped = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped.encode())))

    status = main(["--url", target, "import", "-", "--json"])

    assert status == 0
    assert json.loads(capsys.readouterr().out)["counts"]["events"] == 19


def test_an_export_into_a_full_register_ends_as_a_conflict(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "register.jsonl"
    main(["--url", source, "export", "-o", str(path)])

    status = main(["--url", source, "import", str(path)])

    assert status == 4
    assert "not empty" in capsys.readouterr().err


def test_an_export_that_cannot_be_written_leaves_the_old_one(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["--url", source, "export", "-o", str(tmp_path / "gone" / "register.jsonl")])

    assert status == 2
    assert "No such file" in capsys.readouterr().err


def test_another_registry_is_taken_and_what_became_of_it_is_told(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, lineage = tmp_path / "registry.json", tmp_path / "lineage.json"
    registry.write_text(json.dumps(samples.afs()), encoding="utf-8")
    lineage.write_text(json.dumps(samples.lineage()), encoding="utf-8")

    status = main(
        ["--url", target, "import", "--from", "afs", str(registry), "--lineage", str(lineage)]
    )

    told = capsys.readouterr().out
    assert status == 0
    assert "Took 1 model, 7 versions, 2 promotions." in told
    assert "majora v2b is not a number here or is taken; it is v2-b." in told
    with opened(target) as book:
        assert book.models.get("majora").champion == "v3"


@pytest.mark.parametrize(
    "words", [["--lineage", "x", "y"], ["missing.jsonl"], ["--from", "folder", "missing"]]
)
def test_wrong_use_ends_with_2(
    target: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["--url", target, "import", *words])

    assert status == 2
    assert capsys.readouterr().err.startswith("error:")
