"""Whoever samples or merges is killed at any moment: afterwards the counts are exact."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from herdbook.bootstrap import open_door
from herdbook.core.drift import Report
from herdbook.core.models import Version
from herdbook.front import recording
from herdbook.front.delivering import Delivery
from herdbook.front.detectors import DriftDetector
from herdbook.front.door import Door
from herdbook.front.drift import Drift
from herdbook.front.recording import Recorder
from herdbook.services.versions import Draft
from herdbook.settings import Settings
from herdbook.storage.journal import Sizes
from tests.force.careless import FreshName, TailFirst
from tests.force.crowds import CLEAN, KILLED
from tests.force.ledgers import Ledger

CLEAN.set_forkserver_preload([__name__])
FORK = multiprocessing.get_context("fork")
SIZES = Sizes(records=1 << 15, labels=1 << 14)
REF = "gnn:v2.1.0"
# Of values 1, 2, 3… each one's presence shows in their number and sum.
REFERENCE = [float(at) for at in range(1, 101)]
SURE = [at / 100 for at in range(1, 101)]
STREAMS = [f"w{at}" for at in range(20)]


class Dying:
    """A register that this process dies of, when it has taken so many deltas and not said so."""

    def __init__(self, door: Door, at: int) -> None:
        self._door, self._at = door, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._door, name)

    def call(self, kind: type[Any], verb: str, /, **arguments: Any) -> Any:
        """Ask, and die."""
        found = self._door.call(kind, verb, **arguments)
        if verb == "experiments.fold":
            self._at -= 1
            if not self._at:
                die()
        return found


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def opened(folder: Path) -> Door:
    return open_door(Settings.load(url=f"sqlite:///{folder / 'herdbook.db'}"))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A register in which gnn:v2.1.0 is watched."""
    found = opened(tmp_path)
    found.call(Version, "versions.register", model="gnn", draft=Draft(number="v2.1.0"))
    names = ["prediction", *STREAMS]
    Drift(found).watch(REF, {"confidence": SURE, **dict.fromkeys(names, REFERENCE)})
    yield found
    found.close()


def recorder(door: Door, folder: Path) -> Recorder:
    return Recorder(door, folder / "journals", sizes=SIZES, interval=0.02)


def detector(now: Recorder, door: Door) -> DriftDetector:
    return DriftDetector(door, now.sampler, now.flush, "gnn", "v2.1.0")


def take_over(folder: Path, die_at: int = 0) -> None:
    door = opened(folder)
    recorder(Dying(door, die_at) if die_at else door, folder).adopt()
    door.close()


def counted(door: Door) -> dict[str, tuple[int, float]]:
    """What the register has of each stream: how many values, and their sum."""
    streams = door.call(Report, "drift.report", ref=REF).streams
    return {each.stream: (each.values, (each.mean or 0.0) * each.values) for each in streams}


def is_each_once(found: tuple[int, float], tried: int, recorded: int) -> bool:
    """Whether it is the values 1 to n, each once, of which the ledger knows."""
    count, total = found
    return recorded <= count <= tried and abs(total - count * (count + 1) / 2) < 0.01


def sample_on(folder: Path, name: str, delivery: type[Delivery], die_at: int) -> None:
    """Add samples 1, 2, 3… one by one and in columns, and keep the ledger, until killed."""
    vars(recording)["Delivery"] = delivery
    door = opened(folder)
    if die_at:
        door = Dying(door, die_at)
    now, ledger = recorder(door, folder), Ledger(folder / name)
    label, done = now.sampler.label("gnn", "v2.1.0", name), 0
    while True:
        for _ in range(100):
            done += 1
            ledger.write(done, done - 1)
            assert now.sampler.sample(label, float(done))
            ledger.write(done, done)
        ledger.write(done + 50, done)
        values = [float(done + at) for at in range(1, 51)]
        assert now.sampler.samples(label, values) == 50
        done += 50
        ledger.write(done, done)
        time.sleep(0.002)


