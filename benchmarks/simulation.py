"""How often decisions are wrong, and how soon they are right: made-up traffic, looked at all along.

`python -m benchmarks.simulation --runs 2000` writes the table of docs/decisions.md. The same
traffic is judged by Herdbook (by the code that judges real traffic), by the bare averages against
the thresholds, and by the sequential engine of GrowthBook's gbstats 0.8.0.
"""

import argparse
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from benchmarks import peer
from benchmarks.results import Row, Target
from herdbook.core.experiments import Decision, Plan
from herdbook.core.recording import ArmSums
from herdbook.services import rehearsing
from herdbook.services.deciding import evaluated
from herdbook.services.evidence import folded, started
from herdbook.services.rehearsing import World

Array = np.ndarray[Any, np.dtype[np.float64]]
GROUP: Final = "Decisions on simulated traffic"
EVERY: Final = 100
REQUESTS: Final = 20_000
ENDS: Final = tuple(range(EVERY, REQUESTS + 1, EVERY))
PLAN: Final = Plan(
    name="gnn_v2.2_test",
    model="gnn",
    control="v2.1.0",
    treatments=("v2.2.0",),
    min_requests=100,
    max_error_rate_increase=0.05,
    min_confidence_improvement=0.02,
).checked()
TENTH: Final = replace(PLAN, treatment_traffic_pct=10.0)
RAMP: Final = replace(PLAN, ramp=(1.0, 5.0, 10.0, 25.0, 50.0))
STICKY: Final = World(units=1000, correlation=0.3)
DRIFT: Final = World(drift=0.03, confidence_drift=-0.05)
# What is summed up of an arm after each look.
FIGURES: Final = 4
OURS, NAIVE_100, NAIVE_1000, GROWTHBOOK = RULES = (
    "Herdbook",
    "Averages, 100 results each",
    "Averages, 1,000 results each",
    "gbstats 0.8.0",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One line of the table.

    Args:
        what: what is true.
        plan: what is tried.
        world: what the traffic is like.
        most_promoted: at most so many may be promoted, in percent.
        most_rolled_back: the same of rollbacks.
        least_promoted: at least so many must be.
        least_rolled_back: the same of rollbacks.
        soon: by so many requests, the median of those that must be.
    """

    what: str
    plan: Plan
    world: World
    most_promoted: float = 100.0
    most_rolled_back: float = 100.0
    least_promoted: float = 0.0
    least_rolled_back: float = 0.0
    soon: int = REQUESTS


def _same(what: str, plan: Plan, world: World) -> Scenario:
    return Scenario(
        what=f"A/A, {what}", plan=plan, world=world, most_promoted=5.0, most_rolled_back=5.0
    )


SCENARIOS: Final = (
    _same("50/50", PLAN, World()),
    _same("10 % traffic", TENTH, World()),
    _same("50/50, 1,000 sticky users", PLAN, STICKY),
    _same("10 % traffic, 1,000 sticky users", TENTH, STICKY),
    _same("ramp and drift", RAMP, DRIFT),
    _same("ramp and drift, 1,000 sticky users", RAMP, replace(DRIFT, units=1000, correlation=0.3)),
    _same("split moved from 10 % to 50 % in a drift", PLAN, replace(DRIFT, shares=(0.1, 0.5))),
    Scenario(
        what="+2.5 points of confidence, 50/50",
        plan=PLAN,
        world=World(confidence_gain=0.025),
        least_promoted=95.0,
        soon=2_000,
    ),
    Scenario(
        what="+10 points of error, 50/50",
        plan=PLAN,
        world=World(error_increase=0.1),
        least_rolled_back=100.0,
        soon=300,
    ),
    Scenario(
        what="+10 points of error, 10 % traffic",
        plan=TENTH,
        world=World(error_increase=0.1),
        least_rolled_back=100.0,
    ),
    Scenario(
        what="+2.5 points of confidence and +4 of error, 50/50",
        plan=PLAN,
        world=World(confidence_gain=0.025, error_increase=0.04),
        most_promoted=5.0,
    ),
)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a rule decided in all runs: P, R or "" with the requests it took."""

    found: Sequence[tuple[str, int]]

    def percent(self, kind: str) -> float:
        """Give how many decided so, in percent."""
        return 100 * sum(each == kind for each, _ in self.found) / len(self.found)

    def after(self, kind: str) -> float | None:
        """Give the median of the requests that took."""
        done = [requests for each, requests in self.found if each == kind]
        return median(done) if done else None

    def text(self) -> str:
        """Write what was decided, and after how many requests."""
        return " / ".join(self._part(kind) for kind in "PR")

    def _part(self, kind: str) -> str:
        after = self.after(kind)
        share = f"{self.percent(kind):.1f} %"
        return share if after is None else f"{share} ({after:,.0f})"


def measure(*, runs: int, with_peer: bool) -> Iterator[Row]:
    """Give a row for each thing that is promised."""
    for scenario in SCENARIOS:
        yield from _rows(scenario, judged(scenario, runs=runs, with_peer=with_peer), runs)


def judged(scenario: Scenario, *, runs: int, with_peer: bool) -> Mapping[str, Verdicts]:
    """Run a scenario many times and give what each rule decided."""
    jobs = [(scenario, f"{scenario.what}:{run}") for run in range(runs)]
    # A fresh interpreter for each worker: nobody's threads are copied.
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        done = pool.starmap(_one, jobs, chunksize=max(1, runs // 64))
    sums = np.stack([each for _, each in done])
    found = {
        OURS: Verdicts([decided for decided, _ in done]),
        NAIVE_100: Verdicts([_averages(each, 100, scenario.plan) for each in sums]),
        NAIVE_1000: Verdicts([_averages(each, 1000, scenario.plan) for each in sums]),
    }
    if with_peer:
        found[GROWTHBOOK] = Verdicts(_growthbook(sums, scenario.plan))
    return found


def _one(scenario: Scenario, seed: str) -> tuple[tuple[str, int], Array]:
    """What Herdbook decides in one run, and what was summed up after each look."""
    plan, begun = scenario.plan, rehearsing.START
    state, decided = started(plan), ("", 0)
    sums = np.zeros((len(ENDS), 2, FIGURES))
    traffic = rehearsing.batches(plan, scenario.world, ENDS, seed=seed)
    for look, (done, phases, batch) in enumerate(traffic):
        _sum_up(sums[look], batch)
        if not decided[0]:
            now = rehearsing.moment(plan, done / ENDS[-1])
            state = folded(plan, state, batch, at=now)
            decision = evaluated(plan, phases, state, now, begun).decision
            if decision in (Decision.PROMOTE, Decision.ROLLBACK):
                decided = ("P" if decision is Decision.PROMOTE else "R", done)
    return decided, np.cumsum(sums, axis=0)


def _sum_up(sums: Array, batch: Sequence[ArmSums]) -> None:
    for arm in batch:
        cells = arm.means["confidence"].cells.values()
        sums[int(arm.arm != "control")] += (
            arm.results,
            arm.errors,
            sum(cell[1] for cell in cells),
            sum(cell[2] for cell in cells),
        )


def _averages(sums: Array, least: int, plan: Plan) -> tuple[str, int]:
    """The bare averages against the thresholds, at every look."""
    results, errors, confidence = (sums[:, :, figure] for figure in range(3))
    enough = results.min(axis=1) >= least
    many = np.maximum(results, 1)
    worse = np.diff(errors / many)[:, 0] > plan.max_error_rate_increase
    better = np.diff(confidence / many)[:, 0] >= plan.min_confidence_improvement
    ends = np.flatnonzero(enough & (worse | better))
    if not ends.size:
        return "", 0
    return "R" if worse[ends[0]] else "P", ENDS[ends[0]]


def _growthbook(sums: Array, plan: Plan) -> list[tuple[str, int]]:
    """What gbstats decides, in an environment of its own."""
    with TemporaryDirectory(prefix="herdbook-simulation-") as folder:
        given, found = Path(folder) / "sums.npy", Path(folder) / "found.npy"
        np.save(given, sums)
        limits = [plan.max_error_rate_increase, plan.min_confidence_improvement]
        subprocess.run(
            [
                peer.home("gbstats") / "bin" / "python",
                *("-m", "benchmarks.gbstats_side", given, found),
                *(str(limit) for limit in limits),
            ],
            check=True,
            env=peer.environ(),
            cwd=folder,
        )
        return [
            (("", "P", "R")[int(kind)], ENDS[int(look)] if kind else 0)
            for kind, look in np.load(found)
        ]


def _rows(scenario: Scenario, found: Mapping[str, Verdicts], runs: int) -> Iterator[Row]:
    others = "; ".join(f"{rule}: {found[rule].text()}" for rule in RULES[1:] if rule in found)
    for kind, name in (("P", "promoted"), ("R", "rolled back")):
        targets = tuple(_targets(scenario, found[OURS], kind))
        if targets:
            theirs = found.get(GROWTHBOOK)
            yield Row(
                group=GROUP,
                what=f"{scenario.what}: {name}",
                unit="%",
                ours=found[OURS].percent(kind),
                peer=None if theirs is None else theirs.percent(kind),
                targets=targets,
                detail=f"{runs:,} runs; {found[OURS].text()}; {others}",
                compared=True,
            )


def _targets(scenario: Scenario, ours: Verdicts, kind: str) -> Iterator[Target]:
    share, after = ours.percent(kind), ours.after(kind)
    promoted = kind == "P"
    most = scenario.most_promoted if promoted else scenario.most_rolled_back
    least = scenario.least_promoted if promoted else scenario.least_rolled_back
    if most < 100:
        yield Target(f"≤ {most:g} %", share <= most)
    if least:
        yield Target(f"≥ {least:g} %", share >= least)
        if scenario.soon < REQUESTS:
            soon = after is not None and after <= scenario.soon
            yield Target(f"median ≤ {scenario.soon:,} requests", soon)


def main() -> None:
    """Read the command line, simulate, write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="of each scenario")
    parser.add_argument("--only", type=int, action="append", help="a line; may be repeated")
    parser.add_argument("--output", type=Path, help="the file to write the table to")
    given = parser.parse_args()
    _, problem = peer.installed("gbstats")
    print(f"gbstats is missing: {problem}" if problem else "gbstats is there", flush=True)
    rules = RULES[:-1] if problem else RULES
    lines = [f"| What is true | {' | '.join(rules)} | Asked for |", "|---" * (len(rules) + 2) + "|"]
    for at, scenario in enumerate(SCENARIOS):
        if given.only and at not in given.only:
            continue
        began = time.monotonic()
        found = judged(scenario, runs=given.runs, with_peer=not problem)
        targets = [target for kind in "PR" for target in _targets(scenario, found[OURS], kind)]
        asked = "; ".join(f"{target.text} {target}" for target in targets)
        cells = " | ".join(found[rule].text() for rule in rules)
        lines.append(f"| {scenario.what} | {cells} | {asked} |")
        print(f"{lines[-1]}  # {time.monotonic() - began:.0f} s", flush=True)
        if given.output:
            text = f"{given.runs:,} runs of each line.\n\n" + "\n".join(lines) + "\n"
            given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
