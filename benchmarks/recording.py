"""Recording: what a call costs beside prometheus_client, and what many of them leave in SQLite.

Run as a program it is one of the processes that record at a steady rate.
"""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import prometheus_client

import herdbook as hb
from benchmarks.machine import own_memory
from benchmarks.peer import ROOT
from benchmarks.results import NONE, Reading, Row, at_most, interleaved, part
from benchmarks.sizes import Sizes
from herdbook.bootstrap import open_door
from herdbook.core.experiments import Experiment, Plan
from herdbook.core.recording import Delta, Folded
from herdbook.front.recording import Recorder
from herdbook.settings import Settings

GROUP: Final = "Recording: one result, beside a bound Histogram.observe and Counter.inc"
STEADY: Final = "Recording: 4 processes into one SQLite"
EXPERIMENT: Final = "gnn_v2.2_test"
LIMIT_NS: Final = 400
LIMIT_MB: Final = 150
PROCESSES: Final = 4
RATES: Final = (1_000, 100_000)
UNIT: Final = 0x9E3779B97F4A7C15
# The journal holds so many with room to spare.
_ONCE: Final = 50_000


@dataclass
class Sink:
    """A door that takes deltas and counts their results."""

    address: str = "nowhere"
    taken: int = 0

    def call(self, _: type[Any], __: str, /, *, delta: Delta) -> Folded:
        """Take a delta."""
        self.taken += sum(arm.results for one in delta.recorded for arm in one.arms)
        return Folded(sequence=delta.sequence, new=True)


