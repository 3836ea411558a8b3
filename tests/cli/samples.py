"""Samples of gnn v2.1.0: a file for its reference, and what it predicts in service."""

import csv
import random
from pathlib import Path
from typing import Any

import pytest

import herdbook
from tests.cli.conftest import Run

REF = "gnn:v2.1.0"
HEADS = ("score", "confidence", "country", "right", "at")
ROWS = 2_000
BEGAN = 1_767_225_600  # 2026-01-01, in seconds since 1970


def reference_rows(rows: int = ROWS) -> list[tuple[Any, ...]]:
    """What was predicted when all was well: a row a minute."""
    rng = random.Random(1)  # noqa: S311 - samples
    found = []
    for at in range(rows):
        sure = round(rng.betavariate(16, 4), 4)
        score, country = round(rng.gauss(0, 1), 4), rng.choice(("de", "at", "ch"))
        found.append((score, sure, country, int(rng.random() < sure), BEGAN + 60 * at))
    return found


def write_csv(path: Path, rows: list[tuple[Any, ...]], heads: tuple[str, ...] = HEADS) -> None:
    """Write rows under heads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([heads, *rows])


def sampled(shift: float = 0.0, count: int = 300, *, seed: int = 7, ref: str = REF) -> None:
    """Let a process of ours predict so often, moved by so many standard deviations."""
    rng = random.Random(seed)  # noqa: S311 - samples
    model, _, number = ref.partition(":")
    with herdbook.connect() as book:
        detector = book.drift.detector(model, number)
        for _ in range(count):
            detector.add_production_sample(
                rng.gauss(shift, 1), rng.betavariate(16, 4), country=rng.choice(("de", "at", "ch"))
            )
        book.drift.flush()


@pytest.fixture
def watched(run: Run, tmp_path: Path) -> Run:
    """A register that watches gnn v2.1.0: its scores, confidences and countries."""
    assert run("add", "gnn", "v2.1.0").status == 0
    write_csv(tmp_path / "reference.csv", reference_rows())
    frozen = run(
        *["drift", "reference", REF, "reference.csv", "--prediction", "score"],
        *["--feature", "country", "--correct", "right"],
    )
    assert (frozen.status, frozen.err) == (0, ""), frozen.err
    return run
