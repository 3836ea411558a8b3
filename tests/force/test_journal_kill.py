"""Whoever records or sends is killed at any moment: afterwards each result counts once."""

import random
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from herdbook.core.recording import Folded
from herdbook.front import recording
from herdbook.front.delivering import Delivery
from herdbook.front.recording import Recorder
from herdbook.services.folding import Label, fold
from herdbook.storage.journal import Sizes
from tests.force.careless import FreshName, TailFirst
from tests.force.crowds import CLEAN, KILLED
from tests.force.ledgers import Ledger, Shelf

CLEAN.set_forkserver_preload([__name__])
SIZES = Sizes(records=1 << 15, labels=1 << 14)
UNIT = 0x9E3779B97F4A7C15


class InMemory:
    """The first control: keeps results in memory until it sends them."""

    def __init__(self, shelf: Shelf, _: Path) -> None:
        self._shelf, self._worker, self._sequence = shelf, f"w{uuid4().hex}", 0
        self._held: list[tuple[Any, ...]] = []
        threading.Thread(target=self._work, daemon=True).start()

    def label(self, experiment: str, phase: int, arm: str) -> int:
        self._names = experiment, phase, arm
        return 1

    def record(self, label: int, unit: int, time: float, confidence: float) -> bool:
        self._held.append((unit, time, confidence, label, 14, 1))
        return True

    def _work(self) -> None:
        while True:
            time.sleep(0.05)
            held, self._held = self._held, []
            self._sequence += 1
            labels = [Label("", 0, ""), Label(*self._names)]
            found = fold(held, labels)
            delta = found.delta(self._worker, self._sequence, dropped=0)
            self._shelf.call(Folded, "experiments.fold", delta=delta)


def recorder(shelf: Shelf, folder: Path) -> Recorder:
    return Recorder(shelf, folder, sizes=SIZES, interval=0.02)  # type: ignore[arg-type]


def record_on(now: Any, ledger: Ledger, name: str) -> None:
    """Record results with the times 1, 2, 3… and keep the ledger, until killed."""
    label = now.label(name, 1, "treatment")
    done = 0
    while True:
        for _ in range(100):
            done += 1
            ledger.write(done, done - 1)
            assert now.record(label, done * UNIT % 2**64, float(done), 0.5)
            ledger.write(done, done)
        time.sleep(0.001)


def work(folder: Path, name: str, shelf: Shelf, delivery: type[Delivery], make: Any) -> None:
    vars(recording)["Delivery"] = delivery
    record_on(make(shelf, folder / "journals"), Ledger(folder / name), name)


def killed_while_recording(
    folder: Path, rounds: int, make: Any = recorder, delivery: type[Delivery] = Delivery
) -> list[str]:
    """Start, kill, take over; give the workers whose results do not count once each."""
    (folder / "journals").mkdir()
    rng = random.Random(5)  # noqa: S311 - not a secret
    shelf, names = Shelf(folder / "shelf"), []
    for turn in range(rounds):
        running = []
        for who in range(2):
            names.append(f"w{turn}-{who}")
            args = (folder, names[-1], shelf, delivery, make)
            running.append(CLEAN.Process(target=work, args=args))
            running[-1].start()
        while not all((folder / name).exists() for name in names):
            time.sleep(0.002)
        time.sleep(rng.uniform(0.02, 0.25))
        for process in running:
            process.kill()
            process.join()
    taking = Recorder(shelf, folder / "journals")  # type: ignore[arg-type]
    taking.adopt()
    assert sum(Ledger(folder / name).recorded for name in names) > 1_000
    sums = shelf.all_sums()
    return [n for n in names if n in sums and not sums[n].is_each_once(Ledger(folder / n))]


def test_killed_at_any_moment_each_result_counts_once(tmp_path: Path) -> None:
    assert killed_while_recording(tmp_path, 12) == []
    assert list((tmp_path / "journals").iterdir()) == []


@pytest.mark.parametrize(
    ("make", "delivery"), [(InMemory, Delivery), (recorder, TailFirst), (recorder, FreshName)]
)
def test_the_naive_ones_are_found_out(tmp_path: Path, make: Any, delivery: type[Delivery]) -> None:
    """The control: what the test above looks for, it does find."""
    if delivery is FreshName:
        # It only goes wrong between the register's taking and its own knowing.
        assert died_before_it_knew(tmp_path, 2, FreshName) is False
    else:
        assert killed_while_recording(tmp_path, 8, make, delivery) != []


# --- dead after the register took it, before it was known ---


