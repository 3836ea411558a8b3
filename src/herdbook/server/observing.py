"""Looks at the register when Prometheus asks: once for whoever asks within a second.

Each server of a register shows the same, for all of it is read from there. A version that is
deleted, archived or watched no more is not in the next answer.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from herdbook.core.access import everything
from herdbook.core.ports import Work
from herdbook.errors import HerdbookError
from herdbook.server.families import families
from herdbook.server.log import logger
from herdbook.server.metrics import Metrics
from herdbook.server.transactions import Register
from herdbook.services import observing
from herdbook.services.observing import COUNTED, Happened, Observed

KEEP_SECONDS: Final = 1.0
_SERVER: Final = everything("server")

T = TypeVar("T")


class Observer(Collector):
    """The part of a server that shows the register.

    Args:
        register: what is shown.
        metrics: what it is shown beside.
        models: whether models may be named.
        timer: gives seconds, from any start.
    """

    def __init__(
        self,
        register: Register,
        metrics: Metrics,
        *,
        models: bool = True,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._register = register
        self._metrics = metrics
        self._models = models
        self._timer = timer
        self._turn = asyncio.Lock()
        self._until = float("-inf")
        self._observed = Observed()
        self._after: Mapping[str, int] = {}
        self._counts: Counter[Happened] = Counter()
        metrics.show(self)

    def collect(self) -> Iterable[Metric]:
        """Give what was seen last."""
        return families(self._observed, self._counts, models=self._models)

    async def begin(self) -> None:
        """Count from here on; a register that cannot be read now is counted from the first look."""
        try:
            seq = await self._reading(observing.head)
        except HerdbookError as error:
            logger().warning("metrics wait", detail=error.message)
            return
        self._after = dict.fromkeys(COUNTED, seq)

    async def look(self) -> None:
        """Look, unless somebody did so less than a second ago."""
        async with self._turn:
            if self._timer() < self._until:
                return
            if not self._after:
                await self.begin()
            await self._reading(self._seen)
            self._until = self._timer() + KEEP_SECONDS

    async def text(self) -> bytes:
        """Look, and give all metrics as Prometheus reads them."""
        await self.look()
        return await self._register.slowly(self._metrics.text)

    async def _reading(self, job: Callable[[Work], T]) -> T:
        """Run a job in a thread: hundreds of versions are too much for between two requests."""

        def run() -> T:
            with self._register.opened(_SERVER) as work:
                return job(work)

        return await self._register.slowly(run)

    def _seen(self, work: Work) -> None:
        head = observing.head(work)
        self._observed = observing.observed(work, models=self._models)
        found, self._after = observing.happened(
            work, after=self._after or dict.fromkeys(COUNTED, head)
        )
        # Not changed but replaced: another thread may be writing the last ones out.
        self._counts = self._counts + Counter(found)
        self._metrics.head(head)
