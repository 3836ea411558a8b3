"""Tasks are asked for one at a time, and given a number each."""

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

from herdbook.errors import Invalid


@dataclass(frozen=True, slots=True)
class Numbered:
    """A task as it was given, and its number, from 0."""

    number: int
    task: Any


class Feed:
    """The tasks still to come.

    Attributes:
        over: there are no more.
        quiet: the last one asked for was None: there are none just now.
    """

    def __init__(self, tasks: Iterable[Any]) -> None:
        self._tasks = iter(tasks)
        self._numbers = count()
        self.over = False
        self.quiet = False

    def next(self) -> Numbered | None:
        """Ask for one task; None says there is none, for now or for good."""
        if self.over:
            return None
        try:
            task = next(self._tasks)
        except StopIteration:
            self.over, self.quiet = True, False
            return None
        self.quiet = task is None
        return None if task is None else Numbered(next(self._numbers), task)


def packed_value(value: Any) -> bytes:
    """Pack a task or a `make` for another process.

    Raises:
        Invalid: it cannot be packed.
    """
    try:
        return pickle.dumps(value, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise Invalid(
            f"{value!r:.120} cannot be sent to a worker ({error}); use a function or class of a "
            "module and plain values, or the local engine with no workers"
        ) from error
