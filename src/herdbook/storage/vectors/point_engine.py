"""What the two ways to Qdrant, its client and its embedded engine, have to do for `points`."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from herdbook.core.vectors import Shape
from herdbook.storage.vectors.point_ids import PointId
from herdbook.storage.vectors.point_payloads import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A condition on points; what is not said is not asked.

    Args:
        ids: it is one of these.
        present: it has a vector in this field.
        absent: it has none in any of these.
        equal: keys of its payload have these values.
        unchanged: keys of its payload have one of these values, or are not there.
    """

    ids: Sequence[PointId] | None = None
    present: str | None = None
    absent: Sequence[str] = ()
    equal: Mapping[str, str] = field(default_factory=dict)
    unchanged: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Rows:
    """Points to be written.

    Args:
        ids: theirs.
        payloads: theirs.
        vectors: an array of shape (points, dimension), or a mapping of names to vectors for each.
        name: the field all of them have a vector in, where vectors is an array.
        unnamed: whether the collection has no other field.
    """

    ids: list[PointId]
    payloads: list[Payload]
    vectors: Any
    name: str | None = None
    unnamed: bool = False

    def part(self, at: Sequence[int]) -> "Rows":
        """Give some of the rows."""
        return Rows(
            ids=[self.ids[row] for row in at],
            payloads=[self.payloads[row] for row in at],
            vectors=self.vectors[at],
            name=self.name,
        )


class Record(Protocol):
    """A point as both libraries give it."""

    @property
    def id(self) -> Any:
        """Its id."""

    @property
    def payload(self) -> Any:
        """Its payload, if asked for."""

    @property
    def vector(self) -> Any:
        """Its vectors, if asked for: one, or by name."""


class Engine(Protocol):
    """Collections of points. Methods raise the errors of the port."""

    @property
    def kind(self) -> str:
        """The kind of store."""

    @property
    def alone(self) -> bool:
        """Whether nobody but this process writes: `writing` is a lock then."""

    @property
    def aliases(self) -> bool:
        """Whether collections have aliases."""

    def reading(self) -> AbstractContextManager[Any]:
        """Hold what has to be held while reading."""

    def writing(self) -> AbstractContextManager[Any]:
        """Hold what has to be held while writing; it may be held already."""

    def collections(self) -> list[str]:
        """Name the collections."""

    def fields(self, collection: str) -> dict[str, Shape] | None:
        """Tell of the vector fields, without counting; None when there is no such collection."""

    def create(self, collection: str, name: str, dimension: int, metric: str) -> None:
        """Make a collection with one vector field."""

    def add_field(self, collection: str, name: str, dimension: int, metric: str) -> None:
        """Make another vector field."""

    def ease(self, collection: str, keys: Iterable[str]) -> None:
        """Index keys of payloads that filters ask for, where that makes them quicker."""

    def drop(self, collection: str) -> None:
        """Remove a collection."""

    def drop_field(self, collection: str, name: str, keys: Sequence[str]) -> None:
        """Remove a vector field, and keys of all payloads."""

    def scroll(
        self,
        collection: str,
        *,
        start: PointId | None,
        limit: int,
        payload: bool | list[str],
        vectors: list[str],
        where: Where,
    ) -> tuple[Sequence[Record], PointId | None]:
        """Give points by id from `start` on, and the id of the next one."""

    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        *,
        payload: bool | list[str] = True,
        vectors: list[str],
    ) -> Sequence[Record]:
        """Give those of the points that are there."""

    def count(self, collection: str, where: Where) -> int:
        """Count points, exactly."""

    def insert(self, collection: str, rows: Rows) -> None:
        """Add the points that are not there; the others stay as they are."""

    def upsert(self, collection: str, rows: Rows, *, where: Where | None = None) -> None:
        """Write points; with `where`, only those that are there and meet it."""

    def delete(self, collection: str, where: Where) -> None:
        """Remove the points that meet a condition."""

    def query(
        self, collection: str, name: str, vector: Any, *, k: int, where: Where
    ) -> Sequence[Any]:
        """Give the nearest points with their scores and payloads."""

    def index(self, collection: str) -> None:
        """Make indexes that are not made by themselves."""

    def point(self, alias: str, collection: str) -> None:
        """Move an alias."""

    def pointed(self, alias: str) -> str:
        """Give what an alias names."""

    def close(self) -> None:
        """Give it up."""


def vector_of(record: Record, name: str) -> Any:
    """Give a point's vector in a field, or None."""
    vector = record.vector
    if isinstance(vector, dict):
        return vector.get(name)
    return vector if not name else None


def id_of(record: Record) -> PointId:
    """Give a point's id."""
    return record.id if isinstance(record.id, int) else str(record.id)
