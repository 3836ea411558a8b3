"""Whether what a database says of collections and their migrations agrees with itself."""

import json
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, func, select

from herdbook.core import wire
from herdbook.core.documents import Collection
from herdbook.core.migrations import OVER, Migration
from herdbook.errors import HerdbookError
from herdbook.services.switching import fault
from herdbook.storage.sql.document_ledger import read, row_of, shown
from herdbook.storage.sql.document_tables import (
    collections,
    document_migrations,
    document_rejects,
    document_shards,
    document_tombstones,
)
from herdbook.storage.sql.rows import each
from herdbook.storage.sql.tables import models

# What is said of a bridge, and an estimate's examples, may have a megabyte.
_AT_ONCE: Final = 10


def wrong_migrations(connection: Connection) -> Iterator[str]:
    """Tell, a sentence each, what of collections and migrations was changed."""
    named = select(models.c.name).where(models.c.id == collections.c.model_id).scalar_subquery()
    # Not the map: it has megabytes, and nothing here looks into it.
    asked = select(
        collections.c.id,
        collections.c.name,
        collections.c.epoch,
        collections.c.doc,
        collections.c.bridge.is_not(None).label("bridged"),
        named.label("model"),
    )
    for row in each(connection, asked, (collections.c.id,), size=_AT_ONCE):
        yield from _wrong_collection(connection, row)
    asked = select(document_migrations)
    for row in each(connection, asked, (document_migrations.c.id,), size=_AT_ONCE):
        yield from _wrong_migration(connection, row)


def _wrong_collection(connection: Connection, row: Any) -> Iterator[str]:
    try:
        held = wire.value(Collection, json.loads(row.doc))
        migration = _migration(connection, held.migration)
    except (HerdbookError, ValueError) as error:
        yield f"what is stored of the collection {row.name} cannot be read: {error}"
        return
    if (held.name, held.model, held.epoch) != (row.name, row.model, row.epoch):
        yield f"the collection {row.name} is stored under another name, model or epoch"
    if bool(held.bridge) != bool(row.bridged):
        yield f"the bridge of the collection {row.name} and its mark are not together"
    wrong = fault(held, migration)
    if wrong:
        yield f"the collection {row.name} {wrong}"


def _migration(connection: Connection, key: str) -> Migration | None:
    own = row_of(key)
    asked = select(document_migrations.c.id, document_migrations.c.doc)
    row = connection.execute(asked.where(document_migrations.c.id == own)).one_or_none()
    return None if row is None else read(row)


def _wrong_migration(connection: Connection, row: Any) -> Iterator[str]:
    name = shown(row.id)
    try:
        found = read(row)
    except (HerdbookError, ValueError) as error:
        yield f"what is stored of {name} cannot be read: {error}"
        return
    if (found.collection, str(found.phase)) != (row.collection, row.phase):
        yield f"{name} is stored under another collection or phase than its own"
    if found.phase not in OVER and _under_way(connection, found.collection) != name:
        yield f"{name} is at {found.phase}, but is not what {found.collection} is in"
    noted, there = found.progress, _counted(connection, row.id)
    if (noted.shards, noted.shards_done, noted.set_aside, noted.buried) != there:
        told = ", ".join(map(str, there))
        yield f"the progress of {name} is not that of its shards and documents: {told}"


def _under_way(connection: Connection, collection: str) -> str:
    asked = select(collections.c.doc).where(collections.c.name == collection)
    text = connection.execute(asked).scalar_one_or_none()
    try:
        return str(json.loads(text or "{}").get("migration", ""))
    except (ValueError, AttributeError):  # told of already
        return ""


def _counted(connection: Connection, own: int) -> tuple[int, int, int, int]:
    """Give how many shards there are, are done, documents set aside, deletions."""

    def count(table: Table, *where: ColumnElement[bool]) -> int:
        asked = select(func.count()).select_from(table).where(table.c.migration_id == own, *where)
        return int(connection.execute(asked).scalar_one())

    return (
        count(document_shards),
        count(document_shards, document_shards.c.done_at.is_not(None)),
        count(document_rejects),
        count(document_tombstones),
    )
