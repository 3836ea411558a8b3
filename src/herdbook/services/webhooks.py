"""Webhooks: who is told of changes. The outbox is filled in the transaction of the change."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from herdbook.core.access import Action, Grant, Role
from herdbook.core.events import Change, Event, action_name
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.webhooks import Delivery, NewWebhook, Webhook, back_off, webhook_url
from herdbook.core.wire import canonical

SIGNATURE_HEADER = "Herdbook-Signature"
TOLERANCE = timedelta(minutes=5)
STAMP_LIMIT = 12


def create(work: Work, url: str, *, actions: Sequence[str] = (), model: str = "*") -> NewWebhook:
    """Tell an address of events; the secret its deliveries are signed with is shown once."""
    work.by.allow(Action.ADMIN)
    Grant(Role.VIEWER, model)
    for action in actions:
        action_name(action, field="actions")
    webhook = Webhook(
        id=0,
        url=webhook_url(url),
        actions=tuple(actions),
        model=model,
        created_at=work.now(),
        created_by=work.by.name,
    )
    secret = "hbwh_" + secrets.token_hex(32)
    added = work.webhooks.add(webhook, secret=secret)
    work.record(Change(action="webhook.created", body={"id": added.id, "url": url}))
    return NewWebhook(webhook=added, secret=secret)


def page(work: Work, *, page_size: int = PAGE_DEFAULT, page: str | None = None) -> Page[Webhook]:
    """Give the webhooks."""
    work.by.allow(Action.ADMIN)
    return work.webhooks.page(size=checked_size(page_size), page=page)


def remove(work: Work, id: int) -> Webhook:
    """Tell an address nothing more; what is on its way is dropped."""
    work.by.allow(Action.ADMIN)
    found, _ = work.webhooks.get(id)
    work.webhooks.remove(id)
    work.record(Change(action="webhook.removed", body={"id": id, "url": found.url}))
    return found


def deliveries(
    work: Work,
    id: int,
    *,
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[Delivery]:
    """Give a webhook's deliveries, newest first."""
    work.by.allow(Action.ADMIN)
    work.webhooks.get(id)
    return work.webhooks.deliveries(id, size=checked_size(page_size), page=page)


def wants(webhook: Webhook, event: Event) -> bool:
    """Whether a webhook is told of an event."""
    if not webhook.active or (webhook.actions and event.action not in webhook.actions):
        return False
    return webhook.model == "*" or Grant(Role.VIEWER, webhook.model).covers(event.model)


def payload(event: Event) -> bytes:
    """Give the body of a delivery."""
    return canonical(event).encode()


def signature(secret: str, *, timestamp: int, body: bytes) -> str:
    """Sign a delivery: `t=<seconds>,v1=<hex HMAC-SHA-256 of "t.body">`."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


def verify(
    secret: str, *, header: str, body: bytes, now: datetime, tolerance: timedelta = TOLERANCE
) -> bool:
    """Whether a delivery was signed with a secret, not too long ago.

    Args:
        secret: the webhook's, as it was shown.
        header: the delivery's `Herdbook-Signature`.
        body: its body, as it came.
        now: the time, aware.
        tolerance: how old, or how far ahead, the signature may be.
    """
    stamp, _, _ = header.removeprefix("t=").partition(",")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= STAMP_LIMIT):
        return False
    if abs(now.timestamp() - int(stamp)) > tolerance.total_seconds():
        return False
    return hmac.compare_digest(
        header.encode(), signature(secret, timestamp=int(stamp), body=body).encode()
    )


def settle(work: Work, delivery: Delivery, *, problem: str) -> None:
    """Write how an attempt went: taken when `problem` is "", else tried again later."""
    tried = replace(delivery, attempts=delivery.attempts + 1, problem=problem[:500])
    if not problem:
        work.webhooks.settle(replace(tried, delivered_at=work.now(), next_at=None))
        return
    wait = back_off(tried.attempts)
    work.webhooks.settle(replace(tried, next_at=work.now() + wait if wait else None))
