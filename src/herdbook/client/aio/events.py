"""`herdbook.front.events`, awaited. Written by `scripts/make_async_front.py`."""

from collections.abc import AsyncIterator

from herdbook.client.async_door import AsyncDoor, every
from herdbook.core import names
from herdbook.core.events import Checkpoint, Event, Verdict
from herdbook.core.pages import PAGE_DEFAULT, Page


class AsyncEvents:
    """The append-only, hash-chained audit log."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def list(
        self,
        *,
        model: str = "",
        action: str = "",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Event]:
        """Give events in the order they happened."""
        return await self._door.page(
            Event, "events.page", model=model, action=action, page_size=page_size, page=page
        )

    def each(self, *, model: str = "", action: str = "") -> AsyncIterator[Event]:
        """Give every event, a page in memory at a time."""
        return every(self.list, model=model, action=action, page_size=names.LIST_LIMIT)

    async def checkpoint(self) -> Checkpoint:
        """Tell where the log stands; keep it outside the database."""
        return await self._door.call(Checkpoint, "events.checkpoint")

    async def verify(self, *, against: Checkpoint | None = None) -> Verdict:
        """Check the whole log, against a checkpoint kept outside when there is one."""
        return await self._door.call(Verdict, "events.verify", against=against)
