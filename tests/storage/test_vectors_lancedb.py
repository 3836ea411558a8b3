"""LanceDB as a vector store: processes side by side, kills, indexes, tables of others."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from herdbook.core.vectors import Place, Shape, Vectors
from herdbook.errors import Invalid, NotFound, Unavailable
from herdbook.storage.vectors import opened
from herdbook.storage.vectors.lancedb import LanceVectors
from tests.conformance.vectors.documents import (
    DIMENSION,
    FIRST,
    NEW,
    SECOND,
    directions,
    documents,
    everything,
    filled,
    numbered,
    told,
)

WRITER = """
import sys
import tests.conformance.vectors.documents as made
from herdbook.storage.vectors import opened
store = opened(sys.argv[1])
table = store._tables.database.open_table("chunks")
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, 400, 20):
    batch = made.documents(made.numbered(20, start=start), store.traits)
    if sys.argv[2] == "herdbook":
        store.insert(made.FIRST, batch)
    else:
        here = set(table.search().select(["id"]).to_arrow()["id"].to_pylist())
        from herdbook.storage.vectors.lance_rows import rows
        whole = rows(made.FIRST, batch, batch.vectors)
        if not here & set(batch.ids):
            table.add(whole)
    print(start, flush=True)
"""


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"lancedb:{tmp_path / 'lance'}"


@pytest.fixture
def store(address: str) -> Iterator[Vectors]:
    found = opened(address)
    yield found
    found.close()


def a_writer(address: str, how: str) -> "subprocess.Popen[str]":
    """Start a process that will write 400 documents when it is told to begin."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, address, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def ready(writer: "subprocess.Popen[str]") -> None:
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"


def begin(writer: "subprocess.Popen[str]") -> None:
    assert writer.stdin is not None
    writer.stdin.write("\n")
    writer.stdin.flush()


def written_by_two(address: str, how: str) -> list[str]:
    """Let two processes write the same documents; give the ids that are there then."""
    writers = [a_writer(address, how) for _ in range(2)]
    for writer in writers:
        ready(writer)
    for writer in writers:
        begin(writer)
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    table: Any = lancedb.connect(address.removeprefix("lancedb:")).open_table("chunks")
    found: list[str] = table.to_arrow()["id"].to_pylist()
    return found


def test_processes_that_insert_the_same_documents_add_each_once(
    store: Vectors, address: str
) -> None:
    store.create(FIRST, dimension=DIMENSION)

    found = written_by_two(address, "herdbook")

    assert sorted(found) == numbered(400)


def test_writers_that_only_look_before_they_add_write_some_twice(
    store: Vectors, address: str
) -> None:
    store.create(FIRST, dimension=DIMENSION)

    found = written_by_two(address, "naive")

    assert len(found) > len(set(found))


def test_a_killed_writer_leaves_whole_batches_and_no_lock(store: Vectors, address: str) -> None:
    store.create(FIRST, dimension=DIMENSION)
    acknowledged = -1
    for kill_after in (1, 4):
        writer = a_writer(address, "herdbook")
        assert writer.stdout is not None
        ready(writer)
        begin(writer)
        for _ in range(kill_after):
            acknowledged = max(acknowledged, int(writer.stdout.readline()))
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()

        found = sorted(everything(store, FIRST).ids)
        assert found == numbered(len(found))
        assert len(found) % 20 == 0
        assert len(found) >= acknowledged + 20

    store.insert(FIRST, documents(numbered(400), store.traits))
    assert sorted(everything(store, FIRST).ids) == numbered(400)


