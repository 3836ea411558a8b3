"""Qdrant's engine in this process: `qdrant-edge:folder`, a folder with one shard each collection.

There are no aliases: `point` does nothing. One process has the folder open. Every write is in the
shard's log before it is acknowledged, so a kill of the process loses none; `index` builds the
graph a search is quick with, nothing else does. With `cosine` vectors come back with length 1.
The address takes what that of `qdrant` does after `?`.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from herdbook.core.vectors import Shape
from herdbook.errors import HerdbookError, Invalid, NotFound, Unavailable
from herdbook.storage.vectors.alone import Held, hold
from herdbook.storage.vectors.point_engine import Record, Rows, Where
from herdbook.storage.vectors.point_ids import PointId
from herdbook.storage.vectors.points import Points
from herdbook.storage.vectors.qdrant_addresses import distance_of, laid_out, metric_of

_CONFIG: Final = "edge_config.json"
# Shards that are being made and removed: a kill leaves them half, under names no collection has.
_MAKING: Final = ".making-"
_GOING: Final = ".going-"


def opened(address: str) -> Points:
    """Open a folder of shards."""
    folder, layout = laid_out(address)
    return Points(address, EdgeEngine(Path(folder)), layout)


class Shards:
    """The shards of a folder, each opened when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Any] = {}
        for each in folder.iterdir():
            if each.name.startswith((_MAKING, _GOING)):
                shutil.rmtree(each)

    def names(self) -> list[str]:
        """Name the collections."""
        return [
            each.name
            for each in self._folder.iterdir()
            if not each.name.startswith(".") and (each / _CONFIG).exists()
        ]

    def config(self, name: str) -> dict[str, Any] | None:
        """Tell of the vector fields; None when there is no such collection."""
        try:
            told = json.loads((self._folder / name / _CONFIG).read_text())
        except FileNotFoundError:
            return None
        fields: dict[str, Any] = told.get("vectors") or {}
        return fields

    def shard(self, name: str) -> Any:
        """Give a collection's shard."""
        import qdrant_edge

        found = self._open.get(name)
        if found is None:
            if self.config(name) is None:
                raise NotFound(f"there is no collection {name} in {self._folder}")
            found = self._open[name] = qdrant_edge.EdgeShard.load(str(self._folder / name))
        return found

    def make(self, name: str, config: Any) -> None:
        """Make a collection, all of it or nothing."""
        import qdrant_edge

        making = self._folder / f"{_MAKING}{name}"
        qdrant_edge.EdgeShard.create(str(making), config).close()
        making.rename(self._folder / name)

    def remove(self, name: str) -> None:
        """Remove a collection, all of it or nothing."""
        shard = self._open.pop(name, None)
        if shard is not None:
            shard.close()
        going = self._folder / f"{_GOING}{name}"
        (self._folder / name).rename(going)
        shutil.rmtree(going)

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            self._open.popitem()[1].close()


