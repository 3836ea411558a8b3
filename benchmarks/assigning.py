"""Give units their versions: one at a time beside the peers, and in batches."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

import herdbook as hb
from benchmarks import peer
from benchmarks.results import Reading, Row, Target, at_most, interleaved, of, part
from benchmarks.sizes import Sizes
from herdbook.front.assigning import last
from herdbook.front.serving import ServedExperiments

GROUP: Final = "Assigning, in process"
ASSIGN_NS: Final = 350
TIMES: Final = 25
BATCH_PER_SECOND: Final = 2_000_000
# Ours are cheaper by so much that they need more calls to be timed.
MORE: Final = 10


def measure(sizes: Sizes, folder: Path, *, with_peer: bool) -> Iterator[Row]:
    """Assign units of experiments in a register of their own."""
    version, missing = peer.installed("growthbook") if with_peer else ("", "not asked for")
    with hb.connect(f"sqlite:///{folder / 'assigning.db'}") as book:
        _start(book)
        # As a service has it: assigned from memory, remembered in the context for results that
        # name no unit, and looked at again every second meanwhile.
        served = book.experiments
        yield from _singles(served, sizes, f"GrowthBook {version or f'missing ({missing})'}")
        yield from _batches(served, sizes)


def _start(book: hb.Herdbook) -> None:
    """Register models whose experiments need one hash, two, and all four."""
    for model in ("gnn", "oracle", "majora"):
        book.models.register(model, "v2.1.0", git_commit="")
        book.models.register(model, "v2.2.0", git_commit="")
        book.deployments.promote(f"{model}:v2.1.0")
    book.experiments.start("gnn_v2.2_test", "gnn", "v2.2.0")
    book.experiments.start("oracle_ramp", "oracle", "v2.2.0", ramp=[25, 50])
    book.experiments.start(
        "majora_all", "majora", "v2.2.0", ramp=[45, 50], holdout_pct=5, exclusion_pct=90
    )


def _singles(served: ServedExperiments, sizes: Sizes, version: str) -> Iterator[Row]:
    calls = sizes.calls * 10
    units = [f"user{at}" for at in range(calls)]
    assert 0.4 < _treated(served, units) < 0.6
    here: list[Callable[[], Reading] | None] = [
        _here(served, model, units) for model in ("gnn", "oracle", "majora")
    ]
    there = _there if "missing" not in version else None
    sides = [*here, None, None]
    if there is not None:
        sides[3:] = [lambda: there(calls, "feature", "inline"), lambda: there(calls, "in_memory")]
    ours, ramp, everything, growthbook, openfeature = interleaved(sides, rounds=sizes.rounds)
    assert ours is not None
    assert ramp is not None
    assert everything is not None
    ns, target = ours["cpu"], at_most(ASSIGN_NS, ours["cpu"], "ns")
    peers = {
        f"beside {version}": growthbook,
        "beside OpenFeature's in-memory provider": openfeature,
    }
    for at, (what, theirs) in enumerate(peers.items()):
        yield Row(
            group=GROUP,
            what=f"`assign_variant`, {what}",
            unit="ns CPU",
            ours=ns,
            peer=of(theirs, "cpu"),
            targets=(*([target] if at == 0 else []), part(TIMES, ns, of(theirs, "cpu"))),
            detail=f"{ours['wall']:,.0f} ns wall" + (f" / {theirs['wall']:,.0f}" if theirs else ""),
            compared=True,
        )
    yield _alone("at a stage of a ramp: two hashes", ramp["cpu"], limit=True)
    yield _alone("with a part, a holdout and a ramp: four hashes", everything["cpu"])


def _alone(what: str, ns: float, *, limit: bool = False) -> Row:
    return Row(
        group=GROUP,
        what=f"`assign_variant` {what}",
        unit="ns CPU",
        ours=ns,
        targets=(at_most(ASSIGN_NS, ns, "ns"),) if limit else (),
    )


def _treated(served: ServedExperiments, units: Sequence[str]) -> float:
    variants = [each.variant for each in served.assign_many("gnn", units)]
    return variants.count("treatment") / len(units)


def _here(served: ServedExperiments, model: str, units: list[str]) -> Callable[[], Reading]:
    def ask_all() -> None:
        # As it stands in a caller's code: a function around it would cost a fifth of it.
        for _ in range(MORE):
            for unit in units:
                served.assign_variant(model, unit)

    def once() -> Reading:
        calls = len(units) * MORE
        served.prepare(model)
        wall, cpu = time.perf_counter(), time.process_time()
        ask_all()
        spent = {
            "cpu": (time.process_time() - cpu) / calls * 1e9,
            "wall": (time.perf_counter() - wall) / calls * 1e9,
        }
        found = served.assign_many(model, units[-1:])[0]
        assert last.get() == ((found, units[-1]) if found.experiment else None)
        return spent

    return once


def _there(calls: int, *ways: str) -> Reading:
    """Ask a peer in an interpreter of its own; give the way that took least CPU."""
    program = peer.home("growthbook") / "bin" / "python"
    done = subprocess.run(
        [program, "-m", "benchmarks.assigning_peers", str(calls), *ways],
        capture_output=True,
        text=True,
        check=True,
        env=peer.environ(),
    )
    told: dict[str, dict[str, float]] = json.loads(done.stdout)
    assert all(0.3 < each["treated"] < 0.7 for each in told.values()), told
    return min(told.values(), key=lambda each: each["cpu"])


def _batches(served: ServedExperiments, sizes: Sizes) -> Iterator[Row]:
    names = [f"user{at}" for at in range(sizes.calls * 100)]
    kinds: dict[str, Any] = {
        "a list of text": names,
        "a numpy array of text": np.array(names),
        "a numpy array of whole numbers": np.arange(len(names)),
    }
    for kind, units in kinds.items():
        found = interleaved([lambda units=units: _batch(served, units)], rounds=sizes.rounds)[0]  # type: ignore[misc]
        assert found is not None
        yield Row(
            group=GROUP,
            what=f"`assign_many` of {kind}",
            unit="per second of CPU",
            ours=found["rate"],
            targets=(_at_least(BATCH_PER_SECOND, found["rate"]),),
            detail=f"{found['numbers']:,.0f} as version numbers",
        )


def _batch(served: ServedExperiments, units: Any) -> Reading:
    def rate(ask: Callable[[str, Any], Any]) -> float:
        began = time.process_time()
        ask("gnn", units)
        return len(units) / max(time.process_time() - began, 1e-9)

    return {
        "rate": rate(served.assign_many),
        "numbers": rate(served.get_versions_for_requests),
    }


def _at_least(limit: int, value: float) -> Target:
    return Target(f"≥ {limit:,}", value >= limit)
