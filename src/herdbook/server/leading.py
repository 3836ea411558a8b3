"""Looks at the experiments of a server, and acts: every second, whoever else does so too.

What two servers on one database look at never overlaps: whoever looks holds a lock on the row.
"""

import asyncio
from typing import Final

from herdbook.core.access import everything
from herdbook.errors import HerdbookError
from herdbook.server.log import logger
from herdbook.server.metrics import Metrics
from herdbook.server.transactions import Register
from herdbook.services import leading

LOOK_SECONDS: Final = 1.0
_SERVER: Final = everything("server")


class Leader:
    """The part of a server that looks at experiments.

    Args:
        register: where they are.
        metrics: where what is done is counted.
        look_seconds: how long to wait between looks.
    """

    def __init__(
        self, register: Register, *, metrics: Metrics, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._register = register
        self._metrics = metrics
        self._look_seconds = look_seconds

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except HerdbookError as error:
                logger().warning("experiments wait", detail=error.message)
            except Exception:  # noqa: BLE001 - a door: what fails here must not end the server
                logger().exception("experiments wait")
            await asyncio.sleep(self._look_seconds)

    async def look(self) -> None:
        """Look once at what is due."""
        self._metrics.states(await self._register.read(_SERVER, leading.counts))
        # A look costs a read; only what is due is worth a write.
        if not await self._register.read(_SERVER, leading.due):
            return
        done = await self._register.write(_SERVER, leading.advance, long=True)
        self._metrics.experiments(looked=done.looked, acted=len(done.acted))
        for sentence in done.acted:
            logger().info("experiment", done=sentence)
