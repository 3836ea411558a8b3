"""`book.events`: the audit log."""

from collections.abc import Iterator

from herdbook.core import names
from herdbook.core.events import Checkpoint, Event, Verdict
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.front.door import Door, every


class Events:
    """The append-only, hash-chained audit log."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(
        self,
        *,
        model: str = "",
        action: str = "",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Event]:
        """Give events in the order they happened."""
        return self._door.page(
            Event, "events.page", model=model, action=action, page_size=page_size, page=page
        )

    def each(self, *, model: str = "", action: str = "") -> Iterator[Event]:
        """Give every event, a page in memory at a time."""
        return every(self.list, model=model, action=action, page_size=names.LIST_LIMIT)

    def checkpoint(self) -> Checkpoint:
        """Tell where the log stands; keep it outside the database."""
        return self._door.call(Checkpoint, "events.checkpoint")

    def verify(self, *, against: Checkpoint | None = None) -> Verdict:
        """Check the whole log, against a checkpoint kept outside when there is one."""
        return self._door.call(Verdict, "events.verify", against=against)
