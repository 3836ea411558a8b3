"""The port over collections of points, whichever way Qdrant is reached."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from herdbook.core.stamps import KEYS, SPACE, WRITE
from herdbook.core.vectors import Batch, Hit, Place, Range, Shape, Traits
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.storage.vectors.point_engine import Engine, Record, Rows, Where, id_of, vector_of
from herdbook.storage.vectors.point_ids import PointId, order, point_id
from herdbook.storage.vectors.point_joining import Joining
from herdbook.storage.vectors.point_payloads import ID, Layout

_PAGE: Final = 2_048


class Points:
    """A vector store of points; see `herdbook.core.vectors.Vectors`."""

    def __init__(self, address: str, engine: Engine, layout: Layout) -> None:
        self._address = address
        self._engine = engine
        self._layout = layout
        self._joining = Joining(engine, layout)

    @property
    def address(self) -> str:
        """Where it is."""
        return self._address

    @property
    def traits(self) -> Traits:
        """What it can do."""
        return Traits(
            kind=self._engine.kind,
            fields=True,
            aliases=self._engine.aliases,
            nested=True,
            shared=not self._engine.alone,
        )

    def collections(self) -> list[str]:
        """Name the collections."""
        with self._engine.reading():
            return sorted(self._engine.collections())

    def look(self, place: Place) -> Shape | None:
        """Tell of a place."""
        name = self._layout.name(place)
        with self._engine.reading():
            shape = (self._engine.fields(place.collection) or {}).get(name)
            if shape is None:
                return None
            documents = self._engine.count(place.collection, Where(present=name))
        return Shape(dimension=shape.dimension, documents=documents, metric=shape.metric)

    def create(self, place: Place, *, dimension: int, metric: str = "cosine") -> None:
        """Make a collection or a field."""
        name = self._layout.name(place)
        with self._engine.writing():
            fields = self._engine.fields(place.collection)
            if fields is None and place.field:
                raise NotFound(f"there is no collection {place.collection} to give a field to")
            if fields is None:
                self._engine.create(place.collection, name, dimension, metric)
            elif name not in fields:
                self._engine.add_field(place.collection, name, dimension, metric)
            elif fields[name].dimension != dimension:
                raise Conflict(
                    f"{place} is there with {fields[name].dimension} dimensions, not {dimension}; "
                    "choose another name"
                )
            keys = (self._layout.path(place.stamp_key(key)) for key in (SPACE, WRITE))
            self._engine.ease(place.collection, keys)

    def drop(self, place: Place) -> None:
        """Remove a collection or a field."""
        name = self._layout.name(place)
        with self._engine.writing():
            fields = self._engine.fields(place.collection)
            if fields is None or name not in fields:
                return
            if len(fields) == 1:
                self._engine.drop(place.collection)
                return
            keys = [self._layout.path(place.stamp_key(key)) for key in KEYS]
            self._engine.drop_field(place.collection, name, keys)

    def ranges(self, place: Place, *, size: int) -> Iterator[Range]:
        """Cut the documents into ranges."""
        if size < 1:
            raise Invalid(f"size is {size}; a range has 1 document or more", field="size")
        name = self._checked(place)
        after, upto, count = "", "", 0
        for ident in self._ids(place.collection, name):
            upto, count = ident, count + 1
            if count == size:
                yield Range(after=after, upto=upto, documents=count)
                after, count = upto, 0
        if count:
            yield Range(after=after, upto=upto, documents=count)

    def _ids(self, collection: str, name: str) -> Iterator[str]:
        start: PointId | None = None
        while True:
            with self._engine.reading():
                records, start = self._engine.scroll(
                    collection,
                    start=start,
                    limit=_PAGE,
                    payload=[ID],
                    vectors=[],
                    where=Where(present=name),
                )
            yield from (self._layout.ident(each.id, each.payload) for each in records)
            if start is None:
                return

    def read(self, place: Place, within: Range, *, vectors: bool = False) -> Batch:
        """Give the documents of a range."""
        after = point_id(within.after) if within.after else None
        upto = order(point_id(within.upto))
        found: list[Record] = []
        start: PointId | None = after
        limit = max(1, min(within.documents, _PAGE)) + (after is not None)
        with self._engine.reading():
            fields = self._fields(place)
            name = self._layout.name(place)
            while True:
                records, start = self._engine.scroll(
                    place.collection,
                    start=start,
                    limit=limit,
                    payload=True,
                    vectors=[name] if vectors else [],
                    where=Where(present=name),
                )
                # Most often the last one is the range's own, and so are all before it.
                whole = not records or order(id_of(records[-1])) <= upto
                found += records if whole else [r for r in records if order(id_of(r)) <= upto]
                if start is None or len(records) == 0 or order(start) > upto:
                    break
        if found and id_of(found[0]) == after:
            del found[0]
        return self._batch(place, found, fields, vectors=vectors)

    def fetch(self, place: Place, ids: Sequence[str], *, vectors: bool = False) -> Batch:
        """Give documents by id."""
        points = [point_id(each) for each in ids]
        with self._engine.reading():
            fields = self._fields(place)
            name = self._layout.name(place)
            # Whether a point has a vector in the field is only known when it is asked for.
            wanted = [name] if vectors or len(fields) > 1 else []
            records = self._engine.retrieve(place.collection, points, vectors=wanted)
        there = {
            id_of(record): record
            for record in records
            if not wanted or vector_of(record, name) is not None
        }
        found = [there[point] for point in points if point in there]
        return self._batch(place, found, fields, vectors=vectors)

    def insert(self, place: Place, batch: Batch) -> int:
        """Add documents that are not there."""
        if not len(batch):
            return 0
        rows = self._rows(place, batch)
        with self._engine.writing():
            rows.unnamed = len(self._measured(place, rows)) == 1
            if place.field:
                return self._joining.added(place, rows)
            self._engine.insert(place.collection, rows)
        return len(batch)

    def upsert(self, place: Place, batch: Batch) -> None:
        """Write documents."""
        if not len(batch):
            return
        rows = self._rows(place, batch)
        with self._engine.writing():
            fields = self._measured(place, rows)
            if len(fields) == 1:
                rows.unnamed = True
                self._engine.upsert(place.collection, rows)
            else:
                self._joining.written(place, rows, fields)

    def _rows(self, place: Place, batch: Batch) -> Rows:
        if not len(batch.ids) == len(batch.texts) == len(batch.metadata):
            raise Invalid(
                f"{len(batch.ids)} ids with {len(batch.texts)} texts and {len(batch.metadata)} "
                "metadata; give one of each for a document"
            )
        payloads = [
            self._layout.packed(place, ident, text, metadata)
            for ident, text, metadata in zip(batch.ids, batch.texts, batch.metadata, strict=True)
        ]
        ids = [point_id(ident) for ident in batch.ids]
        name = self._layout.name(place)
        return Rows(ids=ids, payloads=payloads, vectors=batch.vectors, name=name)

    def _measured(self, place: Place, rows: Rows) -> dict[str, Shape]:
        """Refuse vectors the field cannot hold; gives the collection's fields."""
        import numpy as np

        fields = self._fields(place)
        dimension = fields[self._layout.name(place)].dimension
        if rows.vectors is None:
            raise Invalid(f"documents for {place} come with their vectors", field="vectors")
        rows.vectors = np.asarray(rows.vectors, dtype=np.float32)
        if rows.vectors.shape != (len(rows.ids), dimension):
            raise Invalid(
                f"vectors of shape {rows.vectors.shape} do not fit {place}, which takes "
                f"{len(rows.ids)} of {dimension} numbers here",
                field="vectors",
            )
        if not np.isfinite(rows.vectors).all():
            raise Invalid("a vector holds NaN or infinity", field="vectors")
        return fields

    def delete(self, place: Place, ids: Sequence[str], *, write: str = "") -> None:
        """Remove documents."""
        points = [point_id(each) for each in ids]
        if not points:
            return
        name = self._layout.name(place)
        equal = {self._layout.path(place.stamp_key(WRITE)): write} if write else {}
        with self._engine.writing():
            others = [other for other in self._fields(place) if other != name]
            present = name if others else None
            where = Where(ids=points, present=present, absent=others, equal=equal)
            self._engine.delete(place.collection, where)
            if others:
                self._joining.taken_out(place, points, write)

    def search(self, place: Place, vector: Any, *, k: int, space: str = "") -> list[Hit]:
        """Give the nearest documents."""
        import numpy as np

        asked = np.asarray(vector, dtype=np.float32).ravel()
        equal = {self._layout.path(place.stamp_key(SPACE)): space} if space else {}
        with self._engine.reading():
            fields = self._fields(place)
            name = self._layout.name(place)
            if asked.shape != (fields[name].dimension,) or not np.isfinite(asked).all():
                raise Invalid(
                    f"a query of {asked.size} numbers does not fit {place}, whose vectors have "
                    f"{fields[name].dimension}, all finite",
                    field="vector",
                )
            where = Where(equal=equal)
            found = self._engine.query(place.collection, name, asked, k=k, where=where)
        others = [self._layout.field(name) for name in fields]
        sign = -1.0 if fields[name].metric == "l2" else 1.0
        return [
            Hit(
                id=self._layout.ident(each.id, each.payload),
                score=sign * float(each.score),
                text=self._layout.said(each.payload),
                metadata=self._layout.unpacked(place, each.payload, others),
            )
            for each in found
        ]

    def spaces(self, place: Place) -> Mapping[str, int]:
        """Count documents by space."""
        # A facet would be quicker, but a server gives one only of keys that are indexed.
        name = self._checked(place)
        key = place.stamp_key(SPACE)
        counts: dict[str, int] = {}
        start: PointId | None = None
        while True:
            with self._engine.reading():
                records, start = self._engine.scroll(
                    place.collection,
                    start=start,
                    limit=_PAGE,
                    payload=[self._layout.path(key)],
                    vectors=[],
                    where=Where(present=name),
                )
            for record in records:
                found = self._layout.inner(record.payload).get(key)
                space = found if isinstance(found, str) else ""
                counts[space] = counts.get(space, 0) + 1
            if start is None:
                return counts

    def index(self, place: Place) -> None:
        """Make the index."""
        self._checked(place)
        self._engine.index(place.collection)

    def point(self, alias: str, place: Place) -> None:
        """Move an alias."""
        if self._engine.aliases:
            with self._engine.writing():
                self._engine.point(alias, place.collection)

    def pointed(self, alias: str) -> str:
        """Give what an alias names."""
        if not self._engine.aliases:
            return ""
        with self._engine.reading():
            return self._engine.pointed(alias)

    def close(self) -> None:
        """Give it up."""
        self._engine.close()

    def _checked(self, place: Place) -> str:
        with self._engine.reading():
            self._fields(place)
        return self._layout.name(place)

    def _fields(self, place: Place) -> dict[str, Shape]:
        fields = self._engine.fields(place.collection)
        if fields is None or self._layout.name(place) not in fields:
            raise NotFound(f"there is no {place} in {self._address}")
        return fields

    def _batch(
        self,
        place: Place,
        records: Sequence[Record],
        fields: Mapping[str, Shape],
        *,
        vectors: bool,
    ) -> Batch:
        import numpy as np

        name = self._layout.name(place)
        others = [self._layout.field(name) for name in fields]
        rows: Any = None
        if vectors:
            rows = np.array([vector_of(each, name) for each in records], dtype=np.float32)
            rows = rows.reshape(len(records), fields[name].dimension)
        return Batch(
            ids=[self._layout.ident(each.id, each.payload) for each in records],
            texts=[self._layout.said(each.payload) for each in records],
            metadata=[self._layout.unpacked(place, each.payload, others) for each in records],
            vectors=rows,
        )
