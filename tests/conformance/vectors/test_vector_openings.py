"""What every vector store promises to several who have it open, and of its aliases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from herdbook.core.stamps import WRITE
from herdbook.core.vectors import Batch, Place, Shape, Vectors
from herdbook.errors import NotFound, Unavailable
from herdbook.storage.vectors import opened
from tests.conformance.vectors.documents import (
    DIMENSION,
    FIRST,
    documents,
    everything,
    filled,
    numbered,
    told,
)
from tests.conformance.vectors.kinds import Kind


def test_its_address_holds_no_secret_and_opens_it(vectors: Vectors, address: str) -> None:
    assert vectors.address == address


def test_a_store_that_does_not_answer_is_unavailable(kind: Kind) -> None:
    if not kind.silent:
        pytest.skip("it is no server")

    with pytest.raises(Unavailable):
        opened(kind.silent).look(FIRST)


def test_an_alias_moves_to_another_collection_at_once(vectors: Vectors) -> None:
    filled(vectors)
    other = Place(collection="chunks-2")
    vectors.create(other, dimension=DIMENSION + 1)

    before = vectors.pointed("live")
    vectors.point("live", FIRST)
    first = vectors.pointed("live")
    vectors.point("live", other)
    second = vectors.pointed("live")

    expected = ("", "chunks", "chunks-2") if vectors.traits.aliases else ("", "", "")
    assert (before, first, second) == expected
    assert vectors.collections() == ["chunks", "chunks-2"]


def test_a_collection_an_alias_names_can_be_dropped(vectors: Vectors) -> None:
    filled(vectors)
    vectors.point("live", FIRST)

    vectors.drop(FIRST)

    assert vectors.collections() == []
    assert vectors.pointed("live") == ""


def test_an_alias_of_what_is_not_there_is_not_found(vectors: Vectors) -> None:
    if not vectors.traits.aliases:
        pytest.skip("it has no aliases")

    with pytest.raises(NotFound, match="chunks"):
        vectors.point("live", FIRST)


def test_threads_that_insert_the_same_documents_add_each_once(vectors: Vectors) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    batches = [
        documents(numbered(120), vectors.traits, seed=seed, write=f"write-{seed}")
        for seed in range(4)
    ]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda batch: vectors.insert(FIRST, batch), batches))

    found = everything(vectors, FIRST)
    assert sorted(found.ids) == numbered(120)
    offered = [told(batch) for batch in batches]
    for id, document in told(found).items():
        assert document in [each[id] for each in offered]


def test_openings_that_insert_the_same_documents_add_each_once(
    vectors: Vectors, open_again: Callable[[], Vectors]
) -> None:
    if not vectors.traits.shared:
        pytest.skip("one has it open at a time")
    vectors.create(FIRST, dimension=DIMENSION)
    stores = [vectors, open_again(), open_again()]
    batch = documents(numbered(120), vectors.traits)

    def insert(store: Vectors) -> None:
        for start in range(0, 120, 20):
            ids = slice(start, start + 20)
            part = Batch(batch.ids[ids], batch.texts[ids], batch.metadata[ids], batch.vectors[ids])
            store.insert(FIRST, part)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(insert, stores))

    for store in stores:
        assert sorted(everything(store, FIRST).ids) == numbered(120)
        assert store.look(FIRST) == Shape(dimension=DIMENSION, documents=120)


def test_what_another_opening_wrote_is_seen(
    vectors: Vectors, open_again: Callable[[], Vectors]
) -> None:
    if not vectors.traits.shared:
        pytest.skip("one has it open at a time")
    filled(vectors, 3)
    other = open_again()
    other.fetch(FIRST, numbered(3))

    vectors.upsert(FIRST, documents(["doc-000001"], vectors.traits, seed=12, write="write-2"))
    vectors.delete(FIRST, ["doc-000002"])

    assert sorted(everything(other, FIRST).ids) == numbered(2)
    assert other.fetch(FIRST, ["doc-000001"]).metadata[0][WRITE] == "write-2"


def test_a_store_opened_again_has_everything(
    vectors: Vectors, open_again: Callable[[], Vectors]
) -> None:
    batch = filled(vectors, 50)
    vectors.index(FIRST)
    vectors.point("live", FIRST)
    vectors.close()

    again = open_again()

    assert again.collections() == ["chunks"]
    assert again.look(FIRST) == Shape(dimension=DIMENSION, documents=50)
    assert told(everything(again, FIRST)) == told(batch)
    assert again.search(FIRST, batch.vectors[9], k=1)[0].id == batch.ids[9]
    assert again.pointed("live") == ("chunks" if again.traits.aliases else "")
