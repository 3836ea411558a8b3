"""Read and verify the audit log."""

from collections.abc import Iterator
from dataclasses import replace

from herdbook.core import events as log
from herdbook.core.access import Action
from herdbook.core.events import Checkpoint, Event, Verdict, action_name
from herdbook.core.pages import PAGE_DEFAULT, Page, page_position, page_token
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.services.sight import shown_body


def page(
    work: Work,
    *,
    model: str = "",
    action: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[Event]:
    """Give events in the order they happened: of one model the caller may read, or all.

    The whole log needs the role admin: its events name every model. Parents in models the
    caller may not read are left out of bodies, whose hashes stay those of the whole.
    """
    work.by.allow(Action.READ if model else Action.ADMIN, model)
    if action:
        action_name(action, field="action")
    size = checked_size(page_size)
    shape = f"events {model} {action}"
    position = page_position(page, shape=shape, kinds=(int,))
    after = position[0] if position else 0
    found = work.events.page(
        model=model or None, action=action or None, after=int(str(after)), size=size + 1
    ).items
    told = tuple(_shown(work, event) for event in found[:size])
    if len(found) <= size:
        return Page(told)
    return Page(told, page_token(shape, [found[size - 1].seq]))


def _shown(work: Work, event: Event) -> Event:
    return event if work.by.sees_all() else replace(event, body=shown_body(work.by, event.body))


def every(work: Work, *, since: int = 0) -> Iterator[Event]:
    """Give every event after one, in order and constant memory."""
    work.by.allow(Action.ADMIN)
    return work.events.since(since)


def checkpoint(work: Work) -> Checkpoint:
    """Tell where the log stands, to be kept outside the database."""
    work.by.allow(Action.ADMIN)
    return work.events.head()


def verify(work: Work, *, against: Checkpoint | None = None) -> Verdict:
    """Check the whole log, against a checkpoint kept outside when there is one."""
    work.by.allow(Action.ADMIN)
    began = work.events.head()
    found = log.verify(work.events.since(0), against=against)
    head = work.events.head()
    # On PostgreSQL others may add events while this work reads.
    grown = began != head and began.seq <= found.head.seq <= head.seq
    if found.ok and head != found.head and not grown:
        problem = f"the log ends at event {found.head.seq}, its head is at {head.seq}"
        return Verdict(
            ok=False,
            events=found.events,
            head=found.head,
            problem=problem,
            seq=found.events + 1,
        )
    return found
