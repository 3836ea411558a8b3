"""PostgreSQL as a vector store: tables of others, restarts, indexes, writers side by side."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import psycopg
import pytest

from herdbook.core.stamps import KEYS, unstamped
from herdbook.core.vectors import Batch, Place, Shape, Vectors
from herdbook.errors import Conflict, Invalid, NotFound, Unavailable
from herdbook.storage.vectors import opened
from herdbook.storage.vectors.postgres_changes import INDEXED_DIMENSIONS
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
from tests.postgres import PostgresServer, StoppableServer

LEGACY = Place(collection="passages")
COLUMNS = "&id=passage_id&text=body&metadata=cmetadata&vector=vec"


@pytest.fixture
def database(postgres_url: str) -> str:
    return urlsplit(postgres_url).path.strip("/")


@pytest.fixture
def address(postgres_server: PostgresServer, database: str) -> str:
    return f"pgvector:///{database}?host={quote(str(postgres_server.folder))}&user=postgres"


@pytest.fixture
def store(address: str) -> Iterator[Vectors]:
    found = opened(address)
    yield found
    found.close()


@pytest.fixture
def plainly(postgres_server: PostgresServer, database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(
        host=str(postgres_server.folder), user="postgres", dbname=database, autocommit=True
    ) as connection:
        yield connection


def a_legacy_table(connection: psycopg.Connection, *, id_type: str, json: str = "jsonb") -> None:
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    connection.execute(
        f"CREATE TABLE passages (passage_id {id_type} PRIMARY KEY, owner text, body text, "
        f"cmetadata {json}, vec vector({DIMENSION}) NOT NULL)"
    )


@pytest.mark.parametrize("json", ["jsonb", "json"])
@pytest.mark.parametrize("id_type", ["uuid", "bigint", "text", "varchar(50)"])
def test_a_table_of_another_layout_is_a_collection(
    address: str, plainly: psycopg.Connection, id_type: str, json: str
) -> None:
    a_legacy_table(plainly, id_type=id_type, json=json)
    given = [f"00000000-0000-4000-8000-{at:012}" for at in range(30)]
    ids = given if id_type == "uuid" else [str(at) for at in range(1, 31)]
    store = opened(address + COLUMNS)

    assert store.collections() == ["passages"]
    assert store.look(LEGACY) == Shape(dimension=DIMENSION, documents=0)
    batch = documents(ids, store.traits)
    assert store.insert(LEGACY, batch) == 30
    assert store.insert(LEGACY, batch) == 0
    whole = everything(store, LEGACY, size=7)
    assert told(whole) == told(batch)
    assert whole.ids == ids if id_type in {"uuid", "bigint"} else sorted(whole.ids) == sorted(ids)
    second = Place(collection="passages", field="v2")
    store.create(second, dimension=DIMENSION)
    store.insert(second, documents(ids[:20], store.traits, space=NEW, write="write-2"))
    store.delete(second, ids[:5], write="write-2")
    assert store.look(second) == Shape(dimension=DIMENSION, documents=15)
    store.index(LEGACY)
    assert store.search(LEGACY, batch.vectors[3], k=1)[0].id == ids[3]
    store.close()


def test_legacy_documents_have_no_metadata_and_no_stamp(
    address: str, plainly: psycopg.Connection
) -> None:
    a_legacy_table(plainly, id_type="text")
    plainly.execute(
        "INSERT INTO passages VALUES ('a', 'me', NULL, NULL, %s::vector)",
        [str(directions(1)[0].tolist())],
    )
    store = opened(address + COLUMNS)

    assert store.fetch(LEGACY, ["a"]).metadata == [{}]
    assert store.spaces(LEGACY) == {"": 1}
    store.upsert(LEGACY, documents(["a"], store.traits))
    assert set(KEYS) < set(store.fetch(LEGACY, ["a"]).metadata[0])
    assert plainly.execute("SELECT owner FROM passages").fetchall() == [("me",)]
    store.close()


def test_a_table_that_holds_no_documents_is_told_so(
    store: Vectors, plainly: psycopg.Connection
) -> None:
    plainly.execute("CREATE TABLE chunks (id int, name text)")

    assert store.collections() == []
    with pytest.raises(Invalid, match=r"no column 'document'.*\?id="):
        store.look(FIRST)
    with pytest.raises(Invalid, match="no column 'document'"):
        store.create(FIRST, dimension=DIMENSION)


def test_an_alias_takes_the_name_of_nothing_else(
    store: Vectors, plainly: psycopg.Connection
) -> None:
    filled(store)
    plainly.execute("CREATE VIEW mine AS SELECT 1 AS one")

    for taken in ("mine", "chunks"):
        with pytest.raises(Conflict, match=taken):
            store.point(taken, FIRST)

    assert plainly.execute("SELECT one FROM mine").fetchall() == [(1,)]


def test_an_alias_is_a_view_others_read(store: Vectors, plainly: psycopg.Connection) -> None:
    filled(store)
    store.point("live", FIRST)
    store.create(SECOND, dimension=3)

    read = plainly.execute("SELECT id, v2 FROM live ORDER BY id").fetchall()

    assert read == [(id, None) for id in numbered(5)]


def test_no_column_of_the_table_is_a_field(store: Vectors) -> None:
    filled(store)

    for name in ("id", "document", "metadata", "embedding"):
        with pytest.raises(Invalid, match=name):
            store.create(Place(collection="chunks", field=name), dimension=3)


def test_names_are_taken_as_they_are_written(store: Vectors) -> None:
    place, field = Place(collection="Order-by"), Place(collection="Order-by", field="Select-2")
    store.create(place, dimension=DIMENSION)
    store.create(field, dimension=3)

    store.insert(place, documents(["x"], store.traits))
    batch = documents(["x"], store.traits)
    batch.vectors = directions(1, dimension=3)
    store.insert(field, batch)
    store.index(field)

    assert store.search(field, batch.vectors[0], k=1)[0].score == pytest.approx(1)
    store.drop(place)
    assert store.collections() == ["Order-by"]


def test_an_index_is_built_once_and_one_that_broke_off_again(
    store: Vectors, plainly: psycopg.Connection
) -> None:
    filled(store, 50)
    asked = (
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index i JOIN pg_class c "
        "ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam WHERE m.amname = 'hnsw'"
    )
    store.index(FIRST)
    store.index(FIRST)
    once = plainly.execute(asked).fetchall()
    plainly.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [once[0][0]]
    )

    store.index(FIRST)

    assert [valid for _, valid in once] == [True]
    assert [valid for _, valid in plainly.execute(asked).fetchall()] == [True]


def test_vectors_too_long_for_an_index_are_searched_without_one(
    store: Vectors, caplog: pytest.LogCaptureFixture
) -> None:
    long = INDEXED_DIMENSIONS + 1
    store.create(FIRST, dimension=long)
    batch = documents(numbered(3), store.traits)
    batch.vectors = directions(3, dimension=long)
    store.insert(FIRST, batch)

    store.index(FIRST)

    assert f"vectors of {long} dimensions" in caplog.text
    assert store.search(FIRST, batch.vectors[2], k=1)[0].id == batch.ids[2]


def test_a_dimension_postgresql_cannot_hold_is_invalid(store: Vectors) -> None:
    with pytest.raises(Invalid, match="16000"):
        store.create(FIRST, dimension=20_000)

    assert store.look(FIRST) is None


def test_no_transaction_is_left_open(store: Vectors, plainly: psycopg.Connection) -> None:
    filled(store, 20)
    ranges = store.ranges(FIRST, size=5)
    next(ranges)
    with pytest.raises(NotFound):
        store.fetch(SECOND, ["x"])

    states = plainly.execute(
        "SELECT state FROM pg_stat_activity WHERE application_name = 'herdbook'"
    ).fetchall()

    assert states == [("idle",)]
    assert len(list(ranges)) == 3


def test_writers_of_the_same_documents_in_any_order_do_not_block_each_other(
    store: Vectors, address: str
) -> None:
    filled(store, 200)
    store.create(SECOND, dimension=DIMENSION)
    writers = [opened(address) for _ in range(4)]

    def write(at: int) -> None:
        rng = np.random.default_rng(at)
        for turn in range(25):
            ids = [numbered(200)[each] for each in rng.permutation(200)[:60]]
            batch = documents(ids, store.traits, seed=at, write=f"write-{at}-{turn}")
            place = (FIRST, SECOND)[turn % 2]
            (writers[at].upsert if turn % 3 else writers[at].insert)(place, batch)
            writers[at].delete(place, ids[:20], write=f"write-{at}-{turn}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))

    for place in (FIRST, SECOND):
        assert len(set(everything(store, place).ids)) == len(everything(store, place).ids)
    for writer in writers:
        writer.close()


def looked_at_until_it_fails(store: Vectors) -> None:
    for _ in range(1_000):
        store.look(FIRST)


def test_a_store_comes_back_after_the_server_did_with_what_was_acknowledged() -> None:
    with tempfile.TemporaryDirectory(prefix="herdbook-pg-") as folder:
        stoppable = StoppableServer(Path(folder))
        address = f"pgvector:///postgres?host={quote(folder)}&user=postgres"
        store = opened(address)
        with stoppable.running():
            batch = filled(store, 50)
            stoppable.stop_hard()
            with pytest.raises(Unavailable):
                looked_at_until_it_fails(store)

        with stoppable.running():
            found = everything(store, FIRST)

        store.close()
        assert told(found) == told(batch)


def test_a_server_that_ends_the_connection_is_unavailable_once(
    store: Vectors, plainly: psycopg.Connection
) -> None:
    filled(store)
    plainly.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'herdbook'"
    )

    with pytest.raises(Unavailable):
        store.look(FIRST)

    assert store.look(FIRST) == Shape(dimension=DIMENSION, documents=5)


def test_a_document_without_a_vector_is_given_one_and_keeps_the_rest(
    store: Vectors, plainly: psycopg.Connection
) -> None:
    store.create(FIRST, dimension=DIMENSION)
    plainly.execute("""INSERT INTO chunks VALUES ('x', 'kept', '{"source": "kept.md"}', NULL)""")

    added = store.insert(FIRST, documents(["x", "y"], store.traits, write="write-4"))

    found = store.fetch(FIRST, ["x"])
    assert added == 2
    assert found.texts == ["kept"]
    assert unstamped(found.metadata[0]) == {"source": "kept.md"}
    assert found.metadata[0]["embedding_write"] == "write-4"


def test_a_batch_with_an_id_twice_is_invalid(store: Vectors) -> None:
    store.create(FIRST, dimension=DIMENSION)
    batch = documents(["x", "x"], store.traits)

    for write in (store.insert, store.upsert):
        with pytest.raises(Invalid):
            write(FIRST, batch)

    assert everything(store, FIRST).ids == []


def test_a_store_of_a_schema_is_apart(address: str, plainly: psycopg.Connection) -> None:
    plainly.execute("CREATE SCHEMA rag")
    inside, outside = opened(address + "&schema=rag"), opened(address)

    filled(inside)
    inside.point("live", FIRST)

    assert inside.collections() == ["chunks"]
    assert outside.collections() == []
    assert (inside.pointed("live"), outside.pointed("live")) == ("chunks", "")
    inside.index(FIRST)
    inside.create(SECOND, dimension=3)
    inside.drop(FIRST)
    inside.drop(SECOND)
    assert inside.collections() == []
    for store in (inside, outside):
        store.close()


def test_an_address_that_cannot_be_read_is_invalid() -> None:
    for address in ("pgvector:///herdbook?colour=red", "pgvector:///herdbook?id="):
        with pytest.raises(Invalid):
            opened(address)


def test_numbers_that_are_not_finite_are_invalid(store: Vectors) -> None:
    store.create(FIRST, dimension=DIMENSION)
    batch: Batch = documents(["x"], store.traits)
    batch.vectors[0, 0] = np.nan

    with pytest.raises(Invalid, match="not finite"):
        store.insert(FIRST, batch)


def test_a_search_of_many_goes_by_the_index(store: Vectors, plainly: psycopg.Connection) -> None:
    filled(store, 3_000)
    store.insert(FIRST, documents(numbered(12, start=5_000), store.traits, space=NEW))
    store.index(FIRST)
    query = directions(1, seed=9)[0]

    hits = store.search(FIRST, query, k=10), store.search(FIRST, query, k=10, space=NEW.fingerprint)

    store.close()  # counts are told when the connection ends
    plainly.execute("SELECT pg_stat_clear_snapshot()")
    used = plainly.execute(
        "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname LIKE '%embedding%'"
    ).fetchall()
    assert [len(each) for each in hits] == [10, 10]
    assert used[0][0] > 0


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
