"""What the workers of these tests do."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from herdbook.errors import Conflict, HerdbookError


class Odd(Conflict):
    """An error that needs more than a message to be made."""

    code = "conflict"

    def __init__(self, number: int, *, why: str) -> None:
        super().__init__(f"{number} is odd: {why}", details={"number": number})


@dataclass(frozen=True)
class Job:
    """Makes what is called; keeps a book of makings and calls in a folder.

    Args:
        folder: a file for each event.
        seconds: how long a task takes.
        once: tasks that kill their worker the first time.
        always: tasks that kill their worker every time.
        wrong: tasks that fail.
    """

    folder: Path
    seconds: float = 0.0
    once: frozenset[int] = frozenset()
    always: frozenset[int] = frozenset()
    wrong: frozenset[int] = frozenset()

    def __call__(self) -> Callable[[int], int]:
        """Make what is called."""
        self.note("made")
        return self.work

    def note(self, event: str) -> None:
        """Write an event down."""
        (self.folder / f"{event}-{os.getpid()}-{time.monotonic_ns()}").touch()

    def work(self, task: int) -> int:
        """Square a number, unless it is one of the deadly or wrong ones."""
        first = not any(self.folder.glob(f"begun-{task}-*"))
        self.note(f"begun-{task}")
        if task in self.always or (first and task in self.once):
            os.kill(os.getpid(), signal.SIGKILL)
        if task in self.wrong:
            raise Conflict(f"{task} is in the way", field="task", details={"task": task})
        time.sleep(self.seconds)
        self.note(f"done-{task}")
        return task * task


def makings(folder: Path) -> int:
    """Count how often `make` was called."""
    return len(list(folder.glob("made-*")))


def workers_seen(folder: Path) -> list[int]:
    """Give the process ids of those that were made, the oldest first."""
    made = sorted(folder.glob("made-*"), key=lambda path: int(path.name.split("-")[2]))
    return [int(path.name.split("-")[1]) for path in made]


def failing() -> Callable[[int], int]:
    """Make a callable that fails for odd numbers, in several ways."""

    def fail(task: int) -> int:
        if task % 4 == 1:
            raise Conflict(f"{task} is in the way", field="task", details={"task": task})
        if task % 4 == 3:
            raise ValueError(f"{task} is no good")
        return task

    return fail


def awkward() -> Callable[[int], object]:
    """Make a callable whose answers are hard to pack."""

    def answer(task: int) -> object:
        if task == 0:
            return lambda: 0
        if task == 1:
            raise Odd(task, why="it is one")
        if task == 2:
            raise Conflict("2 has company", details={"lock": os.fdopen})
        error = HerdbookError("3 has a lambda")
        error.details["call"] = lambda: 0
        raise error

    return answer


def unmakeable() -> Callable[[int], int]:
    """Fail to make anything."""
    raise Conflict("no model is here; pull it first")


def unloadable() -> Callable[[int], int]:
    """Fail as a library would."""
    raise OSError("weights.bin is cut off")


def deadly() -> Callable[[int], int]:
    """Die instead of making anything."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def threads_of() -> Callable[[str], str | None]:
    """Make a callable that tells what a variable of its surroundings is."""
    return os.environ.get


def echo() -> Callable[[bytes], bytes]:
    """Make a callable that gives back what it gets."""
    return bytes


def busy_matrices() -> Callable[[int], float]:
    """Make a callable that keeps one core busy for some fifty milliseconds."""
    import numpy as np

    rng = np.random.default_rng(7)
    values = rng.random(400_000)

    def work(rounds: int) -> float:
        began, total = time.thread_time(), 0.0
        while time.thread_time() - began < 0.05 * rounds:
            total += float(np.sort(values)[::1000].sum())
        return total

    return work