def measure(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Record in this process, with one thread and with four; then in four processes."""
    once = min(_ONCE, sizes.calls * 25)
    sink = Sink()
    recorder = Recorder(sink, folder / "journals")  # type: ignore[arg-type]
    label = recorder.label(EXPERIMENT, 1, "control")
    histogram, counter = _bound()
    recorder.record(label, UNIT, 1.0, 0.5)

    units = [number * UNIT & 0xFFFFFFFFFFFFFFFF for number in range(once)]

    def ours(count: int) -> None:
        record = recorder.record
        for unit in units[:count]:
            record(label, unit, 12.5, 0.83)

    def theirs(count: int) -> None:
        observe, add = histogram.observe, counter.inc
        for _ in units[:count]:
            observe(0.0125)
            add()

    rounds = max(5, sizes.rounds)
    for threads in (1, 4):
        sides = [_side(work, threads, once, recorder) for work in (ours, theirs)]
        found, peer = interleaved(sides, rounds=rounds)
        assert found is not None
        assert peer is not None
        yield _row(threads, found, peer, recorder.dropped)
    yield _folding(recorder, ours, once, sink)
    recorder.close()
    yield _public(once, rounds, folder)
    yield from _steady(sizes, folder)


def _bound() -> tuple[Any, Any]:
    registry = prometheus_client.CollectorRegistry()
    words = ("experiment", "arm")
    times = prometheus_client.Histogram("seconds", "of calls", words, registry=registry)
    calls = prometheus_client.Counter("calls", "of all", words, registry=registry)
    return times.labels(EXPERIMENT, "control"), calls.labels(EXPERIMENT, "control")


def _side(
    work: Callable[[int], None], threads: int, once: int, recorder: Recorder
) -> Callable[[], Reading]:
    def run() -> Reading:
        # Nothing is to be sent while it is timed but what is recorded meanwhile.
        recorder.flush()
        count = once // threads
        spent: list[float] = []

        def timed() -> None:
            before = time.thread_time()
            work(count)
            spent.append(time.thread_time() - before)

        running = [threading.Thread(target=timed) for _ in range(threads)]
        began = time.perf_counter()
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        wall, calls = time.perf_counter() - began, count * threads
        return {"wall": wall / calls * 1e9, "cpu": sum(spent) / calls * 1e9}

    return run


def _row(threads: int, ours: Reading, peer: Reading, dropped: int) -> Row:
    return Row(
        group=GROUP,
        what="one thread" if threads == 1 else f"{threads} threads",
        unit="ns of wall time a call",
        ours=ours["wall"],
        peer=peer["wall"],
        cpu=f"{ours['cpu']:.0f} ns",
        peer_cpu=f"{peer['cpu']:.0f} ns",
        targets=(
            at_most(LIMIT_NS, ours["wall"], "ns"),
            at_most(LIMIT_NS, ours["cpu"], "ns of CPU"),
            part(2, ours["wall"], peer["wall"]),
        ),
        detail="the loop is in both; in wall time what the sending thread did meanwhile is too; "
        f"CPU is that of the calling threads; {dropped} dropped",
        compared=True,
    )


def _public(once: int, rounds: int, folder: Path) -> Row:
    """What a caller pays: `record_result`, its unit named, and left to what was assigned last."""
    url = f"sqlite:///{folder / 'public.db'}"
    _experiment(url)
    with hb.connect(url) as book:
        served = book.experiments
        served.prepare("gnn")
        variant = served.assign_variant("gnn", "user0").variant
        units = [f"user{at}" for at in range(once)]

        def named() -> None:
            record = served.record_result
            for unit in units:
                record(EXPERIMENT, variant, 12.5, 0.83, unit=unit)

        def remembered() -> None:
            record = served.record_result
            for _ in units:
                record(EXPERIMENT, variant, 12.5, 0.83)

        sides = [lambda work=work: _timed(work, once, served.flush) for work in (named, remembered)]
        by_name, by_context = interleaved(sides, rounds=rounds)
        assert by_name is not None
        assert by_context is not None
        served.flush()
        kept = sum(arm.results for arm in served.evaluate(EXPERIMENT).arms)
    return Row(
        group=GROUP,
        what="`record_result`, its unit named",
        unit="ns of wall time a call",
        ours=by_name["wall"],
        cpu=f"{by_name['cpu']:.0f} ns",
        detail=f"{by_context['wall']:.0f} ns ({by_context['cpu']:.0f} ns of CPU) of the unit "
        f"assigned last; sent to SQLite meanwhile, {kept:,} found there",
    )


def _timed(work: Callable[[], None], calls: int, flush: Callable[[], None]) -> Reading:
    flush()
    wall, cpu = time.perf_counter(), time.thread_time()
    work()
    return {
        "cpu": (time.thread_time() - cpu) / calls * 1e9,
        "wall": (time.perf_counter() - wall) / calls * 1e9,
    }


def _folding(recorder: Recorder, ours: Callable[[int], None], once: int, sink: Sink) -> Row:
    """What a result costs later, in the thread that folds: flushed at once after each run."""
    spent: list[float] = []
    for _ in range(5):
        recorder.flush()
        before = sink.taken
        ours(once)
        began = time.thread_time()
        recorder.flush()
        seconds = time.thread_time() - began
        # What the thread was faster with was folded there.
        if sink.taken - before:
            spent.append(seconds / (sink.taken - before))
    return Row(
        group=GROUP,
        what="folded later",
        unit="ns of CPU a result, at most",
        ours=max(spent) * 1e9,
        detail="in a thread of the same process; a part of it may have been folded before",
    )


# --- four processes, one SQLite ---


def _steady(sizes: Sizes, folder: Path) -> Iterator[Row]:
    seconds = max(1.0, sizes.seconds * 10)
    rows: dict[int, int] = {}
    for rate in RATES:
        url = f"sqlite:///{folder / f'steady{rate}.db'}"
        _experiment(url)
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.recording", url, str(rate), str(seconds)],
                stdout=subprocess.PIPE, text=True, cwd=ROOT,
            )
            for _ in range(PROCESSES)
        ]  # fmt: skip
        said = [json.loads(child.communicate()[0]) for child in children]
        found = _counted(url)
        rows[rate] = found["rows"]
        yield _steady_row(rate, seconds, said, found, rows[RATES[0]])


def _steady_row(
    rate: int, seconds: float, said: list[dict[str, float]], found: dict[str, int], few: int
) -> Row:
    """One line: rows beside those of the lowest rate."""
    recorded = sum(int(one["recorded"]) for one in said)
    dropped = sum(int(one["dropped"]) for one in said)
    assert found["results"] == recorded, (found, said)
    memory = max(one["memory"] for one in said)
    took = max(one["seconds"] for one in said)
    cpu = sum(one["cpu"] for one in said) / max(1, recorded)
    return Row(
        group=STEADY,
        what=f"{rate:,} results/s asked of each for {seconds:g} s",
        unit=f"rows (peer: at {RATES[0]:,}/s)",
        ours=found["rows"],
        peer=few,
        cpu=f"{cpu * 1e9:,.0f} ns",
        peer_cpu=NONE,
        targets=(
            at_most(PROCESSES * (seconds * 4 + 4) * 1.5, found["rows"], "rows"),
            at_most(LIMIT_MB, memory, "MB"),
        ),
        detail=f"{recorded:,} results in {took:.1f} s, {recorded / took:,.0f}/s together, "
        f"{dropped:,} dropped; {memory:.0f} MB each at the peak, "
        f"{found['bytes'] / 1e6:.1f} MB of SQLite, recorded = found",
        compared=True,
    )


def _experiment(url: str) -> None:
    with hb.connect(url) as book:
        for number in ("v2.1.0", "v2.2.0"):
            book.models.register("gnn", number)
        book.deployments.promote("gnn:v2.1.0")
    door = open_door(Settings.load(url=url))
    plan = Plan(name=EXPERIMENT, model="gnn", control="v2.1.0", treatments=("v2.2.0",))
    door.call(Experiment, "experiments.start", plan=plan)
    door.close()


def _counted(url: str) -> dict[str, int]:
    path = Path(url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection:
        asked = "SELECT count(*), coalesce(sum(results), 0) FROM deltas"
        rows, results = connection.execute(asked).fetchone()
        (workers,) = connection.execute("SELECT count(*) FROM workers").fetchone()
    return {"rows": rows + workers, "results": results, "bytes": path.stat().st_size}


def record_steadily(url: str, rate: int, seconds: float) -> dict[str, float]:
    """Record at a rate for a while; say how it went."""
    door = open_door(Settings.load(url=url))
    recorder = Recorder(door, Path(url.removeprefix("sqlite:///")).parent / "steady")
    labels = [recorder.label(EXPERIMENT, 1, arm) for arm in ("control", "treatment")]
    record, tried, kept = recorder.record, 0, 0
    # Of 10,000 units, made beforehand: what is measured is recording.
    units = [number * UNIT & 0xFFFFFFFFFFFFFFFF for number in range(10_000)]
    calls = [(labels[unit >> 63], unit, 12.5 + unit % 7, 0.83) for unit in units]
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        for number in range(tried, min(int(passed * rate), tried + 2_000)):
            kept += record(*calls[number % 10_000])
            tried += 1
        time.sleep(0.001)
    took = time.perf_counter() - began
    recorder.close()
    door.close()
    return {
        "tried": tried,
        "recorded": kept,
        "dropped": recorder.dropped,
        "seconds": took,
        "cpu": time.process_time(),
        "memory": own_memory("VmHWM"),
    }


if __name__ == "__main__":
    print(json.dumps(record_steadily(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
