"""Collections of documents in the database."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from herdbook.core import wire
from herdbook.core.access import Actor
from herdbook.core.documents import Bridge, Collection
from herdbook.core.pages import Page, page_position, page_token
from herdbook.errors import AlreadyExists, NotFound, StaleEpoch
from herdbook.storage.sql import search
from herdbook.storage.sql.document_ledger import SqlLedger
from herdbook.storage.sql.document_tables import collections
from herdbook.storage.sql.models import SqlModels
from herdbook.storage.sql.tables import models


class SqlDocuments(SqlLedger):
    """The collections, and their migrations."""

    def __init__(self, connection: Connection, by: Actor, models: SqlModels) -> None:
        super().__init__(connection, by, models)

    def add(self, collection: Collection) -> None:
        """Add a collection; AlreadyExists when its name is taken."""
        row = {
            "model_id": self._models.id(collection.model),
            "name": collection.name,
            "store": collection.store,
            "epoch": collection.epoch,
            "doc": wire.dumps(collection),
        }
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(collections).values(**row))
        except IntegrityError:
            raise AlreadyExists(
                f"there is a collection {collection.name} already; choose another name",
                field="name",
            ) from None

    def get(self, name: str) -> Collection:
        """Give a collection; NotFound, also when its model may not be seen."""
        return self._one(name, select(collections.c.doc))

    def lock(self, name: str) -> Collection:
        """Give a collection and keep other writers of it waiting until this work ends."""
        return self._one(name, select(collections.c.doc).with_for_update(of=collections))

    def _one(self, name: str, asked: Select[Any]) -> Collection:
        asked = self._shown(asked).where(collections.c.name == name)
        row = self._connection.execute(asked).one_or_none()
        if row is None:
            raise NotFound(
                f"there is no collection {name!r:.80}; `herdbook documents list` shows those "
                "there are",
                field="name",
            )
        return _collection(row)

    def save(self, collection: Collection) -> None:
        """Write a collection over what was; its epoch must be the next or the same, StaleEpoch."""
        epoch = collection.epoch
        done = self._connection.execute(
            update(collections)
            .where(
                collections.c.name == collection.name,
                collections.c.epoch.in_([epoch - 1, epoch]),
            )
            .values(epoch=epoch, doc=wire.dumps(collection))
        )
        if done.rowcount != 1:
            raise StaleEpoch(
                f"the pointer of {collection.name} moved meanwhile; look again", field="epoch"
            )

    def remove(self, collection: Collection) -> None:
        """Remove a collection; its migrations stay as history, its name is free."""
        self._connection.execute(delete(collections).where(collections.c.name == collection.name))

    def page(self, *, model: str | None, size: int, page: str | None) -> Page[Collection]:
        """Give collections by name."""
        shape = f"collections {model}"
        position = page_position(page, shape=shape, kinds=(str,))
        asked = self._shown(select(collections.c.doc, collections.c.name))
        if model is not None:
            asked = asked.where(models.c.name == model)
        if position is not None:
            asked = asked.where(collections.c.name > position[0])
        asked = asked.order_by(collections.c.name).limit(size + 1)
        rows = self._connection.execute(asked).all()
        more = page_token(shape, [rows[size - 1].name]) if len(rows) > size else None
        return Page(tuple(_collection(row) for row in rows[:size]), more)

    def in_store(self, store: str) -> Sequence[Collection]:
        """Give the collections in a store, also those the actor may not see."""
        asked = select(collections.c.doc).where(collections.c.store == store)
        return [_collection(row) for row in self._connection.execute(asked)]

    def bridge(self, name: str) -> Bridge | None:
        """Give the bridge of a collection, or None."""
        asked = self._shown(select(collections.c.bridge)).where(collections.c.name == name)
        text = self._connection.execute(asked).scalar_one_or_none()
        return wire.value(Bridge, json.loads(text)) if text else None

    def set_bridge(self, name: str, bridge: Bridge | None) -> None:
        """Keep the bridge of a collection, or none."""
        self._connection.execute(
            update(collections)
            .where(collections.c.name == name)
            .values(bridge=wire.dumps(bridge) if bridge else None)
        )

    def _shown(self, asked: Select[Any]) -> Select[Any]:
        asked = asked.join(models, models.c.id == collections.c.model_id)
        asked = asked.where(models.c.tombstone.is_(None))
        return asked if self._by.sees_all() else asked.where(search.visible(self._by.grants))


def _collection(row: Any) -> Collection:
    return wire.value(Collection, json.loads(row.doc))
