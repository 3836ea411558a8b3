"""What an export holds of documents, into the tables."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from herdbook.core.documents import Bridge, Collection, Home, collection_name
from herdbook.core.migrations import Migration, SetAside, Shard
from herdbook.core.transfer import Record
from herdbook.core.vectors import Range
from herdbook.core.wire import dumps
from herdbook.services.documents import checked_address
from herdbook.services.ledger import check_ids
from herdbook.services.switching import fault
from herdbook.storage.sql.binding import version_ids
from herdbook.storage.sql.document_ledger import columns, row_of
from herdbook.storage.sql.document_ledger import read as read_migration
from herdbook.storage.sql.document_tables import (
    collections,
    document_migrations,
    document_rejects,
    document_shards,
    document_tombstones,
)
from herdbook.storage.sql.rows import continuing
from herdbook.storage.sql.tables import models
from herdbook.storage.sql.watching import checked, is_number, micros_of, nowhere, numbers_in

_MOST: Final = (1 << 63) - 1

Rows = list[dict[str, Any]]
Adder = Callable[[Sequence[Record]], None]


class Moving:
    """Writes what an export holds of documents.

    Args:
        connection: of the work that imports.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def adders(self) -> dict[str, Adder]:
        """Give what adds the records of each kind."""
        return {
            "migration": self._add_migrations,
            "shard": self._add_shards,
            "reject": self._add_rejects,
            "tombstone": self._add_tombstones,
            "collection": self._add_collections,
        }

    def _insert(self, table: Any, rows: Rows) -> None:
        self._connection.execute(insert(table), rows)

    def _add_migrations(self, records: Sequence[Record]) -> None:
        """Add migrations under the ids they had: the stamps of documents name those."""
        found = [(record, _migration(record)) for record in records]
        owners = self._model_ids({one.model for _, one in found})
        rows = []
        for record, migration in found:
            numbers = {migration.from_version, migration.to_version}
            self._check_versions(record, migration.model, numbers)
            own = row_of(migration.id)
            if not own:
                raise record.invalid(f"{migration.id!r:.40} is no id of a migration")
            rows.append(
                {
                    "id": own,
                    "model_id": owners[migration.model],
                    "collection": migration.collection,
                    **columns(migration),
                }
            )
        self._insert(document_migrations, rows)
        continuing(self._connection, document_migrations)

    def _add_shards(self, records: Sequence[Record]) -> None:
        ids = self._migrations(records)
        rows = []
        for record in records:
            shard = _shard(record)
            written, done = record.body.get("written"), record.body.get("done_at")
            if (written is None) != (done is None):
                raise record.invalid("a shard is done when it says both when and how much")
            if written is not None and not _is_whole(written):
                raise record.invalid(f"{written!r:.30} is no number of documents")
            rows.append(
                {
                    "migration_id": ids[record.text("migration")],
                    "number": shard.number,
                    "after": shard.within.after,
                    "upto": shard.within.upto,
                    "documents": shard.within.documents,
                    "written": written,
                    "done_at": None if done is None else micros_of(record, "done_at"),
                }
            )
        self._insert(document_shards, rows)

    def _add_rejects(self, records: Sequence[Record]) -> None:
        ids = self._migrations(records)
        rows = []
        for record in records:
            found = record.value(SetAside, {**record.body, "id": record.text("document")})
            checked(record, partial(check_ids, (found.id, found.reason)))
            if not _is_whole(found.shard):
                raise record.invalid(f"{found.shard!r:.30} is no number of a shard")
            rows.append(
                {
                    "migration_id": ids[record.text("migration")],
                    "document": found.id,
                    "reason": found.reason,
                    "shard": found.shard,
                    "at": micros_of(record, "at"),
                }
            )
        self._insert(document_rejects, rows)

    def _add_tombstones(self, records: Sequence[Record]) -> None:
        ids = self._migrations(records)
        rows = []
        for record in records:
            number, document = record.body.get("number"), record.text("document")
            checked(record, partial(check_ids, (document,)))
            if not _is_whole(number) or not number:
                raise record.invalid(f"{number!r:.30} is no number of a deletion")
            own = ids[record.text("migration")]
            rows.append({"migration_id": own, "number": number, "document": document})
        self._insert(document_tombstones, rows)

    def _add_collections(self, records: Sequence[Record]) -> None:
        found = [(record, _collection(record)) for record in records]
        owners = self._model_ids({one.model for _, one in found})
        rows = []
        for record, held in found:
            known = {home.space.number for home in held.homes if home.space}
            named = {home.encoder.number for home in held.homes if home.encoder}
            self._check_versions(record, held.model, known | named)
            wrong = fault(held, self._named(held.migration))
            if wrong:
                raise record.invalid(f"{held.name} {wrong}")
            rows.append(
                {
                    "model_id": owners[held.model],
                    "name": held.name,
                    "store": held.store,
                    "epoch": held.epoch,
                    "doc": dumps(held),
                    "bridge": _bridge(record, held),
                }
            )
        self._insert(collections, rows)

    def _named(self, key: str) -> Migration | None:
        asked = select(document_migrations.c.id, document_migrations.c.doc)
        asked = asked.where(document_migrations.c.id == row_of(key))
        row = self._connection.execute(asked).one_or_none() if row_of(key) else None
        return None if row is None else read_migration(row)

    def _model_ids(self, wanted: Iterable[str]) -> dict[str, int]:
        asked = select(models.c.name, models.c.id).where(models.c.name.in_(wanted))
        return {name: int(key) for name, key in self._connection.execute(asked)}

    def _check_versions(self, record: Record, model: str, numbers: set[str]) -> None:
        asked = select(models.c.id).where(models.c.name == model)
        if self._connection.execute(asked).one_or_none() is None:
            raise nowhere(record, model)
        there = version_ids(self._connection, [(model, number) for number in numbers])
        for number in sorted(numbers):
            if (model, number) not in there:
                raise nowhere(record, f"{model}:{number}")

    def _migrations(self, records: Sequence[Record]) -> dict[str, int]:
        """Give the rows' ids of the migrations that records name."""
        named = {record.text("migration"): record for record in records}
        own = {key: row_of(key) or 0 for key in named}
        asked = select(document_migrations.c.id)
        asked = asked.where(document_migrations.c.id.in_(own.values()))
        there = set(self._connection.execute(asked).scalars())
        for key, record in named.items():
            if own[key] not in there:
                raise nowhere(record, f"{key:.40}")
        return own


