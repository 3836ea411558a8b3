"""What is shown to Prometheus is right whoever counted it, and whole while versions go."""

import multiprocessing
import random
import threading
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from herdbook.errors import Gone, NotFound
from herdbook.server.families import families
from herdbook.services import drift, episodes, observing, versions
from herdbook.services.episodes import hour_of
from herdbook.storage.sql.engine import Database
from tests import observed
from tests.registers import Register
from tests.running import served

SPAWN = multiprocessing.get_context("spawn")
PROCESSES, BATCHES, BATCH = 4, 10, 60
REF = "gnn:v1"


def tell(url: str, seed: int) -> float:
    """Sample a version as one of many processes; give what this process alone counted."""
    own = Counter("samples", "Naively counted.", registry=CollectorRegistry())
    database = Database(url)
    try:
        register = Register(database)
        watched = register.read(drift.references, REF)
        hour = hour_of(register.clock.at)
        for at in range(BATCHES):
            far = observed.values(BATCH, mean=3.0, seed=seed * BATCHES + at)
            told = observed.sampled(watched, far, hour=hour, missing=1)
            assert register.write(episodes.take, told) == 0
            own.inc(BATCH)
    finally:
        database.close()
    return float(own._value.get())


def scraped(text: str) -> dict[str, dict[str, float]]:
    """The drift metrics by name and labels."""
    return {
        family.name: {str(sorted(s.labels.items())): s.value for s in family.samples}
        for family in text_string_to_metric_families(text)
        if family.name.startswith("model_drift")
    }


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_two_servers_show_exactly_what_many_processes_counted(
    register: Register, register_url: str, tmp_path: Path
) -> None:
    observed.watch(register, REF)

    with ExitStack() as running:
        homes = [tmp_path / name for name in ("first", "second")]
        addresses = [
            running.enter_context(served(register_url, HERDBOOK_HOME=str(h))) for h in homes
        ]
        for address in addresses:
            assert "model_drift_score{" not in _text(address)
        with SPAWN.Pool(PROCESSES) as pool:
            alone = pool.starmap(tell, [(register_url, seed) for seed in range(PROCESSES)])
        first, second = (scraped(_later(address)) for address in addresses)

    assert first == second
    total = PROCESSES * BATCHES * BATCH
    assert sum(first["model_drift_samples"].values()) == total
    assert sum(first["model_drift_missing"].values()) == PROCESSES * BATCHES
    (score,) = first["model_drift_score"].values()
    assert score > 0.5
    # However many processes saw it, it began once.
    assert [*first["model_drift_episodes"].values()] == [1]
    assert [*first["model_drift_retrainings"].values()] == [1]
    # What a process counts by itself, as a collector in each worker would, is another number.
    assert max(alone) < total


def _text(address: str) -> str:
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:  # noqa: S310
        return str(answer.read().decode())


def _later(address: str) -> str:
    # A second later than the last look, for what is shown may be a second old.
    threading.Event().wait(1.1)
    return _text(address)


# --- while versions go ---


def whole(register: Register) -> list[Metric]:
    """All families, of one look."""
    return [*families(register.read(observing.observed), {}, models=True)]


def naive(register: Register) -> list[Metric]:
    """Two families that each look for themselves, as collectors do that hold no state."""
    score = GaugeMetricFamily("model_drift_score", "", labels=["model_type", "model_version"])
    level = GaugeMetricFamily("model_drift_level", "", labels=["model_type", "model_version"])
    for each in register.read(lambda work: work.drift.every(limit=200)):
        score.add_metric([each.model, each.number], each.state.score or 0.0)
    for each in register.read(lambda work: work.drift.every(limit=200)):
        level.add_metric([each.model, each.number], 0)
    return [score, level]


def torn(look: Callable[[Register], list[Metric]], register: Register, *, looks: int) -> int:
    """How many looks show a version in one family and not in the other, while versions go."""
    stopping = threading.Event()

    def come_and_go() -> None:
        rng = random.Random(7)  # noqa: S311 - a seeded sequence
        other = Register(register.database, register.by)
        while not stopping.is_set():
            ref = f"gnn:v{rng.randint(1, 3)}"
            try:
                other.write(rng.choice([versions.delete, versions.restore]), ref)
            except (Gone, NotFound):
                continue

    going = threading.Thread(target=come_and_go)
    going.start()
    try:
        return sum(_is_torn(look(register)) for _ in range(looks))
    finally:
        stopping.set()
        going.join()


def _is_torn(found: list[Metric]) -> bool:
    shown = {
        family.name: {tuple(sample.labels.values()) for sample in family.samples}
        for family in found
        if family.name in {"model_drift_score", "model_drift_level", "model_drift_alarm"}
    }
    return len({frozenset(held) for held in shown.values()}) > 1


def test_a_look_while_versions_go_is_whole(register: Register) -> None:
    for at in (1, 2, 3):
        observed.steady(register, f"gnn:v{at}")

    assert torn(whole, register, looks=80) == 0


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_naive_families_are_torn_by_the_same(register: Register) -> None:
    for at in (1, 2, 3):
        observed.steady(register, f"gnn:v{at}")

    assert torn(naive, register, looks=400) > 0