def died_before_it_knew(folder: Path, at: int, delivery: type[Delivery] = Delivery) -> bool:
    """Die when the register has taken a delta; whether each result counts once afterwards."""
    shelf = Shelf(folder / "shelf", die_at=at)
    process = CLEAN.Process(target=work, args=(folder, "w", shelf, delivery, recorder))
    process.start()
    process.join(30)
    assert process.exitcode == KILLED
    assert len(shelf.deltas()) == at
    before = shelf.sums("w").results
    recorder(Shelf(folder / "shelf"), folder / "journals").adopt()
    assert shelf.sums("w").results >= before
    return shelf.sums("w").is_each_once(Ledger(folder / "w"))


@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_delta_the_register_took_unknown_to_its_sender_counts_once(
    tmp_path: Path, at: int
) -> None:
    assert died_before_it_knew(tmp_path, at)


def test_whoever_takes_over_may_die_of_it_too(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", die_at=2)
    process = CLEAN.Process(target=work, args=(tmp_path, "w", shelf, Delivery, recorder))
    process.start()
    process.join(30)
    for at in (1, 1, 2, 2):
        heir = CLEAN.Process(target=take_over, args=(tmp_path, at))
        heir.start()
        heir.join(30)

    take_over(tmp_path, 0)

    assert shelf.sums("w").is_each_once(Ledger(tmp_path / "w"))
    assert list((tmp_path / "journals").iterdir()) == []


def take_over(folder: Path, die_at: int) -> None:
    recorder(Shelf(folder / "shelf", die_at=die_at), folder / "journals").adopt()


def test_several_who_take_over_at_once_do_it_once(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    for name in ("a", "b", "c", "d"):
        process = CLEAN.Process(target=work, args=(tmp_path, name, shelf, Delivery, recorder))
        process.start()
        time.sleep(0.2)
        process.kill()
        process.join()

    heirs = [CLEAN.Process(target=take_over, args=(tmp_path, 0)) for _ in range(4)]
    for heir in heirs:
        heir.start()
    for heir in heirs:
        heir.join(30)

    assert [heir.exitcode for heir in heirs] == [0] * 4
    take_over(tmp_path, 0)
    assert all(shelf.sums(n).is_each_once(Ledger(tmp_path / n)) for n in ("a", "b", "c", "d"))
    assert list((tmp_path / "journals").iterdir()) == []


# --- delivered twice and late ---


def deliver_all(folder: Path, shelf: Shelf, delivery: type[Delivery]) -> int:
    """Record 3,000 results through a register that hears everything twice."""
    vars(recording)["Delivery"] = delivery
    recording_now = recorder(shelf, folder / "journals")
    label = recording_now.label("e", 1, "treatment")
    for number in range(1, 3_001):
        recording_now.record(label, None, float(number), 0.5)
        if number % 500 == 0:
            recording_now.flush()
    recording_now.close()
    return shelf.sums("e").results


def test_a_delta_delivered_twice_and_late_changes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", twice=True)

    assert deliver_all(tmp_path, shelf, Delivery) == 3_000
    assert shelf.sums("e").times == 3_000 * 3_001 / 2


def test_a_register_that_takes_whatever_comes_is_found_out(tmp_path: Path) -> None:
    """The control of the test above."""
    shelf = Shelf(tmp_path / "shelf", twice=True, forgetful=True)

    assert deliver_all(tmp_path, shelf, Delivery) > 3_000


# --- calls that were on their way ---


def begin_calls(folder: Path, shelf: Shelf, how: str, ready: Any) -> None:
    now = recorder(shelf, folder / "journals")
    label = now.label("e", 1, "treatment")
    for number in range(1, 101):
        began = now.started(label)
        if number % 10:
            now.record(label, None, float(number), 0.5, began=began)
        elif number % 20:
            now.finished(label, began=began)
    now.flush()
    began = now.started(label)
    now.record(label, None, 1.0, 0.5, began=began)
    if how == "ends":
        now.close()
    ready.set()
    time.sleep(30 if how == "killed" else 0)


@pytest.mark.parametrize(("how", "lost"), [("killed", 5), ("ends", 0), ("exits", 0)])
def test_calls_a_dead_process_had_begun_are_lost_and_those_of_one_that_ended_are_not(
    tmp_path: Path, how: str, lost: int
) -> None:
    shelf, ready = Shelf(tmp_path / "shelf"), CLEAN.Event()
    process = CLEAN.Process(target=begin_calls, args=(tmp_path, shelf, how, ready))
    process.start()
    ready.wait(30)
    if how == "killed":
        process.kill()
    process.join()

    take_over(tmp_path, 0)

    assert shelf.sums("e").results == 91
    assert shelf.sums("e").lost == lost
    assert list((tmp_path / "journals").iterdir()) == []
