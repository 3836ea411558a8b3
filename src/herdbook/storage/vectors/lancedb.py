"""LanceDB in a folder: a table for each collection, columns for each vector field."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
from lancedb.index import BTree, IvfFlat
from lancedb.query import ColumnOrdering

from herdbook.core.stamps import SPACE, WRITE
from herdbook.core.vectors import Batch, Hit, Place, Range, Shape, Traits, Vectors
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.storage.vectors import lance_rows as rows
from herdbook.storage.vectors.batches import checked, numbers
from herdbook.storage.vectors.lance_tables import Tables, folder_of, translated

_TRAITS: Final = Traits(kind="lancedb", fields=True, aliases=False, nested=True, shared=True)
# Up to here reading every vector takes a few milliseconds.
INDEXED_ROWS: Final = 50_000
_PROBES: Final = 32
# How many ranges are cut at once, and out of how many ids at most.
_AHEAD: Final = 16
_IDS: Final = 50_000
_METRICS: Final = ("cosine", "dot", "l2")
_BY_ID: Final = [ColumnOrdering(column_name="id", ascending=True)]
# From LanceDB's distances: 1 - cosine, 1 - dot product, the square of the distance.
_SCORES: Final[Mapping[str, Callable[[float], float]]] = {
    "cosine": lambda far: 1 - far,
    "dot": lambda far: 1 - far,
    "l2": lambda far: -math.sqrt(max(far, 0)),
}


def opened(address: str) -> Vectors:
    """Open `lancedb:folder`; the folder is made with the first collection."""
    return LanceVectors(address)


class LanceVectors:
    """The tables of one folder."""

    def __init__(self, address: str, *, indexed_rows: int = INDEXED_ROWS) -> None:
        self.address: str = address
        self._indexed_rows = indexed_rows
        with translated():
            self._tables = Tables(folder_of(address))

    @property
    def traits(self) -> Traits:
        """Metadata is kept as JSON; there are no aliases."""
        return _TRAITS

    def collections(self) -> list[str]:
        """Name the tables with ids and vectors."""
        with translated():
            return sorted(name for name in self._tables.names() if self._holds_documents(name))

    def _holds_documents(self, name: str) -> bool:
        try:
            found = self._tables.table(Place(collection=name))
        except Invalid:  # no name a collection could have
            return False
        return found is not None and "id" in found[1].names and bool(rows.dimensions(found[1]))

    def look(self, place: Place) -> Shape | None:
        """Count the rows that have a vector there."""
        with translated(place):
            found = self._tables.table(place)
            column = rows.column_of(place)
            if found is None or column not in (lengths := rows.dimensions(found[1])):
                return None
            table, schema = found
            return Shape(
                dimension=lengths[column],
                documents=table.count_rows(f"`{column}` IS NOT NULL"),
                metric=rows.metric_of(schema, column),
            )

    def create(self, place: Place, *, dimension: int, metric: str = "cosine") -> None:
        """Make a table, or columns in one."""
        if metric not in _METRICS:
            raise Invalid(f"{metric!r:.40} is no metric; write cosine, dot or l2", field="metric")
        added = rows.field_columns(place, dimension=dimension, metric=metric)
        with translated(place), self._tables.alone(place):
            found = self._tables.table(place)
            if found is None:
                if place.field:
                    raise NotFound(f"there is no {place.collection}; create it first")
                schema = pa.schema([*rows.shared_columns(), *added])
                self._tables.database.create_table(place.collection, schema=schema)
                return
            there = rows.dimensions(found[1]).get(rows.column_of(place))
            if there is None:
                _widen(*found, added, place)
            elif there != dimension:
                raise Conflict(
                    f"{place} is there already, for vectors of {there} numbers, not {dimension}; "
                    "take another name",
                    field="dimension",
                )

    def drop(self, place: Place) -> None:
        """Remove a table, or columns; the last field goes with the table."""
        with translated(place), self._tables.alone(place):
            found = self._tables.table(place)
            column = rows.column_of(place)
            if found is None or column not in (fields := rows.dimensions(found[1])):
                return
            if len(fields) == 1:
                self._tables.database.drop_table(place.collection)
                self._tables.forget(place.collection)
                return
            gone = {column, *rows.stamp_columns(place)}
            found[0].drop_columns([name for name in found[1].names if name in gone])

    def ranges(self, place: Place, *, size: int) -> Iterator[Range]:
        """Cut several ranges out of each query."""
        many = size * max(1, min(_AHEAD, _IDS // size))
        after, more = "", True
        while more:
            with translated(place):
                table, _ = self._found(place)
                where = _present(place, f"id > {rows.quoted(after)}" if after else "")
                query = table.search().where(where).select(["id"])
                ids = query.order_by(_BY_ID).limit(many).to_arrow()["id"]
            for start in range(0, len(ids), size):
                documents = min(size, len(ids) - start)
                upto = ids[start + documents - 1].as_py()
                yield Range(after=after, upto=upto, documents=documents)
                after = upto
            more = len(ids) == many

    def read(self, place: Place, within: Range, *, vectors: bool = False) -> Batch:
        """Read in the order of ids' bytes."""
        bounds = f"id <= {rows.quoted(within.upto)}"
        if within.after:
            bounds += f" AND id > {rows.quoted(within.after)}"
        with translated(place):
            found = self._selected(place, bounds, vectors=vectors)
            return rows.batch(place, found.sort_by("id"), vectors=vectors)

    def fetch(self, place: Place, ids: Sequence[str], *, vectors: bool = False) -> Batch:
        """Read by id."""
        with translated(place):
            found = self._selected(place, rows.named(ids) if ids else "false", vectors=vectors)
            at = {id: row for row, id in enumerate(found["id"].to_pylist())}
            order = pa.array([at[id] for id in ids if id in at], pa.int64())
            return rows.batch(place, found.take(order), vectors=vectors)

    def _selected(self, place: Place, where: str, *, vectors: bool) -> Any:
        table, schema = self._found(place)
        columns = rows.wanted(schema, place, vectors=vectors)
        return table.search().where(_present(place, where)).select(columns).to_arrow()

    def insert(self, place: Place, batch: Batch) -> int:
        """Add by a merge; gives how many were added, or got a vector."""
        with translated(place), self._writing(place) as (table, schema):
            given = _checked(schema, place, batch)
            added = 0
            if batch.ids and not place.field:
                merge = table.merge_insert("id").when_not_matched_insert_all()
                added = merge.execute(rows.rows(place, batch, given)).num_inserted_rows
            if added < len(batch.ids):
                # One that is there for another field's sake, or without a vector, gets one.
                added += _give(table, place, rows.rows(place, batch, given, only="vectors"))
            return added

    def upsert(self, place: Place, batch: Batch) -> None:
        """Write by a merge of the place's own columns; those of other fields stay."""
        with translated(place), self._writing(place) as (table, schema):
            given = _checked(schema, place, batch)
            if batch.ids:
                merge = table.merge_insert("id").when_matched_update_all()
                merge.when_not_matched_insert_all().execute(rows.rows(place, batch, given))

    def delete(self, place: Place, ids: Sequence[str], *, write: str = "") -> None:
        """Remove rows, or of rows another field has a vector in, this field's."""
        with translated(place), self._writing(place) as (table, schema):
            where = rows.named(ids) if ids else "false"
            if write:
                where += " AND " + rows.matching({place.stamp_key(WRITE): write})
            fields = rows.dimensions(schema)
            if not ids or len(fields) == 1:
                table.delete(where)
                return
            found = table.search().where(_present(place, where)).select(["id"]).to_arrow()
            if len(found):
                _take_vectors(table, place, rows.named(found["id"].to_pylist()), fields)

    def search(self, place: Place, vector: Any, *, k: int, space: str = "") -> list[Hit]:
        """Ask the index, and where it gives fewer than k, every row."""
        with translated(place):
            table, schema = self._found(place)
            column = rows.column_of(place)
            query = numbers(vector, shape=(rows.dimensions(schema)[column],), place=place)
            metric = rows.metric_of(schema, column)
            columns = rows.wanted(schema, place, vectors=False)
            if space and place.stamp_key(SPACE) not in columns:
                return []
            condition = rows.matching({place.stamp_key(SPACE): space}) if space else ""
            asked = table.search(query, vector_column_name=column).distance_type(metric)
            asked = asked.where(_present(place, condition)).limit(k).select([*columns, "_distance"])
            found = asked.minimum_nprobes(_PROBES).maximum_nprobes(0).to_arrow()
            if len(found) < k:
                found = asked.bypass_vector_index().to_arrow()
            return _hits(place, found, metric)

    def spaces(self, place: Place) -> Mapping[str, int]:
        """Count while the stamps are read, part by part."""
        with translated(place):
            table, schema = self._found(place)
            column = place.stamp_key(SPACE)
            if column not in schema.names:
                count = table.count_rows(_present(place, ""))
                return {"": count} if count else {}
            counts: dict[str, int] = {}
            for part in table.search().where(_present(place, "")).select([column]).to_batches():
                for each in part.column(column).value_counts().to_pylist():
                    space = each["values"] or ""
                    counts[space] = counts.get(space, 0) + each["counts"]
            return counts

    def index(self, place: Place) -> None:
        """Put small files together; index ids and vectors where there are many."""
        with translated(place), self._writing(place) as (table, schema):
            column = rows.column_of(place)
            indexed = {tuple(each.columns) for each in table.list_indices()}
            if table.count_rows(_present(place, "")) >= self._indexed_rows:
                if ("id",) not in indexed:
                    table.create_index("id", config=BTree())
                if (column,) not in indexed:
                    metric = rows.metric_of(schema, column)
                    table.create_index(column, config=_flat(metric))
            self._tables.optimize(place, table)

    def point(self, alias: str, place: Place) -> None:
        """It has no aliases: nothing."""

    def pointed(self, alias: str) -> str:  # noqa: ARG002
        """It has no aliases."""
        return ""

    def close(self) -> None:
        """Let go of the tables."""
        self._tables.close()

    def _found(self, place: Place) -> tuple[Any, Any]:
        found = self._tables.table(place)
        if found is None or rows.column_of(place) not in rows.dimensions(found[1]):
            raise NotFound(f"there is no {place} in the folder; create it first")
        if "id" not in found[1].names:
            raise Invalid(f"the table {place.collection} has no column 'id'", field="collection")
        return found

    @contextmanager
    def _writing(self, place: Place) -> Iterator[tuple[Any, Any]]:
        """Give the table to one writer, with all the columns that are written."""
        with self._tables.alone(place):
            table, schema = self._found(place)
            _complete(table, schema, place)
            yield table, schema
            self._tables.tidy(place, table)


