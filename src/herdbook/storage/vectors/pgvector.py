"""PostgreSQL with pgvector: a table for each collection, a column for each vector field.

Documents go in and out column by column: a batch is one statement over arrays, and vectors travel
in their binary form, so that no number is ever written as text.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from psycopg import sql
from psycopg.rows import tuple_row

from herdbook.core.stamps import KEYS, Metadata
from herdbook.core.vectors import Batch, Hit, Place, Range, Shape, Traits, Vectors
from herdbook.errors import Invalid
from herdbook.storage.vectors import postgres_changes as changes
from herdbook.storage.vectors import postgres_statements as statements
from herdbook.storage.vectors import postgres_tables as tables
from herdbook.storage.vectors.batches import checked, numbers
from herdbook.storage.vectors.postgres_link import Connection, Link, Wire, parsed
from herdbook.storage.vectors.postgres_tables import Table, found

_TRAITS: Final = Traits(kind="pgvector", fields=True, aliases=True, nested=True, shared=True)
_written = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def opened(address: str) -> Vectors:
    """Open `pgvector://…`; the server is asked when the store is first used."""
    return PostgresVectors(address)


class PostgresVectors:
    """The tables of one database that hold documents."""

    def __init__(self, address: str) -> None:
        self.address: str = address
        parameters, self._names = parsed(address)
        self._link = Link(parameters)
        self._vector_type = 0

    @property
    def traits(self) -> Traits:
        """All that is asked for."""
        return _TRAITS

    def collections(self) -> list[str]:
        """Name the tables that have the columns of documents."""
        with self._link.using() as connection:
            return tables.collections(connection, self._names)

    def look(self, place: Place) -> Shape | None:
        """Count the documents that have a vector there."""
        with self._link.using(place) as connection:
            table = tables.described(connection, place, self._names)
            if table is None or table.column not in table.fields:
                return None
            count, dimension = _rows(connection, statements.count(table), [])[0]
        return Shape(
            dimension=table.field.dimension or dimension or 0,
            documents=count,
            metric=table.field.metric,
        )

    def create(self, place: Place, *, dimension: int, metric: str = "cosine") -> None:
        """Make a table, or a column; the extension too, in a database without it."""
        with self._link.using(place) as connection:
            changes.create(connection, place, self._names, dimension=dimension, metric=metric)

    def drop(self, place: Place) -> None:
        """Remove a table, or a column with its stamps; the last column goes with the table."""
        with self._link.using(place) as connection:
            changes.drop(connection, place, self._names)

    def ranges(self, place: Place, *, size: int) -> Iterator[Range]:
        """Cut by a statement for each range."""
        after = ""
        while True:
            with self._link.using(place) as connection:
                table = found(connection, place, self._names)
                statement = statements.following(table, after=bool(after))
                rows = _rows(connection, statement, [*_given(after), size])
            if not rows:
                return
            upto, count = rows[0]
            yield Range(after=after, upto=upto, documents=count)
            after = upto

    def read(self, place: Place, within: Range, *, vectors: bool = False) -> Batch:
        """Read in the order of the table's ids."""
        with self._link.using(place) as connection:
            table = found(connection, place, self._names)
            statement = statements.within(table, after=bool(within.after), vectors=vectors)
            rows = _rows(connection, statement, [within.upto, *_given(within.after)])
        return _batch(table, rows, vectors=vectors)

    def fetch(self, place: Place, ids: Sequence[str], *, vectors: bool = False) -> Batch:
        """Read by id."""
        with self._link.using(place) as connection:
            table = found(connection, place, self._names)
            rows = _rows(connection, statements.by_id(table, vectors=vectors), [list(ids)])
        by_id = {row[0]: row for row in rows}
        return _batch(table, [by_id[id] for id in ids if id in by_id], vectors=vectors)

    def insert(self, place: Place, batch: Batch) -> int:
        """Add in one statement; gives how many were added, or got a vector."""
        with self._link.using(place) as connection:
            table = found(connection, place, self._names)
            given = checked(batch, place=place, dimension=table.field.dimension)
            if not batch.ids:
                return 0
            if place.field:
                statement, metadata = statements.insert_vectors(table), _stamps(batch, place)
            else:
                statement, metadata = statements.insert(table), batch.metadata
            values = self._columns(connection, batch, metadata, given)
            return connection.execute(statement, values).rowcount

    def upsert(self, place: Place, batch: Batch) -> None:
        """Write in one statement."""
        with self._link.using(place) as connection:
            table = found(connection, place, self._names)
            given = checked(batch, place=place, dimension=table.field.dimension)
            if batch.ids:
                metadata = [_stored(place, each) for each in batch.metadata]
                values = self._columns(connection, batch, metadata, given)
                connection.execute(statements.upsert(table), values)

    def delete(self, place: Place, ids: Sequence[str], *, write: str = "") -> None:
        """Remove rows, or of rows another field has a vector in, this field's."""
        with self._link.using(place) as connection:
            table = found(connection, place, self._names)
            values = [list(ids), *_given(write)]
            if not table.others:
                connection.execute(statements.delete(table, guarded=bool(write)), values)
                return
            with connection.transaction():
                taken = statements.take_vectors(table, guarded=bool(write))
                those = [row[0] for row in _rows(connection, taken, values)]
                connection.execute(statements.delete_bare(table), [those])

    def search(self, place: Place, vector: Any, *, k: int, space: str = "") -> list[Hit]:
        """Ask the index, and where it gives fewer than k, every row."""
        with self._link.using(place) as connection:
            table = found(connection, place, self._names)
            query = Wire(_vector(numbers(vector, shape=(table.field.dimension,), place=place)))
            values = [query, *_given(space), query, k]
            rows = []
            for exact in (False, True):
                statement = statements.nearest(table, space=bool(space), exact=exact)
                rows = _rows(connection, statement, values)
                if len(rows) >= k:
                    break
        ids, texts, metadata, distances = _columns(rows, 4)
        best = 1 if table.field.metric == "cosine" else 0
        shown = _read(table, metadata)
        return [
            Hit(id=id, score=best - far, text=text, metadata=each)
            for id, text, each, far in zip(ids, texts, shown, distances, strict=True)
        ]

    def spaces(self, place: Place) -> Mapping[str, int]:
        """Count in the database."""
        with self._link.using(place) as connection:
            table = found(connection, place, self._names)
            return dict(_rows(connection, statements.spaces(table), []))

    def index(self, place: Place) -> None:
        """Build an HNSW index beside readers and writers; vectors over 2000 numbers get none."""
        with self._link.another() as connection:
            changes.index(connection, found(connection, place, self._names))

    def point(self, alias: str, place: Place) -> None:
        """Make the alias a view over the table."""
        with self._link.using(place) as connection:
            changes.point(connection, alias, place, self._names)

    def pointed(self, alias: str) -> str:
        """Tell which table the view is over."""
        with self._link.using() as connection:
            return changes.pointed(connection, alias, self._names)

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _columns(
        self,
        connection: Connection,
        batch: Batch,
        metadata: Sequence[Mapping[str, Any]],
        given: Any,
    ) -> list[Any]:
        """Give a batch as arrays for a statement."""
        try:
            written = [_written(each) for each in metadata]
        except (TypeError, ValueError, RecursionError) as error:
            raise Invalid(f"metadata is what JSON can say: {error}", field="metadata") from None
        if not self._vector_type:
            asked = sql.SQL("SELECT 'vector'::regtype::oid")
            self._vector_type = _rows(connection, asked, [])[0][0]
        return [batch.ids, batch.texts, written, Wire(_vectors(given, type_id=self._vector_type))]


