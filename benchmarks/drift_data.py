"""Write out the data sets that peers carry: `python -m benchmarks.drift_data NAME OUTPUT.npz`."""

import sys
import warnings
from collections.abc import Callable
from typing import Any, Final


def _employment() -> dict[str, Any]:
    """The US census of Massachusetts: who has work, 2015 to 2018, and what a model says of it."""
    import nannyml  # type: ignore[import-not-found, unused-ignore]

    before, after, _ = nannyml.load_us_census_ma_employment_data()
    return _columns(before, after, after["year"].astype(str))


def _car_loans() -> dict[str, Any]:
    """Made-up car loans of 2018 and 2019, with a change half-way through what is analysed."""
    import nannyml  # type: ignore[import-not-found, unused-ignore]

    before, after, _ = nannyml.load_synthetic_car_loan_dataset()
    return _columns(before, after, after["timestamp"].astype(str).str[:10])


def _nile() -> dict[str, Any]:
    """The yearly flow of the Nile at Aswan, 1871 to 1970: less from 1899 on (Cobb, 1978)."""
    from statsmodels.datasets import nile  # type: ignore[import-not-found, unused-ignore]

    frame = nile.load_pandas().data
    flow, years = frame["volume"].to_numpy(dtype=float), frame["year"].astype(int).astype(str)
    known = 27
    return {
        "reference:flow": flow[:known],
        "production:flow": flow[known:],
        "when": years.to_numpy(dtype=str)[known:],
    }


def _columns(before: Any, after: Any, when: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"when": when.to_numpy(dtype=str)}
    for name in after.columns:
        if name in {"id", "timestamp", "year", "y_pred", "prediction"}:
            continue
        numeric = before[name].dtype.kind in "if"
        for part, frame in (("reference", before), ("production", after)):
            column = frame[name].astype(float if numeric else str)
            found[f"{part}:{name}"] = column.to_numpy(dtype=float if numeric else str)
    return found


MADE: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "employment": _employment,
    "car_loans": _car_loans,
    "nile": _nile,
}


def main() -> None:
    """Write one."""
    import numpy as np

    name, output = sys.argv[1:]
    warnings.simplefilter("ignore")
    np.savez(output, **MADE[name]())


if __name__ == "__main__":
    main()
