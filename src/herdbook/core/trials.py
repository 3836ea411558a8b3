"""What the verbs of experiments ask of a database; each sentence is a conformance test."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from herdbook.core.experiments import Experiment
from herdbook.core.pages import Page
from herdbook.core.recording import ArmSums


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What was recorded and no batch holds yet.

    Args:
        deltas: how many workers' deltas.
        results: how many results are in them.
        since: when the oldest came, or None.
    """

    deltas: int
    results: int
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The evidence of an experiment as it is kept.

    Args:
        batches: how many it was made from.
        at: when the last was.
        seen: which units were seen, see `services.sightings`.
        state: the evidence, as JSON.
        evaluation: what it says, as JSON.
        point: the same in short, as JSON.
    """

    batches: int
    at: datetime
    seen: bytes
    state: str
    evaluation: str
    point: str = ""


class Experiments(Protocol):
    """The experiments, what was recorded of them and their evidence."""

    def add(self, experiment: Experiment) -> int:
        """Add an experiment and give its number; AlreadyExists when the name is taken."""

    def get(self, name: str) -> Experiment:
        """Give an experiment by its name; NotFound."""

    def hold(self, name: str) -> Experiment:
        """Give an experiment that nobody changes until this work ends; others may hold it too."""

    def lock(self, name: str) -> Experiment:
        """Give an experiment and keep other writers of it waiting until this work ends."""

    def save(self, experiment: Experiment) -> None:
        """Write an experiment over what was; it is looked at again at once."""

    def page(
        self, *, model: str | None, state: str | None, size: int, page: str | None
    ) -> Page[Experiment]:
        """Give experiments, newest first."""

    def live(self, *, model: str | None = None, group: str | None = None) -> Sequence[Experiment]:
        """Give those that have not ended, oldest first: all, of a model, or of a group.

        Those of a group also when the actor may not see them: they take part of its units.
        """

    def hold_parts(self) -> None:
        """Keep other works that give experiments parts of a group's units waiting."""

    def take(self, worker: str, sequence: int, *, dropped: int) -> tuple[int, bool]:
        """Count a worker's delta unless it, or a later one, was counted.

        Gives the last sequence that counts, and whether this is it for the first time.
        """

    def put(self, experiment: Experiment, arms: Sequence[ArmSums]) -> None:
        """Keep what was recorded of an experiment until it is consumed."""

    def add_late(self, experiment: Experiment, results: int) -> None:
        """Count results that cannot be part of the evidence."""

    def late(self, experiment: Experiment) -> int:
        """Give how many results could not be part of the evidence."""

    def counts(self) -> Mapping[str, int]:
        """Count all experiments by their state, hidden ones included."""

    def due(self) -> bool:
        """Whether one is to be looked at."""

    def claim(self, *, skip: Sequence[int]) -> Experiment | None:
        """Give one that is to be looked at, locked; None when there is none nobody else has."""

    def attempt(self) -> AbstractContextManager[None]:
        """Undo what is written inside when an error leaves it."""

    def hurry(self, model: str) -> None:
        """Have the experiments of a model looked at now."""

    def postpone(self, experiment: Experiment, until: datetime) -> None:
        """Have an experiment looked at again at a time, not before."""

    def waiting(self, experiment: Experiment) -> Waiting:
        """Tell how much was recorded that no batch holds yet."""

    def consume(self, experiment: Experiment, *, limit: int) -> Sequence[ArmSums]:
        """Take out the oldest of what waits, at most so many deltas."""

    def kept(self, experiment: Experiment) -> Kept | None:
        """Give the evidence as it is kept, or None before the first batch."""

    def keep(self, experiment: Experiment, kept: Kept, *, batch: Sequence[ArmSums]) -> None:
        """Write the evidence, with the batch it was made from when there was one."""

    def batches(self, experiment: Experiment) -> Iterator[tuple[datetime, tuple[ArmSums, ...]]]:
        """Give every batch the evidence was made from, in order, one in memory at a time."""

    def points(self, experiment: Experiment, *, step: int) -> Sequence[str]:
        """Give what was said in short after each `step`-th batch, and after the last, in order."""
