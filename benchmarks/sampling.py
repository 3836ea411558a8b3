"""Drift: what a sample costs, and asking how it stands, beside River, SciPy and Evidently."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

import herdbook as hb
from benchmarks import peer
from benchmarks.results import Reading, Row, at_most, interleaved, part
from benchmarks.sizes import Sizes

GROUP: Final = "Drift: a sample added, and how it stands"
ADD_NS: Final = 250
BATCH_NS: Final = 50
DETECT_NS: Final = 200_000
NUMBER: Final = 10_000
# The journal holds so many with room to spare.
_ONCE: Final = 50_000
_ASKED: Final = 200


def measure(sizes: Sizes, folder: Path, *, with_peer: bool) -> Iterator[Row]:
    """Add one by one and in batches, and ask, in turn with the others."""
    once = min(_ONCE, sizes.calls * 25)
    rng = np.random.default_rng(5)
    reference: Any = rng.normal(size=NUMBER)
    values: Any = rng.normal(size=once)
    confidences: Any = rng.beta(16, 4, size=NUMBER + once)
    sides = {
        name: _other(home, name, with_peer=with_peer)
        for name, home in (
            ("adwin", "river"),
            ("kswin", "river"),
            ("ks_2samp", "river"),
            ("evidently", "evidently"),
        )
    }
    with closing(hb.connect(f"sqlite:///{folder / 'sampling.db'}")) as book:
        book.models.register("gnn", "v2.1.0")
        detector = book.drift.detector("gnn", "v2.1.0")
        detector.add_reference_samples(reference, confidences[:NUMBER])
        detector.freeze()
        listed, sure = values.tolist(), confidences[NUMBER:]

        def one_by_one() -> None:
            add = detector.add_production_sample
            for value in listed:
                add(value)

        def at_once() -> None:
            detector.add_production_samples(values, sure)

        def ask() -> None:
            for _ in range(_ASKED):
                detector.detect_drift()

        def settle() -> None:
            detector.detect_drift()

        mine = (
            _timed(one_by_one, once, settle),
            # A value and its confidence are two.
            _timed(at_once, 2 * once, settle),
            _timed(ask, _ASKED, settle),
        )
        found = interleaved([*mine, *sides.values()], rounds=max(3, sizes.rounds))
    yield from _rows(found[:3], dict(zip(sides, found[3:], strict=True)))


def _timed(
    work: Callable[[], None], count: int, settle: Callable[[], None]
) -> Callable[[], Reading]:
    def run() -> Reading:
        # Nothing is to be sent while it is timed but what is added meanwhile.
        settle()
        began, spent, whole = time.perf_counter(), time.thread_time(), time.process_time()
        work()
        wall, cpu = time.perf_counter() - began, time.thread_time() - spent
        settle()
        counted = time.process_time() - whole
        return {
            "wall": wall / count * 1e9,
            "cpu": cpu / count * 1e9,
            "counted": counted / count * 1e9,
        }

    return run


def _other(home: str, what: str, *, with_peer: bool) -> Callable[[], Reading] | None:
    if not with_peer or peer.installed(home)[1]:
        return None

    def run() -> Reading:
        command: list[str | Path] = [
            peer.home(home) / "bin" / "python",
            "-m",
            "benchmarks.drift_timings",
            what,
        ]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=peer.environ()
        )
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found

    return run


def _rows(
    ours: list[dict[str, float] | None], others: dict[str, dict[str, float] | None]
) -> Iterator[Row]:
    one, many, asked = ours
    assert one is not None
    assert many is not None
    assert asked is not None
    for name, title in (("adwin", "River's ADWIN"), ("kswin", "River's KSWIN")):
        yield _row(f"a sample added, beside {title}", one, others[name], ADD_NS)
        yield _row(f"a value of a batch, beside {title}", many, others[name], BATCH_NS)
    for name, title, times in (
        ("ks_2samp", "scipy.stats.ks_2samp of 10,000 and 10,000", 20),
        ("evidently", "Evidently's DataDriftPreset of the same", 500),
    ):
        yield _row(f"detect_drift, beside {title}", asked, others[name], DETECT_NS, times)


def _row(
    what: str, ours: Reading, theirs: Reading | None, limit: float, times: float | None = None
) -> Row:
    beside = None if theirs is None else theirs["cpu"]
    theirs_wall = "" if theirs is None else f", theirs {theirs['wall']:,.0f} ns"
    targets = [at_most(limit, ours["cpu"], "ns")]
    if times is not None:
        targets.append(part(times, ours["wall"], beside))
    return Row(
        group=GROUP,
        what=what,
        unit="ns of CPU",
        ours=ours["cpu"],
        peer=beside,
        targets=tuple(targets),
        detail=f"of the calling thread, the loop in both; {ours['counted']:,.0f} ns with all that "
        f"it takes to count it in SQLite; wall time {ours['wall']:,.0f} ns{theirs_wall}",
        compared=True,
    )
