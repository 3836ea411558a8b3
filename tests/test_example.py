"""The example of a diagnosis service does what it says, and its register counts as its users do."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import herdbook as hb
from herdbook.core.experiments import Outcome, State

EXAMPLE = Path("examples/diagnosis_service/run.py")
BETTER, BROKEN = "gnn_v2.2_test", "gnn_v2.3_test"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example was run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def said(home: Path) -> str:
    """What it printed, at its end."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**os.environ, "HERDBOOK_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def book(home: Path, said: str) -> Iterator[hb.Herdbook]:
    """The register it left."""
    assert said
    with hb.connect(f"sqlite:///{home}/herdbook.db") as opened:
        yield opened


def test_the_better_version_became_champion_by_itself(book: hb.Herdbook) -> None:
    found = book.experiments.get(BETTER)
    assert (found.state, found.outcome, found.winner) == (State.ENDED, Outcome.PROMOTED, "v2.2.0")
    assert book.get("gnn@champion").number == "v2.2.0"
    last, first = book.deployments.history("gnn").items
    assert (last.from_number, last.to_number) == ("v2.1.0", "v2.2.0")
    assert last.reason.startswith(f"experiment {BETTER}: Confidence improved by")
    assert first.to_number == "v2.1.0"


def test_the_broken_version_was_rolled_back_by_itself(book: hb.Herdbook) -> None:
    found = book.experiments.get(BROKEN)
    assert (found.state, found.outcome, found.winner) == (State.ENDED, Outcome.ROLLED_BACK, "")
    assert "proven" in found.reason
    treatment = book.experiments.evaluation(BROKEN).metrics("treatment")
    assert treatment.error_rate is not None
    assert treatment.error_rate > 0.05


@pytest.mark.parametrize("name", [BETTER, BROKEN])
def test_what_was_recorded_is_what_users_were_told(
    home: Path, book: hb.Herdbook, name: str
) -> None:
    ledger = json.loads((home / "ledgers.json").read_text())[name]
    arms = book.experiments.evaluation(name).arms

    missing = [ledger.get(f"{arm.arm} results", 0) - arm.results for arm in arms]
    # The evidence is closed when it decides; what users were told later is counted as late.
    assert min(missing) >= 0
    assert sum(missing) == late(home, name)
    assert all(arm.errors <= ledger.get(f"{arm.arm} errors", 0) for arm in arms)
    assert [arm.lost + arm.alone for arm in arms] == [0, 0]
    assert not list((home / "journal").iterdir())


def late(home: Path, name: str) -> int:
    """How many results came after the end of an experiment."""
    with closing(sqlite3.connect(home / "herdbook.db")) as database:
        row: Any = database.execute("SELECT late FROM experiments WHERE name = ?", [name])
        return int(row.fetchone()[0])


def test_the_evidence_can_be_made_anew_and_the_log_is_whole(book: hb.Herdbook) -> None:
    for name in (BETTER, BROKEN):
        assert book.experiments.replay(name) == book.experiments.evaluation(name)
    assert book.events.verify().ok
    acts = [event.action for event in book.events.each(model="gnn")]
    assert acts.count("experiment.started") == acts.count("experiment.ended") == 2


def test_it_says_what_happened_in_english_and_russian(said: str) -> None:
    assert "Promote treatment." in said
    assert "Промоутим treatment." in said
    assert "Откатываем на control" in said
    assert said.index("champion: gnn:v2.1.0") < said.index("champion: gnn:v2.2.0")