def _checked(schema: Any, place: Place, batch: Batch) -> Any:
    length = rows.dimensions(schema)[rows.column_of(place)]
    return checked(batch, place=place, dimension=length)


def _flat(metric: str) -> Any:
    """Describe an index that compares with the vectors themselves."""
    index: Any = IvfFlat
    return index(distance_type=metric)


def _present(place: Place, where: str) -> str:
    there = f"`{rows.column_of(place)}` IS NOT NULL"
    return f"{there} AND {where}" if where else there


def _widen(table: Any, schema: Any, added: list[Any], place: Place) -> None:
    there = set(schema.names)
    if rows.column_of(place) in {rows.VECTOR} & {place.field} | there:
        raise Invalid(
            f"{rows.column_of(place)!r} is another column of {place.collection}", field="field"
        )
    table.add_columns([each for each in added if each.name not in there])


def _complete(table: Any, schema: Any, place: Place) -> None:
    """Add the columns a table that was not made here lacks."""
    there = set(schema.names)
    for each in ("text", "metadata"):
        kind = schema.field(each).type if each in there else pa.string()
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise Invalid(
                f"the column {each!r} of {place.collection} holds {kind}, not texts, and can only "
                "be read; migrate to another collection",
                field="collection",
            )
    asked = ["text", "metadata", *rows.stamp_columns(place)]
    missing = [pa.field(each, pa.string()) for each in asked if each not in there]
    if missing:
        table.add_columns(missing)


