"""What every vector store promises of writing and reading documents."""

import itertools
import tracemalloc

import numpy as np

from herdbook.core.vectors import Batch, Range, Shape, Vectors
from tests.conformance.vectors.documents import (
    DIMENSION,
    FIRST,
    NEW,
    ODD_IDS,
    documents,
    everything,
    filled,
    numbered,
    told,
)


def test_inserted_documents_are_read_as_they_went_in(vectors: Vectors) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    batch = documents(numbered(10), vectors.traits)

    added = vectors.insert(FIRST, batch)

    assert added == 10
    assert told(everything(vectors, FIRST)) == told(batch)


def test_an_insert_leaves_everything_of_what_is_there(vectors: Vectors) -> None:
    there = filled(vectors)
    again = documents(
        numbered(7), vectors.traits, seed=8, space=NEW, write="write-2", text="other {id}"
    )

    vectors.insert(FIRST, again)

    found = told(everything(vectors, FIRST))
    assert {id: found[id] for id in there.ids} == told(there)
    assert {id: found[id] for id in numbered(2, start=5)} == {
        id: told(again)[id] for id in numbered(2, start=5)
    }
    assert len(found) == 7


def test_a_batch_of_nothing_is_nothing(vectors: Vectors) -> None:
    there = filled(vectors)
    nothing = Batch(ids=[], texts=[], metadata=[], vectors=np.empty((0, DIMENSION), np.float32))

    added = vectors.insert(FIRST, nothing)
    vectors.upsert(FIRST, nothing)
    vectors.delete(FIRST, [])

    assert added == 0
    assert vectors.fetch(FIRST, []).ids == []
    assert told(everything(vectors, FIRST)) == told(there)


def test_an_upsert_writes_over_what_was_or_adds(vectors: Vectors) -> None:
    there = filled(vectors)
    batch = documents(numbered(4, start=3), vectors.traits, seed=9, space=NEW, write="write-2")
    for each in batch.metadata:
        del each["page"]

    vectors.upsert(FIRST, batch)

    found = told(everything(vectors, FIRST))
    assert {id: found[id] for id in batch.ids} == told(batch)
    assert {id: found[id] for id in there.ids[:3]} == {id: told(there)[id] for id in there.ids[:3]}
    assert len(found) == 7


def test_deleted_documents_are_gone(vectors: Vectors) -> None:
    filled(vectors)

    vectors.delete(FIRST, ["doc-000001", "doc-000003", "never-there"])

    assert sorted(everything(vectors, FIRST).ids) == ["doc-000000", "doc-000002", "doc-000004"]
    assert vectors.look(FIRST) == Shape(dimension=DIMENSION, documents=3)


def test_a_guarded_delete_removes_only_what_came_with_that_write(vectors: Vectors) -> None:
    filled(vectors)
    vectors.upsert(FIRST, documents(["doc-000001"], vectors.traits, write='it\'s "two"'))

    vectors.delete(FIRST, numbered(3), write='it\'s "two"')

    assert sorted(everything(vectors, FIRST).ids) == [
        "doc-000000", "doc-000002", "doc-000003", "doc-000004",
    ]  # fmt: skip


def test_ranges_cover_every_document_once_in_order(vectors: Vectors) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    ids = numbered(95) + ODD_IDS
    vectors.insert(FIRST, documents(ids, vectors.traits))

    ranges = list(vectors.ranges(FIRST, size=10))

    read = [vectors.read(FIRST, each).ids for each in ranges]
    inside = list(itertools.chain.from_iterable(read))
    assert sorted(inside) == sorted(ids)
    assert [each.documents for each in ranges] == [10] * 11 + [7]
    assert [len(each) for each in read] == [10] * 11 + [7]
    assert [each.after for each in ranges] == ["", *(each.upto for each in ranges[:-1])]
    assert [each.upto for each in ranges] == [each[-1] for each in read]
    whole = Range(after="", upto=ranges[-1].upto, documents=len(ids))
    assert vectors.read(FIRST, whole).ids == inside


def test_ranges_of_nothing_are_none(vectors: Vectors) -> None:
    vectors.create(FIRST, dimension=DIMENSION)

    assert list(vectors.ranges(FIRST, size=10)) == []


def test_ranges_are_cut_in_bounded_memory(vectors: Vectors) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    for start in range(0, 2_000, 250):
        batch = documents(numbered(250, start=start), vectors.traits, text="{id}" + "x" * 10_000)
        vectors.insert(FIRST, batch)

    tracemalloc.start()
    try:
        counted = sum(each.documents for each in vectors.ranges(FIRST, size=50))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert counted == 2_000
    assert peak_bytes < 4_000_000


def test_a_range_is_read_as_it_is_now(vectors: Vectors) -> None:
    filled(vectors, 20)
    within = next(iter(vectors.ranges(FIRST, size=10)))
    inside = vectors.read(FIRST, within).ids
    vectors.delete(FIRST, inside[2:4])
    changed = documents([inside[5]], vectors.traits, seed=11, text="changed")
    vectors.upsert(FIRST, changed)

    found = vectors.read(FIRST, within, vectors=True)

    assert found.ids == [*inside[:2], *inside[4:]]
    assert told(found)[inside[5]] == told(changed)[inside[5]]


def test_vectors_are_given_when_they_are_asked_for(vectors: Vectors) -> None:
    batch = filled(vectors)
    within = next(iter(vectors.ranges(FIRST, size=10)))

    without = vectors.read(FIRST, within), vectors.fetch(FIRST, batch.ids)
    having = (
        vectors.read(FIRST, within, vectors=True),
        vectors.fetch(FIRST, batch.ids, vectors=True),
    )

    assert [each.vectors for each in without] == [None, None]
    for each in having:
        assert each.vectors.dtype == np.float32
        assert each.vectors.shape == (5, DIMENSION)
    assert vectors.fetch(FIRST, ["absent"], vectors=True).vectors.shape == (0, DIMENSION)


def test_documents_are_fetched_in_the_order_asked_for(vectors: Vectors) -> None:
    batch = filled(vectors, 30)
    asked = ["doc-000017", "never-there", "doc-000003", "doc-000029", "doc-000000"]

    found = vectors.fetch(FIRST, asked, vectors=True)

    assert found.ids == [id for id in asked if id != "never-there"]
    assert told(found) == {id: told(batch)[id] for id in found.ids}
