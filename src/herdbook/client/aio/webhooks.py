"""`herdbook.front.webhooks`, awaited. Written by `scripts/make_async_front.py`."""

from collections.abc import Sequence

from herdbook.client.async_door import AsyncDoor
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.webhooks import Delivery, NewWebhook, Webhook


class AsyncWebhooks:
    """Addresses that are told of events."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def create(
        self, url: str, *, actions: Sequence[str] = (), model: str = "*"
    ) -> NewWebhook:
        """Tell an address of events; the signing secret is shown this once."""
        return await self._door.call(
            NewWebhook, "webhooks.create", url=url, actions=list(actions), model=model
        )

    async def list(
        self, *, page_size: int = PAGE_DEFAULT, page: str | None = None
    ) -> Page[Webhook]:
        """Give the webhooks."""
        return await self._door.page(Webhook, "webhooks.page", page_size=page_size, page=page)

    async def remove(self, id: int) -> Webhook:
        """Tell an address nothing more."""
        return await self._door.call(Webhook, "webhooks.remove", id=id)

    async def deliveries(
        self,
        id: int,
        *,
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Delivery]:
        """Give a webhook's deliveries, newest first."""
        return await self._door.page(
            Delivery, "webhooks.deliveries", id=id, page_size=page_size, page=page
        )
