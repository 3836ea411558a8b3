"""Migrations of documents in the database: how far each is, and the ledger of its shards."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, Table, delete, func, insert, select, update

from herdbook.core import wire
from herdbook.core.access import Actor
from herdbook.core.migrations import (
    OVER,
    PREFIX,
    Migration,
    MigrationPhase,
    Outcome,
    SetAside,
    Shard,
)
from herdbook.core.pages import Page, page_position, page_token
from herdbook.core.vectors import Range
from herdbook.errors import NotFound
from herdbook.storage.sql import search
from herdbook.storage.sql.document_tables import (
    document_migrations,
    document_rejects,
    document_shards,
    document_tombstones,
)
from herdbook.storage.sql.models import SqlModels
from herdbook.storage.sql.rows import BATCH, inserting, micros, moment
from herdbook.storage.sql.tables import models

_DOC: Final = (document_migrations.c.id, document_migrations.c.doc)


class SqlLedger:
    """The migrations; they are history, so those of removed collections stay."""

    def __init__(self, connection: Connection, by: Actor, models: SqlModels) -> None:
        self._connection = connection
        self._by = by
        self._models = models

    def begin(self, migration: Migration) -> Migration:
        """Add a migration and give it with its id."""
        row = {
            "model_id": self._models.id(migration.model),
            "collection": migration.collection,
            **columns(migration),
        }
        added = insert(document_migrations).values(**row).returning(document_migrations.c.id)
        return replace(migration, id=shown(self._connection.execute(added).scalar_one()))

    def migration(self, key: str) -> Migration:
        """Give a migration by its id; NotFound."""
        return self._migration(key, select(*_DOC))

    def lock_migration(self, key: str) -> Migration:
        """Give a migration and keep other writers of it waiting until this work ends."""
        return self._migration(key, select(*_DOC).with_for_update(of=document_migrations))

    def _migration(self, key: str, asked: Select[Any]) -> Migration:
        own = row_of(key)
        asked = self._visible(asked).where(document_migrations.c.id == own)
        row = self._connection.execute(asked).one_or_none() if own else None
        if row is None:
            raise NotFound(
                f"there is no migration {key!r:.80}; `herdbook documents list --migrations` shows "
                "those there are",
                field="migration",
            )
        return read(row)

    def save_migration(self, migration: Migration) -> None:
        """Write a migration over what was."""
        self._connection.execute(
            update(document_migrations)
            .where(document_migrations.c.id == row_of(migration.id))
            .values(**columns(migration))
        )

    def migrations(
        self, *, collection: str | None, model: str | None, size: int, page: str | None
    ) -> Page[Migration]:
        """Give migrations, newest first."""
        shape = f"migrations {collection} {model}"
        position = page_position(page, shape=shape, kinds=(int,))
        asked = self._visible(select(*_DOC))
        if collection is not None:
            asked = asked.where(document_migrations.c.collection == collection)
        if model is not None:
            asked = asked.where(models.c.name == model)
        if position is not None:
            asked = asked.where(document_migrations.c.id < position[0])
        asked = asked.order_by(document_migrations.c.id.desc()).limit(size + 1)
        rows = self._connection.execute(asked).all()
        more = page_token(shape, [rows[size - 1].id]) if len(rows) > size else None
        return Page(tuple(read(row) for row in rows[:size]), more)

    def running(self, *, limit: int) -> Sequence[Migration]:
        """Give those that are neither retired nor rolled back, the ones begun last first.

        Those of deleted models are left out: their collections are not there.
        """
        asked = self._visible(select(*_DOC)).where(models.c.tombstone.is_(None))
        asked = asked.where(document_migrations.c.phase.not_in([str(each) for each in OVER]))
        asked = asked.order_by(document_migrations.c.id.desc()).limit(limit)
        return [read(row) for row in self._connection.execute(asked)]

    def phases(self) -> Mapping[MigrationPhase, int]:
        """Count migrations by phase; those of deleted models are left out."""
        asked = self._visible(select(document_migrations.c.phase, func.count()))
        asked = asked.where(models.c.tombstone.is_(None)).group_by(document_migrations.c.phase)
        return {
            MigrationPhase(phase): int(count) for phase, count in self._connection.execute(asked)
        }

    def _visible(self, asked: Select[Any]) -> Select[Any]:
        asked = asked.join(models, models.c.id == document_migrations.c.model_id)
        return asked if self._by.sees_all() else asked.where(search.visible(self._by.grants))

    # --- shards ---

    def cut(self, key: str, shards: Sequence[Shard]) -> int:
        """Add shards; those whose number is there stay as they are. Gives how many are new."""
        own = row_of(key)
        rows = [
            {
                "migration_id": own,
                "number": shard.number,
                "after": shard.within.after,
                "upto": shard.within.upto,
                "documents": shard.within.documents,
            }
            for shard in shards
        ]
        return self._added(document_shards, own, rows)

    def _added(self, table: Table, own: int | None, rows: Sequence[Mapping[str, object]]) -> int:
        """Add rows that are not there; counted, for no driver tells how many it left out."""
        asked = select(func.count()).select_from(table).where(table.c.migration_id == own)
        before = self._connection.execute(asked).scalar_one() if rows else 0
        adding = inserting(self._connection, table).on_conflict_do_nothing()
        for at in range(0, len(rows), BATCH):
            self._connection.execute(adding, rows[at : at + BATCH])
        return int(self._connection.execute(asked).scalar_one()) - before if rows else 0

    def uncut(self, key: str) -> None:
        """Remove the shards of a migration."""
        gone = delete(document_shards).where(document_shards.c.migration_id == row_of(key))
        self._connection.execute(gone)

    def shards(self, key: str, *, after: int, size: int) -> Sequence[Shard]:
        """Give shards that are not done, by number from the one after `after` on."""
        asked = (
            select(document_shards)
            .where(
                document_shards.c.migration_id == row_of(key),
                document_shards.c.number > after,
                document_shards.c.done_at.is_(None),
            )
            .order_by(document_shards.c.number)
            .limit(size)
        )
        return [
            Shard(
                number=row.number,
                within=Range(after=row.after, upto=row.upto, documents=row.documents),
            )
            for row in self._connection.execute(asked)
        ]

    def settle(self, key: str, outcomes: Sequence[Outcome], *, at: datetime) -> Sequence[Outcome]:
        """Note what became of shards; gives those that had not been noted before.

        An outcome of shard 0 belongs to none and is always new.
        """
        own = row_of(key)
        return [each for each in outcomes if each.shard == 0 or self._settled(own, each, at)]

    def _settled(self, own: int | None, outcome: Outcome, at: datetime) -> bool:
        done = self._connection.execute(
            update(document_shards)
            .where(
                document_shards.c.migration_id == own,
                document_shards.c.number == outcome.shard,
                document_shards.c.done_at.is_(None),
            )
            .values(written=outcome.written, done_at=micros(at))
        )
        return done.rowcount == 1

    # --- what could not be moved, and what was deleted ---

    def put_aside(self, key: str, found: Sequence[SetAside], *, at: datetime) -> int:
        """List documents that cannot be moved, once each; gives how many are new."""
        own = row_of(key)
        rows = [
            {
                "migration_id": own,
                "document": each.id,
                "reason": each.reason,
                "shard": each.shard,
                "at": micros(at),
            }
            for each in found
        ]
        return self._added(document_rejects, own, rows)

    def take_back(self, key: str, ids: Sequence[str]) -> int:
        """Take documents off that list; gives how many were on it."""
        gone = 0
        for at in range(0, len(ids), BATCH):
            removed = delete(document_rejects).where(
                document_rejects.c.migration_id == row_of(key),
                document_rejects.c.document.in_(list(ids[at : at + BATCH])),
            )
            gone += self._connection.execute(removed).rowcount
        return gone

    def set_aside(self, key: str, *, size: int, page: str | None) -> Page[SetAside]:
        """Give the list, by id."""
        shape = f"aside {key}"
        position = page_position(page, shape=shape, kinds=(str,))
        asked = select(document_rejects).where(document_rejects.c.migration_id == row_of(key))
        if position is not None:
            asked = asked.where(document_rejects.c.document > position[0])
        asked = asked.order_by(document_rejects.c.document).limit(size + 1)
        rows = self._connection.execute(asked).all()
        items = tuple(
            SetAside(id=row.document, reason=row.reason, shard=row.shard, at=moment(row.at))
            for row in rows[:size]
        )
        more = page_token(shape, [rows[size - 1].document]) if len(rows) > size else None
        return Page(items, more)

    def bury(self, key: str, ids: Sequence[str], *, first: int) -> None:
        """Note deletions under the numbers from `first` on; the migration is locked."""
        own = row_of(key)
        rows = [
            {"migration_id": own, "number": first + at, "document": each}
            for at, each in enumerate(ids)
        ]
        if rows:
            self._connection.execute(insert(document_tombstones), rows)

    def buried(self, key: str, *, after: int, size: int) -> Sequence[tuple[int, str]]:
        """Give deletions, number and document, by number from the one after `after` on."""
        asked = (
            select(document_tombstones.c.number, document_tombstones.c.document)
            .where(
                document_tombstones.c.migration_id == row_of(key),
                document_tombstones.c.number > after,
            )
            .order_by(document_tombstones.c.number)
            .limit(size)
        )
        return [(row.number, row.document) for row in self._connection.execute(asked)]


def shown(row: int) -> str:
    """Give the id of a migration, by that of its row."""
    return f"{PREFIX}{row}"


def row_of(key: str) -> int | None:
    """Give the row's id that the id of a migration tells, or None."""
    digits = key.removeprefix(PREFIX)
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):  # as a bigint holds
        return None
    return int(digits) if key == shown(int(digits)) else None


def columns(migration: Migration) -> dict[str, object]:
    """Give what a row holds of a migration as it stands."""
    return {"phase": str(migration.phase), "doc": wire.dumps(replace(migration, id=""))}


def read(row: Any) -> Migration:
    """Give a migration from its row."""
    return replace(wire.value(Migration, json.loads(row.doc)), id=shown(row.id))
