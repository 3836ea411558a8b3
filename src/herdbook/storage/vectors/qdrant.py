"""Qdrant: its server, or the local mode of its client in a folder.

`qdrant:folder`, `qdrant://host:6333`, `qdrant+https://host:6333`, the key in QDRANT_API_KEY. A
server has to be 1.17 or later, which knows inserts that leave what is there alone; 1.18 for
another vector field. The local mode keeps everything in memory beside its file and compares every
vector with a query: good for tests and small collections. With `cosine` Qdrant gives vectors back
with length 1.

After `?`: `text`, the payload's key of the text (`page_content`); `metadata`, the key metadata is
nested under (`metadata`; empty where it lies beside the text); `vector`, the name of the first
vector field (none).
"""

import fcntl
import os
import re
import threading
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from herdbook.core.vectors import Shape
from herdbook.errors import Invalid, NotFound, Unavailable
from herdbook.storage.vectors.alone import Held, hold
from herdbook.storage.vectors.point_engine import Record, Rows, Where
from herdbook.storage.vectors.point_ids import PointId
from herdbook.storage.vectors.points import Points
from herdbook.storage.vectors.qdrant_addresses import laid_out, metric_of
from herdbook.storage.vectors.qdrant_models import answered, distance, filter_of, points_of

_TIMEOUT_SECONDS: Final = 60
# A request of a server is at most 32 MB of JSON; a number takes about 20 bytes of it.
_NUMBERS: Final = 1_000_000
_INSERTS: Final = (1, 17)
_FIELDS: Final = (1, 18)


def opened(address: str) -> Points:
    """Open a folder, or name a server, which is asked when it is first used."""
    where, layout = laid_out(address)
    if address.startswith(("qdrant://", "qdrant+https://")):
        return Points(address, ClientEngine(url=where), layout)
    return Points(address, ClientEngine(folder=Path(where)), layout)


