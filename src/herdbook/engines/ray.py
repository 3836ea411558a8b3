"""Work on a Ray cluster, or on a small one started here."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, Final

from herdbook.core.engines import AHEAD, Done, Result, Task
from herdbook.engines.calling import opened
from herdbook.engines.feeding import Feed, packed_value
from herdbook.engines.ray_pool import Desk, Pool
from herdbook.errors import HerdbookError, Invalid, MissingExtra, Unavailable, Unreachable

QUIET_SECONDS: Final = 0.05
WAIT_SECONDS: Final = 1.0
STORE_BYTES: Final = 200 << 20
"""Of the object store of a Ray started here: only descriptions of work go through it."""


class RayEngine:
    """Runs tasks on Ray; see `ray_pool` for how.

    Herdbook, and whatever `make` names, has to be installed on every node, in the same versions.
    When a node is lost its workers move to where there is room: leave some, or the rest goes on
    with fewer.

    Args:
        address: `ray` starts a small Ray in this machine, or uses the one this process is
            connected to; `ray://host:10001` is a Ray client's address; `ray:host:6379` a
            cluster's this machine belongs to, `ray:auto` the one it finds.
        workers: how many at most, or the least and the most; 0 for as many as there are CPUs.
        cpus_per_worker: CPUs Ray keeps for each.
        silence_seconds: after which a worker that was not heard of is taken for dead.
        patience_seconds: for how long there may be no worker at all, while they are started or
            after all were lost.
    """

    def __init__(
        self,
        address: str = "ray",
        workers: int | tuple[int, int] = 0,
        cpus_per_worker: float = 1.0,
        *,
        silence_seconds: float = 30.0,
        patience_seconds: float = 300.0,
    ) -> None:
        pair = (min(workers, 1), workers) if isinstance(workers, int) else workers
        self._least, self._most = pair
        if not 0 <= self._least <= self._most or cpus_per_worker <= 0:
            raise Invalid(
                f"{workers} workers of {cpus_per_worker:g} CPUs: write how many at most, or the "
                "least and the most, and more than 0 CPUs",
                field="workers",
            )
        self._cpus = cpus_per_worker
        self._silence_seconds = silence_seconds
        self._patience_seconds = patience_seconds
        self._ray: Any = _needed()
        self._desks: list[Any] = []
        self._ours = _connected(self._ray, address, self._most * cpus_per_worker)

    def run(
        self,
        make: Callable[[], Callable[[Task], Result]],
        tasks: Iterable[Task | None],
    ) -> Iterator[Done[Task, Result]]:
        """Do all tasks; see `core.engines.Engine`."""
        pool, feed = self._pool(packed_value(make)), Feed(tasks)
        desk = self._desk(pool)
        self._desks.append(desk)
        try:
            yield from self._driven(feed, desk, pool.most * AHEAD)
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from None
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise Unavailable(
                f"the Ray cluster was lost ({error!s:.500}); what was not done can be given again"
            ) from error
        finally:
            self._desks.remove(desk)
            self._end(desk)

    def close(self) -> None:
        """End the workers of every run, and the connection to Ray if it was made here."""
        for desk in self._desks:
            self._end(desk)
        if self._ours:
            self._ours = False
            self._ray.shutdown()

    def _pool(self, make: bytes) -> Pool:
        there = self._ray.cluster_resources().get("CPU", 0.0)
        most = self._most or max(1, int(there / self._cpus))
        return Pool(
            make=make,
            least=max(1, self._least),
            most=most,
            cpus=self._cpus,
            silence_seconds=self._silence_seconds,
            patience_seconds=self._patience_seconds,
        )

    def _desk(self, pool: Pool) -> Any:
        node = self._ray.get_runtime_context().get_node_id()
        # Where the driver is: a desk elsewhere would be lost with a node that only lends workers.
        near = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=True)
        kind = self._ray.remote(num_cpus=0, max_concurrency=1_000, scheduling_strategy=near)(Desk)
        desk = kind.remote(pool)
        desk.open.remote()
        return desk

    def _driven(self, feed: Feed, desk: Any, room: int) -> Iterator[Done[Any, Any]]:
        given: dict[int, Any] = {}
        while given or not feed.over:
            fresh = feed.next() if len(given) < room else None
            packets = []
            if fresh:
                try:
                    packets = [(fresh.number, packed_value(fresh.task))]
                except Invalid as error:
                    yield Done(task=fresh.task, error=error)
                    continue
                given[fresh.number] = fresh.task
            elif feed.over and not given:
                return
            seconds = 0.0 if fresh else QUIET_SECONDS if feed.quiet else WAIT_SECONDS
            for number, answer in self._ray.get(desk.exchange.remote(packets, seconds)):
                # A task whose worker only seemed dead may be answered twice.
                if number in given:
                    yield opened(answer).done(given.pop(number))

    def _end(self, desk: Any) -> None:
        if self._ray.is_initialized():
            self._ray.kill(desk)


def _cause(error: Any) -> HerdbookError:
    cause = error.cause
    return (
        cause if isinstance(cause, HerdbookError) else Unavailable(f"Ray failed: {error!s:.2000}")
    )


def _needed() -> Any:
    try:
        import ray
        import ray.data
        import ray.util.scheduling_strategies
    except ModuleNotFoundError as missing:
        raise MissingExtra(
            f"batch work on Ray needs ray[data] ({missing.name} is not installed): "
            "pip install 'herdbook[ray]'"
        ) from None
    return ray


def _connected(ray: Any, address: str, cpus: float) -> bool:
    """Connect this process to Ray; False when it is already."""
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address == "ray":
            _start(ray, cpus, quiet)
        else:
            client = address.startswith("ray://")
            ray.init(address=address if client else address.removeprefix("ray:"), **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Unreachable(
            f"no Ray answers at {address} ({error!s:.500}); look whether it runs, and whether it "
            "asks for a token: then set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        ) from error
    return True


def _start(ray: Any, cpus: float, quiet: dict[str, Any]) -> None:
    """Start a small Ray that only this machine reaches, and that reports to nobody."""
    # Ray has no other way to be told to stay on the loopback address.
    constants = ray._private.ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    with _surroundings(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0"):
        constants.ENABLE_RAY_CLUSTER = False
        try:
            ray.init(
                num_cpus=ceil(cpus) or None,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                **quiet,
            )
        finally:
            constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _surroundings(**variables: str) -> Iterator[None]:
    """Set what processes started meanwhile inherit; what the user has set stays."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
