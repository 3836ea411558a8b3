"""Chroma: a folder (`chroma:folder`) or its server (`chroma://host:8000`, a key in CHROMA_TOKEN).

Documents lie as LangChain lays them: text, flat metadata and a vector. Metadata takes texts,
numbers and booleans only. A collection has one vector field and no alias, and its name has 3
characters or more. Chroma keeps no order of ids: they are kept in memory, about 100 bytes a
document, while ranges are cut and read. One process has a folder open, a server has many: a
guarded delete and an upsert through a server are two steps of Chroma's there, not one.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from herdbook.core.stamps import SPACE, WRITE
from herdbook.core.vectors import Batch, Hit, Place, Range, Shape, Traits
from herdbook.errors import Conflict, Invalid, NotFound, Unavailable
from herdbook.storage.vectors.alone import Held, hold
from herdbook.storage.vectors.chroma_ids import KnownIds
from herdbook.storage.vectors.chroma_values import (
    DIMENSION,
    SPACES,
    answered,
    check,
    columns,
    dimension_of,
    metric_of,
    score_of,
)

_ASKED: Final = 1_000


def opened(address: str) -> "Chroma":
    """Open a folder, or name a server, which is asked when it is first used."""
    rest = address.partition(":")[2]
    if not rest.startswith("//"):
        return Chroma(address, held=hold(Path(rest), _local))
    try:
        parts = urlsplit(f"x:{rest}")
        host, port = parts.hostname, parts.port or 8000
    except ValueError as error:
        raise Invalid(f"{address!r:.120}: {error}", field="store") from None
    if not host or parts.query or parts.username is not None:
        raise Invalid(f"write chroma://host:8000 instead of {address!r:.120}", field="store")
    return Chroma(address, server=(host, port))


class Chroma:
    """A vector store of Chroma; see `herdbook.core.vectors.Vectors`."""

    def __init__(
        self, address: str, *, held: Held[Any] | None = None, server: tuple[str, int] = ("", 0)
    ) -> None:
        self._address = address
        self._held = held
        self._server = server
        self._made: Any = held.thing if held else None
        self._making = threading.Lock()
        self._closed = False
        self._known: dict[str, tuple[Any, KnownIds]] = {}

    @property
    def address(self) -> str:
        """Where it is."""
        return self._address

    @property
    def traits(self) -> Traits:
        """What it can do."""
        shared = self._held is None
        return Traits(kind="chroma", fields=False, aliases=False, nested=False, shared=shared)

    @property
    def _client(self) -> Any:
        if self._closed:
            raise Unavailable("this store was closed; open it again")
        if self._made is None:
            with self._making:
                if self._made is None:
                    self._made = _remote(*self._server)
        return self._made

    def _turn(self) -> AbstractContextManager[Any]:
        """Let one write at a time, where no other process can come in between."""
        return self._held.turn if self._held else nullcontext()

    def collections(self) -> list[str]:
        """Name the collections."""
        names: list[str] = []
        with answered():
            while True:
                page = self._client.list_collections(limit=_ASKED, offset=len(names))
                names += [each.name for each in page]
                if len(page) < _ASKED:
                    return sorted(names)

    def look(self, place: Place) -> Shape | None:
        """Tell of a collection."""
        if place.field:
            return None
        try:
            found = self._collection(place)
        except NotFound:
            return None
        with answered():
            return Shape(
                dimension=dimension_of(found), documents=found.count(), metric=metric_of(found)
            )

    def create(self, place: Place, *, dimension: int, metric: str = "cosine") -> None:
        """Make a collection."""
        if place.field:
            raise Invalid("a collection of Chroma has one vector field", field="field")
        if metric not in SPACES:
            raise Invalid(f"{metric!r:.30} is no metric; write cosine, dot or l2", field="metric")
        if len(place.collection) < 3 or place.collection[-1] in "-_":
            raise Invalid(
                f"Chroma takes no collection called {place.collection!r}: write 3 characters or "
                "more, a letter or digit last",
                field="collection",
            )
        with self._turn(), answered():
            found = self._client.get_or_create_collection(
                place.collection,
                metadata={DIMENSION: dimension},
                configuration={"hnsw": {"space": SPACES[metric]}},
                embedding_function=None,
            )
        there = dimension_of(found)
        if there not in {0, dimension}:
            raise Conflict(
                f"{place} is there with {there} dimensions, not {dimension}; choose another name"
            )

    def drop(self, place: Place) -> None:
        """Remove a collection."""
        if place.field:
            return
        self._known.pop(place.collection, None)
        try:
            with self._turn(), answered():
                self._client.delete_collection(place.collection)
        except NotFound:
            return

    def ranges(self, place: Place, *, size: int) -> Iterator[Range]:
        """Cut the documents into ranges."""
        if size < 1:
            raise Invalid(f"size is {size}; a range has 1 document or more", field="size")
        after = ""
        for ids in self._ids(place, anew=True).cut(size):
            yield Range(after=after, upto=ids[-1], documents=len(ids))
            after = ids[-1]

    def _ids(self, place: Place, *, anew: bool = False) -> KnownIds:
        found = self._collection(place)
        mark, known = self._known.get(place.collection, (None, None))
        if known is None or anew or mark != found.id:
            known = KnownIds(
                lambda limit, offset: list(found.get(include=[], limit=limit, offset=offset)["ids"])
            )
        with self._making, answered():
            known.refresh()
            self._known[place.collection] = (found.id, known)
        return known

    def read(self, place: Place, within: Range, *, vectors: bool = False) -> Batch:
        """Give the documents of a range."""
        ids = self._ids(place).between(within.after, within.upto)
        return self.fetch(place, ids, vectors=vectors)

    def fetch(self, place: Place, ids: Sequence[str], *, vectors: bool = False) -> Batch:
        """Give documents by id."""
        import numpy as np

        found = self._collection(place)
        wanted = list(dict.fromkeys(ids))
        include = ["documents", "metadatas", *(["embeddings"] if vectors else [])]
        batch = Batch(ids=[], texts=[], metadata=[])
        parts: list[Any] = []
        for start in range(0, len(wanted), _ASKED):
            part = wanted[start : start + _ASKED]
            with answered():
                got = found.get(ids=part, include=include)
            there = {each: row for row, each in enumerate(got["ids"])}
            rows = [there[each] for each in part if each in there]
            batch.ids += [got["ids"][row] for row in rows]
            batch.texts += [got["documents"][row] for row in rows]
            batch.metadata += [got["metadatas"][row] or {} for row in rows]
            if vectors and rows:
                parts.append(np.asarray(got["embeddings"], dtype=np.float32)[rows])
        if vectors:
            none = np.empty((0, dimension_of(found)), dtype=np.float32)
            batch.vectors = np.concatenate(parts) if parts else none
        return batch

    def insert(self, place: Place, batch: Batch) -> int:
        """Add documents that are not there: what Chroma calls `add` leaves the others alone."""
        found = self._collection(place)
        check(batch, place, found)
        for rows in self._steps(batch):
            with self._turn(), answered():
                found.add(**columns(batch, rows, batch.metadata[rows]))
        return len(batch)

    def upsert(self, place: Place, batch: Batch) -> None:
        """Write documents.

        Chroma's own upsert leaves keys of metadata that are not given, and a text where none is:
        a document whose text is no more is deleted first, and is gone if that is all that is done.
        """
        found = self._collection(place)
        check(batch, place, found)
        for rows in self._steps(batch):
            ids = batch.ids[rows]
            with self._turn(), answered():
                old = found.get(ids=ids, include=["documents", "metadatas"])
                there = dict(zip(old["ids"], old["metadatas"], strict=True))
                metadata = [
                    {**dict.fromkeys(there.get(each) or ()), **new}
                    for each, new in zip(ids, batch.metadata[rows], strict=True)
                ]
                texts = dict(zip(old["ids"], old["documents"], strict=True))
                textless = [
                    each
                    for each, text in zip(ids, batch.texts[rows], strict=True)
                    if text is None and texts.get(each) is not None
                ]
                if textless:
                    found.delete(ids=textless)
                found.upsert(**columns(batch, rows, metadata))

    def _steps(self, batch: Batch) -> list[slice]:
        with answered():
            size = int(self._client.get_max_batch_size())
        return [slice(start, start + size) for start in range(0, len(batch), size)]

    def delete(self, place: Place, ids: Sequence[str], *, write: str = "") -> None:
        """Remove documents."""
        found = self._collection(place)
        where = {WRITE: write} if write else None
        for start in range(0, len(ids), _ASKED):
            with self._turn(), answered():
                found.delete(ids=list(ids[start : start + _ASKED]), where=where)

    def search(self, place: Place, vector: Any, *, k: int, space: str = "") -> list[Hit]:
        """Give the nearest documents."""
        import numpy as np

        found = self._collection(place)
        asked = np.asarray(vector, dtype=np.float32).reshape(1, -1)
        if (
            asked.shape[1] != (dimension_of(found) or asked.shape[1])
            or not np.isfinite(asked).all()
        ):
            raise Invalid(
                f"a query of {asked.shape[1]} numbers does not fit {place}, whose vectors have "
                f"{dimension_of(found)}, all finite",
                field="vector",
            )
        with answered():
            got = found.query(
                query_embeddings=asked, n_results=k, where={SPACE: space} if space else None
            )
        metric = metric_of(found)
        told = [got[key][0] for key in ("ids", "distances", "documents", "metadatas")]
        return [
            Hit(id=ident, score=score_of(distance, metric), text=text, metadata=metadata or {})
            for ident, distance, text, metadata in zip(*told, strict=True)
        ]

    def spaces(self, place: Place) -> Mapping[str, int]:
        """Count documents by space."""
        found = self._collection(place)
        counts: dict[str, int] = {}
        for ids in self._ids(place, anew=True).cut(_ASKED):
            with answered():
                rows = found.get(ids=ids, include=["metadatas"])["metadatas"]
            for metadata in rows:
                said = (metadata or {}).get(SPACE)
                space = said if isinstance(said, str) else ""
                counts[space] = counts.get(space, 0) + 1
        return counts

    def index(self, place: Place) -> None:
        """Nothing: Chroma indexes what is written."""
        self._collection(place)

    def point(self, alias: str, place: Place) -> None:
        """Nothing: there are no aliases."""

    def pointed(self, alias: str) -> str:  # noqa: ARG002 - the port's name
        """Nothing: there are no aliases."""
        return ""

    def close(self) -> None:
        """Give it up."""
        if self._closed:
            return
        self._closed = True
        if self._held is not None:
            self._held.close()
        elif self._made is not None:
            shut(self._made)

    def _collection(self, place: Place) -> Any:
        if not place.field:
            try:
                with answered():
                    return self._client.get_collection(place.collection, embedding_function=None)
            except NotFound:
                pass
        raise NotFound(f"there is no {place} in {self._address}")


def _local(folder: Path) -> Any:
    import chromadb
    from chromadb.config import Settings

    with answered():
        settings = Settings(anonymized_telemetry=False)
        return chromadb.PersistentClient(path=str(folder), settings=settings)


def _remote(host: str, port: int) -> Any:
    import chromadb
    from chromadb.config import Settings

    token = os.environ.get("CHROMA_TOKEN")
    try:
        with answered():
            return chromadb.HttpClient(
                host=host,
                port=port,
                settings=Settings(anonymized_telemetry=False),
                headers={"x-chroma-token": token} if token else None,
            )
    except Invalid as error:
        # It asks the server at once, and says in a ValueError that nobody answers.
        raise Unavailable(f"no Chroma answers at {host}:{port}: {error.message}") from None


def shut(client: Any) -> None:
    """Close a client of a server with its connections, which it leaves open by itself."""
    client.close()
    for each in (client, getattr(client, "_admin_client", None)):
        session = getattr(getattr(each, "_server", None), "_session", None)
        if session is not None:
            session.close()