class ClientEngine:
    """Points through qdrant-client; see `Engine`."""

    kind = "qdrant"
    aliases = True

    def __init__(self, *, url: str = "", folder: Path | None = None) -> None:
        self._url = url
        self._held: Held[Any] | None = hold(folder, _local) if folder is not None else None
        self._made: Any = self._held.thing if self._held else None
        self._version: tuple[int, int] = (99, 0)
        self._making = threading.Lock()
        self._closed = False

    @property
    def alone(self) -> bool:
        """Whether this is the local mode."""
        return self._held is not None

    def reading(self) -> AbstractContextManager[Any]:
        """Hold the local mode's lock: its lists are changed in place."""
        return self._held.turn if self._held else nullcontext()

    def writing(self) -> AbstractContextManager[Any]:
        """Hold the local mode's lock."""
        return self.reading()

    @property
    def _client(self) -> Any:
        if self._closed:
            raise Unavailable("this store was closed; open it again")
        if self._made is None:
            with self._making:
                if self._made is None:
                    self._made = self._connected()
        return self._made

    def _connected(self) -> Any:
        from qdrant_client import QdrantClient

        with warnings.catch_warnings():
            # It is said in the documentation of the address that a key goes over https.
            warnings.filterwarnings("ignore", message="Api key is used with an insecure")
            client = QdrantClient(
                url=self._url,
                api_key=os.environ.get("QDRANT_API_KEY") or None,
                timeout=_TIMEOUT_SECONDS,
                check_compatibility=False,
            )
        with answered():
            said = str(client.info().version)
        found = re.match(r"(\d+)\.(\d+)", said)
        self._version = (int(found[1]), int(found[2])) if found else (0, 0)
        if self._version < _INSERTS:
            raise Invalid(
                f"the Qdrant at {self._url} is {said}; herdbook needs 1.17 or later, which can "
                "insert without overwriting",
                field="store",
            )
        return client

    def collections(self) -> list[str]:
        """Name the collections."""
        with answered():
            return [each.name for each in self._client.get_collections().collections]

    def fields(self, collection: str) -> dict[str, Shape] | None:
        """Tell of the vector fields."""
        try:
            with answered():
                found = self._client.get_collection(collection).config.params.vectors
        except NotFound:
            return None
        named = found if isinstance(found, dict) else {"": found} if found else {}
        return {
            name: Shape(
                dimension=params.size,
                documents=0,
                metric=metric_of(params.distance.value),
            )
            for name, params in named.items()
        }

    def create(self, collection: str, name: str, dimension: int, metric: str) -> None:
        """Make a collection."""
        from qdrant_client import models

        params = models.VectorParams(size=dimension, distance=distance(metric))
        with answered():
            self._client.create_collection(collection, {name: params} if name else params)

    def add_field(self, collection: str, name: str, dimension: int, metric: str) -> None:
        """Make another vector field."""
        from qdrant_client import models

        client = self._client
        if self._version < _FIELDS:
            raise Invalid(
                "this Qdrant cannot give a collection another vector field, 1.18 and later can; "
                "migrate into a collection of its own",
                field="field",
            )
        dense = models.DenseVectorConfig(size=dimension, distance=distance(metric))
        with answered():
            client.create_vector_name(collection, name, models.DenseVectorNameConfig(dense=dense))

    def ease(self, collection: str, keys: Iterable[str]) -> None:
        """Index keys of payloads; the local mode has no such indexes."""
        if self._held is not None:
            return
        for key in keys:
            with answered():
                self._client.create_payload_index(collection, key, "keyword")

    def drop(self, collection: str) -> None:
        """Remove a collection."""
        with answered():
            self._client.delete_collection(collection)

    def drop_field(self, collection: str, name: str, keys: Sequence[str]) -> None:
        """Remove a vector field, and keys of all payloads."""
        from qdrant_client import models

        with answered():
            self._client.delete_vector_name(collection, name)
            self._client.delete_payload(collection, keys=list(keys), points=models.Filter())

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
        with answered():
            records, following = self._client.scroll(
                collection,
                scroll_filter=filter_of(where),
                limit=limit,
                offset=start,
                with_payload=payload,
                with_vectors=vectors or False,
            )
        return records, following

    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        *,
        payload: bool | list[str] = True,
        vectors: list[str],
    ) -> Sequence[Record]:
        """Give those of the points that are there."""
        with answered():
            found: Sequence[Record] = self._client.retrieve(
                collection, ids, with_payload=payload, with_vectors=vectors or False
            )
        return found

    def count(self, collection: str, where: Where) -> int:
        """Count points."""
        with answered():
            return int(self._client.count(collection, filter_of(where), exact=True).count)

    def insert(self, collection: str, rows: Rows) -> None:
        """Add the points that are not there."""
        self._write(collection, rows, mode="insert_only", where=None)

    def upsert(self, collection: str, rows: Rows, *, where: Where | None = None) -> None:
        """Write points."""
        self._write(collection, rows, mode="update_only" if where else "upsert", where=where)

    def _write(self, collection: str, rows: Rows, *, mode: str, where: Where | None) -> None:
        from qdrant_client import models

        dimension = len(rows.vectors[0]) if rows.name is not None else 4_096
        step = len(rows.ids) if self.alone else max(1, _NUMBERS // dimension)
        for start in range(0, len(rows.ids), step):
            points = points_of(rows, slice(start, start + step))
            with answered():
                self._client.upsert(
                    collection,
                    points,
                    update_filter=filter_of(where) if where else None,
                    update_mode=models.UpdateMode(mode),
                )

    def delete(self, collection: str, where: Where) -> None:
        """Remove points."""
        from qdrant_client import models

        with answered():
            self._client.delete(collection, models.FilterSelector(filter=filter_of(where)))

    def query(
        self, collection: str, name: str, vector: Any, *, k: int, where: Where
    ) -> Sequence[Any]:
        """Give the nearest points."""
        with answered():
            found: Sequence[Any] = self._client.query_points(
                collection,
                query=vector.tolist(),
                using=name or None,
                query_filter=filter_of(where),
                limit=k,
                with_payload=True,
            ).points
        return found

    def index(self, collection: str) -> None:
        """Nothing: a server indexes by itself, the local mode never."""

    def point(self, alias: str, collection: str) -> None:
        """Move an alias in one request."""
        from qdrant_client import models

        change: list[Any] = []
        if self.pointed(alias):
            gone = models.DeleteAlias(alias_name=alias)
            change.append(models.DeleteAliasOperation(delete_alias=gone))
        new = models.CreateAlias(collection_name=collection, alias_name=alias)
        change.append(models.CreateAliasOperation(create_alias=new))
        with answered():
            self._client.update_collection_aliases(change)

    def pointed(self, alias: str) -> str:
        """Give what an alias names."""
        with answered():
            found = self._client.get_aliases().aliases
        return next((each.collection_name for each in found if each.alias_name == alias), "")

    def close(self) -> None:
        """Give it up."""
        if self._closed:
            return
        self._closed = True
        if self._held is not None:
            self._held.close()
        elif self._made is not None:
            self._made.close()


def _local(folder: Path) -> Any:
    from qdrant_client import QdrantClient

    _quiet()
    try:
        _unlocked(folder / ".lock")
        # Threads take turns with a lock of ours.
        return QdrantClient(path=str(folder), force_disable_check_same_thread=True)
    except (BlockingIOError, RuntimeError):
        raise Unavailable(
            f"another program has {folder} open, and only one may; end it, or run a Qdrant server "
            "and give its address"
        ) from None
    except (OSError, ValueError) as error:
        raise Invalid(f"{folder} holds no vectors of Qdrant: {error}", field="store") from None


def _unlocked(lock: Path) -> None:
    """Look at the client's own lock, which it leaves open where it finds it taken."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _quiet() -> None:
    """Leave out that the local mode is slow with many documents, which the module says."""
    warnings.filterwarnings(
        "ignore", message="Local mode is not recommended for collections", category=UserWarning
    )
