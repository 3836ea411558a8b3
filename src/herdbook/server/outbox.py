"""Delivers webhooks: claims what is due, sends it outside any transaction, notes how it went.

A claim pushes the next attempt a minute ahead, so that a server that dies with deliveries on
their way leaves them to the next one. A receiver may be told twice; the Idempotency-Key of a
delivery is the same at every attempt.
"""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Final

import anyio

from herdbook.core.access import everything
from herdbook.core.events import Event
from herdbook.core.ports import Work
from herdbook.core.webhooks import Delivery, Webhook
from herdbook.errors import HerdbookError
from herdbook.protocols import cloudevents
from herdbook.server import outgoing, replays
from herdbook.server.log import logger
from herdbook.server.metrics import Metrics
from herdbook.server.transactions import Register
from herdbook.services import webhooks

POLL_SECONDS: Final = 2.0
CLAIM_FOR: Final = timedelta(seconds=60)
AT_ONCE: Final = 20
FORGET_EVERY_SECONDS: Final = 3_600.0
_SERVER: Final = everything("server")

Due = tuple[Delivery, Webhook, str, Event]


class Outbox:
    """The part of a server that tells others.

    Args:
        register: where deliveries are kept.
        metrics: where attempts are counted.
        private: whether webhooks may go to addresses that are not public.
        poll_seconds: how long at most until a delivery that another process wrote is seen.
    """

    def __init__(
        self,
        register: Register,
        *,
        metrics: Metrics,
        private: bool,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._register = register
        self._metrics = metrics
        self._private = private
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Deliver until cancelled, and forget old answers now and then."""
        loop = asyncio.get_running_loop()
        forget_at = loop.time()
        while True:
            try:
                if loop.time() >= forget_at:
                    await self._register.write(_SERVER, replays.forget)
                    forget_at = loop.time() + FORGET_EVERY_SECONDS
                sent = await self.deliver()
            except HerdbookError as error:
                logger().warning("webhooks wait", detail=error.message)
                sent = 0
            except Exception:  # noqa: BLE001 - a door: what fails here must not end the server
                logger().exception("webhooks wait")
                sent = 0
            if not sent:
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._register.enqueued.wait()
        except TimeoutError:
            return

    async def deliver(self) -> int:
        """Send what is due, once; give how many that were."""
        # Cleared before the look: what is written from here on sets it again.
        self._register.enqueued.clear()
        # A look costs a read; only what is due is worth a write, and the commit that ends it.
        if not await self._register.read(_SERVER, _anything_due):
            return 0
        claimed = await self._register.write(_SERVER, _claim)
        async with anyio.create_task_group() as group:
            for due in claimed:
                group.start_soon(self._send, *due)
        return len(claimed)

    async def _send(self, delivery: Delivery, webhook: Webhook, secret: str, event: Event) -> None:
        body = webhooks.payload(event)
        stamp = int(time.time())
        problem = await outgoing.post(
            webhook.url,
            body,
            headers={
                "Content-Type": "application/json",
                "User-Agent": "herdbook",
                "Herdbook-Event": event.action,
                "Idempotency-Key": str(delivery.id),
                webhooks.SIGNATURE_HEADER: webhooks.signature(secret, timestamp=stamp, body=body),
                **cloudevents.headers(event),
            },
            private=self._private,
        )
        self._metrics.delivery(taken=not problem)
        if problem:
            logger().info("webhook failed", webhook=webhook.id, problem=problem)
        await self._register.write(
            _SERVER, lambda work: webhooks.settle(work, delivery, problem=problem)
        )


def _anything_due(work: Work) -> bool:
    return work.webhooks.waiting(work.now())


def _claim(work: Work) -> list[Due]:
    due = list(work.webhooks.due(work.now(), limit=AT_ONCE))
    for delivery, *_ in due:
        work.webhooks.settle(replace(delivery, next_at=work.now() + CLAIM_FOR))
    return due
