"""Drift in real streams: those that NannyML and statsmodels carry, judged by Herdbook.

`python -m benchmarks.drift_streams` writes which streams raised an alarm, at which row and when,
as a table of docs/drift_simulation.md.
"""

import argparse
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from benchmarks import peer
from benchmarks.drifting import NOW, SETTINGS, START
from herdbook.core.drift import Settings, State, StreamState
from herdbook.core.references import Reference
from herdbook.core.sampling import StreamSums
from herdbook.services import drifting, references
from herdbook.services.drifting import Detector

BATCH: Final = 100
# The Nile has a hundred values, of which 27 are the reference: a false alarm in a million would be
# too much to ask.
SETS: Final[Mapping[str, tuple[int, Settings]]] = {
    "car_loans": (BATCH, SETTINGS),
    "employment": (BATCH, SETTINGS),
    "nile": (1, replace(SETTINGS, run_length=1_000.0, least=1)),
}
HEAD: Final = ("| Data | Stream | Alarm from | to |", "|---|---|---|---|")


@dataclass(frozen=True, slots=True)
class Found:
    """An alarm: at which rows it began and ended, with when that was; "" while it goes on."""

    begins: str
    ends: str = ""


def alarms(
    reference: Any, production: Any, when: Any, *, batch: int, settings: Settings
) -> list[Found]:
    """Give the alarms of one stream, each value counted once."""
    made = _made(reference)
    detector, before, state = Detector(made), StreamState(), State()
    ceiling = drifting.ceiling(streams=1, run_length=settings.run_length)
    found: list[Found] = []
    for at, sums in _batches(made, production, batch):
        before = detector.after(before, sums, window=settings.window, ceiling=ceiling)
        parts = drifting.components({"stream": detector}, {"stream": before}, settings)
        was, state = state.alarm, drifting.judged(state, parts, settings, now=NOW)
        if state.alarm == was:
            continue
        place = f"{at:,} ({when[at - 1]})"
        if state.alarm:
            found.append(Found(place))
        else:
            found[-1] = Found(found[-1].begins, place)
    return found


def _made(values: Any) -> Reference:
    listed = values.tolist()
    return references.numeric(listed) if _is_numeric(values) else references.categorical(listed)


def _is_numeric(values: Any) -> bool:
    return bool(values.dtype.kind == "f")


def _batches(made: Reference, values: Any, size: int) -> Iterator[tuple[int, StreamSums]]:
    if _is_numeric(values):
        bins = np.searchsorted(np.array(made.edges), values, side="left").tolist()
    else:
        places = {name: at for at, name in enumerate(made.categories)}
        bins = [places.get(name, len(places)) for name in values.tolist()]
    for start in range(0, len(bins), size):
        some = bins[start : start + size]
        sums = StreamSums(stream="stream", hour=START, counts=Counter(map(str, some)))
        yield start + len(some), sums


def _loaded(name: str) -> Mapping[str, Any]:
    with TemporaryDirectory(prefix="herdbook-drift-") as folder:
        output = Path(folder) / "data.npz"
        python = peer.home("nannyml") / "bin" / "python"
        subprocess.run(
            [python, "-m", "benchmarks.drift_data", name, output],
            check=True,
            env=peer.environ({"NML_DISABLE_USAGE_LOGGING": "1"}),
            cwd=folder,
        )
        with np.load(output) as held:
            return dict(held)


def main() -> None:
    """Judge each stream of each set."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.drift_streams", description=__doc__
    ).parse_args()
    _, problem = peer.installed("nannyml")
    if problem:
        raise SystemExit(f"NannyML is missing: {problem}")
    print("\n".join(HEAD))
    for name, (batch, settings) in SETS.items():
        data = _loaded(name)
        for key in sorted(data):
            part, _, stream = key.partition(":")
            if part != "reference":
                continue
            now = data[f"production:{stream}"]
            every = alarms(data[key], now, data["when"], batch=batch, settings=settings)
            for found in every or [Found("none")]:
                print(f"| {name} | {stream} | {found.begins} | {found.ends} |", flush=True)


if __name__ == "__main__":
    main()