class EdgeEngine:
    """Points in shards; see `Engine`."""

    kind = "qdrant-edge"
    alone = True
    aliases = False

    def __init__(self, folder: Path) -> None:
        self._held: Held[Shards] = hold(folder, Shards)
        self._closed = False

    def reading(self) -> AbstractContextManager[Any]:
        """Hold nothing: the engine takes reads at any time."""
        return nullcontext()

    def writing(self) -> AbstractContextManager[Any]:
        """Let one write at a time: some of them read first."""
        return self._held.turn

    def _shards(self) -> Shards:
        if self._closed:
            raise Unavailable("this store was closed; open it again")
        return self._held.thing

    def _shard(self, collection: str) -> Any:
        with self._held.turn:
            return self._shards().shard(collection)

    def collections(self) -> list[str]:
        """Name the collections."""
        return self._shards().names()

    def fields(self, collection: str) -> dict[str, Shape] | None:
        """Tell of the vector fields."""
        found = self._shards().config(collection)
        if found is None:
            return None
        return {
            name: Shape(
                dimension=params["size"],
                documents=0,
                metric=metric_of(params["distance"]),
            )
            for name, params in found.items()
        }

    def create(self, collection: str, name: str, dimension: int, metric: str) -> None:
        """Make a collection."""
        import qdrant_edge as edge

        params = edge.EdgeVectorParams(size=dimension, distance=_distance(metric))
        with _answered():
            self._shards().make(collection, edge.EdgeConfig(vectors={name: params}))

    def add_field(self, collection: str, name: str, dimension: int, metric: str) -> None:
        """Make another vector field."""
        self._update(collection, "create_dense_vector", name, dimension, _distance(metric))

    def ease(self, collection: str, keys: Iterable[str]) -> None:
        """Index keys of payloads."""
        import qdrant_edge as edge

        for key in keys:
            self._update(collection, "create_field_index", key, edge.PayloadSchemaType.Keyword)

    def drop(self, collection: str) -> None:
        """Remove a collection."""
        with _answered():
            self._shards().remove(collection)

    def drop_field(self, collection: str, name: str, keys: Sequence[str]) -> None:
        """Remove a vector field, and keys of all payloads."""
        import qdrant_edge as edge

        self._update(collection, "delete_vector_name", name)
        self._update(collection, "delete_payload_by_filter", edge.Filter(), list(keys))

    def _update(self, collection: str, name: str, *args: Any) -> None:
        import qdrant_edge as edge

        shard = self._shard(collection)
        with _answered():
            operation: Callable[..., Any] = getattr(edge.UpdateOperation, name)
            shard.update(operation(*args))

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
        """Give points by id."""
        import qdrant_edge as edge

        shard = self._shard(collection)
        with _answered():
            records, following = shard.scroll(
                edge.ScrollRequest(
                    offset=start,
                    limit=limit,
                    filter=_filter(where),
                    with_payload=payload,
                    with_vector=vectors or False,
                )
            )
        plain = following if following is None or isinstance(following, int) else str(following)
        return records, plain

    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        *,
        payload: bool | list[str] = True,
        vectors: list[str],
    ) -> Sequence[Record]:
        """Give those of the points that are there."""
        shard = self._shard(collection)
        with _answered():
            found: Sequence[Record] = shard.retrieve(list(ids), payload, vectors or False)
        return found

    def count(self, collection: str, where: Where) -> int:
        """Count points."""
        import qdrant_edge as edge

        shard = self._shard(collection)
        with _answered():
            return int(shard.count(edge.CountRequest(exact=True, filter=_filter(where))))

    def insert(self, collection: str, rows: Rows) -> None:
        """Add the points that are not there."""
        import qdrant_edge as edge

        points = _points(rows)
        self._update(collection, "upsert_points", points, None, edge.UpdateMode.InsertOnly)

    def upsert(self, collection: str, rows: Rows, *, where: Where | None = None) -> None:
        """Write points."""
        import qdrant_edge as edge

        points = _points(rows)
        if where is None:
            self._update(collection, "upsert_points", points)
        else:
            mode = edge.UpdateMode.UpdateOnly
            self._update(collection, "upsert_points", points, _filter(where), mode)

    def delete(self, collection: str, where: Where) -> None:
        """Remove points."""
        self._update(collection, "delete_points_by_filter", _filter(where))

    def query(
        self, collection: str, name: str, vector: Any, *, k: int, where: Where
    ) -> Sequence[Any]:
        """Give the nearest points."""
        import qdrant_edge as edge

        shard = self._shard(collection)
        with _answered():
            found: Sequence[Any] = shard.query(
                edge.QueryRequest(
                    limit=k,
                    query=edge.Query.Nearest(vector.tolist(), using=name or None),
                    filter=_filter(where),
                    with_payload=True,
                )
            )
        return found

    def index(self, collection: str) -> None:
        """Build the graphs, and put what the log holds into segments."""
        shard = self._shard(collection)
        with _answered():
            shard.optimize()
            shard.flush()

    def point(self, alias: str, collection: str) -> None:
        """Nothing: there are no aliases."""

    def pointed(self, alias: str) -> str:  # noqa: ARG002 - the port's name
        """Nothing: there are no aliases."""
        return ""

    def close(self) -> None:
        """Give it up."""
        if not self._closed:
            self._closed = True
            self._held.close()


def _distance(metric: str) -> Any:
    import qdrant_edge as edge

    return getattr(edge.Distance, distance_of(metric))


def _points(rows: Rows) -> list[Any]:
    import qdrant_edge as edge

    with _answered():
        vectors = rows.vectors if rows.name is None else rows.vectors.tolist()
        if rows.name is not None and not (rows.unnamed and not rows.name):
            vectors = [{rows.name: vector} for vector in vectors]
        return [
            edge.Point(point, vector, payload)
            for point, vector, payload in zip(rows.ids, vectors, rows.payloads, strict=True)
        ]


def _filter(where: Where) -> Any:
    import qdrant_edge as edge

    must: list[Any] = []
    if where.ids is not None:
        must.append(edge.HasIdCondition(set(where.ids)))
    if where.present is not None:
        must.append(edge.HasVectorCondition(where.present))
    for key, value in where.equal.items():
        must.append(edge.FieldCondition(key, match=edge.MatchValue(value)))
    # `unchanged` is only asked where other processes write.
    must_not: list[Any] = [edge.HasVectorCondition(name) for name in where.absent]
    return edge.Filter(must=must or None, must_not=must_not or None)


@contextmanager
def _answered() -> Iterator[None]:
    """Turn what the engine raises, which is `Exception` itself, into the port's errors."""
    try:
        yield
    except HerdbookError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"Qdrant refuses it: {error!s:.300}") from None
    except OSError as error:
        raise Unavailable(f"the folder of the shards failed: {error}") from None
    except Exception as error:  # noqa: BLE001 - the engine raises nothing narrower
        said = str(error)
        if said.startswith("Service "):
            raise Unavailable(f"Qdrant's engine failed: {said:.300}") from None
        raise Invalid(f"Qdrant refuses it: {said:.300}") from None
