"""How often drift is cried for nothing, and how soon it is seen: made-up streams, judged all along.

`python -m benchmarks.drifting --runs 200` writes the table of docs/drift_simulation.md. The same
streams are judged by Herdbook (by the code that judges real ones, after every ten values), by the
seeds' formula as it is written, and by River, Evidently and NannyML in environments of their own.
"""

import argparse
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks import peer
from benchmarks.drift_worlds import BEFORE, PER_HOUR, QUIET, SCENARIOS, Array, Scenario, drawn
from herdbook.core.drift import Settings, State, StreamState
from herdbook.core.references import Reference
from herdbook.core.sampling import Hour, StreamSums
from herdbook.services import drifting, references, windows
from herdbook.services.drifting import Detector

BATCH: Final = 10
# Rules of windows look at so many values.
WINDOW: Final = 1_000
START: Final = 480_000
NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)
SETTINGS: Final = Settings()
LITERAL: Final = 0.3
OURS: Final = "Herdbook"
SEED: Final = "The seed's formula"


@dataclass(frozen=True, slots=True)
class Side:
    """A rule of somebody else's.

    Args:
        name: as the table has it.
        home: its environment.
        rule: as `drift_sides` knows it.
        runs: at most so many, where it takes minutes.
    """

    name: str
    home: str
    rule: str
    runs: int | None = None


