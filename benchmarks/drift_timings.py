"""What others take for what `sampling` measures, in an environment of their own.

`python -m benchmarks.drift_timings WHAT`: prints nanoseconds of wall time and of CPU, as JSON.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

NUMBER: Final = 10_000
ONE_BY_ONE: Final = 50_000
KSWIN_UPDATES: Final = 300


def _updates(name: str, count: int) -> tuple[Callable[[], Any], int]:
    from river import drift  # type: ignore[import-not-found, unused-ignore]

    detector = getattr(drift, name)()
    values = np.random.default_rng(5).normal(size=count + 200).tolist()
    for value in values[count:]:
        detector.update(value)

    def run() -> None:
        update = detector.update
        for value in values[:count]:
            update(value)

    return run, count


def _ks() -> tuple[Callable[[], Any], int]:
    from scipy.stats import ks_2samp

    one, two = np.random.default_rng(5).normal(size=(2, NUMBER))
    return lambda: ks_2samp(one, two), 1


def _preset() -> tuple[Callable[[], Any], int]:
    import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]
    from evidently import Report  # type: ignore[import-not-found, unused-ignore]
    from evidently.presets import DataDriftPreset  # type: ignore[import-not-found, unused-ignore]

    one, two = np.random.default_rng(5).normal(size=(2, NUMBER))
    before, now = pd.DataFrame({"prediction": one}), pd.DataFrame({"prediction": two})
    return lambda: Report([DataDriftPreset()]).run(now, before).dict(), 1


def main() -> None:
    """Run it once to warm up, then five times, and print the median."""
    warnings.simplefilter("ignore")
    made: dict[str, Callable[[], tuple[Callable[[], Any], int]]] = {
        "adwin": lambda: _updates("ADWIN", ONE_BY_ONE),
        "kswin": lambda: _updates("KSWIN", KSWIN_UPDATES),
        "ks_2samp": _ks,
        "evidently": _preset,
    }
    run, count = made[sys.argv[1]]()
    run()
    found = []
    for _ in range(5):
        began, spent = time.perf_counter(), time.thread_time()
        run()
        wall, cpu = time.perf_counter() - began, time.thread_time() - spent
        found.append((wall / count * 1e9, cpu / count * 1e9))
    walls, cpus = zip(*found, strict=True)
    print(json.dumps({"wall": sorted(walls)[2], "cpu": sorted(cpus)[2]}))


if __name__ == "__main__":
    main()
