"""Experiments for tests: started in a line, and results as workers tell them."""

from typing import Any

from herdbook.core.experiments import Experiment, Plan
from herdbook.core.models import Status
from herdbook.core.recording import ArmSums, Delta, Folded, Recorded
from herdbook.services import experiments, serving
from tests.registers import Register


def plan(name: str = "gnn_test", *, model: str = "gnn", **said: Any) -> Plan:
    """A plan that tries v2 against the champion."""
    return Plan(**{"name": name, "model": model, "control": "", "treatments": ("v2",)} | said)


def served(register: Register, model: str = "gnn", *, more: tuple[str, ...] = ("v2",)) -> Register:
    """A register with v1 of a model in production, and more versions of it."""
    register.add(f"{model}:v1", status=Status.PRODUCTION)
    for number in more:
        register.add(f"{model}:{number}")
    return register


def start(
    register: Register, name: str = "gnn_test", *, model: str = "gnn", **said: Any
) -> Experiment:
    """Start an experiment."""
    return register.write(experiments.start, plan=plan(name, model=model, **said))


def delta(
    *arms: ArmSums, worker: str = "worker-1", sequence: int = 1, experiment: str = "gnn_test"
) -> Delta:
    """What a worker tells of one experiment."""
    told = (Recorded(experiment=experiment, arms=arms),) if arms else ()
    return Delta(worker=worker, sequence=sequence, recorded=told)


def arm(name: str = "control", *, phase: int = 1, results: int = 1, **sums: Any) -> ArmSums:
    """What one arm did."""
    return ArmSums(phase=phase, arm=name, results=results, **sums)


def fold(register: Register, *arms: ArmSums, **told: Any) -> Folded:
    """Deliver what a worker tells."""
    return register.write(serving.fold, delta=delta(*arms, **told))
