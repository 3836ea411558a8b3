"""Whoever leads experiments is killed at any moment: everything that was delivered counts once."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from herdbook.core.decisions import Evaluation
from tests.force.leading import CLEAN, NAME, begun, feed, lead, lead_naively, opened

WORKERS, DELTAS, SECONDS = 3, 120, 0.4


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a register, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'herdbook.db'}"
    return str(request.getfixturevalue("postgres_url"))


def led(
    url: str, leader: Callable[[str, Any], None], *, leaders: int = 2
) -> tuple[int, Evaluation]:
    """Kill leaders while workers deliver; give what was delivered, and what is known at the end."""
    begun(url)
    rng, results = random.Random(3), CLEAN.Queue()  # noqa: S311 - not a secret
    feeders = [
        CLEAN.Process(target=feed, args=(url, f"worker-{at}", DELTAS, results))
        for at in range(WORKERS)
    ]
    for feeder in feeders:
        feeder.start()
    while any(feeder.is_alive() for feeder in feeders):
        ready = CLEAN.Semaphore(0)
        alive = [CLEAN.Process(target=leader, args=(url, ready)) for _ in range(leaders)]
        for process in alive:
            process.start()
        for _ in alive:
            assert ready.acquire(timeout=60)
        time.sleep(rng.uniform(0.0, SECONDS))
        for process in alive:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
    told = sum(results.get(timeout=120) for _ in feeders)
    for feeder in feeders:
        feeder.join()
    return told, judged(url)


def judged(url: str) -> Evaluation:
    """Take in what still waits, and tell."""
    with opened(url, "reader") as book:
        return book.experiments.evaluate(NAME)


def counted(evaluation: Evaluation) -> int:
    return sum(arm.results for arm in evaluation.arms)


def test_a_leader_that_is_killed_loses_nothing_and_counts_nothing_twice(url: str) -> None:
    told, found = led(url, lead)

    assert counted(found) == told
    assert found.batches > 1, "it never led while it was alive: this shows nothing"
    with opened(url, "reader") as book:
        assert book.experiments.replay(NAME) == found


def test_a_leader_that_commits_in_between_does_lose(url: str) -> None:
    told, found = led(url, lead_naively, leaders=1)

    assert counted(found) < told


def test_leaders_of_several_processes_never_look_at_the_same_time(url: str) -> None:
    told, found = led(url, lead, leaders=4)

    assert counted(found) == told
