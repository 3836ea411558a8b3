"""Where batch work runs: what Herdbook asks of an engine. It knows nothing of documents."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from herdbook.errors import HerdbookError

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD: Final = 2
"""How many tasks a worker is given at once: the one it works on and the next."""

TRIES: Final = 3
"""After so many workers died over one task, it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[Task, Result]):
    """What became of a task.

    Args:
        task: equal to the one given, not always the same object.
        result: what the callable gave; None when it failed.
        error: why it failed. An error of Herdbook comes back with its class, code and message;
            any other exception, and a task that killed its workers, as `TaskFailed`.
    """

    task: Task
    result: Result | None = None
    error: HerdbookError | None = None


class Engine(Protocol):
    """Runs one callable over many tasks.

    * Each worker calls `make` once, before its first task, and keeps the callable it gives.
    * Every task is done at least once; results come in the order in which they are done.
    * A task that fails ends nothing: its `Done` carries the error.
    * A worker that dies is replaced and its task given again, until three workers died over it.
    * Tasks are asked for one at a time, at most two for each worker ahead of those done, and
      what is done is handed over first.
    * Ending the iterator of results, Ctrl-C and the death of this process end the workers.
    """

    def run(
        self,
        make: Callable[[], Callable[[Task], Result]],
        tasks: Iterable[Task | None],
    ) -> Iterator[Done[Task, Result]]:
        """Do all tasks.

        Args:
            make: picklable: a function of a module, a partial of one, or an instance of a class.
                Loads what a worker needs and gives what is called once for each task.
            tasks: small picklable values. None says "none just now": what is done meanwhile is
                handed over, and the next is asked for after a moment. So a caller can pause
                or throttle for any time without keeping back what is already done.

        Raises:
            HerdbookError: `make` failed, or no worker can be had. No task's error is raised.
        """
        ...

    def close(self) -> None:
        """End the workers of every run, and what the engine itself started."""
        ...
