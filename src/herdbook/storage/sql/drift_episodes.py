"""Episodes of drift in the database."""

import json
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Select, insert, select, update

from herdbook.core import wire
from herdbook.core.access import Actor
from herdbook.core.drift import Episode
from herdbook.core.numbers import Number
from herdbook.core.pages import Page, page_position, page_token
from herdbook.core.refs import VersionRef
from herdbook.errors import Invalid, NotFound
from herdbook.storage.sql import search
from herdbook.storage.sql.drift_tables import drift_episodes
from herdbook.storage.sql.models import SqlModels
from herdbook.storage.sql.tables import models, versions
from herdbook.storage.sql.versions import SqlVersions

_PREFIX: Final = "drift-"


class SqlEpisodes:
    """The episodes; they are history, so those of deleted versions stay."""

    def __init__(
        self, connection: Connection, by: Actor, models: SqlModels, versions: SqlVersions
    ) -> None:
        self._connection = connection
        self._by = by
        self._models = models
        self._versions = versions

    def begin(self, episode: Episode) -> Episode:
        """Add an episode and give it with its id."""
        row = {
            "model_id": self._models.id(episode.model),
            "version_id": self._versions.id(VersionRef(episode.model, episode.number)),
            "doc": stored(episode),
        }
        added = insert(drift_episodes).values(**row).returning(drift_episodes.c.id)
        return replace(episode, id=shown(self._connection.execute(added).scalar_one()))

    def episode(self, key: str) -> Episode:
        """Give an episode by its id; NotFound."""
        return self._episode(key, select(drift_episodes.c.id, drift_episodes.c.doc))

    def lock_episode(self, key: str) -> Episode:
        """Give an episode and keep other writers of it waiting until this work ends; NotFound."""
        asked = select(drift_episodes.c.id, drift_episodes.c.doc)
        return self._episode(key, asked.with_for_update(of=drift_episodes))

    def _episode(self, key: str, asked: Select[Any]) -> Episode:
        own = row_of(key)
        asked = asked.join(models, models.c.id == drift_episodes.c.model_id)
        asked = self._seen(asked).where(drift_episodes.c.id == own)
        row = self._connection.execute(asked).one_or_none() if own else None
        if row is None:
            raise NotFound(
                f"there is no episode {key!r:.80}; `herdbook drift episodes` shows those there are",
                field="episode",
            )
        return _episode(row)

    def save_episode(self, episode: Episode) -> None:
        """Write an episode over what was."""
        self._connection.execute(
            update(drift_episodes)
            .where(drift_episodes.c.id == row_of(episode.id))
            .values(doc=stored(episode))
        )

    def episodes(
        self, *, model: str | None, number: str | None, size: int, page: str | None
    ) -> Page[Episode]:
        """Give episodes, newest first."""
        shape = f"episodes {model} {number}"
        position = page_position(page, shape=shape, kinds=(int,))
        asked: Select[Any] = select(drift_episodes.c.id, drift_episodes.c.doc)
        asked = self._seen(asked.join(models, models.c.id == drift_episodes.c.model_id))
        if model is not None:
            asked = asked.where(models.c.name == model)
        if number is not None:
            asked = asked.join(versions, versions.c.id == drift_episodes.c.version_id)
            asked = asked.where(versions.c.number_key == number_key(number))
        if position is not None:
            asked = asked.where(drift_episodes.c.id < position[0])
        asked = asked.order_by(drift_episodes.c.id.desc()).limit(size + 1)
        rows = self._connection.execute(asked).all()
        more = page_token(shape, [rows[size - 1].id]) if len(rows) > size else None
        return Page(tuple(_episode(row) for row in rows[:size]), more)

    def _seen(self, asked: Select[Any]) -> Select[Any]:
        return asked if self._by.sees_all() else asked.where(search.visible(self._by.grants))


def number_key(number: str) -> str:
    """Give what a number is found by, or "", which none has, for what is no number."""
    try:
        return Number(number).key
    except Invalid:
        return ""


def shown(row: int) -> str:
    """Give the id of an episode, by that of its row."""
    return f"{_PREFIX}{row}"


def row_of(key: str) -> int | None:
    """Give the row's id that the id of an episode tells, or None."""
    digits = key.removeprefix(_PREFIX)
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):  # as a bigint holds
        return None
    return int(digits) if key == shown(int(digits)) else None


def stored(episode: Episode) -> str:
    """Give the text of an episode; its id is that of the row."""
    return wire.dumps(replace(episode, id=""))


def _episode(row: Any) -> Episode:
    return replace(wire.value(Episode, json.loads(row.doc)), id=shown(row.id))
