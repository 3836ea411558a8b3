"""A worker process is started, with surroundings of its own, and buried."""

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

from herdbook.core.engines import AHEAD
from herdbook.engines.feeding import Numbered
from herdbook.engines.worker import serve

SMALL_BYTES: Final = 16_384
"""What surely fits into a pipe beside another: a larger task is sent only to an idle worker,
which reads it at once; else worker and parent could wait for each other for ever."""
SHORT_SECONDS: Final = 1.0
"""A worker whose tasks take longer is not given the next one before it asks: another may be
idle long before it comes to it, and the moment it waits for it is nothing beside its work."""

# How many threads NumPy, ONNX, tokenizers and their like start in each process: read once, when
# they are imported.
THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
_SPAWN: Final = multiprocessing.get_context("spawn")
_SURROUNDINGS: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Given:
    """A task and its packed form."""

    task: Numbered
    data: bytes


@dataclass(slots=True, eq=False)
class Worker:
    """A worker process as its parent sees it.

    Attributes:
        held: the tasks it was given and has not answered, the one it works on first.
        ready: it has made what it calls.
        deaf: nothing can be sent to it: it is dead, and will be heard of.
        since: when it began what it works on.
        took_seconds: by its last task.
    """

    process: SpawnProcess
    connection: Connection
    held: deque[Given] = field(default_factory=deque)
    ready: bool = False
    deaf: bool = False
    since: float = 0.0
    took_seconds: float = math.inf

    def has_room(self, size: int = 0) -> bool:
        """Say whether it may be given a task of so many bytes."""
        if self.deaf or not self.ready:
            return False
        next_too = self.took_seconds < SHORT_SECONDS and size <= SMALL_BYTES
        return not self.held or (next_too and len(self.held) < AHEAD)

    def give(self, given: Given) -> None:
        """Send a task.

        Raises:
            OSError: the worker is dead, and does not hold the task.
        """
        try:
            self.connection.send_bytes(given.data)
        except OSError:
            self.deaf = True
            raise
        if not self.held:
            self.since = time.monotonic()
        self.held.append(given)

    def answered(self) -> Numbered:
        """Give the task that it has answered."""
        now = time.monotonic()
        self.took_seconds, self.since = now - self.since, now
        return self.held.popleft().task

    def bury(self) -> int | None:
        """End the process for good and give its exit code."""
        self.connection.close()
        self.process.kill()
        self.process.join()
        code = self.process.exitcode
        self.process.close()
        return code


def hired(make: bytes, workers: int) -> Worker:
    """Start a worker process.

    Args:
        make: packed, sent to it.
        workers: among how many it shares the machine's cores.
    """
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=serve, args=(theirs, os.getpid()), daemon=True)
    with _surroundings(max(1, cores() // workers)):
        process.start()
    theirs.close()
    # Should it be dead already, that is seen as any worker's death is.
    with contextlib.suppress(OSError):
        ours.send_bytes(make)
    return Worker(process, ours)


def cores() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _surroundings(threads: int) -> Iterator[None]:
    """Set what a child inherits, and take it back.

    A child started clean imports the parent's main module, and NumPy with it, before any code of
    ours runs there: so the variables have to be there when it starts. What the user has set stays.
    SIGINT is held back from it until it ignores it.
    """
    with _SURROUNDINGS:
        added = [name for name in THREADS if name not in os.environ]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ.update(dict.fromkeys(added, str(threads)))
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
