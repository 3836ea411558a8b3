"""`book.webhooks`."""

from collections.abc import Sequence

from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.webhooks import Delivery, NewWebhook, Webhook
from herdbook.front.door import Door


class Webhooks:
    """Addresses that are told of events."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def create(self, url: str, *, actions: Sequence[str] = (), model: str = "*") -> NewWebhook:
        """Tell an address of events; the signing secret is shown this once."""
        return self._door.call(
            NewWebhook, "webhooks.create", url=url, actions=list(actions), model=model
        )

    def list(self, *, page_size: int = PAGE_DEFAULT, page: str | None = None) -> Page[Webhook]:
        """Give the webhooks."""
        return self._door.page(Webhook, "webhooks.page", page_size=page_size, page=page)

    def remove(self, id: int) -> Webhook:
        """Tell an address nothing more."""
        return self._door.call(Webhook, "webhooks.remove", id=id)

    def deliveries(
        self,
        id: int,
        *,
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Delivery]:
        """Give a webhook's deliveries, newest first."""
        return self._door.page(
            Delivery, "webhooks.deliveries", id=id, page_size=page_size, page=page
        )
