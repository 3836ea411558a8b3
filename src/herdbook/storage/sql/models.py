"""Models in the database."""

import json
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from herdbook.core import wire
from herdbook.core.access import Actor, missing_model
from herdbook.core.filters import Query
from herdbook.core.models import Model
from herdbook.core.pages import Page
from herdbook.errors import AlreadyExists, Gone, NotFound
from herdbook.storage.sql import pages, search
from herdbook.storage.sql.pages import Question
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.rows import micros, tombstone
from herdbook.storage.sql.tables import model_tags, models, versions

# Built once: building a statement costs more than running it.
_NAMED = models.c.name == bindparam("wanted")
_FOUND = (models.c.id, models.c.doc, models.c.tombstone)
_ID = Prepared(select(models.c.id).where(_NAMED))
_GET = Prepared(select(*_FOUND).where(_NAMED))
_LOCK = Prepared(update(models).where(_NAMED).values(versions=models.c.versions).returning(*_FOUND))
_ADD = insert(models)
_PAGE = select(models.c.doc).where(models.c.tombstone.is_(None))
_COLUMNS = ("type", "owner", "description", "versions", "doc", "created_by")
_SAVE = Prepared(update(models).where(_NAMED), columns=(*_COLUMNS, "created_at", "updated_at"))


class SqlModels:
    """The registered models."""

    def __init__(self, connection: Connection, by: Actor) -> None:
        self._connection = connection
        self._by = by
        # What this work has met: asking for it again would cost a statement.
        self._met: dict[str, tuple[int, Mapping[str, str] | None]] = {}

    def get(self, name: str) -> Model:
        """Give a model; NotFound when there is none, Gone when it was deleted."""
        return self._found(name, _GET.row(self._connection, {"wanted": name}))

    def _found(self, name: str, row: Any) -> Model:
        if row is None:
            raise missing_model(name)
        if row.tombstone is not None:
            raise Gone(f"the model {name} was deleted {tombstone(row.tombstone)}")
        found = wire.value(Model, json.loads(row.doc))
        self._met[name] = (row.id, found.tags)
        return found

    def id(self, name: str) -> int:
        """Give the row's id of a model that is or was there."""
        if name not in self._met:
            found = _ID.row(self._connection, {"wanted": name})
            if found is None:
                raise missing_model(name)
            self._met[name] = (found.id, None)
        return self._met[name][0]

    def lock(self, name: str) -> Model:
        """Give a model and keep every other writer of it waiting until this work ends."""
        # An update rather than FOR UPDATE: SQLite has no such clause, and both lock on this.
        return self._found(name, _LOCK.row(self._connection, {"wanted": name}))

    def exists(self, name: str) -> bool:
        """Whether there is or was a model of that name, deleted ones included."""
        return _ID.row(self._connection, {"wanted": name}) is not None

    def add(self, model: Model) -> None:
        """Add a model; AlreadyExists when one's name, folded, is the same, even if deleted."""
        folded = model.name.casefold()
        try:
            with self._connection.begin_nested():
                row = columns(model) | {"name": model.name, "folded": folded}
                self._connection.execute(_ADD, row)
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
        _SAVE.count(self._connection, columns(model) | {"wanted": model.name})
        self._tag(model)

    def _tag(self, model: Model) -> None:
        own = self.id(model.name)
        if self._met[model.name][1] == model.tags:
            return
        self._connection.execute(delete(model_tags).where(model_tags.c.model_id == own))
        if model.tags:
            rows = [{"model_id": own, "key": k, "value": v} for k, v in model.tags.items()]
            self._connection.execute(insert(model_tags), rows)
        self._met[model.name] = (own, model.tags)

    def page(self, query: Query, *, size: int, page: str | None) -> Page[Model]:
        """Give the models a query finds, by name unless it orders them."""
        found = self.page_texts(query, size=size, page=page)
        return Page(tuple(wire.value(Model, json.loads(text)) for text in found.items), found.next)

    def page_texts(self, query: Query, *, size: int, page: str | None) -> Page[str]:
        """Give the same as JSON texts."""
        question = Question(_PAGE, search.MODELS, query, self._by.narrowed())
        return pages.page(self._connection, question, {}, size=size, page=page, text=itemgetter(0))

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


def columns(model: Model) -> dict[str, object]:
    """Give the columns that repeat what is known about a model."""
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
