"""What the evidence of an experiment says in figures: means, quantiles, intervals, clustering."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from herdbook.core.decisions import ArmMetrics, Clustering, Interval
from herdbook.core.experiments import CONFIDENCE, CONTROL, TIME_METRIC, Arm, Plan
from herdbook.services.evidence import ERROR, State, Tally
from herdbook.stats import cells
from herdbook.stats.allocations import Allocation, log_mismatch_over
from herdbook.stats.histograms import LogHistogram
from herdbook.stats.sequences import Estimate, estimate, interval

# Errors each arm needs before the difference of their rates is held to be normal.
_LEAST_ERRORS = 5
_TAILS = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of a treatment compared with control's.

    Attributes:
        metric: its name.
        of: the difference; unknown before there are enough units.
        control: control's mean, phases weighted like the difference; NaN where none is known.
        treatment: the treatment's.
        scale: what its interval is tightest for, or None before it is fixed.
    """

    metric: str
    of: Estimate
    control: float
    treatment: float
    scale: float | None

    @property
    def known(self) -> bool:
        """Whether anything can be said of it."""
        return self.of.known and self.scale is not None


def compared(state: State, arm: str) -> dict[str, Compared]:
    """Compare every metric of a treatment with control's, within each phase."""
    found = {}
    for metric, running in sorted(state.means.items()):
        contrast = cells.contrast(running, arm)
        scale = state.scales.get(metric)
        of = estimate(contrast)
        if metric == ERROR and min(_errors(state, CONTROL), _errors(state, arm)) < _LEAST_ERRORS:
            of = Estimate(0.0, math.inf)
        found[metric] = Compared(metric, of, contrast.control, contrast.treatment, scale)
    return found


def interval_of(metric: Compared, alpha: float) -> Interval:
    """Give the interval of a comparison."""
    low: float | None = None
    high: float | None = None
    if metric.known and metric.scale is not None:
        low, high = interval(metric.of, alpha=alpha, scale=metric.scale)
    difference = metric.of.value if metric.of.known else metric.treatment - metric.control
    return Interval(metric=metric.metric, difference=finite(difference), low=low, high=high)


def arm_metrics(state: State, arm: Arm) -> ArmMetrics:
    """Give what was recorded of an arm in all phases together."""
    tallies = state.of(arm.name)
    results = total(tallies, "results") + total(tallies, "lost")
    errors = total(tallies, "errors") + total(tallies, "lost")
    means = {
        metric: mean
        for metric, running in sorted(state.means.items())
        if (mean := finite(running.mean(arm.name))) is not None
    }
    tails = _quantiles(tallies)
    return ArmMetrics(
        arm=arm.name,
        number=arm.number,
        results=results,
        errors=errors,
        lost=total(tallies, "lost"),
        units=total(tallies, "units"),
        alone=total(tallies, "alone"),
        error_rate=errors / results if results else None,
        confidence=means.pop(CONFIDENCE, None),
        inference_time_ms=means.pop(TIME_METRIC, None),
        p50_ms=tails[0],
        p95_ms=tails[1],
        p99_ms=tails[2],
        means={metric: mean for metric, mean in means.items() if metric != ERROR},
        refused=_refused(tallies),
    )


def tail_of(state: State, arm: str, metric: str, share: float) -> float | None:
    """Give a quantile of an arm's values in all phases together."""
    merged = _merged(state.of(arm), metric)
    return merged.quantile(share) if merged.counts else None


def clustering(state: State) -> Clustering:
    """Tell whether it is known which results belong to the same unit."""
    alone = total(state.tallies, "alone")
    if not alone:
        return Clustering.KNOWN
    units = total(state.tallies, "units")
    return Clustering.PARTLY if units else Clustering.UNKNOWN


def log_mismatch(plan: Plan, state: State) -> float:
    """Give the evidence, log E in nats, that units are not split as the plan says."""
    weights = {arm.name: arm.share for arm in plan.arms}
    phases: dict[int, dict[str, int]] = {}
    for tally in state.tallies:
        phases.setdefault(tally.phase, {})[tally.arm] = tally.units
    return log_mismatch_over(Allocation(weights, units) for units in phases.values())


def total(tallies: Iterable[Tally], name: str) -> int:
    """Add up one figure of some tallies."""
    return sum(getattr(tally, name) for tally in tallies)


def finite(value: float) -> float | None:
    """Give a number, or None for NaN and infinities, which JSON does not have."""
    return value if math.isfinite(value) else None


def _errors(state: State, arm: str) -> int:
    return total(state.of(arm), "errors")


def _quantiles(tallies: Iterable[Tally]) -> tuple[float | None, ...]:
    merged = _merged(tallies, TIME_METRIC)
    if not merged.counts:
        return (None,) * len(_TAILS)
    return tuple(merged.quantile(share) for share in _TAILS)


def _merged(tallies: Iterable[Tally], metric: str) -> LogHistogram:
    counts: dict[int, int] = {}
    for tally in tallies:
        for bucket, count in tally.histograms.get(metric, {}).items():
            counts[int(bucket)] = counts.get(int(bucket), 0) + count
    return LogHistogram(counts)


def _refused(tallies: Iterable[Tally]) -> Mapping[str, int]:
    refused: dict[str, int] = {}
    for tally in tallies:
        for why, count in tally.refused.items():
            refused[why] = refused.get(why, 0) + count
    return refused
