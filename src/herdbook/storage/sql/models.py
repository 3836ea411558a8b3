"""Models in the database."""

import json
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from herdbook.core import wire
from herdbook.core.access import Actor, missing_model
from herdbook.core.filters import Query
from herdbook.core.models import Model
from herdbook.core.pages import Page
from herdbook.errors import AlreadyExists, Gone, NotFound
from herdbook.storage.sql import search
from herdbook.storage.sql.rows import micros, tombstone
from herdbook.storage.sql.tables import model_tags, models, versions


class SqlModels:
    """The registered models."""

    def __init__(self, connection: Connection, by: Actor) -> None:
        self._connection = connection
        self._by = by

    def get(self, name: str) -> Model:
        """Give a model; NotFound when there is none, Gone when it was deleted."""
        asked = select(models.c.doc, models.c.tombstone).where(models.c.name == name)
        return self._found(name, self._connection.execute(asked).one_or_none())

    def _found(self, name: str, row: Any) -> Model:
        if row is None:
            raise missing_model(name)
        if row.tombstone is not None:
            raise Gone(f"the model {name} was deleted {tombstone(row.tombstone)}")
        return wire.value(Model, json.loads(row.doc))

    def lock(self, name: str) -> Model:
        """Give a model and keep every other writer of it waiting until this work ends."""
        # An update rather than FOR UPDATE: SQLite has no such clause, and both lock on this.
        held = update(models).where(models.c.name == name).values(versions=models.c.versions)
        self._connection.execute(held)
        return self.get(name)

    def exists(self, name: str) -> bool:
        """Whether there is or was a model of that name, deleted ones included."""
        asked = select(models.c.id).where(models.c.name == name)
        return self._connection.execute(asked).one_or_none() is not None

    def add(self, model: Model) -> None:
        """Add a model; AlreadyExists when one's name, folded, is the same, even if deleted."""
        folded = model.name.casefold()
        try:
            with self._connection.begin_nested():
                self._connection.execute(
                    insert(models).values(name=model.name, folded=folded, **_columns(model))
                )
        except IntegrityError:
            asked = select(models.c.name, models.c.tombstone).where(models.c.folded == folded)
            name, gone = self._connection.execute(asked).one()
            how = f"was deleted {tombstone(gone)}" if gone else "is registered"
            raise AlreadyExists(
                f"the model {name} {how}; a name is given once, whatever its case",
                field="model",
            ) from None
        self._tag(model)

    def save(self, model: Model) -> None:
        """Write what is known about a model over what was."""
        self._connection.execute(
            update(models).where(models.c.name == model.name).values(**_columns(model))
        )
        self._tag(model)

    def _tag(self, model: Model) -> None:
        own = select(models.c.id).where(models.c.name == model.name).scalar_subquery()
        held = {
            row.key: row.value
            for row in self._connection.execute(
                select(model_tags.c.key, model_tags.c.value).where(model_tags.c.model_id == own)
            )
        }
        if held == model.tags:
            return
        self._connection.execute(delete(model_tags).where(model_tags.c.model_id == own))
        for key, value in model.tags.items():
            self._connection.execute(insert(model_tags).values(model_id=own, key=key, value=value))

    def page(self, query: Query, *, size: int, page: str | None) -> Page[Model]:
        """Give the models a query finds, by name unless it orders them."""
        found = self.page_texts(query, size=size, page=page)
        return Page(tuple(wire.value(Model, json.loads(text)) for text in found.items), found.next)

    def page_texts(self, query: Query, *, size: int, page: str | None) -> Page[str]:
        """Give the same as JSON texts."""
        asked = select(models.c.doc).where(models.c.tombstone.is_(None))
        return search.page(
            self._connection,
            asked,
            query,
            searched=search.MODELS,
            by=self._by,
            size=size,
            page=page,
            text=lambda row: str(row[0]),
        )

    def remove(self, model: Model, *, by: str, reason: str) -> None:
        """Hide a model behind a tombstone; its name and numbers stay taken."""
        self._hide(model.name, wire.dumps({"at": model.updated_at, "by": by, "reason": reason}))

    def _hide(self, name: str, gone: str | None) -> None:
        self._connection.execute(update(models).where(models.c.name == name).values(tombstone=gone))
        own = select(models.c.id).where(models.c.name == name).scalar_subquery()
        shown = versions.c.model_id == own, versions.c.tombstone.is_(None)
        self._connection.execute(update(versions).where(*shown).values(visible=0 if gone else 1))

    def restore(self, name: str) -> Model:
        """Take a tombstone away; NotFound when there is none."""
        asked = select(models.c.tombstone).where(models.c.name == name)
        row = self._connection.execute(asked).one_or_none()
        if row is None or row[0] is None:
            raise NotFound(f"no deleted model is called {name!r}", field="model")
        self._hide(name, None)
        return self.get(name)


def _columns(model: Model) -> dict[str, object]:
    return {
        "type": model.type,
        "owner": model.owner,
        "description": model.description,
        "versions": model.versions,
        "doc": wire.dumps(model),
        "created_by": model.created_by,
        "created_at": micros(model.created_at),
        "updated_at": micros(model.updated_at),
    }
