"""Writing to one of several vector fields of a point.

A vector and its stamp are written with the point's other vectors and its payload in one operation,
on the condition that the stamps of all its fields are still those that were read: Qdrant can
change a vector or a payload by itself, but not both at once, and a vector that wears another's
stamp is what must never be. Where others changed a point meanwhile, it is read again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from herdbook.core.stamps import WRITE
from herdbook.core.vectors import Place, Shape
from herdbook.errors import Unavailable
from herdbook.storage.vectors.point_engine import Engine, Record, Rows, Where, id_of, vector_of
from herdbook.storage.vectors.point_ids import PointId
from herdbook.storage.vectors.point_payloads import Layout, Payload

_ROUNDS: Final = 8

# Gives what a point's payload becomes; None to leave the point as it is.
Join = Callable[[Record, Payload], Payload | None]


class Joining:
    """Reads points, joins what is new to them, and writes them back."""

    def __init__(self, engine: Engine, layout: Layout) -> None:
        self._engine = engine
        self._layout = layout

    def added(self, place: Place, rows: Rows) -> int:
        """Give documents a vector and a stamp in a field they have none in."""
        name = self._layout.name(place)

        def joined(record: Record, new: Payload) -> Payload | None:
            if vector_of(record, name) is not None:
                return None
            payload = self._layout.without_stamp(record.payload or {}, place)
            return self._layout.with_stamps(payload, new, [place.field])

        return self._joined(place, rows, joined, absent=[name])

    def written(self, place: Place, rows: Rows, fields: Mapping[str, Shape]) -> None:
        """Write documents, the vectors and stamps of other fields kept."""
        others = [self._layout.field(name) for name in fields if name != self._layout.name(place)]

        def joined(record: Record, new: Payload) -> Payload:
            return self._layout.with_stamps(new, record.payload, others)

        found = self._engine.retrieve(place.collection, rows.ids, payload=False, vectors=[])
        there = {id_of(record) for record in found}
        new = rows.part([at for at, point in enumerate(rows.ids) if point not in there])
        if new.ids:
            self._engine.insert(place.collection, new)
            # What another process added first was not added by this one.
            there.update(self._lost(place, new))
        if there:
            old = rows.part([at for at, point in enumerate(rows.ids) if point in there])
            self._joined(place, old, joined, absent=[])

    def _joined(
        self,
        place: Place,
        rows: Rows,
        join: Join,
        *,
        absent: list[str],
    ) -> int:
        """Write rows over the points that are there, as long as they are as they were read.

        What another process wrote meanwhile is read again.
        """
        left = {point: row for row, point in enumerate(rows.ids)}
        written = 0
        for _ in range(1 if self._engine.alone else _ROUNDS):
            fields = self._engine.fields(place.collection) or {}
            records = self._there(place, list(left), fields)
            out = self._over(rows, {id_of(each): each for each in records}, left, join)
            if not out.ids:
                return written
            where = Where(absent=absent, unchanged=self._unchanged(records, fields))
            self._engine.upsert(place.collection, out, where=where)
            lost = self._lost(place, out)
            written += len(out.ids) - len(lost)
            if not lost:
                return written
            left = {point: left[point] for point in lost}
        raise Unavailable(
            f"{len(left)} documents of {place} are being written by others all the time; try again"
        )

    def _there(
        self, place: Place, points: Sequence[PointId], fields: Mapping[str, Shape]
    ) -> Sequence[Record]:
        return self._engine.retrieve(place.collection, points, vectors=list(fields))

    def _over(
        self,
        rows: Rows,
        there: Mapping[PointId, Record],
        left: Mapping[PointId, int],
        join: Join,
    ) -> Rows:
        out = Rows(ids=[], payloads=[], vectors=[])
        for point, row in left.items():
            record = there.get(point)
            payload = join(record, rows.payloads[row]) if record is not None else None
            if record is None or payload is None:
                continue
            old = record.vector
            kept = dict(old) if isinstance(old, dict) else {"": old} if old else {}
            kept[rows.name or ""] = rows.vectors[row].tolist()
            out.ids.append(point)
            out.payloads.append(payload)
            out.vectors.append(kept)
        return out

    def _unchanged(
        self, records: Sequence[Record], fields: Mapping[str, Shape]
    ) -> dict[str, list[str]]:
        if self._engine.alone:
            return {}
        found: dict[str, list[str]] = {}
        for name in fields:
            of = Place(collection="x", field=self._layout.field(name))
            writes = {self._layout.write_of(of, record.payload) for record in records}
            found[self._layout.path(of.stamp_key(WRITE))] = sorted(filter(None, writes))
        return found

    def _lost(self, place: Place, out: Rows) -> list[PointId]:
        """Name the points that were not written as others had changed them."""
        if self._engine.alone:
            return []
        wanted = {
            point: self._layout.write_of(place, payload)
            for point, payload in zip(out.ids, out.payloads, strict=True)
        }
        key = self._layout.path(place.stamp_key(WRITE))
        records = self._engine.retrieve(place.collection, out.ids, payload=[key], vectors=[])
        return [
            id_of(record)
            for record in records
            if wanted[id_of(record)] is not None
            and self._layout.write_of(place, record.payload) != wanted[id_of(record)]
        ]

    def taken_out(self, place: Place, points: list[PointId], write: str) -> None:
        """Take documents out of one field that are still in another."""
        name = self._layout.name(place)
        for _ in range(1 if self._engine.alone else _ROUNDS):
            fields = self._engine.fields(place.collection) or {}
            records = [
                record
                for record in self._there(place, points, fields)
                if vector_of(record, name) is not None
                and (not write or self._layout.write_of(place, record.payload) == write)
            ]
            if not records:
                return
            out = Rows(
                ids=[id_of(each) for each in records],
                payloads=[self._layout.without_stamp(each.payload, place) for each in records],
                vectors=[_without(each.vector, name) for each in records],
            )
            where = Where(present=name, unchanged=self._unchanged(records, fields))
            self._engine.upsert(place.collection, out, where=where)
            points = out.ids
        if not self._engine.alone:
            raise Unavailable(f"documents of {place} are being written all the time; try again")


def _without(vector: Any, name: str) -> dict[str, Any]:
    return {each: value for each, value in vector.items() if each != name}
