"""What others say of the same streams, each in an environment of its own.

`python -m benchmarks.drift_sides RULE GIVEN.npz FOUND.json`: GIVEN holds `reference` and
`production`, a run a row; FOUND the positions of the alarms, counted in values, a list a run.
"""

import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

# Those that judge windows judge this many values at a time.
WINDOW: Final = 1_000


def _streaming(made: Callable[[], Any]) -> Callable[[Any, Any], Iterator[int]]:
    """A detector that is given one value after another, the reference first."""

    def alarms(reference: Any, production: Any) -> Iterator[int]:
        detector = made()
        for value in reference.tolist():
            detector.update(value)
        for at, value in enumerate(production.tolist(), start=1):
            detector.update(value)
            if detector.drift_detected:
                yield at

    return alarms


def _river(name: str) -> Callable[[Any, Any], Iterator[int]]:
    from river import drift  # type: ignore[import-not-found, unused-ignore]

    if name == "KSWIN":
        return _streaming(lambda: drift.KSWIN(seed=1))
    return _streaming(getattr(drift, name))


def _evidently(reference: Any, production: Any) -> Iterator[int]:
    """The preset's verdict on the column, its test chosen by Evidently."""
    import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]
    from evidently import Report  # type: ignore[import-not-found, unused-ignore]
    from evidently.presets import DataDriftPreset  # type: ignore[import-not-found, unused-ignore]

    before = pd.DataFrame({"prediction": reference})
    for at in range(WINDOW, len(production) + 1, WINDOW):
        now = pd.DataFrame({"prediction": production[at - WINDOW : at]})
        found = Report([DataDriftPreset()]).run(now, before).dict()
        if found["metrics"][0]["value"]["count"]:
            yield at


def _nannyml(reference: Any, production: Any) -> Iterator[int]:
    """The univariate calculator with its defaults: Jensen-Shannon, three standard deviations."""
    import nannyml  # type: ignore[import-not-found, unused-ignore]
    import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]

    made = nannyml.UnivariateDriftCalculator(column_names=["prediction"], chunk_size=WINDOW)
    made.fit(pd.DataFrame({"prediction": reference}))
    found = made.calculate(pd.DataFrame({"prediction": production}))
    alerts = found.filter(period="analysis").to_df()["prediction"]["jensen_shannon"]["alert"]
    yield from (at * WINDOW for at, alert in enumerate(alerts, start=1) if alert)


def _rule(name: str) -> Callable[[Any, Any], Iterator[int]]:
    own = {"evidently": _evidently, "nannyml": _nannyml}
    return own[name] if name in own else _river(name)


def main() -> None:
    """Read the runs, write the alarms."""
    name, given, output = sys.argv[1:]
    warnings.simplefilter("ignore")
    alarms = _rule(name)
    with np.load(given) as runs:
        found = []
        for reference, production in zip(runs["reference"], runs["production"], strict=True):
            first_only = not math.isnan(runs["change"])
            raised: list[int] = []
            for at in alarms(reference, production):
                raised.append(at)
                if first_only and at > runs["change"]:
                    break
            found.append(raised)
    Path(output).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
