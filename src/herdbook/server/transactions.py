"""Units of work for requests: short SQLite calls in the event loop, the rest in threads.

A thread costs more than a short read of SQLite does, so those run where they are asked for.
Writes of one process to a SQLite file wait for each other here, not in the database: a write
that waits there would stop the event loop, and with it the write it waits for. What has
arrived meanwhile is committed together.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final, TypeVar, cast

import anyio.to_thread

from herdbook.core.access import Actor, everything
from herdbook.core.ports import Work
from herdbook.errors import Unavailable
from herdbook.storage.sql import health
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.work import Clock, Done, SqlWork, glancing, reading, together, utc_now
from herdbook.storage.sql.work import Job as WorkJob

T = TypeVar("T")
Job = Callable[[Work], T]
Outcome = Done[Any] | Exception


MEMORY_LIMIT: Final = 4_096
MEMORY_LIMIT_BYTES: Final = 32 * 1_048_576


class Memory(dict[Any, Any]):
    """What was read in one state of the register."""

    held_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to begin another."""
        return len(self) >= MEMORY_LIMIT or self.held_bytes >= MEMORY_LIMIT_BYTES


class Register:
    """A database, as the handlers of requests use it.

    Args:
        database: at the right revision.
        clock: tells the time of each unit of work.
    """

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self.database = database
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting: list[tuple[WorkJob[Any], asyncio.Future[Outcome]]] = []
        # Set when a commit left something in the outbox.
        self.enqueued = asyncio.Event()
        self._memory = Memory()
        self._memory_of = -1

    def memory(self) -> Memory | None:
        """Give a place for what was read, emptied by every commit and when it is full.

        None where others may commit too, for they would not be noticed.
        """
        if not self.database.owns_file:
            return None
        if self._memory_of != self.database.commits or self._memory.is_full:
            self._memory, self._memory_of = Memory(), self.database.commits
        return self._memory

    async def read(self, by: Actor, job: Job[T]) -> T:
        """Run a job that reads."""
        if self.database.is_sqlite:
            with glancing(self.database, by, clock=self._clock) as work:
                return job(cast(Work, work))
        return await anyio.to_thread.run_sync(partial(self._reading, by, job))

    async def write(self, by: Actor, job: Job[T], *, long: bool = False) -> T:
        """Run a job that writes, in one transaction.

        Args:
            by: who acts.
            job: what is done.
            long: whether it takes longer than others may wait for.
        """
        wanted = WorkJob(by, cast(Callable[[SqlWork], T], job))
        if self.database.owns_file and not long:
            done = await self._with_others(wanted)
        else:
            async with self._turn if self.database.is_sqlite else nullcontext():
                (done,) = await anyio.to_thread.run_sync(self._written, [wanted])
        if isinstance(done, Exception):
            raise done
        if done.enqueued:
            self.enqueued.set()
        return cast(T, done.value)

    async def _with_others(self, job: WorkJob[T]) -> Outcome:
        """Have a job done in one transaction with those that wait when its turn comes.

        The first to wait leads: one commit, which is one wait for the disk, serves them all.
        """
        mine: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, mine))
        if len(self._waiting) > 1:
            return await mine
        try:
            async with self._turn:
                await asyncio.sleep(0)  # whoever else has arrived joins
                self._settle()
        finally:
            for _, left in self._waiting:
                if not left.done():
                    left.set_exception(Unavailable("the server is stopping; try again"))
            self._waiting.clear()
        return mine.result()

    def _settle(self) -> None:
        taken, self._waiting = self._waiting, []
        for (_, future), outcome in zip(taken, self._written([j for j, _ in taken]), strict=True):
            if not future.cancelled():
                future.set_result(outcome)

    def _written(self, jobs: list[WorkJob[Any]]) -> list[Outcome]:
        try:
            return [*together(self.database, jobs, clock=self._clock)]
        except Exception as error:  # noqa: BLE001 - it is raised where the job was asked for
            if len(jobs) == 1:
                return [error]
        # Something failed for all of them: each is tried alone, and told what is its own.
        return [outcome for job in jobs for outcome in self._written([job])]

    async def probe(self) -> str | None:
        """Really write to the database and read from it; give the revision it is at."""
        return await self.write(
            everything("server"), lambda work: health.probe(cast(Any, work).connection)
        )

    def opened(self, by: Actor) -> AbstractContextManager[Work]:
        """Open a unit of work that reads, for a thread of its own."""
        return cast(AbstractContextManager[Work], reading(self.database, by, clock=self._clock))

    def _reading(self, by: Actor, job: Job[T]) -> T:
        with self.opened(by) as work:
            return job(work)

    async def slowly(self, job: Callable[[], T]) -> T:
        """Run what takes long, in a thread."""
        return await anyio.to_thread.run_sync(job)


def lines_in_chunks(lines: Iterator[str], *, size: int = 65_536) -> Iterator[bytes]:
    """Join lines into chunks, each ending with a line feed."""
    held: list[str] = []
    length = 0
    for line in lines:
        held += (line.rstrip("\n"), "\n")
        length += len(line)
        if length >= size:
            yield "".join(held).encode()
            held, length = [], 0
    if held:
        yield "".join(held).encode()
