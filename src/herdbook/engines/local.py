"""Work in this process, or in worker processes of this machine."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from herdbook.core.engines import Done, Result, Task
from herdbook.engines.calling import called, made
from herdbook.engines.feeding import Feed, packed_value
from herdbook.engines.fleet import Fleet
from herdbook.errors import Invalid

QUIET_SECONDS: Final = 0.05


class LocalEngine:
    """Runs tasks on this machine.

    A process rather than a thread for each worker, started clean (`spawn`): a fork of a process
    with threads and model libraries may hang. A supervisor of our own rather than a
    ProcessPoolExecutor, which gives up the whole pool when one worker dies.

    Args:
        workers: processes to work in; 0 works in this process and thread, and packs nothing.
    """

    def __init__(self, workers: int = 0) -> None:
        if workers < 0:
            raise Invalid(
                f"{workers} workers: write 0 to work in this process, or how many processes",
                field="workers",
            )
        self._workers = workers
        self._fleets: set[Fleet] = set()

    def run(
        self,
        make: Callable[[], Callable[[Task], Result]],
        tasks: Iterable[Task | None],
    ) -> Iterator[Done[Task, Result]]:
        """Do all tasks; see `core.engines.Engine`."""
        if self._workers:
            return self._in_processes(make, tasks)
        return _here(make, tasks)

    def close(self) -> None:
        """End the workers of every run."""
        for fleet in list(self._fleets):
            fleet.kill()

    def _in_processes(self, make: Any, tasks: Iterable[Any]) -> Iterator[Done[Any, Any]]:
        feed, fleet = Feed(tasks), Fleet(packed_value(make), self._workers)
        self._fleets.add(fleet)
        try:
            fleet.start()
            yield from _supervised(feed, fleet)
            fleet.dismiss()
        finally:
            fleet.kill()
            self._fleets.discard(fleet)


def _supervised(feed: Feed, fleet: Fleet) -> Iterator[Done[Any, Any]]:
    while True:
        # One task at a time: whoever is slow in giving them does not keep back what is done.
        fresh = feed.next() if fleet.has_room() else None
        if fresh:
            fleet.take(fresh)
        elif feed.over and not fleet.busy():
            return
        patience = 0.0 if fresh and fleet.has_room() else None
        yield from fleet.collect(QUIET_SECONDS if feed.quiet else patience)


def _here(make: Any, tasks: Iterable[Any]) -> Iterator[Done[Any, Any]]:
    call, feed = made(make), Feed(tasks)
    while not feed.over:
        if fresh := feed.next():
            yield called(call, fresh.task).done(fresh.task)
        elif feed.quiet:
            time.sleep(QUIET_SECONDS)
