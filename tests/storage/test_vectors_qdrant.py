"""What is Qdrant's own: ids, layouts, fields whose vectors and stamps never part, kills."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herdbook.core.stamps import WRITE
from herdbook.core.vectors import Batch, Place, Vectors
from herdbook.errors import Invalid, Unavailable
from herdbook.storage.vectors import opened
from herdbook.storage.vectors.point_engine import Record
from herdbook.storage.vectors.point_ids import PointId, point_id
from herdbook.storage.vectors.point_payloads import Layout
from herdbook.storage.vectors.points import Points
from herdbook.storage.vectors.qdrant import ClientEngine
from tests.conformance.vectors.documents import (
    DIMENSION,
    FIRST,
    SECOND,
    directions,
    documents,
    everything,
    filled,
    numbered,
    told,
)
from tests.storage.vector_writers import HOLDING, acknowledged, process


@pytest.fixture(params=["qdrant", "qdrant-edge"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:{tmp_path / 'vectors'}"


@pytest.fixture
def store(address: str) -> Iterator[Vectors]:
    found = opened(address)
    yield found
    found.close()


def missing(address: str, count: int) -> list[str]:
    store = opened(address)
    try:
        ids = numbered(count)
        there = set(store.fetch(FIRST, ids, vectors=True).ids)
        return [each for each in ids if each not in there]
    finally:
        store.close()


def test_what_a_killed_process_was_told_is_written_is_there(address: str) -> None:
    count = acknowledged(address)

    assert missing(address, count) == []


def test_a_writer_that_acknowledges_too_early_fails_that_test(address: str) -> None:
    count = acknowledged(address, manner="naive")

    assert missing(address, count) != []


def test_a_folder_another_process_has_open_is_refused_until_it_ends(address: str) -> None:
    with process(HOLDING, address) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        with pytest.raises(Unavailable, match="another process"):
            opened(address)

    opened(address).close()


def test_a_folder_a_client_without_herdbook_has_open_is_refused(tmp_path: Path) -> None:
    qdrant_client = pytest.importorskip("qdrant_client")
    theirs = qdrant_client.QdrantClient(path=str(tmp_path))

    with pytest.raises(Unavailable, match="another program"):
        opened(f"qdrant:{tmp_path}")

    theirs.close()


def test_a_process_shares_what_it_has_open(address: str) -> None:
    one, two = opened(address), opened(address)
    filled(one)

    one.close()
    one.close()

    assert len(two.fetch(FIRST, numbered(5))) == 5
    with pytest.raises(Unavailable, match="closed"):
        one.look(FIRST)
    two.close()


# Never to be changed: documents in stores would not be found again.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        ("18446744073709551615", 2**64 - 1),
        ("0d5a3a52-6a4a-4d1e-a6c0-d1f1f3a6a1b2", "0d5a3a52-6a4a-4d1e-a6c0-d1f1f3a6a1b2"),
        ("majora", "617ee53b-8c9e-5bbe-9ccb-64f7162c6914"),
        ("007", None),
        ("18446744073709551616", None),
        ("0D5A3A52-6A4A-4D1E-A6C0-D1F1F3A6A1B2", None),
        ("٣", None),
    ],
)
def test_ids_that_are_points_ids_stay_and_others_become_uuids(
    text: str, expected: PointId | None
) -> None:
    found = point_id(text)

    if expected is None:
        assert uuid.UUID(str(found)).version == 5
    else:
        assert found == expected


def test_fields_are_there_when_the_store_is_opened_again(address: str) -> None:
    store = opened(address)
    filled(store)
    store.create(SECOND, dimension=3)
    added = documents(numbered(3), store.traits, write="write-2")
    added.vectors = directions(3, dimension=3)
    store.insert(SECOND, added)
    store.drop(FIRST)
    before = told(everything(store, SECOND))
    store.close()

    again = opened(address)

    assert again.look(FIRST) is None
    assert told(everything(again, SECOND)) == before
    again.upsert(SECOND, added)
    assert told(everything(again, SECOND)) == told(added)
    again.close()


PARTING = """
import sys
import numpy as np
from herdbook.storage.vectors import opened
from tests.conformance.vectors.documents import FIRST, SECOND, documents, numbered

