"""Webhooks and their outbox in the database."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from herdbook.core.access import Actor
from herdbook.core.events import Event
from herdbook.core.pages import Page, page_position, page_token
from herdbook.core.webhooks import Delivery, Webhook
from herdbook.core.wire import time_value
from herdbook.errors import NotFound
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.rows import micros, moment
from herdbook.storage.sql.tables import deliveries, events, webhooks

_WAITING = Prepared(
    select(deliveries.c.id).where(deliveries.c.next_at <= bindparam("now")).limit(1)
)


class SqlWebhooks:
    """Webhooks and their outbox."""

    def __init__(self, connection: Connection, by: Actor) -> None:
        self._connection = connection
        self._by = by

    def add(self, webhook: Webhook, *, secret: str) -> Webhook:
        """Add a webhook and give it its number."""
        added = self._connection.execute(
            insert(webhooks)
            .values(
                url=webhook.url,
                secret=secret,
                actions=json.dumps(webhook.actions),
                model=webhook.model,
                active=int(webhook.active),
                created_at=micros(webhook.created_at),
                created_by=webhook.created_by,
            )
            .returning(*webhooks.c)
        )
        return webhook_value(added.one())

    def get(self, id: int) -> tuple[Webhook, str]:
        """Give a webhook and its secret; NotFound."""
        row = self._connection.execute(select(webhooks).where(webhooks.c.id == id)).one_or_none()
        if row is None:
            raise NotFound(
                f"there is no webhook {id}; `herdbook webhooks list` shows those there are"
            )
        return webhook_value(row), row.secret

    def page(self, *, size: int, page: str | None) -> Page[Webhook]:
        """Give webhooks by number."""
        position = page_position(page, shape="webhooks", kinds=(int,))
        asked = select(webhooks).where(webhooks.c.id > (position[0] if position else 0))
        rows = self._connection.execute(asked.order_by(webhooks.c.id).limit(size + 1)).all()
        items = tuple(webhook_value(row) for row in rows[:size])
        more = page_token("webhooks", [items[-1].id]) if len(rows) > size else None
        return Page(items, more)

    def remove(self, id: int) -> None:
        """Remove a webhook and what is still on its way to it."""
        self._connection.execute(delete(deliveries).where(deliveries.c.webhook_id == id))
        self._connection.execute(delete(webhooks).where(webhooks.c.id == id))

    def waiting(self, now: datetime) -> bool:
        """Whether a delivery is due."""
        return _WAITING.row(self._connection, {"now": micros(now)}) is not None

    def due(self, now: datetime, *, limit: int) -> Sequence[tuple[Delivery, Webhook, str, Event]]:
        """Take deliveries that are due; until the work ends no other worker is given them."""
        asked = (
            select(deliveries)
            .where(deliveries.c.next_at <= micros(now))
            .order_by(deliveries.c.next_at, deliveries.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [self._due(row) for row in self._connection.execute(asked).all()]

    def _due(self, row: Any) -> tuple[Delivery, Webhook, str, Event]:
        webhook, secret = self.get(row.webhook_id)
        found = self._connection.execute(select(events).where(events.c.seq == row.seq)).one()
        event = Event(
            **{**found._mapping, "at": time_value(found.at), "body": json.loads(found.body)}
        )
        return _delivery(row), webhook, secret, event

    def settle(self, delivery: Delivery) -> None:
        """Write how an attempt went."""
        done, after = delivery.delivered_at, delivery.next_at
        self._connection.execute(
            update(deliveries)
            .where(deliveries.c.id == delivery.id)
            .values(
                attempts=delivery.attempts,
                next_at=micros(after) if after else None,
                delivered_at=micros(done) if done else None,
                problem=delivery.problem,
            )
        )

    def deliveries(self, id: int, *, size: int, page: str | None) -> Page[Delivery]:
        """Give a webhook's deliveries, newest first."""
        shape = f"deliveries {id}"
        position = page_position(page, shape=shape, kinds=(int,))
        asked = select(deliveries).where(deliveries.c.webhook_id == id)
        if position is not None:
            asked = asked.where(deliveries.c.id < position[0])
        rows = self._connection.execute(
            asked.order_by(deliveries.c.id.desc()).limit(size + 1)
        ).all()
        items = tuple(_delivery(row) for row in rows[:size])
        return Page(items, page_token(shape, [items[-1].id]) if len(rows) > size else None)


def webhook_value(row: Any) -> Webhook:
    """Give a webhook from its row."""
    return Webhook(
        id=row.id,
        url=row.url,
        actions=tuple(json.loads(row.actions)),
        model=row.model,
        active=bool(row.active),
        created_at=moment(row.created_at),
        created_by=row.created_by,
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=row.id,
        webhook=row.webhook_id,
        seq=row.seq,
        attempts=row.attempts,
        next_at=moment(row.next_at) if row.next_at is not None else None,
        delivered_at=moment(row.delivered_at) if row.delivered_at is not None else None,
        problem=row.problem,
    )
