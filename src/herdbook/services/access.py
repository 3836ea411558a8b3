"""Tokens: made once, kept as a hash, checked at every request."""

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from herdbook.core import names
from herdbook.core.access import Action, Actor, NewToken, Token, grants
from herdbook.core.events import Change
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.wire import plain
from herdbook.errors import Invalid, Unauthenticated

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH = 43
ID_LENGTH = 8
CHECK_LENGTH = 6
DEFAULT_DAYS = 90
DAYS_LIMIT = 3_650


def create(
    work: Work, name: str, *, roles: Sequence[str], days: int | None = DEFAULT_DAYS
) -> NewToken:
    """Make a token.

    Args:
        work: the unit of work.
        name: whose or what for.
        roles: `role` or `role:pattern`, at least one.
        days: how long it counts, 1 to 3,650; None for ever.

    Returns:
        The token and its text `hb_<id><secret><check>`, which is shown this once.
    """
    work.by.allow(Action.ADMIN)
    if days is not None and not 1 <= days <= DAYS_LIMIT:
        raise Invalid(f"days is {days}; it must be 1 to {DAYS_LIMIT:,}", field="days")
    now = work.now()
    token = Token(
        id=_random(ID_LENGTH),
        name=names.line(name, field="name"),
        grants=grants(roles),
        created_at=now,
        created_by=work.by.name,
        expires_at=now + timedelta(days=days) if days else None,
    )
    secret = _random(SECRET_LENGTH)
    work.tokens.add(token, secret_hash=_hash(secret))
    work.record(Change(action="token.created", body=plain(token)))
    body = token.id + secret
    return NewToken(token=token, secret=f"hb_{body}{_check(body)}")


def page(work: Work, *, page_size: int = PAGE_DEFAULT, page: str | None = None) -> Page[Token]:
    """Give the tokens, newest first."""
    work.by.allow(Action.ADMIN)
    return work.tokens.page(size=checked_size(page_size), page=page)


def revoke(work: Work, id: str) -> Token:
    """Make a token count no more, at once."""
    work.by.allow(Action.ADMIN)
    token = work.tokens.revoke(id, at=work.now())
    work.record(Change(action="token.revoked", body={"id": token.id, "name": token.name}))
    return token


def has_admin(work: Work) -> bool:
    """Whether some token that counts is admin of everything."""
    return any(g.role == "admin" and g.pattern == "*" for g in work.tokens.grants(at=work.now()))


def identify(work: Work, secret: str) -> tuple[Actor, Token]:
    """Tell whose token this is.

    Raises:
        Unauthenticated: it is not one, or it no longer counts; the message does not say which.
    """
    refusal = Unauthenticated(
        "this token does not count: it is unknown, expired or revoked; ask an admin for another"
    )
    body, check = secret[3:-CHECK_LENGTH], secret[-CHECK_LENGTH:]
    well_formed = (
        secret.startswith("hb_")
        and len(body) == ID_LENGTH + SECRET_LENGTH
        and secret.isascii()
        and check == _check(body)
    )
    # Nothing more is read of a token before its secret has been compared.
    kept = work.tokens.secret_hash(body[:ID_LENGTH]) if well_formed else None
    if not hmac.compare_digest(_hash(body[ID_LENGTH:]), kept or _hash("")) or kept is None:
        raise refusal
    token = work.tokens.get(body[:ID_LENGTH])
    if not token.counts(work.now()):
        raise refusal
    return Actor(token.name, token.grants, token.id), token


def used(work: Work, token: Token) -> None:
    """Note, to the hour, that a token was used."""
    hour = work.now().replace(minute=0, second=0, microsecond=0)
    if token.last_used_at is None or token.last_used_at < hour:
        work.tokens.touch(token.id, at=hour)


def refused(work: Work, *, method: str, route: str) -> None:
    """Record that the actor was refused what a route does."""
    work.record(Change(action="access.refused", body={"method": method, "route": route}))


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _check(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    while len(digits) < CHECK_LENGTH:
        number, at = divmod(number, len(ALPHABET))
        digits += ALPHABET[at]
    return digits


def expiry(token: Token, now: datetime) -> str:
    """Say in a word how a token stands."""
    if token.revoked_at is not None:
        return "revoked"
    return "counts" if token.counts(now) else "expired"