store = opened(sys.argv[1])
for at in range(1, 100_000):
    batch = documents(numbered(200), store.traits, write=f"write-{at}")
    batch.vectors = np.full((200, 3), 1.0, dtype=np.float32)
    batch.vectors[:, 0] = at
    if sys.argv[2] == "naive":
        from qdrant_client import models
        client = store._engine._client
        client.update_vectors("chunks", [
            models.PointVectors(id=point, vector={"v2": vector})
            for point, vector in zip(store._rows(SECOND, batch).ids, batch.vectors.tolist())
        ])
        for point in store._rows(SECOND, batch).ids:
            client.set_payload(
                "chunks", {"v2_embedding_write": f"write-{at}"}, [point], key="metadata"
            )
    else:
        store.upsert(SECOND, batch)
    print(at, flush=True)
"""


def parted(address: str, *, manner: str) -> int:
    """Kill a writer of a field, and count documents whose vector and stamp are of two writes."""
    store = opened(address)
    filled(store, 200)
    store.create(SECOND, dimension=3, metric="dot")
    store.close()
    found = 0
    for wait_seconds in (0.05, 0.13):
        with process(PARTING, address, manner) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(wait_seconds)
        store = opened(address)
        batch = store.fetch(SECOND, numbered(200), vectors=True)
        found += sum(
            each.get(WRITE) != f"write-{round(float(vector[0]))}"
            for each, vector in zip(batch.metadata, batch.vectors, strict=True)
        )
        store.close()
    return found


def test_a_kill_never_parts_a_vector_of_a_field_from_its_stamp(address: str) -> None:
    assert parted(address, manner="") == 0


def test_writing_vectors_and_stamps_one_after_the_other_fails_that_test(tmp_path: Path) -> None:
    assert parted(f"qdrant:{tmp_path / 'vectors'}", manner="naive") > 0


class Interrupted(ClientEngine):
    """An engine others write to as well: between its reads and its writes something happens."""

    alone = False
    between: Callable[[], None] | None = None

    def retrieve(
        self,
        collection: str,
        ids: Sequence[PointId],
        *,
        payload: bool | list[str] = True,
        vectors: list[str],
    ) -> Sequence[Record]:
        """Read, and let others write."""
        found = super().retrieve(collection, ids, payload=payload, vectors=vectors)
        act, self.between = self.between, None
        if act is not None and vectors:
            act()
        return found


@pytest.fixture
def contested(tmp_path: Path) -> Iterator[tuple[Points, Interrupted, Points]]:
    engine = Interrupted(folder=tmp_path / "vectors")
    store = Points("qdrant:here", engine, Layout())
    other = Points("qdrant:here", ClientEngine(folder=tmp_path / "vectors"), Layout())
    filled(store, 4)
    store.create(SECOND, dimension=DIMENSION)
    yield store, engine, other
    store.close()
    other.close()


def test_an_insert_into_a_field_leaves_a_live_write_that_came_in_between(
    contested: tuple[Points, Interrupted, Points],
) -> None:
    store, engine, other = contested
    live = documents(["doc-000001"], store.traits, seed=50, write="live", text="live {id}")
    both = documents(["doc-000002"], store.traits, seed=51, write="live", text="live {id}")

    def write() -> None:
        other.upsert(FIRST, live)
        other.upsert(SECOND, both)

    engine.between = write
    store.insert(SECOND, documents(numbered(4), store.traits, seed=52, write="backfill"))

    assert told(other.fetch(FIRST, live.ids, vectors=True)) == told(live)
    assert told(other.fetch(SECOND, both.ids, vectors=True)) == told(both)
    found = other.fetch(SECOND, numbered(4))
    assert [each[WRITE] for each in found.metadata] == ["backfill", "backfill", "live", "backfill"]
    assert found.texts[1] == "live doc-000001"


def test_a_guarded_delete_from_a_field_leaves_a_live_write_that_came_in_between(
    contested: tuple[Points, Interrupted, Points],
) -> None:
    store, engine, other = contested
    store.insert(SECOND, documents(numbered(4), store.traits, write="backfill"))
    live = documents(["doc-000001"], store.traits, seed=50, write="live")
    engine.between = lambda: other.upsert(SECOND, live)

    store.delete(SECOND, numbered(2), write="backfill")

    assert other.fetch(SECOND, numbered(4)).ids == numbered(3, start=1)
    assert told(other.fetch(SECOND, live.ids, vectors=True)) == told(live)


def test_a_collection_of_langchain_is_read_and_written(tmp_path: Path) -> None:
    qdrant_client = pytest.importorskip("qdrant_client")
    models = qdrant_client.models
    ident = str(uuid.UUID(int=5))
    theirs = qdrant_client.QdrantClient(path=str(tmp_path))
    theirs.create_collection("chunks", models.VectorParams(size=2, distance="Cosine"))
    payload = {"page_content": "a cow", "metadata": {"page": 1, "tags": ["x"]}}
    theirs.upsert("chunks", [models.PointStruct(id=ident, vector=[1, 0], payload=payload)])
    theirs.close()
    store = opened(f"qdrant:{tmp_path}")

    read = store.fetch(FIRST, [ident], vectors=True)
    new = Batch(["bull"], ["a bull"], [{"page": 2}], np.array([[0, 1]], np.float32))
    store.insert(FIRST, new)
    store.close()

    assert (read.ids, read.texts) == ([ident], ["a cow"])
    assert read.metadata == [{"page": 1, "tags": ["x"]}]
    theirs = qdrant_client.QdrantClient(path=str(tmp_path))
    found = {each.payload["page_content"]: each for each in theirs.scroll("chunks")[0]}
    theirs.close()
    assert found["a bull"].payload == {
        "page_content": "a bull", "metadata": {"page": 2}, "herdbook_id": "bull",
    }  # fmt: skip


def test_other_layouts_are_asked_for_in_the_address(tmp_path: Path) -> None:
    qdrant_client = pytest.importorskip("qdrant_client")
    models = qdrant_client.models
    theirs = qdrant_client.QdrantClient(path=str(tmp_path))
    params = {"dense": models.VectorParams(size=2, distance="Cosine")}
    theirs.create_collection("chunks", params)
    point = models.PointStruct(id=9, vector={"dense": [1, 0]}, payload={"said": "moo", "page": 1})
    theirs.upsert("chunks", [point])
    theirs.close()

    store = opened(f"qdrant:{tmp_path}?text=said&metadata=&vector=dense")

    read = store.fetch(FIRST, ["9"])
    added = documents(["x"], store.traits)
    added.vectors = directions(1, dimension=2)
    store.insert(FIRST, added)
    assert (read.texts, read.metadata) == (["moo"], [{"page": 1}])
    assert told(store.fetch(FIRST, ["x"], vectors=True)) == told(added)
    assert store.search(FIRST, added.vectors[0], k=1)[0].id == "x"
    store.delete(FIRST, ["x"], write="write-1")
    assert everything(store, FIRST).ids == ["9"]
    store.close()


def test_an_address_that_says_something_else_is_invalid(tmp_path: Path) -> None:
    for wrong in ("?key=x", "?text="):
        with pytest.raises(Invalid, match="text, metadata or vector"):
            opened(f"qdrant:{tmp_path}{wrong}")


class _Old(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"title": "qdrant", "version": "1.16.3"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def test_a_server_that_would_overwrite_on_insert_is_refused() -> None:
    with HTTPServer(("127.0.0.1", 0), _Old) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        store = opened(f"qdrant://127.0.0.1:{server.server_port}")

        with pytest.raises(Invalid, match=r"1\.16\.3.*1\.17"):
            store.collections()

        store.close()
        server.shutdown()
        serving.join()


def test_a_collection_that_was_half_made_is_not_there(tmp_path: Path) -> None:
    half = tmp_path / ".making-gnn"
    half.mkdir()
    (half / "edge_config.json").write_text("{")
    store = opened(f"qdrant-edge:{tmp_path}")

    store.create(Place(collection="gnn"), dimension=3)

    assert store.collections() == ["gnn"]
    assert not half.exists()
    store.close()