SIDES: Final = (
    Side("River ADWIN", "river", "ADWIN"),
    Side("River KSWIN", "river", "KSWIN", 1),
    Side("River Page-Hinkley", "river", "PageHinkley"),
    Side("Evidently", "evidently", "evidently", 2),
    Side("NannyML", "nannyml", "nannyml", 10),
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule said.

    Args:
        alarms: of each run, after how many values.
        scores: of the checks of all runs, where there is a score.
    """

    alarms: Sequence[Sequence[int]]
    scores: Sequence[Array] = field(default=())

    def false_alarms(self) -> float:
        """Give how many there are in 100,000 values of which none is another than before."""
        return sum(map(len, self.alarms)) / len(self.alarms)

    def delays(self) -> list[float]:
        """Give how many values it took to see a change, infinite where it was not seen."""
        found = []
        for alarms in self.alarms:
            after = [at - BEFORE for at in alarms if at > BEFORE]
            found.append(float(after[0]) if after else float("inf"))
        return found

    def text(self, scenario: Scenario) -> str:
        """Write false alarms, or the median delay and how many runs saw it when not all did."""
        if scenario.change is None:
            return f"{self.false_alarms():.3g}"
        delays = self.delays()
        seen = sum(delay < float("inf") for delay in delays)
        share = "" if seen == len(delays) else f" ({100 * seen / len(delays):.0f} %)"
        middle = median(delays)
        return (f"{middle:,.0f}" if middle < float("inf") else "not seen") + share


def ours(scenario: Scenario, run: int) -> tuple[list[int], Array]:
    """Give when Herdbook raises alarms in a run, and the score after each batch."""
    world = drawn(scenario, run)
    length = scenario.reference
    made = {
        name: references.numeric(
            values.tolist(),
            hours=[START + at // PER_HOUR for at in range(length)] if scenario.daily else None,
        )
        for name, values in world.reference.items()
    }
    detectors = {name: Detector(reference) for name, reference in made.items()}
    streams = {name: StreamState() for name in made}
    ceiling = drifting.ceiling(streams=len(made), run_length=SETTINGS.run_length)
    state, alarms, scores = State(), list[int](), list[float]()
    binned = [
        _batches(name, made[name], values, scenario) for name, values in world.production.items()
    ]
    for number, batches in enumerate(zip(*binned, strict=True), start=1):
        for sums in batches:
            streams[sums.stream] = detectors[sums.stream].after(
                streams[sums.stream], sums, window=SETTINGS.window, ceiling=ceiling
            )
        parts = drifting.components(detectors, streams, SETTINGS)
        before, state = state.alarm, drifting.judged(state, parts, SETTINGS, now=NOW)
        if state.score is not None:
            scores.append(state.score)
        if state.alarm and not before:
            alarms.append(number * BATCH)
            if scenario.change is not None and number * BATCH > BEFORE:
                break
    return alarms, np.array(scores)


def _batches(
    stream: str, reference: Reference, values: Array, scenario: Scenario
) -> Iterator[StreamSums]:
    """Count a stream in the reference's bins, as a worker does."""
    bins = np.searchsorted(np.array(reference.edges), values, side="left")
    for start in range(0, len(values), BATCH):
        hour = START + (scenario.reference + start) // PER_HOUR if scenario.daily else START
        some = values[start : start + BATCH]
        finite = np.isfinite(some)
        kept = some[finite]
        offs = kept - reference.centre(slot := reference.slot_of(hour))
        levels = Counter[str]()
        if reference.slots:
            edges = np.array(reference.slots[slot].edges)
            levels.update(map(str, np.searchsorted(edges, kept, side="left").tolist()))
        yield StreamSums(
            stream=stream,
            hour=hour,
            counts=Counter(map(str, bins[start : start + BATCH][finite].tolist())),
            levels=levels,
            missing=len(some) - len(kept),
            total=float(offs.sum()),
            squares=float((offs * offs).sum()),
        )


def seeds(scenario: Scenario, run: int) -> list[int]:
    """Give when the formula as it is written exceeds 0.3, window after window."""
    world = drawn(scenario, run)
    made = {name: references.numeric(each.tolist()) for name, each in world.reference.items()}
    length = len(world.production[scenario.shown])
    found = []
    for end in range(WINDOW, length + 1, WINDOW):
        hours = {
            name: [_hour(made[name], each[end - WINDOW : end])]
            for name, each in world.production.items()
        }
        # The formula knows predictions; where there are none, what is shown is taken for one.
        if scenario.shown not in hours or "prediction" not in hours:
            hours = {**hours, "prediction": hours[scenario.shown]}
            made = {**made, "prediction": made[scenario.shown]}
        parts = windows.literal(made, hours, SETTINGS)
        if parts is not None and drifting.score_of(parts, SETTINGS) > LITERAL:
            found.append(end)
    return found


def _hour(reference: Reference, values: Array) -> Hour:
    kept = values[np.isfinite(values)]
    bins = np.searchsorted(np.array(reference.edges), kept, side="left")
    offs = kept - reference.centre(0)
    return Hour(
        hour=START,
        counts=tuple(np.bincount(bins, minlength=reference.bins).tolist()),
        total=float(offs.sum()),
        squares=float((offs * offs).sum()),
    )


def judged(scenario: Scenario, *, runs: int, sides: Sequence[Side]) -> Mapping[str, Found]:
    """Run a scenario many times and give what each rule said."""
    at = SCENARIOS.index(scenario)
    # A fresh interpreter for each worker: nobody's threads are copied.
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        done = pool.starmap(_one, [(at, run) for run in range(runs)], chunksize=4)
    found = {
        OURS: Found([alarms for alarms, _, _ in done], [scores for _, scores, _ in done]),
        SEED: Found([alarms for _, _, alarms in done]),
    }
    for side in sides:
        if scenario.peers and (scenario.slow or side.runs is None):
            found[side.name] = Found(_theirs(side, scenario, min(runs, side.runs or runs)))
    return found


def _one(at: int, run: int) -> tuple[list[int], Array, list[int]]:
    scenario = SCENARIOS[at]
    return *ours(scenario, run), seeds(scenario, run)


def _theirs(side: Side, scenario: Scenario, runs: int) -> Sequence[Sequence[int]]:
    with TemporaryDirectory(prefix="herdbook-drifting-") as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.json"
        worlds = [drawn(scenario, run) for run in range(runs)]
        np.savez(
            given,
            reference=np.stack([world.reference[scenario.shown] for world in worlds]),
            production=np.stack([world.production[scenario.shown] for world in worlds]),
            change=np.array(np.nan if scenario.change is None else BEFORE),
        )
        python = peer.home(side.home) / "bin" / "python"
        subprocess.run(
            [python, "-m", "benchmarks.drift_sides", side.rule, given, found],
            check=True,
            env=peer.environ({"NML_DISABLE_USAGE_LOGGING": "1"}),
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        answer: list[list[int]] = json.loads(found.read_text())
        return answer


def reached(scenario: Scenario, found: Found) -> bool | None:
    """Whether Herdbook reaches what was asked for; None where nothing was."""
    if scenario.most is not None:
        return found.false_alarms() <= scenario.most
    if scenario.soon is not None:
        return median(found.delays()) <= scenario.soon
    return None


def asked(scenario: Scenario, found: Found) -> str:
    """Write what was asked for, and whether it is reached."""
    verdict = {True: " reached", False: " **not reached**", None: ""}[reached(scenario, found)]
    wanted = scenario.most if scenario.most is not None else scenario.soon
    return "" if wanted is None else f"≤ {wanted:g}{verdict}"


def scores_line(scenario: Scenario, found: Found) -> str:
    """Write what the score of a version that does not drift is like."""
    every = np.concatenate(list(found.scores))
    shares = " | ".join(f"{100 * (every > limit).mean():.2g} %" for limit in (0.1, 0.3, 0.5))
    return f"| {scenario.what} | {every.mean():.4f} | {shares} |"


def _sides() -> list[Side]:
    found = []
    for side in SIDES:
        _, problem = peer.installed(side.home)
        print(f"{side.name}: {problem or 'is there'}", flush=True)
        found += [] if problem else [side]
    return found


def main() -> None:
    """Read the command line, simulate, write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drifting", description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="of each scenario")
    parser.add_argument("--only", type=int, action="append", help="a line; may be repeated")
    parser.add_argument("--alone", action="store_true", help="without the others")
    parser.add_argument("--output", type=Path, help="the file to write the tables to")
    given = parser.parse_args()
    sides = [] if given.alone else _sides()
    rules = [OURS, *(side.name for side in sides), SEED]
    lines = [f"| What happens | {' | '.join(rules)} | Asked for |", "|---" * (len(rules) + 2) + "|"]
    scores = [
        "| What happens | Mean | Above 0.1 | Above 0.3 | Above 0.5 |",
        "|---|---|---|---|---|",
    ]
    for at, scenario in enumerate(SCENARIOS):
        if given.only and at not in given.only:
            continue
        began = time.monotonic()
        found = judged(scenario, runs=given.runs, sides=sides)
        cells = [found[rule].text(scenario) if rule in found else "" for rule in rules]
        wanted = asked(scenario, found[OURS])
        lines.append(f"| {scenario.what} | {' | '.join(cells)} | {wanted} |")
        if scenario.change is None:
            scores.append(scores_line(scenario, found[OURS]))
        print(f"{lines[-1]}  # {time.monotonic() - began:.0f} s", flush=True)
        if given.output:
            text = "\n".join([_head(given.runs, sides), "", *lines, "", *scores, ""])
            given.output.write_text(text, encoding="utf-8")


def _head(runs: int, sides: Sequence[Side]) -> str:
    fewer = ", ".join(f"{side.name} {side.runs}" for side in sides if side.runs)
    return (
        f"{runs:,} runs of each line{f'; {fewer}' if fewer else ''}. Where nothing happens: false "
        f"alarms in {QUIET:,} values; else the median of the values until the alarm."
    )


if __name__ == "__main__":
    main()
