"""The worker processes of one run: hired, given tasks, replaced when they die, ended."""

import contextlib
import signal
import threading
import time
from collections import Counter, deque
from multiprocessing.connection import wait
from typing import Any, Final

from herdbook.core.engines import TRIES, Done
from herdbook.engines.calling import Answer, killed, opened
from herdbook.engines.feeding import Numbered, packed_value
from herdbook.engines.hiring import Given, Worker, hired
from herdbook.errors import Invalid, TaskFailed, Unavailable

POLITE_SECONDS: Final = 5.0
FIRM_SECONDS: Final = 1.0


class Fleet:
    """Worker processes, and the tasks they hold.

    Args:
        make: packed.
        size: how many workers.
    """

    def __init__(self, make: bytes, size: int) -> None:
        self._make = make
        self._size = size
        self._workers: list[Worker] = []
        self._waiting: deque[Given] = deque()
        self._answers: list[Done[Any, Any]] = []
        self._deaths: Counter[int] = Counter()
        self._failed_starts = 0
        self._ended = False
        # An engine may be closed by another thread than the one that works.
        self._lock = threading.Lock()

    def start(self) -> None:
        """Hire all workers."""
        for _ in range(self._size):
            self._workers.append(hired(self._make, self._size))

    def has_room(self) -> bool:
        """Say whether another task may be taken."""
        return not self._waiting and any(worker.has_room() for worker in self._workers)

    def busy(self) -> bool:
        """Say whether any task is not handed over yet."""
        held = any(worker.held for worker in self._workers)
        return held or bool(self._waiting or self._answers)

    def take(self, task: Numbered) -> None:
        """Take a task, to be given to a worker."""
        try:
            given = Given(task, packed_value(task.task))
        except Invalid as error:
            self._answers.append(Done(task=task.task, error=error))
            return
        self._waiting.append(given)
        self._hand_out()

    def collect(self, seconds: float | None) -> list[Done[Any, Any]]:
        """Wait until something happens, for at most so long, and give what is done.

        Raises:
            HerdbookError: `make` failed in a worker.
            TaskFailed: workers die before they are ready.
            Unavailable: the engine was closed meanwhile.
        """
        if not self._answers:
            self._hear(seconds)
        answers, self._answers = self._answers, []
        return answers

    def dismiss(self) -> None:
        """Tell the workers that there is no more, and give them a moment to end."""
        for worker in self._workers:
            worker.connection.close()
        self._join(POLITE_SECONDS)

    def kill(self) -> None:
        """End the workers whatever they do. What they worked on is done again some day."""
        self._ended = True
        with self._lock:
            for worker in self._workers:
                worker.process.terminate()
            self._join(FIRM_SECONDS)
            for worker in self._workers:
                worker.bury()
            self._workers.clear()

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))

    def _hear(self, seconds: float | None) -> None:
        # A child of a worker may hold its pipe open, so its death is watched for as well.
        signs = [worker.connection for worker in self._workers]
        deaths = [worker.process.sentinel for worker in self._workers]
        seen = set(wait([*signs, *deaths], seconds))
        with self._lock:
            self._listen_to(seen)
            self._hand_out()

    def _listen_to(self, seen: set[Any]) -> None:
        if self._ended:
            raise Unavailable("the engine was closed while it worked; open it again")
        for worker in list(self._workers):
            if not seen.isdisjoint((worker.connection, worker.process.sentinel)):
                self._listen(worker)

    def _listen(self, worker: Worker) -> None:
        # Looked at first: what a worker sent before it died can still be read.
        dead = not worker.process.is_alive()
        try:
            while worker.connection.poll():
                self._heard(worker, opened(worker.connection.recv_bytes()))
        except (EOFError, OSError):
            dead = True
        if dead:
            self._lost(worker)

    def _heard(self, worker: Worker, answer: Answer) -> None:
        if worker.ready:
            task = worker.answered()
            self._deaths.pop(task.number, None)
            self._answers.append(answer.done(task.task))
        elif answer.error:
            raise answer.error
        else:
            worker.ready, self._failed_starts = True, 0

    def _lost(self, worker: Worker) -> None:
        self._workers.remove(worker)
        how = _how_it_ended(worker.bury())
        if worker.ready:
            self._take_back(worker, how)
        else:
            self._failed_starts += 1
        if self._failed_starts < TRIES:
            self._workers.append(hired(self._make, self._size))
        elif not self._workers:
            raise TaskFailed(
                f"{TRIES} workers died before they were ready ({how}): a script that uses worker "
                "processes begins its work under `if __name__ == '__main__':`; else look whether "
                "the memory is enough for a model in each, and take fewer workers"
            )

    def _take_back(self, worker: Worker, how: str) -> None:
        if worker.held:
            # The first is the one it worked on; the next had not begun.
            worked_on = worker.held[0].task
            self._deaths[worked_on.number] += 1
            if self._deaths[worked_on.number] >= TRIES:
                worker.held.popleft()
                self._answers.append(Done(task=worked_on.task, error=killed(how)))
        self._waiting.extendleft(reversed(worker.held))

    def _hand_out(self) -> None:
        while self._waiting:
            given = self._waiting[0]
            able = [worker for worker in self._workers if worker.has_room(len(given.data))]
            if not able:
                return
            # Should it be deaf, another gets the task.
            with contextlib.suppress(OSError):
                min(able, key=lambda worker: len(worker.held)).give(given)
                self._waiting.popleft()


def _how_it_ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