def _rows(
    connection: Connection, statement: sql.SQL | sql.Composed, values: list[Any]
) -> list[tuple[Any, ...]]:
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        return cursor.execute(statement, values).fetchall()


def _given(value: str) -> list[str]:
    return [value] if value else []


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]


def _batch(table: Table, rows: Sequence[tuple[Any, ...]], *, vectors: bool) -> Batch:
    ids, texts, metadata, *sent = _columns(rows, 4 if vectors else 3)
    return Batch(
        ids=ids,
        texts=texts,
        metadata=_read(table, metadata),
        vectors=_numbers(sent[0], dimension=table.field.dimension) if vectors else None,
    )


def _read(table: Table, texts: list[str]) -> list[Metadata]:
    """Parse metadata, and show the stamp of the place and of no other."""
    found: list[Metadata] = json.loads(f"[{','.join(texts)}]")
    if table.others:
        hidden = frozenset(table.other_keys)
        found = [{key: each[key] for key in each if key not in hidden} for each in found]
    if table.place.field:
        plain = {table.place.stamp_key(key): key for key in KEYS}
        found = [{plain.get(key, key): each[key] for key in each} for each in found]
    return found


def _stored(place: Place, metadata: Metadata) -> Metadata:
    """Give the stamp the names it is stored under."""
    if not place.field:
        return metadata
    return {place.stamp_key(key) if key in KEYS else key: metadata[key] for key in metadata}


def _stamps(batch: Batch, place: Place) -> list[Metadata]:
    return [
        {place.stamp_key(key): each[key] for key in KEYS if key in each} for each in batch.metadata
    ]


def _vector(given: Any) -> bytes:
    return struct.pack(">HH", len(given), 0) + bytes(given.astype(">f4").tobytes())


def _vectors(given: Any, *, type_id: int) -> bytes:
    """Write vectors as PostgreSQL's binary array of pgvector's binary vectors."""
    count, dimension = given.shape
    numbers_of = (">f4", (dimension,))
    rows = np.empty(
        count, dtype=[("size", ">i4"), ("dim", ">u2"), ("unused", ">u2"), ("numbers", *numbers_of)]
    )
    rows["size"], rows["dim"], rows["unused"] = 4 + 4 * dimension, dimension, 0
    rows["numbers"] = given
    return struct.pack(">iiIii", 1, 0, type_id, count, 1) + rows.tobytes()


def _numbers(sent: Sequence[bytes], *, dimension: int) -> Any:
    """Read pgvector's binary vectors into one array."""
    if not sent:
        return np.empty((0, dimension), dtype=np.float32)
    each = (len(sent[0]) - 4) // 4
    if any(len(one) != len(sent[0]) for one in sent):
        raise Invalid("the collection holds vectors of several dimensions", field="collection")
    whole = np.frombuffer(b"".join(sent), dtype=[("head", ">u4"), ("numbers", ">f4", (each,))])
    return whole["numbers"].astype(np.float32)
