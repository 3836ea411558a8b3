"""What every vector store promises of its collections."""

from collections.abc import Callable

import pytest

from herdbook.core.vectors import Place, Range, Shape, Vectors
from herdbook.errors import Conflict, NotFound
from tests.conformance.vectors.documents import (
    DIMENSION,
    FIRST,
    documents,
    everything,
    filled,
    numbered,
    told,
)


def test_an_empty_store_has_no_collection(vectors: Vectors) -> None:
    assert vectors.collections() == []
    assert vectors.look(FIRST) is None


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_a_collection_is_as_it_was_asked_for(vectors: Vectors, metric: str) -> None:
    vectors.create(FIRST, dimension=DIMENSION, metric=metric)

    assert vectors.look(FIRST) == Shape(dimension=DIMENSION, documents=0, metric=metric)


def test_collections_are_named_in_order(vectors: Vectors) -> None:
    for name in ("oracle", "gnn", "Majora", "a-b_c", "chunks-2"):
        vectors.create(Place(collection=name), dimension=4)

    assert vectors.collections() == sorted(["oracle", "gnn", "Majora", "a-b_c", "chunks-2"])


def test_the_longest_name_is_as_good_as_another(vectors: Vectors) -> None:
    one, two = Place(collection="a" * 60), Place(collection="a" * 59 + "b")
    for place in (one, two):
        vectors.create(place, dimension=DIMENSION)
    vectors.insert(one, documents(["x"], vectors.traits))

    vectors.index(one)

    assert vectors.look(one) == Shape(dimension=DIMENSION, documents=1)
    assert vectors.look(two) == Shape(dimension=DIMENSION, documents=0)


def test_to_make_a_collection_again_is_nothing(vectors: Vectors) -> None:
    batch = filled(vectors)

    vectors.create(FIRST, dimension=DIMENSION)

    assert told(everything(vectors, FIRST)) == told(batch)


def test_to_make_it_again_with_another_dimension_is_a_conflict(vectors: Vectors) -> None:
    filled(vectors)

    with pytest.raises(Conflict, match=str(DIMENSION)):
        vectors.create(FIRST, dimension=DIMENSION + 1)

    assert vectors.look(FIRST) == Shape(dimension=DIMENSION, documents=5)


def test_a_dropped_collection_is_gone_with_its_documents(vectors: Vectors) -> None:
    filled(vectors)

    vectors.drop(FIRST)

    assert vectors.look(FIRST) is None
    assert vectors.collections() == []
    vectors.create(FIRST, dimension=DIMENSION)
    assert vectors.look(FIRST) == Shape(dimension=DIMENSION, documents=0)


def test_what_is_not_there_is_dropped_already(vectors: Vectors) -> None:
    vectors.drop(FIRST)
    filled(vectors)

    for _ in range(2):
        vectors.drop(FIRST)

    assert vectors.collections() == []


def test_a_place_that_is_not_there_is_not_found(vectors: Vectors) -> None:
    batch = documents(numbered(2), vectors.traits)
    ways: list[Callable[[], object]] = [
        lambda: list(vectors.ranges(FIRST, size=10)),
        lambda: vectors.read(FIRST, Range(after="", upto="x", documents=1)),
        lambda: vectors.fetch(FIRST, ["x"]),
        lambda: vectors.insert(FIRST, batch),
        lambda: vectors.upsert(FIRST, batch),
        lambda: vectors.delete(FIRST, ["x"]),
        lambda: vectors.delete(FIRST, ["x"], write="write-1"),
        lambda: vectors.search(FIRST, batch.vectors[0], k=1),
        lambda: vectors.spaces(FIRST),
        lambda: vectors.index(FIRST),
    ]

    for way in ways:
        with pytest.raises(NotFound, match="chunks"):
            way()