def _migration(record: Record) -> Migration:
    found = record.value(Migration, record.body.get("doc"))
    checked(record, partial(collection_name, found.collection))
    _check_numbers(record)
    _check_homes(record, (found.source, found.target), model=found.model)
    return found


def _collection(record: Record) -> Collection:
    found = record.value(Collection, record.body.get("doc"))
    checked(record, partial(checked_address, found.store))
    _check_numbers(record)
    _check_homes(record, found.homes, model=found.model)
    if not _is_whole(found.epoch) or not found.epoch:
        raise record.invalid(f"{found.epoch!r:.30} is no epoch")
    return found


def _bridge(record: Record, held: Collection) -> str | None:
    said = record.body.get("bridge")
    if (said is None) != (not held.bridge):
        raise record.invalid(f"the bridge of {held.name} and its mark are not together")
    if said is None:
        return None
    bridge = record.value(Bridge, said)
    if bridge.collection != held.name:
        raise record.invalid(f"the bridge is of {bridge.collection:.40}, not of {held.name}")
    return dumps(bridge)


def _shard(record: Record) -> Shard:
    within = record.value(Range, record.body)
    checked(record, partial(check_ids, (within.after, within.upto)))
    return record.value(Shard, {"number": record.body.get("number"), "within": record.body})


def _check_homes(record: Record, homes: Iterable[Home], *, model: str) -> None:
    for home in homes:
        for said in (home.encoder, home.space):
            if said is not None and said.model != model:
                raise record.invalid(f"{said.model} does not embed for {model}")


def _check_numbers(record: Record) -> None:
    if not all(map(is_number, numbers_in(record.body))):
        raise record.invalid("a number in it is beyond any")


def _is_whole(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST
