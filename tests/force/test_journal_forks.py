"""Forks and two hundred threads through one object: each result counts once."""

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from herdbook.front.recording import Recorder
from herdbook.services.columns import RECORD
from herdbook.storage.journal import Sizes, Writer, holding
from tests.force.crowds import CLEAN, KILLED
from tests.force.ledgers import Shelf

CLEAN.set_forkserver_preload([__name__])
SIZES = Sizes(records=1 << 15, labels=1 << 14)
FORK = multiprocessing.get_context("fork")
UNIT = 0x9E3779B97F4A7C15


class Forkless(Recorder):
    """A control: does not notice that it was forked."""

    def forget(self) -> None:
        """Do nothing."""


def recorder(shelf: Shelf, folder: Path, kind: type[Recorder] = Recorder) -> Recorder:
    return kind(shelf, folder, sizes=SIZES, interval=0.02)  # type: ignore[arg-type]


def take_over(folder: Path) -> None:
    recorder(Shelf(folder / "shelf"), folder / "journals").adopt()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def record_some(now: Recorder, label: int, first: int, last: int) -> None:
    for number in range(first, last + 1):
        now.record(label, None, float(number), 0.5)


def fork_and_record(folder: Path, shelf: Shelf, how: str, kind: type[Recorder]) -> None:
    """Record, fork three that record, record on; all through the same object."""
    now = recorder(shelf, folder / "journals", kind)
    label = now.label("parent", 1, "treatment")
    record_some(now, label, 1, 1_000)
    children = [FORK.Process(target=record_as_child, args=(now, who, how)) for who in range(3)]
    for process in children:
        process.start()
    record_some(now, label, 1_001, 3_000)
    for process in children:
        process.join()
    now.close()


def record_as_child(now: Recorder, who: int, how: str) -> None:
    record_some(now, now.label(f"child{who}", 1, "control"), 1, 2_000)
    if how == "killed":
        die()


def wrong_after_forks(folder: Path, how: str, kind: type[Recorder] = Recorder) -> list[str]:
    """Give those whose results do not count once each."""
    process = CLEAN.Process(
        target=fork_and_record, args=(folder, Shelf(folder / "shelf"), how, kind)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0
    if how == "ends" and kind is Recorder:
        assert list((folder / "journals").iterdir()) == [], "a child did not send what it had"
    take_over(folder)
    sums = Shelf(folder / "shelf").all_sums()
    counts = {"parent": 3_000, "child0": 2_000, "child1": 2_000, "child2": 2_000}
    return [
        name
        for name, count in counts.items()
        if name not in sums
        or (sums[name].results, sums[name].times) != (count, count * (count + 1) / 2)
    ]


@pytest.mark.parametrize("how", ["ends", "killed"])
def test_forks_keep_journals_of_their_own(tmp_path: Path, how: str) -> None:
    assert wrong_after_forks(tmp_path, how) == []


def test_who_does_not_notice_a_fork_is_found_out(tmp_path: Path) -> None:
    """The control of the test above."""
    assert wrong_after_forks(tmp_path, "ends", Forkless) != []


# --- a child that outlives its parent ---


def fork_and_die(folder: Path, shelf: Shelf, events: tuple[Any, Any], keep: str) -> None:
    now = recorder(shelf, folder / "journals")
    label = now.label("parent", 1, "treatment")
    now.record(label, None, 1.0, 0.5)
    if keep:
        # The control: nobody closes the lock in the child.
        holding._held.clear()
    FORK.Process(target=stay, args=events).start()
    events[0].wait()
    now.record(label, None, 2.0, 0.5)
    die()


def stay(living: Any, done: Any) -> None:
    living.set()
    done.wait(30)


@pytest.mark.parametrize(("keep", "found"), [("", 3.0), ("control", 1.0)])
def test_a_child_does_not_keep_its_dead_parent_alive(
    tmp_path: Path, keep: str, found: float
) -> None:
    shelf, living, done = Shelf(tmp_path / "shelf"), CLEAN.Event(), CLEAN.Event()
    process = CLEAN.Process(target=fork_and_die, args=(tmp_path, shelf, (living, done), keep))
    process.start()
    process.join(30)

    take_over(tmp_path)
    times = shelf.sums("parent").times
    done.set()

    assert process.exitcode == KILLED
    assert times == found if not keep else times < 3.0


# --- threads ---


class Counting(Writer):
    """A control: counts places itself, one step after the other."""

    place = 0

    def result(self, label: int, *values: Any, **_: Any) -> bool:
        if self._journal is None:
            super().result(label, None, 0.5, 0.5)
            self.place = 1
        assert self._journal is not None
        place = self.place
        RECORD.pack_into(
            self._journal.ring, self._journal.offset(place), values[0], values[1], 0.5, label, 14, 1
        )
        self.place = place + 1
        return True


def some(now: Recorder, label: int, first: int, count: int) -> None:
    for number in range(first, first + count):
        now.record(label, number * UNIT % 2**64, float(number), 0.5)


def counted_with_threads(folder: Path, *, naive: bool) -> tuple[int, float]:
    """Give how many results of 200 threads count, and their times."""
    shelf = Shelf(folder / "shelf")
    sizes = Sizes(records=1 << 17, labels=1 << 14)
    now = Recorder(shelf, folder / "journals", sizes=sizes, interval=0.05)  # type: ignore[arg-type]
    if naive:
        now._writer.__class__ = Counting
        now.record = now._writer.result
    label = now.label("e", 1, "treatment")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=some, args=(now, label, 1 + 200 * at, 200)) for at in range(200)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    if naive:
        now._writer._limit = now._writer.head() and 40_000
        now._writer._run = type(now._writer._run)(iter(()).__next__, None, 0, iter(range(0)))
    now.close()
    assert now.dropped == 0
    return shelf.sums("e").results, shelf.sums("e").times


def test_two_hundred_threads_record_each_result_once(tmp_path: Path) -> None:
    assert counted_with_threads(tmp_path, naive=False) == (40_000, 40_000 * 40_001 / 2)


def test_who_counts_places_step_by_step_is_found_out(tmp_path: Path) -> None:
    """The control of the test above."""
    assert counted_with_threads(tmp_path, naive=True) != (40_000, 40_000 * 40_001 / 2)


def test_two_journals_of_one_process_are_not_taken_for_dead(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    first, second = (recorder(shelf, tmp_path / "journals") for _ in range(2))
    for now in (first, second):
        now.record(now.label("e", 1, "control"), None, 1.0, 0.5)

    assert (first.adopt(), second.adopt()) == (0, 0)
    first.close()
    second.close()
    assert shelf.sums("e").results == 2
