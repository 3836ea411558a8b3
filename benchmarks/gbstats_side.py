"""GrowthBook's sequential engine on the sums of simulated runs; runs where gbstats is installed.

Two-sided confidence sequences at 5 %, tuned for 5,000 as it comes: promote when confidence is above
0 by its lower end and by at least the least improvement, and the upper end of the error rate's
difference is below the limit; roll back when that difference is above 0 by its lower end. Both arms
need 100 results.
"""

import importlib
import os
import sys
from functools import partial
from multiprocessing import Pool
from typing import Any

import numpy as np

# By name: it is not installed where types are checked.
TESTS: Any = importlib.import_module("gbstats.frequentist.tests")
STATISTICS: Any = importlib.import_module("gbstats.models.statistics")
LEAST = 100
CONTINUE, PROMOTE, ROLLBACK = range(3)


def interval(control: Any, treatment: Any) -> "tuple[float, float] | None":
    """Give the confidence sequence of a difference, or None when gbstats gives none."""
    found = TESTS.SequentialTwoSidedTTest(
        control, treatment, TESTS.SequentialConfig(difference_type="absolute", alpha=0.05)
    ).compute_result()
    return None if found.error_message else (found.ci[0], found.ci[1])


def means(arm: Any) -> Any:
    """Give the statistic of an arm's confidences."""
    return STATISTICS.SampleMeanStatistic(
        n=int(arm[0]), sum=float(arm[2]), sum_squares=float(arm[3])
    )


def rates(arm: Any) -> Any:
    """Give the statistic of an arm's errors."""
    return STATISTICS.ProportionStatistic(n=int(arm[0]), sum=int(arm[1]))


def decided(sums: Any, limit: float, least: float) -> "tuple[int, int]":
    """Give what is decided in a run, and at which look."""
    for look, (control, treatment) in enumerate(sums):
        if min(control[0], treatment[0]) < LEAST:
            continue
        errors = interval(rates(control), rates(treatment))
        if errors is not None and errors[0] > 0:
            return ROLLBACK, look
        gain = treatment[2] / treatment[0] - control[2] / control[0]
        if errors is None or errors[1] >= limit or gain < least:
            continue
        confidence = interval(means(control), means(treatment))
        if confidence is not None and confidence[0] > 0:
            return PROMOTE, look
    return CONTINUE, 0


def main() -> None:
    """Read the sums, decide each run, write the decisions."""
    given, found, limit, least = sys.argv[1:]
    judge = partial(decided, limit=float(limit), least=float(least))
    with Pool(os.cpu_count()) as pool:
        np.save(found, np.array(pool.map(judge, np.load(given), chunksize=8)))


if __name__ == "__main__":
    main()
