"""Tokens, and answers kept for idempotency keys, in the database."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from herdbook.core import wire
from herdbook.core.access import Grant, Token
from herdbook.core.pages import Page, page_position, page_token
from herdbook.errors import KeyReused, NotFound
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.rows import micros, moment
from herdbook.storage.sql.tables import replays, tokens

_HASH = Prepared(select(tokens.c.secret_hash).where(tokens.c.id == bindparam("wanted")))
_TOKEN = Prepared(select(tokens).where(tokens.c.id == bindparam("wanted")))


class SqlTokens:
    """Access tokens."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, token: Token, *, secret_hash: str) -> None:
        """Add a token by its id."""
        self._connection.execute(
            insert(tokens).values(
                id=token.id,
                secret_hash=secret_hash,
                created_at=micros(token.created_at),
                doc=wire.dumps(token),
            )
        )

    def secret_hash(self, id: str) -> str | None:
        """Give the SHA-256 of a token's secret, or None."""
        row = _HASH.row(self._connection, {"wanted": id})
        return None if row is None else str(row.secret_hash)

    def get(self, id: str) -> Token:
        """Give a token that is there."""
        return _token(_TOKEN.row(self._connection, {"wanted": id}))

    def page(self, *, size: int, page: str | None) -> Page[Token]:
        """Give tokens, newest first."""
        position = page_position(page, shape="tokens", kinds=(int, str))
        asked = select(tokens)
        if position is not None:
            asked = asked.where(tuple_(tokens.c.created_at, tokens.c.id) < tuple_(*position))
        newest = asked.order_by(tokens.c.created_at.desc(), tokens.c.id.desc())
        rows = self._connection.execute(newest.limit(size + 1)).all()
        items = tuple(_token(row) for row in rows[:size])
        if len(rows) <= size:
            return Page(items)
        return Page(items, page_token("tokens", [rows[size - 1].created_at, items[-1].id]))

    def revoke(self, id: str, *, at: datetime) -> Token:
        """Make a token count no more; NotFound."""
        if self.secret_hash(id) is None:
            raise NotFound(
                f"there is no token {id!r}; `herdbook tokens list` shows those there are"
            )
        self._connection.execute(
            update(tokens)
            .where(tokens.c.id == id, tokens.c.revoked_at.is_(None))
            .values(revoked_at=micros(at))
        )
        return self.get(id)

    def touch(self, id: str, *, at: datetime) -> None:
        """Note that a token was used."""
        self._connection.execute(
            update(tokens).where(tokens.c.id == id).values(last_used_at=micros(at))
        )

    def grants(self, *, at: datetime) -> Sequence[Grant]:
        """Every grant of every token that counts at a time."""
        asked = select(tokens).where(tokens.c.revoked_at.is_(None))
        found = [_token(row) for row in self._connection.execute(asked)]
        return [grant for token in found if token.counts(at) for grant in token.grants]


def _token(row: Any) -> Token:
    return replace(
        wire.value(Token, json.loads(row.doc)),
        revoked_at=moment(row.revoked_at) if row.revoked_at is not None else None,
        last_used_at=moment(row.last_used_at) if row.last_used_at is not None else None,
    )


class SqlReplays:
    """Answers kept for idempotency keys."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    def find(self, key: str, by: str) -> tuple[str, int, str] | None:
        """Give the request digest, status and body kept under a key of an actor, or None."""
        asked = select(replays).where(replays.c.key == key, replays.c.by == by)
        row = self._connection.execute(asked).one_or_none()
        return None if row is None else (row.request, row.status, row.body)

    def keep(self, key: str, by: str, *, request: str, status: int, body: str) -> None:
        """Keep an answer; KeyReused when another work kept one meanwhile."""
        row = {"key": key, "by": by, "request": request, "status": status, "body": body}
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(replays).values(**row, at=micros(self._now)))
        except IntegrityError:
            raise KeyReused(
                f"the idempotency key {key!r} is being used by another request; ask again"
            ) from None

    def forget(self, before: datetime) -> None:
        """Forget answers kept before a time."""
        self._connection.execute(delete(replays).where(replays.c.at < micros(before)))
