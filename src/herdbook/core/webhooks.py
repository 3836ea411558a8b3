"""Webhooks: what is sent where when the register changes, and how it went."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from herdbook.core import names
from herdbook.errors import Invalid

ATTEMPT_LIMIT = 12
URL_LIMIT = 2_000
# A scheme and a host, without a user name.
_ADDRESS = re.compile(r"https?://[^/?#@\\:\s][^/?#@\\\s]*(?:[/?#].*)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that is told of events.

    Args:
        id: its number.
        url: `https://…`, or `http://…`.
        actions: the actions it is told of (`alias.moved`), or () for all.
        model: the model pattern it is told of, `*` for all.
        active: whether it is told at all.
        created_at: when it was made.
        created_by: by whom.
    """

    id: int
    url: str
    actions: tuple[str, ...] = ()
    model: str = "*"
    active: bool = True
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """A webhook just made, with the secret its deliveries are signed with, shown this once."""

    webhook: Webhook
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook.

    Args:
        id: its number; sent as `Idempotency-Key`, the same at every attempt.
        webhook: the webhook's number.
        seq: the event's.
        attempts: how often it was tried.
        next_at: when it is tried next, or None when it is done or given up.
        delivered_at: when it was taken, or None.
        problem: what went wrong last, or "".
    """

    id: int
    webhook: int
    seq: int
    attempts: int
    next_at: datetime | None
    delivered_at: datetime | None = None
    problem: str = ""


def back_off(attempts: int) -> timedelta | None:
    """Give how long to wait after so many failed attempts: 2 s doubling to an hour, then None.

    Example:
        >>> back_off(1).total_seconds(), back_off(12)
        (2.0, None)
    """
    if attempts >= ATTEMPT_LIMIT:
        return None
    return timedelta(seconds=min(2.0**attempts, 3_600))


def webhook_url(text: str) -> str:
    """Check the form of a webhook's address; where it leads is checked when connecting."""
    names.line(text, field="url", limit=URL_LIMIT)
    if not _ADDRESS.match(text):
        raise Invalid(
            f"{text!r:.80} is not an address for a webhook: write https://host/path, without a "
            "user name",
            field="url",
        )
    return text
