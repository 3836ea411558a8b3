"""An experiment and units to assign."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from herdbook.core.assignment import Assignment, Snapshot
from herdbook.core.experiments import Arm, Plan
from herdbook.core.routing import Routed, Routing

USERS = [f"user{at}" for at in range(20_000)]


def arms(*treatments: str, percent: float = 50.0) -> tuple[Arm, ...]:
    """Control, and treatments that get so much together."""
    tried = Plan(
        name="t",
        model="gnn",
        control="v2.1.0",
        treatments=treatments or ("v2.2.0",),
        treatment_traffic_pct=percent,
    )
    return tried.arms


A_TEST = Routed(
    experiment="gnn_v2.2_test",
    model="gnn",
    running=True,
    phase=1,
    coverage=1.0,
    arms=arms(),
    group="model:gnn",
    low=0.0,
    high=1.0,
    salt="9f86d081884c7d65",
)


def snapshot(*experiments: Routed) -> Snapshot:
    """A snapshot of experiments."""
    champions = {each.model: "v2.1.0" for each in experiments}
    return Snapshot(Routing(mark="1", champions=champions, experiments=experiments))


def assigned(
    *experiments: Routed,
    units: Sequence[str | int] = USERS,
    model: str = "gnn",
    attributes: dict[str, object] | None = None,
) -> list[Assignment]:
    """What units get."""
    held = snapshot(*experiments)
    return [held.assign(model, unit, attributes) for unit in units]


def share(found: Sequence[Assignment], told: Callable[[Assignment], bool]) -> float:
    """How many of them are so, 0 to 1."""
    return sum(map(told, found)) / len(found)


def close_to(expected: float, *, of: int) -> Any:
    """A share that chance alone may have made of the expected one."""
    # Six standard errors: once in 500 million tries by chance.
    return pytest.approx(expected, abs=6 * (expected * (1 - expected) / of) ** 0.5)


def moved(before: Sequence[Assignment], after: Sequence[Assignment]) -> int:
    """How many of those who took part have another version or none."""
    return sum(
        one.experiment != "" and (one.version, one.variant) != (other.version, other.variant)
        for one, other in zip(before, after, strict=True)
    )