def test_versions_do_not_pile_up(
    store: Vectors, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herdbook.storage.vectors.lance_tables._FRAGMENTS", 20)
    monkeypatch.setattr("herdbook.storage.vectors.lance_tables._LOOK_EVERY", 10)
    store.create(FIRST, dimension=DIMENSION)

    for id in numbered(45):
        store.insert(FIRST, documents([id], store.traits))

    table: Any = lancedb.connect(address.removeprefix("lancedb:")).open_table("chunks")
    assert table.stats()["fragment_stats"]["num_fragments"] < 20
    assert sorted(everything(store, FIRST).ids) == numbered(45)


def test_a_large_collection_is_searched_by_an_index_and_kept_right(address: str) -> None:
    store = LanceVectors(address, indexed_rows=300)
    batch = filled(store, 600)
    store.create(SECOND, dimension=DIMENSION, metric="l2")
    store.insert(SECOND, documents(numbered(600), store.traits, seed=5, space=NEW))
    for _ in range(2):
        store.index(FIRST)
        store.index(SECOND)
    late = documents(numbered(20, start=600), store.traits, seed=6)
    store.insert(FIRST, late)
    store.insert(FIRST, batch)
    store.upsert(FIRST, documents(numbered(5), store.traits, seed=8, space=NEW))
    store.delete(FIRST, numbered(5, start=10))
    store.delete(SECOND, numbered(5, start=10))

    table: Any = lancedb.connect(address.removeprefix("lancedb:")).open_table("chunks")
    assert sorted(each.columns[0] for each in table.list_indices()) == ["id", "v2", "vector"]
    kept = [*numbered(10), *numbered(605, start=15)]
    assert sorted(everything(store, FIRST, size=50).ids) == kept
    assert store.search(FIRST, late.vectors[3], k=1)[0].id == late.ids[3]
    query = directions(1, seed=77)[0]
    assert len(store.search(FIRST, query, k=5, space=NEW.fingerprint)) == 5
    assert len(store.search(FIRST, query, k=700)) == 615
    store.close()


def test_scores_are_the_metric_s_own(store: Vectors) -> None:
    scores = {}
    one, two = np.array([3, 0], np.float32), np.array([0, 4], np.float32)
    for metric in ("cosine", "dot", "l2"):
        place = Place(collection=f"by-{metric}")
        store.create(place, dimension=2, metric=metric)
        batch = documents(["x"], store.traits)
        batch.vectors = two[None]
        store.insert(place, batch)
        hits = store.search(place, one, k=1), store.search(place, two, k=1)
        scores[metric] = [round(each[0].score, 4) for each in hits]

    assert scores == {"cosine": [0, 1], "dot": [0, 16], "l2": [-5, 0]}


def test_names_are_taken_as_they_are_written(store: Vectors) -> None:
    field = Place(collection="Order-by", field="Select-2")
    first = Place(collection="Order-by")
    store.create(first, dimension=DIMENSION)
    store.create(field, dimension=3)
    store.insert(first, documents(["x", "y"], store.traits))
    batch = documents(["x", "y"], store.traits, write="write-2")
    batch.vectors = directions(2, dimension=3)

    store.insert(field, batch)
    store.delete(first, ["x"])
    store.delete(field, ["y"], write="write-2")

    assert everything(store, field).ids == ["x"]
    assert everything(store, first).ids == ["y"]
    assert store.spaces(field) == {documents(["x"], store.traits).metadata[0]["embedding_space"]: 1}


@pytest.mark.parametrize("name", ["id", "text", "metadata", "vector", "embedding_model"])
def test_no_column_of_the_table_is_a_field(store: Vectors, name: str) -> None:
    filled(store)

    with pytest.raises(Invalid, match=name):
        store.create(Place(collection="chunks", field=name), dimension=3)


def a_legacy_table(address: str, metadata: "pa.Array[Any]") -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(directions(3).reshape(-1)), DIMENSION)
    columns = {"id": ["a", "b", "c"], "vector": vectors, "text": ["one", "two", None]}
    database: Any = lancedb.connect(address.removeprefix("lancedb:"))
    database.create_table("chunks", pa.table({**columns, "metadata": metadata, "owner": [1, 2, 3]}))


