"""An experiment to serve and to record for, of a model of its own."""

import contextvars
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from herdbook.core.decisions import ArmMetrics, Evaluation
from herdbook.front.book import Herdbook

COUNT = itertools.count(1)


class Trial:
    """An experiment of a model of its own: v1 against v2."""

    def __init__(self, book: Herdbook, **settings: Any) -> None:
        self.book = book
        self.model = f"gnn-call-{next(COUNT)}"
        self.name = f"{self.model}_test"
        for number in ("v1", "v2"):
            book.models.register(self.model, number, git_commit="")
        book.deployments.promote(f"{self.model}:v1")
        book.experiments.start(self.name, self.model, "v2", **settings)
        self.look()

    def look(self) -> None:
        """See now what the thread in the background would see within a second."""
        self.book.experiments._calls.assigner.refresh()

    def units(self, arm: str) -> Iterator[str]:
        """Units that get an arm, asked where nobody remembers them as the last."""
        snapshot = self.book.experiments.snapshot
        users = (f"user{at}" for at in itertools.count())
        return (user for user in users if snapshot.assign(self.model, user).counted == arm)

    def unit(self, arm: str = "treatment") -> str:
        """The first unit that gets an arm."""
        return next(self.units(arm))

    def serve(self, arm: str = "treatment") -> Any:
        """Begin a call of a unit that gets an arm."""
        return self.book.serve(self.model, unit=self.unit(arm))

    def said(self) -> Evaluation:
        """What the register knows once everything is sent."""
        self.book.experiments.flush()
        return self.book.experiments.evaluate(self.name)

    def of(self, arm: str = "treatment") -> ArmMetrics:
        """What it knows of an arm."""
        return self.said().metrics(arm)

    def results(self) -> tuple[int, int]:
        """Of control and treatment."""
        control, treatment = self.said().arms
        return control.results, treatment.results


def apart(do: Callable[[], Any]) -> Any:
    """Do something where nothing was assigned before."""
    return contextvars.Context().run(do)
