"""What every process needs to know to give a unit the same version as every other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from herdbook.core.experiments import Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What assigning units needs to know of an experiment.

    Args:
        experiment: its name.
        model: its model.
        running: whether units take part now; else all get the champion.
        phase: the number of its phase.
        coverage: how many of those who may take part do, 0 to 1.
        arms: control first.
        group: whose units it shares.
        low: where its part of them begins, 0 to 1.
        high: where it ends.
        salt: what its hashes begin with.
        targeting: attribute to the values that take part.
        holdout: how many of the model's units never take part, 0 to 1.
        shadow: whether the treatment is called beside the control.
        hash_version: how units are hashed.
        metrics: what is recorded beside time, confidence and errors.
    """

    experiment: str
    model: str
    running: bool
    phase: int
    coverage: float
    arms: tuple[Arm, ...]
    group: str
    low: float
    high: float
    salt: str
    targeting: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    holdout: float = 0.0
    shadow: bool = False
    hash_version: int = 1
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Who gets which version: immutable, and the same everywhere.

    Args:
        mark: changes when anything of it does.
        champions: model to the number of its champion, of the models that have experiments.
        experiments: running and paused ones, oldest first.
    """

    mark: str
    champions: Mapping[str, str]
    experiments: tuple[Routed, ...]


def free_part(taken: Sequence[tuple[float, float]], wanted: float) -> tuple[float, float] | None:
    """Give the lowest free stretch of 0 to 1 that is as long as wanted, or None.

    Example:
        >>> free_part([(0.0, 0.5)], 0.5), free_part([(0.0, 0.5)], 0.6)
        ((0.5, 1.0), None)
    """
    low = 0.0
    for begin, end in [*sorted(taken), (1.0, 1.0)]:
        if begin - low >= wanted - 1e-9:
            return low, min(begin, low + wanted)
        low = max(low, end)
    return None
