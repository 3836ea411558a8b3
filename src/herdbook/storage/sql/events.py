"""The audit log and the outbox in the database."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from herdbook.core.access import Actor
from herdbook.core.events import GENESIS, Change, Checkpoint, Event, event_hash
from herdbook.core.pages import Page
from herdbook.core.wire import canonical, time_text, time_value
from herdbook.services.webhooks import wants
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.rows import micros
from herdbook.storage.sql.tables import chain, deliveries, events, webhooks
from herdbook.storage.sql.webhooks import webhook_value

BATCH = 500


# Whether anyone listens is asked with the lock: it saves every change a statement.
_LOCK = Prepared(
    select(
        chain.c.seq, chain.c.hash, select(webhooks.c.id).exists().label("heard")
    ).with_for_update(of=chain)
)
_ADD = Prepared(insert(events), columns=[column.name for column in events.c])
_MOVE = Prepared(update(chain), columns=("seq", "hash"))
_TOLD = select(webhooks)


class SqlEvents:
    """The audit log."""

    def __init__(self, connection: Connection, by: Actor) -> None:
        self._connection = connection
        self._by = by
        # Whether this work put something into the outbox.
        self.enqueued = False

    def page(self, *, model: str | None, action: str | None, after: int, size: int) -> Page[Event]:
        """Give events in order of `seq`, from the one after `after` on."""
        asked = select(events).where(events.c.seq > after)
        if model is not None:
            asked = asked.where(events.c.model == model)
        if action is not None:
            asked = asked.where(events.c.action == action)
        rows = self._connection.execute(asked.order_by(events.c.seq).limit(size)).all()
        return Page(tuple(event_value(row) for row in rows))

    def since(self, seq: int) -> Iterator[Event]:
        """Every event after `seq`, in order, in constant memory."""
        while rows := self.page(model=None, action=None, after=seq, size=BATCH).items:
            yield from rows
            seq = rows[-1].seq

    def head(self) -> Checkpoint:
        """Where the log stands; (0, 64 zeros) when it is empty."""
        row = self._connection.execute(select(chain.c.seq, chain.c.hash)).one_or_none()
        return Checkpoint(row.seq, row.hash) if row else Checkpoint(0, GENESIS)

    def append(self, changes: Sequence[Change], *, at: datetime) -> None:
        """Write changes at the end of the log and put what webhooks want in the outbox.

        Called last in a transaction: the head of the chain is locked from here to its end,
        and always after the locks of models, so that no two works wait for each other.
        """
        # FOR UPDATE on PostgreSQL; SQLite has one writer at a time anyway.
        held = _LOCK.row(self._connection, {})
        head = Checkpoint(held.seq, held.hash)
        rows = []
        for change in changes:
            row = _chained(change, head, by=self._by.name, at=time_text(at))
            head = Checkpoint(head.seq + 1, str(row["hash"]))
            rows.append(row)
        _ADD.each(self._connection, rows)
        _MOVE.count(self._connection, {"seq": head.seq, "hash": head.hash})
        if held.heard:
            self._enqueue(rows, at)

    def _enqueue(self, rows: list[dict[str, Any]], at: datetime) -> None:
        told = [webhook_value(row) for row in self._connection.execute(_TOLD)]
        for row in rows:
            event = _event(row)
            for webhook in told:
                if wants(webhook, event):
                    self.enqueued = True
                    self._connection.execute(
                        insert(deliveries).values(
                            webhook_id=webhook.id,
                            seq=event.seq,
                            attempts=0,
                            next_at=micros(at),
                            problem="",
                        )
                    )


def _chained(change: Change, head: Checkpoint, *, by: str, at: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "seq": head.seq + 1,
        "at": at,
        "by": by,
        "action": change.action,
        "model": change.model,
        "number": change.number,
        "body": canonical(change.body),
        "previous": head.hash,
    }
    return row | {"hash": event_hash(**row)}


def event_value(row: Any) -> Event:
    """Give an event from its row."""
    return _event(row._mapping)


def _event(row: Any) -> Event:
    return Event(
        seq=row["seq"],
        at=time_value(row["at"]),
        by=row["by"],
        action=row["action"],
        model=row["model"],
        number=row["number"],
        body=json.loads(row["body"]),
        previous=row["previous"],
        hash=row["hash"],
    )
