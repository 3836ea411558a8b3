"""The example of documents that move does what it says, and its register says the same."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import herdbook as hb
from herdbook.core.migrations import MigrationPhase

MODEL, NAME = "sentence-encoder", "docstrings"
# Each is checked by the example itself where it prints it.
FACTS = {
    "stamped", "dry_run", "killed", "alive", "resumed", "verified", "cut_over", "reader_at_v2",
    "no_write_failed", "exactly_once", "one_space", "silent", "nothing_written", "bridge",
    "refused: a search with v3's vectors", "refused: a write of v3's vectors",
    "refused: a search through v3", "refused: a write through v3", "reader_at_v1", "rolled_back",
    "late", "no_search_failed", "never_mixed", "register",
}  # fmt: skip

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example was run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def printed(home: Path) -> str:
    """What it printed, at its end."""
    words = ["--documents", "120", "--workers", "0", "--json", str(home / "told.json")]
    done = subprocess.run(
        [sys.executable, "-m", "examples.documents.migrate", *words],
        env={**os.environ, "HERDBOOK_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def told(home: Path, printed: str) -> dict[str, Any]:
    """Its facts and figures."""
    assert printed
    found: dict[str, Any] = json.loads((home / "told.json").read_text())
    return found


@pytest.fixture
def book(home: Path, printed: str) -> Iterator[hb.Herdbook]:
    """The register it left."""
    assert printed
    with hb.connect(f"sqlite:///{home}/herdbook.db") as opened:
        yield opened


def test_every_fact_it_states_was_checked_and_holds(told: dict[str, Any], printed: str) -> None:
    assert set(told["facts"]) == FACTS
    assert all(told["facts"].values())
    assert "NOT SO" not in printed
    assert f"{len(FACTS)} of {len(FACTS)} facts were checked and hold" in printed


def test_figures_have_both_sides_and_intervals(told: dict[str, Any]) -> None:
    figures = told["figures"]

    assert figures["documents"] == 120
    for name in ("ndcg", "recall"):
        found = figures[name]
        assert 0 < found["old"] < 1
        assert found["low"] <= found["difference"] <= found["high"]
        assert found["low"] >= -0.1
    assert 0 <= figures["overlap"]["overlap"] <= 1
    assert figures["sample"]["same"] == figures["sample"]["sampled"] > 0
    assert figures["same_dimension"]["wrong"] < figures["same_dimension"]["right"]
    # So few documents are too few for a map.
    assert figures["bridge"] == {"outcome": "too few documents"}


def test_it_was_read_and_written_all_the_while(told: dict[str, Any]) -> None:
    figures = told["figures"]

    assert min(figures["writes"].values()) > 0
    for when in ("before", "during"):
        assert figures[when]["searches"] > 10
        assert 0 < figures[when]["p50_ms"] <= figures[when]["p99_ms"]


def test_the_register_says_that_it_was_moved_and_rolled_back(book: hb.Herdbook) -> None:
    found = book.documents.get(NAME)
    assert found.home.space is not None
    assert (found.home.space.number, found.beside, found.migration) == ("v1", None, "")
    last = book.documents.status(NAME)
    assert (last.phase, last.from_version, last.to_version) == (
        MigrationPhase.ROLLED_BACK,
        "v1",
        "v2",
    )
    assert last.progress.done
    assert last.verification is not None
    assert last.verification.passed

    acts = [event.action for event in book.events.each(model=MODEL)]
    # The one that was killed began it, and who went on began nothing anew.
    assert acts.count("documents.planned") == acts.count("documents.cut_over") == 1
    assert acts[-1] == "documents.rolled_back"
    assert book.events.verify().ok


def test_a_store_that_only_one_process_may_open_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.documents.migrate", "--store", f"qdrant:{tmp_path}/s"],
        env={**os.environ, "HERDBOOK_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "may be open in one process only" in done.stderr
