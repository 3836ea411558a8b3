"""Plans and batches of results, written as short as a test needs them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from herdbook.core.decisions import Evaluation
from herdbook.core.experiments import Phase, Plan
from herdbook.core.recording import ArmSums, CellSums
from herdbook.services.deciding import evaluated
from herdbook.services.evidence import State, folded, started
from herdbook.stats.histograms import bucket_of

BEGUN = datetime(2026, 1, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PHASES = (Phase(number=1, coverage=1.0, at=BEGUN),)


def a_plan(**fields: Any) -> Plan:
    """The seed's experiment, with an even split and a hundred results to wait for."""
    given: dict[str, Any] = {
        "name": "gnn_v2.2_test",
        "model": "gnn",
        "control": "v2.1.0",
        "treatments": ("v2.2.0",),
        "min_requests": 100,
    }
    return Plan(**{**given, **fields}).checked()


def cells(values: Sequence[float], *, offset: int = 0) -> CellSums:
    """Values, each of another unit, in cells of their own as long as there are some."""
    held: dict[str, tuple[float, ...]] = {}
    for at, value in enumerate(values):
        cell = str((at * 7 + offset) % 1024)
        number, total, squares = held.get(cell, (0.0, 0.0, 0.0))
        held[cell] = (number + 1, total + value, squares + value * value)
    return CellSums(cells=held)


def around(mean: float, number: int, *, spread: float = 0.1) -> list[float]:
    """Values that are evenly spread around a mean, the same each time."""
    half = (number - 1) / 2
    return [mean + spread * (at - half) / max(half, 1) for at in range(number)]


def sums(
    arm: str = "control",
    *,
    results: int = 100,
    errors: int = 0,
    confidence: float | None = 0.8,
    phase: int = 1,
    first: bool = True,
    **fields: Any,
) -> ArmSums:
    """Results of one arm; unless told otherwise each is the first of its unit."""
    means: dict[str, CellSums] = {}
    if confidence is not None and "means" not in fields:
        means["confidence"] = cells(around(confidence, results))
    if "means" not in fields:
        wrong = [1.0] * errors + [0.0] * (results - errors)
        means["error"] = cells(wrong, offset=results)
    given: dict[str, Any] = {
        "results": results,
        "errors": errors,
        "firsts": tuple(range(results - errors)) if first else (),
        "first_errors": tuple(range(errors)) if first else (),
        "means": means,
    }
    return ArmSums(phase=phase, arm=arm, **{**given, **fields})


def after(
    plan: Plan,
    batches: Sequence[tuple[ArmSums, ...]],
    *,
    state: State | None = None,
    at: datetime | None = None,
) -> State:
    """The evidence after some batches."""
    state = state or started(plan)
    for batch in batches:
        state = folded(plan, state, batch, at=at)
    return state


def said(
    plan: Plan,
    batches: Sequence[tuple[ArmSums, ...]],
    *,
    hours: float = 1.0,
    at: datetime | None = None,
) -> Evaluation:
    """What the evidence says after some batches, so many hours after the start."""
    state = after(plan, batches, at=at)
    return evaluated(plan, PHASES, state, BEGUN + hours * HOUR, BEGUN)


def codes(evaluation: Evaluation) -> list[str]:
    """The codes of the reasons."""
    return [reason.code for reason in evaluation.reasons]


def histogram(values: Mapping[float, int]) -> dict[str, int]:
    """A log-histogram of values and how often each came."""
    return {str(bucket_of(value)): count for value, count in values.items()}