def wrong_after_kills(
    folder: Path, door: Door, rounds: int, delivery: type[Delivery] = Delivery
) -> list[str]:
    """Start, kill, take over; give the streams whose values do not count once each."""
    rng = random.Random(5)  # noqa: S311 - not a secret
    names = iter(STREAMS)
    used = []
    for _ in range(rounds):
        running = []
        for _ in range(2):
            used.append(next(names))
            args = (folder, used[-1], delivery, 0)
            running.append(CLEAN.Process(target=sample_on, args=args))
            running[-1].start()
        while not all((folder / name).exists() and Ledger(folder / name).recorded for name in used):
            time.sleep(0.005)
        time.sleep(rng.uniform(0.05, 0.4))
        for process in running:
            process.kill()
            process.join()
    take_over(folder)
    found = counted(door)
    ledgers = {name: Ledger(folder / name) for name in used}
    assert sum(ledger.recorded for ledger in ledgers.values()) > 500
    return [
        name
        for name, ledger in ledgers.items()
        if not is_each_once(found[name], ledger.tried, ledger.recorded)
    ]


def test_killed_at_any_moment_each_sample_counts_once(door: Door, tmp_path: Path) -> None:
    assert wrong_after_kills(tmp_path, door, 6) == []
    assert list((tmp_path / "journals").iterdir()) == []


def test_one_that_forgets_before_it_sends_is_found_out(door: Door, tmp_path: Path) -> None:
    """The control of the test above."""
    assert wrong_after_kills(tmp_path, door, 5, TailFirst) != []


def died_while_merging(folder: Path, door: Door, delivery: type[Delivery] = Delivery) -> bool:
    """Die when the register has merged; whether each sample counts once afterwards."""
    process = CLEAN.Process(target=sample_on, args=(folder, "w0", delivery, 2))
    process.start()
    process.join(30)
    assert process.exitcode == KILLED
    for at in (1, 1, 0):
        heir = CLEAN.Process(target=take_over, args=(folder, at))
        heir.start()
        heir.join(30)
    take_over(folder)
    ledger = Ledger(folder / "w0")
    return is_each_once(counted(door)["w0"], ledger.tried, ledger.recorded)


def test_killed_between_merging_and_knowing_each_sample_counts_once(
    door: Door, tmp_path: Path
) -> None:
    assert died_while_merging(tmp_path, door)
    assert list((tmp_path / "journals").iterdir()) == []


def test_one_whose_deltas_have_new_names_is_found_out(door: Door, tmp_path: Path) -> None:
    """The control of the test above."""
    assert not died_while_merging(tmp_path, door, FreshName)


# --- many on one stream ---


def sample_some(folder: Path, who: int, count: int) -> None:
    door = opened(folder)
    now = recorder(door, folder)
    mine = detector(now, door)
    for number in range(1, count + 1):
        assert mine.add_production_sample(float(number), 0.5)
    if who % 3 == 0:
        die()
    now.close()


def test_fifty_processes_on_one_stream_count_exactly(door: Door, tmp_path: Path) -> None:
    running = [CLEAN.Process(target=sample_some, args=(tmp_path, who, 300)) for who in range(50)]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
    take_over(tmp_path)

    found = counted(door)

    assert {process.exitcode for process in running} == {KILLED, 0}
    assert found["prediction"][0] == found["confidence"][0] == 50 * 300
    assert found["prediction"][1] == pytest.approx(50 * 300 * 301 / 2)
    assert found["confidence"][1] == pytest.approx(50 * 300 * 0.5)


# --- forks ---


def fork_and_sample(folder: Path, how: str) -> None:
    door = opened(folder)
    now = recorder(door, folder)
    mine = detector(now, door)
    sample(mine, 1, 1_000)
    children = [FORK.Process(target=sample_as_child, args=(now, mine, how)) for _ in range(3)]
    for child in children:
        child.start()
    sample(mine, 1_001, 2_000)
    for child in children:
        child.join()
    now.close()


def sample(mine: DriftDetector, first: int, last: int) -> None:
    for number in range(first, last + 1):
        mine.add_production_sample(float(number), 0.5, request=f"r{os.getpid()}-{number}")


def sample_as_child(now: Recorder, mine: DriftDetector, how: str) -> None:
    sample(mine, 1, 500)
    mine.add_production_samples([float(number) for number in range(501, 1_001)])
    if how == "killed":
        die()
    now.close()


@pytest.mark.parametrize("how", ["ends", "killed"])
def test_a_detector_goes_on_in_the_children_of_a_fork(door: Door, tmp_path: Path, how: str) -> None:
    process = CLEAN.Process(target=fork_and_sample, args=(tmp_path, how))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    take_over(tmp_path)

    count, total = counted(door)["prediction"]

    assert count == 2_000 + 3 * 1_000
    assert total == pytest.approx(2_000 * 2_001 / 2 + 3 * 1_000 * 1_001 / 2)
