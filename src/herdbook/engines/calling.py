"""A task is called and its answer packed, so that nothing a task does can end a worker's loop."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from herdbook.core.engines import TRIES, Done
from herdbook.errors import HerdbookError, TaskFailed

LONGEST: Final = 2_000
"""Characters of a foreign message that are kept: some repeat their whole input."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says about a task, or about `make`."""

    result: Any = None
    error: HerdbookError | None = None

    def done(self, task: Any) -> Done[Any, Any]:
        """Give it as the caller sees it."""
        return Done(task=task, result=self.result, error=self.error)


def as_ours(error: Exception, *, doing: str) -> HerdbookError:
    """Give an exception as one of Herdbook's own.

    Args:
        error: any exception; ours stay as they are.
        doing: what failed, the beginning of the sentence.
    """
    if isinstance(error, HerdbookError):
        return error
    said = f"{type(error).__name__}: {error}"
    cut = said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
    return TaskFailed(f"{doing} failed with {cut}", details={"type": type(error).__name__})


def called(call: Callable[[Any], Any], task: Any) -> Answer:
    """Do one task."""
    try:
        return Answer(call(task))
    except Exception as error:  # noqa: BLE001 - a worker is a door: the caller decides
        return Answer(error=as_ours(error, doing="a task"))


def made(make: Callable[[], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Make what is called.

    Raises:
        HerdbookError: it cannot be made.
    """
    try:
        return make()
    except Exception as error:
        raise as_ours(error, doing="making what the workers call") from error


def unpacked(make: bytes) -> Callable[[Any], Any]:
    """Make what is called from `make` as another process packed it.

    Raises:
        HerdbookError: it cannot be made here.
    """
    return made(lambda: pickle.loads(make)())  # noqa: S301 - our own parent packed it


def packed(answer: Answer) -> bytes:
    """Pack an answer for another process; one that cannot be packed becomes an error that can."""
    try:
        data = pickle.dumps(answer, protocol=5)
        if answer.error:
            # Some exceptions are packed without complaint and fail only when they are unpacked.
            pickle.loads(data)  # noqa: S301 - made one line above
    except Exception as error:  # noqa: BLE001 - anything may happen in a foreign __reduce__
        return packed(Answer(error=_packable(answer.error, error)))
    return data


def opened(data: bytes) -> Answer:
    """Read an answer that `packed` made."""
    try:
        answer: Answer = pickle.loads(data)  # noqa: S301 - our own worker packed it
    except Exception as error:  # noqa: BLE001 - anything may happen in a foreign __setstate__
        return Answer(error=as_ours(error, doing="reading a task's result"))
    return answer


def _packable(error: HerdbookError | None, why: Exception) -> HerdbookError:
    """Give a plain copy of an error, or say that the result itself is the trouble."""
    if error is None:
        return as_ours(why, doing="packing a task's result, which has to be picklable,")
    for kind in type(error).__mro__:
        if kind.__module__ == HerdbookError.__module__ and issubclass(kind, HerdbookError):
            return kind(error.message, field=error.field)
    return TaskFailed(error.message)  # pragma: no cover - every error descends from ours


def killed(how: str) -> HerdbookError:
    """Say that a task is given up."""
    return TaskFailed(
        f"a task was given up after {TRIES} workers died over it ({how}); look at it alone: it "
        "may need more memory than a worker has",
        details={"tries": TRIES},
    )