def test_a_table_of_texts_is_a_collection_and_gets_the_columns_it_lacks(
    store: Vectors, address: str
) -> None:
    a_legacy_table(address, pa.array(['{"page": 1}', "{}", None], pa.string()))

    assert store.look(FIRST) == Shape(dimension=DIMENSION, documents=3)
    assert store.fetch(FIRST, ["a", "b", "c"]).metadata == [{"page": 1}, {}, {}]
    assert store.spaces(FIRST) == {"": 3}
    assert store.search(FIRST, directions(3)[1], k=1)[0].id == "b"
    assert store.search(FIRST, directions(3)[1], k=1, space="x") == []
    batch = documents(["a", "d"], store.traits)
    store.upsert(FIRST, batch)
    assert told(store.fetch(FIRST, ["a", "d"], vectors=True)) == told(batch)
    table: Any = lancedb.connect(address.removeprefix("lancedb:")).open_table("chunks")
    owners = dict(zip(*table.to_arrow().select(["id", "owner"]).to_pydict().values(), strict=True))
    assert owners == {"a": 1, "b": 2, "c": 3, "d": None}


def test_a_table_with_structured_metadata_is_only_read(store: Vectors, address: str) -> None:
    a_legacy_table(address, pa.array([{"page": 1, "by": None}, {"page": 2, "by": "me"}, None]))

    assert store.fetch(FIRST, ["a", "b", "c"]).metadata == [
        {"page": 1},
        {"page": 2, "by": "me"},
        {},
    ]
    with pytest.raises(Invalid, match="migrate to another collection"):
        store.insert(FIRST, documents(["d"], store.traits))


def test_an_address_that_is_no_folder_is_invalid() -> None:
    for address in ("lancedb:s3://bucket/chunks", "lancedb://host/chunks"):
        with pytest.raises(Invalid, match="folder"):
            opened(address)


def test_a_writer_that_waits_too_long_is_told_so_and_a_reader_does_not_wait(
    store: Vectors, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store)
    monkeypatch.setattr("herdbook.storage.vectors.lance_tables.LOCK_SECONDS", 0.05)
    lock = Path(address.removeprefix("lancedb:")) / ".chunks.lock"

    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="another process has been writing chunks"):
            store.insert(FIRST, documents(["x"], store.traits))
        assert store.look(FIRST) == Shape(dimension=DIMENSION, documents=5)

    assert store.insert(FIRST, documents(["x"], store.traits)) == 1


def test_a_search_in_a_table_that_is_being_dropped_finds_it_gone(
    store: Vectors, address: str
) -> None:
    filled(store, 20)
    store.search(FIRST, directions(1)[0], k=3)

    # What a drop by another process has removed after its first steps.
    for part in Path(address.partition(":")[2]).glob("*.lance/data/*"):
        part.unlink()

    with pytest.raises(NotFound, match="any more"):
        store.search(FIRST, directions(1)[0], k=3)


def test_a_table_without_ids_is_no_collection(store: Vectors, address: str) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(directions(3).reshape(-1)), DIMENSION)
    database: Any = lancedb.connect(address.removeprefix("lancedb:"))
    database.create_table("chunks", pa.table({"vector": vectors}))

    assert store.collections() == []
    with pytest.raises(Invalid, match="no column 'id'"):
        store.fetch(FIRST, ["x"])


def test_documents_that_are_none_are_refused_before_anything_is_written(store: Vectors) -> None:
    with pytest.raises(Invalid, match="cosine, dot or l2"):
        store.create(FIRST, dimension=DIMENSION, metric="cosin")
    store.create(FIRST, dimension=DIMENSION)
    unspeakable = documents(["x"], store.traits)
    unspeakable.metadata[0]["when"] = object()
    infinite = documents(["x"], store.traits)
    infinite.metadata[0]["score"] = float("inf")
    ragged = documents(["x", "y"], store.traits)
    ragged.vectors = [[1.0], [1.0, 2.0]]

    for batch in (
        unspeakable,
        infinite,
        ragged,
        documents([""], store.traits),
        documents(["x" * 401], store.traits),
    ):
        for write in (store.insert, store.upsert):
            with pytest.raises(Invalid):
                write(FIRST, batch)

    assert everything(store, FIRST).ids == []
