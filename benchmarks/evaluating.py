"""What a look at an experiment takes, whatever was recorded of it before."""

import random
import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import herdbook as hb
from benchmarks.results import Row, Target, at_most
from benchmarks.sizes import Sizes
from herdbook.core.recording import ArmSums, CellSums, Delta, Folded, Recorded

GROUP: Final = "Evaluating: one look, from what waits to the decision, in SQLite"
LOOK_MS: Final = 50.0
# Times the smaller one: noise of the machine, not growth.
SAME: Final = 1.5
BATCHES: Final = 20
BATCH: Final = 100


def measure(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Record a thousand results of one experiment, a billion of another, and look at both."""
    with hb.connect(f"sqlite:///{folder / 'evaluating.db'}") as book:
        book.models.register("gnn", "v1", git_commit="")
        book.models.register("gnn", "v2", git_commit="")
        book.deployments.promote("gnn:v1")
        taken = {}
        for name, results in (("small", 1_000), ("large", 1_000_000_000)):
            book.experiments.start(name, "gnn", "v2", exclusion_pct=50, auto_rollback=False)
            taken[name] = _looks(book, name, results // 2, rounds=sizes.rounds)
    few, many = taken["small"], taken["large"]
    yield Row(
        group=GROUP,
        what="a billion results recorded (peer: a thousand)",
        unit="ms",
        ours=many,
        peer=few,
        targets=(
            at_most(LOOK_MS, many, "ms"),
            Target(f"≤ {SAME}x", many <= SAME * few),
        ),
        detail=f"the median of {BATCHES * sizes.rounds} looks at {BATCH} new results of each arm",
        compared=True,
    )


def _looks(book: hb.Herdbook, name: str, results: int, *, rounds: int) -> float:
    """Record so many results, then look after each of some small batches; give the median look."""
    rng, took = random.Random(name), []  # noqa: S311 - the same results each time
    for sequence in range(BATCHES * rounds + 1):
        count = BATCH if sequence else results
        arms = tuple(_arm(rng, arm, count) for arm in ("control", "treatment"))
        told = (Recorded(experiment=name, arms=arms),)
        delta = Delta(worker=f"worker-{name}", sequence=sequence + 1, recorded=told)
        book._door.call(Folded, "experiments.fold", delta=delta)
        began = time.perf_counter()
        book.experiments.evaluate(name)
        took.append(timedelta(seconds=time.perf_counter() - began) / timedelta(milliseconds=1))
    return statistics.median(took[1:])


def _arm(rng: random.Random, name: str, results: int) -> ArmSums:
    """What an arm did: full cells whatever the number of results, as with many users."""
    errors = results // 50
    places = tuple(rng.randrange(1 << 22) for _ in range(min(results, 5_000)))
    count = max(1, results // 1024)
    cells = {
        str(cell): (float(count), count * 0.8, count * 0.66)
        for cell in range(min(1024, max(1, results // count)))
    }
    return ArmSums(
        phase=1,
        arm=name,
        results=results,
        errors=errors,
        firsts=places[: results - errors],
        means={"confidence": CellSums(cells=cells)},
        histograms={"inference_time_ms": {str(at): max(1, results // 50) for at in range(50)}},
    )