def _give(table: Any, place: Place, vectors: Any) -> int:
    """Give vectors to documents that are there without; nobody else writes meanwhile."""
    column = rows.column_of(place)
    where = f"`{column}` IS NULL AND {rows.named(vectors['id'].to_pylist())}"
    without = set(table.search().where(where).select(["id"]).to_arrow()["id"].to_pylist())
    if not without:
        return 0
    given = vectors.filter(pa.array([id in without for id in vectors["id"].to_pylist()]))
    # With an insert, though there is nothing to insert, rows are written anew. Without one a
    # whole column would be, of every file the rows are in.
    merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
    merge.execute(given)
    return len(given)


def _take_vectors(table: Any, place: Place, where: str, fields: Mapping[str, int]) -> None:
    """Take vectors and stamps away, and the documents that have no vector left."""
    column = rows.column_of(place)
    nothing = f"arrow_cast(NULL, 'FixedSizeList({fields[column]}, Float32)')"
    stamps = dict.fromkeys(rows.stamp_columns(place), "NULL")
    table.update(where=where, values_sql={column: nothing, **stamps})
    bare = " AND ".join(f"`{each}` IS NULL" for each in fields)
    table.delete(f"{where} AND {bare}")


def _hits(place: Place, found: Any, metric: str) -> list[Hit]:
    shown = rows.batch(place, found, vectors=False)
    distances = found["_distance"].to_pylist()
    columns = (shown.ids, shown.texts, shown.metadata, distances)
    return [
        Hit(id=id, score=_SCORES[metric](far), text=text, metadata=metadata)
        for id, text, metadata, far in zip(*columns, strict=True)
    ]
