"""What runs inside a Ray cluster: seats that do the tasks, and a desk that hands them out.

Ray Data keeps the seats: each row of its dataset is one, and the pool of actors that
`map_batches` works with sits in them, started, placed, restarted and moved by Ray. A seat asks
the desk for one task after another. So the tasks can be given lazily and a model is loaded once
for each actor, which a dataset of the tasks themselves does not allow: it takes all its rows
before it begins.

Nothing here imports Ray before it runs in it.
"""

import asyncio
import pickle
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from herdbook.core.engines import TRIES
from herdbook.engines.calling import Answer, killed, packed, unpacked
from herdbook.engines.worker import answered
from herdbook.errors import HerdbookError, Unavailable

Given = tuple[int, bytes]
BEATS_IN_SILENCE: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What the workers are.

    Args:
        make: packed.
        least: how many workers have to be there.
        most: how many there may be.
        cpus: of each.
        silence_seconds: a worker that was not heard of for so long is taken for dead.
        patience_seconds: for how long there may be no worker at all.
    """

    make: bytes
    least: int
    most: int
    cpus: float
    silence_seconds: float
    patience_seconds: float


@dataclass(slots=True)
class _Sitter:
    """A worker as the desk knows it: its seat, when it was last heard of, the task it has."""

    seat: int
    heard: float
    holds: Given | None = None


@dataclass(slots=True)
class _Book:
    """The tasks at the desk."""

    waiting: deque[Given] = field(default_factory=deque)
    answers: list[Given] = field(default_factory=list)
    deaths: Counter[int] = field(default_factory=Counter)


class Desk:
    """Hands tasks to the seats and answers to the driver. A Ray actor; it dies with the driver.

    Its methods are coroutines of one loop, so none needs a lock.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._book = _Book()
        self._sitters: dict[str, _Sitter] = {}
        self._changed = asyncio.Condition()
        self._ends: HerdbookError | None = None
        self._last_beat = time.monotonic()

    async def open(self) -> None:
        """Begin to keep the seats."""
        import ray

        desk = ray.get_runtime_context().current_actor
        threading.Thread(target=self._keep_seats, args=(desk,), daemon=True).start()

    async def exchange(self, tasks: list[Given], seconds: float) -> list[Given]:
        """Take more tasks and give what is done; wait for it at most so long.

        Raises:
            HerdbookError: no worker can be had, or none can make what it calls.
        """
        self._book.waiting.extend(tasks)
        async with self._changed:
            self._changed.notify_all()
        await self._wait(self._is_news, seconds)
        self._look_after_sitters()
        if self._ends and not self._book.answers:
            raise self._ends
        answers, self._book.answers = self._book.answers, []
        return answers

    async def turn(self, who: str, seat: int, answer: Given | None) -> Given | None:
        """Take a worker's answer and give it the next task; None asks it to come again."""
        sitter = self._seated(who, seat)
        if answer:
            sitter.holds = None
            self._book.answers.append(answer)
            self._book.deaths.pop(answer[0], None)
            async with self._changed:
                self._changed.notify_all()
        await self._wait(lambda: bool(self._book.waiting), self._pool.silence_seconds)
        if not self._book.waiting or who not in self._sitters:
            return None
        sitter.holds = self._book.waiting.popleft()
        return sitter.holds

    async def beat(self, who: str) -> None:
        """Hear that a worker lives."""
        self._last_beat = time.monotonic()
        if sitter := self._sitters.get(who):
            sitter.heard = self._last_beat

    async def broken(self, error: bytes) -> None:
        """Hear that a worker cannot make what it calls."""
        self._ends = pickle.loads(error).error  # noqa: S301 - our own worker packed it
        async with self._changed:
            self._changed.notify_all()

    def _is_news(self) -> bool:
        return bool(self._book.answers or self._ends)

    async def _wait(self, holds: Callable[[], bool], seconds: float) -> None:
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(holds), max(seconds, 0.001))
            except TimeoutError:
                return

    def _seated(self, who: str, seat: int) -> _Sitter:
        for other, sitter in list(self._sitters.items()):
            if sitter.seat == seat and other != who:
                # Ray has put another into the seat: who sat there is dead.
                self._bury(other)
        return self._sitters.setdefault(who, _Sitter(seat, time.monotonic()))

    def _look_after_sitters(self) -> None:
        now = time.monotonic()
        for who, sitter in list(self._sitters.items()):
            if now - sitter.heard > self._pool.silence_seconds:
                self._bury(who)
        if now - self._last_beat > self._pool.patience_seconds:
            self._ends = Unavailable(
                f"no worker was heard of for {self._pool.patience_seconds:g} seconds: look whether "
                f"a node of the Ray cluster has {self._pool.cpus:g} CPUs free and Herdbook "
                "installed; what was not done can be given again"
            )

    def _bury(self, who: str) -> None:
        held = self._sitters.pop(who).holds
        if not held:
            return
        self._book.deaths[held[0]] += 1
        if self._book.deaths[held[0]] < TRIES:
            self._book.waiting.appendleft(held)
        else:
            answer = packed(Answer(error=killed("Ray lost them")))
            self._book.answers.append((held[0], answer))

    def _keep_seats(self, desk: Any) -> None:
        try:
            keep_seats(self._pool, desk)
        except Exception as error:  # noqa: BLE001 - a thread's last word; the driver raises it
            self._ends = Unavailable(f"Ray Data gave up on its workers: {error!s:.2000}")


def keep_seats(pool: Pool, desk: Any) -> None:
    """Let Ray Data keep the workers at work until the desk is gone."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # More actors than rows would sit idle; fewer fill the seats when there is room for them.
    seats = ray.data.from_items(list(range(pool.most)), override_num_blocks=pool.most)
    taken = seats.map_batches(
        Seat,
        batch_size=1,
        num_cpus=pool.cpus,
        fn_constructor_args=(desk, pool.make, pool.silence_seconds / BEATS_IN_SILENCE),
        compute=ray.data.ActorPoolStrategy(
            min_size=pool.least,
            max_size=pool.most,
            initial_size=pool.most,
            # A second row in an actor's queue would be a seat that nobody sits in.
            max_tasks_in_flight_per_actor=1,
        ),
    )
    for _ in taken.iter_batches(batch_size=1, prefetch_batches=0):
        pass


class Seat:
    """A worker in a Ray cluster; an actor of Ray Data's pool."""

    def __init__(self, desk: Any, make: bytes, beat_seconds: float) -> None:
        self._desk = desk
        self._who = uuid.uuid4().hex
        threading.Thread(target=self._beat, args=(beat_seconds,), daemon=True).start()
        self._broken = b""
        try:
            self._call = unpacked(make)
        except HerdbookError as error:
            self._broken = packed(Answer(error=error))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do tasks for as long as there is a desk."""
        import ray

        if self._broken:
            ray.get(self._desk.broken.remote(self._broken))
            return batch
        seat, answer = int(batch["item"][0]), None
        while True:
            given = ray.get(self._desk.turn.remote(self._who, seat, answer))
            answer = (given[0], answered(self._call, given[1])) if given else None

    def _beat(self, seconds: float) -> None:
        # From a thread, so that a long task does not look like a death.
        while True:
            self._desk.beat.remote(self._who)
            time.sleep(seconds)
