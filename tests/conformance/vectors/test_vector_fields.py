"""What stores promise of collections with more than one vector field."""

from collections.abc import Callable

import numpy as np
import pytest

from herdbook.core.stamps import KEYS, MODEL, SPACE, VERSION, WRITE, unstamped
from herdbook.core.vectors import Batch, Place, Shape, Vectors
from herdbook.errors import Conflict, Invalid, NotFound
from tests.conformance.vectors.documents import (
    DIMENSION,
    FIRST,
    NEW,
    OLD,
    SECOND,
    directions,
    documents,
    everything,
    filled,
    numbered,
    told,
)

WIDE = DIMENSION + 3


@pytest.fixture(autouse=True)
def _fields(vectors: Vectors) -> None:
    if not vectors.traits.fields:
        pytest.skip("a collection has one vector field")


def doubled(vectors: Vectors, count: int = 5) -> None:
    """Make a collection with documents in both of its fields."""
    filled(vectors, count)
    vectors.create(SECOND, dimension=WIDE)
    vectors.insert(SECOND, wide(vectors, numbered(count)))


def wide(vectors: Vectors, ids: list[str], *, write: str = "write-2", seed: int = 21) -> Batch:
    batch = documents(ids, vectors.traits, seed=seed, space=NEW, write=write)
    batch.vectors = directions(len(ids), seed=seed, dimension=WIDE)
    return batch


def stamps(vectors: Vectors, place: Place, id: str) -> tuple[object, ...]:
    found = vectors.fetch(place, [id]).metadata[0]
    return found[SPACE], found[VERSION], found[WRITE]


def test_another_field_begins_with_no_document(vectors: Vectors) -> None:
    filled(vectors)

    vectors.create(SECOND, dimension=WIDE, metric="cosine")

    assert vectors.look(SECOND) == Shape(dimension=WIDE, documents=0)
    assert vectors.look(FIRST) == Shape(dimension=DIMENSION, documents=5)
    assert list(vectors.ranges(SECOND, size=10)) == []
    assert vectors.fetch(SECOND, numbered(5)).ids == []
    assert vectors.search(SECOND, directions(1, dimension=WIDE)[0], k=3) == []
    assert vectors.collections() == ["chunks"]


def test_a_field_of_a_collection_that_is_not_there_is_not_found(vectors: Vectors) -> None:
    with pytest.raises(NotFound, match="chunks"):
        vectors.create(SECOND, dimension=WIDE)


def test_to_make_a_field_again_is_nothing_and_with_another_dimension_a_conflict(
    vectors: Vectors,
) -> None:
    doubled(vectors)

    vectors.create(SECOND, dimension=WIDE)
    with pytest.raises(Conflict, match=str(WIDE)):
        vectors.create(SECOND, dimension=WIDE + 1)

    assert vectors.look(SECOND) == Shape(dimension=WIDE, documents=5)


def test_an_insert_gives_a_vector_and_a_stamp_to_documents_that_have_none(
    vectors: Vectors,
) -> None:
    there = filled(vectors)
    vectors.create(SECOND, dimension=WIDE)
    batch = wide(vectors, numbered(3))

    vectors.insert(SECOND, batch)
    vectors.insert(SECOND, wide(vectors, numbered(5), write="write-3", seed=22))

    found = vectors.fetch(SECOND, numbered(5), vectors=True)
    assert [each[WRITE] for each in found.metadata] == ["write-2"] * 3 + ["write-3"] * 2
    assert np.allclose(found.vectors[:3], batch.vectors, atol=1e-5)
    assert found.texts == there.texts
    assert [unstamped(each) for each in found.metadata] == [
        unstamped(each) for each in there.metadata
    ]
    assert told(everything(vectors, FIRST)) == told(there)


def test_an_insert_leaves_out_documents_that_are_not_in_the_collection(vectors: Vectors) -> None:
    doubled(vectors)

    vectors.insert(SECOND, wide(vectors, ["deleted-meanwhile", *numbered(2)]))

    assert vectors.fetch(SECOND, ["deleted-meanwhile"]).ids == []
    assert vectors.fetch(FIRST, ["deleted-meanwhile"]).ids == []
    assert vectors.look(SECOND) == Shape(dimension=WIDE, documents=5)


def test_each_field_has_stamps_of_its_own_and_shows_no_others(vectors: Vectors) -> None:
    doubled(vectors)

    first = vectors.fetch(FIRST, ["doc-000001"]).metadata[0]
    second = vectors.fetch(SECOND, ["doc-000001"]).metadata[0]

    assert (first[SPACE], first[WRITE]) == (OLD.fingerprint, "write-1")
    assert (second[SPACE], second[WRITE]) == (NEW.fingerprint, "write-2")
    assert set(first) == set(second) == {*KEYS, "source", "page"}
    assert vectors.spaces(FIRST) == {OLD.fingerprint: 5}
    assert vectors.spaces(SECOND) == {NEW.fingerprint: 5}
    for place, query in ((FIRST, directions(1)[0]), (SECOND, directions(1, dimension=WIDE)[0])):
        hit = vectors.search(place, query, k=1)[0]
        assert set(hit.metadata) == {*KEYS, "source", "page"}


def test_a_legacy_document_has_no_stamp_in_one_field_and_one_in_the_other(
    vectors: Vectors,
) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    legacy = documents(["x"], vectors.traits)
    legacy.metadata = [{"source": "before.md"}]
    vectors.insert(FIRST, legacy)
    vectors.create(SECOND, dimension=WIDE)

    vectors.insert(SECOND, wide(vectors, ["x"]))

    assert vectors.fetch(FIRST, ["x"]).metadata == [{"source": "before.md"}]
    assert vectors.fetch(SECOND, ["x"]).metadata[0][MODEL] == "gbert"
    assert vectors.spaces(FIRST) == {"": 1}


@pytest.mark.parametrize("place", [FIRST, SECOND], ids=["first", "second"])
def test_an_upsert_shares_text_and_metadata_and_keeps_the_other_field(
    vectors: Vectors, place: Place
) -> None:
    doubled(vectors)
    other = SECOND if place == FIRST else FIRST
    before = vectors.fetch(other, ["doc-000002"], vectors=True)
    batch = documents(["doc-000002", "new"], vectors.traits, seed=31, write="write-9")
    batch.texts = ["changed", "new"]
    batch.metadata = [{**each, "source": "changed.md"} for each in batch.metadata]
    for each in batch.metadata:
        del each["page"]
    if place == SECOND:
        batch.vectors = directions(2, seed=31, dimension=WIDE)

    vectors.upsert(place, batch)

    assert told(vectors.fetch(place, batch.ids, vectors=True)) == told(batch)
    after = vectors.fetch(other, ["doc-000002"], vectors=True)
    assert after.texts == ["changed"]
    assert unstamped(after.metadata[0]) == {"source": "changed.md"}
    assert {key: after.metadata[0][key] for key in KEYS} == {
        key: before.metadata[0][key] for key in KEYS
    }
    assert np.array_equal(after.vectors, before.vectors)
    assert vectors.fetch(other, ["new"]).ids == []


@pytest.mark.parametrize("place", [FIRST, SECOND], ids=["first", "second"])
def test_a_delete_from_one_field_leaves_the_other(vectors: Vectors, place: Place) -> None:
    doubled(vectors)
    other = SECOND if place == FIRST else FIRST
    before = told(vectors.fetch(other, numbered(5), vectors=True))

    vectors.delete(place, numbered(2))

    assert sorted(vectors.fetch(place, numbered(5)).ids) == numbered(3, start=2)
    assert told(vectors.fetch(other, numbered(5), vectors=True)) == before
    found = vectors.look(place)
    assert found is not None
    assert found.documents == 3


def test_a_delete_from_the_last_field_removes_the_document(vectors: Vectors) -> None:
    doubled(vectors)

    vectors.delete(FIRST, numbered(2))
    vectors.delete(SECOND, numbered(2))
    vectors.insert(SECOND, wide(vectors, numbered(2)))

    assert vectors.fetch(SECOND, numbered(2)).ids == []
    vectors.insert(FIRST, documents(numbered(1), vectors.traits, text="again"))
    assert vectors.fetch(FIRST, numbered(2)).texts == ["again"]


def test_a_document_deleted_from_a_field_can_come_back_to_it(vectors: Vectors) -> None:
    doubled(vectors)
    vectors.delete(SECOND, numbered(1))

    vectors.insert(SECOND, wide(vectors, numbered(1), write="write-5"))

    assert stamps(vectors, SECOND, "doc-000000") == (NEW.fingerprint, "v2", "write-5")


def test_a_guarded_delete_looks_at_the_stamp_of_its_own_field(vectors: Vectors) -> None:
    doubled(vectors)

    vectors.delete(SECOND, numbered(2), write="write-1")
    vectors.delete(FIRST, numbered(2), write="write-2")
    untouched = vectors.spaces(FIRST), vectors.spaces(SECOND)
    vectors.delete(SECOND, numbered(2), write="write-2")

    assert untouched == ({OLD.fingerprint: 5}, {NEW.fingerprint: 5})
    assert vectors.spaces(FIRST) == {OLD.fingerprint: 5}
    assert vectors.spaces(SECOND) == {NEW.fingerprint: 3}


def test_a_dropped_field_is_gone_with_its_stamps(vectors: Vectors) -> None:
    doubled(vectors)
    before = told(everything(vectors, FIRST))

    for _ in range(2):
        vectors.drop(SECOND)

    assert vectors.look(SECOND) is None
    assert told(everything(vectors, FIRST)) == before
    with pytest.raises(NotFound, match="v2"):
        vectors.fetch(SECOND, ["x"])
    vectors.create(SECOND, dimension=4)
    assert vectors.look(SECOND) == Shape(dimension=4, documents=0)
    assert told(everything(vectors, FIRST)) == before


def test_without_its_first_field_a_collection_keeps_its_documents(
    vectors: Vectors, open_again: Callable[[], Vectors]
) -> None:
    doubled(vectors)
    before = told(everything(vectors, SECOND))

    for _ in range(2):
        vectors.drop(FIRST)

    assert vectors.look(FIRST) is None
    assert vectors.look(SECOND) == Shape(dimension=WIDE, documents=5)
    assert vectors.collections() == ["chunks"]
    assert told(everything(vectors, SECOND)) == before
    with pytest.raises(NotFound, match="chunks"):
        vectors.fetch(FIRST, ["x"])
    if vectors.traits.shared:
        assert told(everything(open_again(), SECOND)) == before


def test_without_its_first_field_a_collection_is_written_as_before(vectors: Vectors) -> None:
    doubled(vectors)
    vectors.drop(FIRST)
    changed = wide(vectors, ["doc-000000", "new"], write="write-7", seed=41)

    vectors.upsert(SECOND, changed)
    vectors.delete(SECOND, ["doc-000001"])
    vectors.delete(SECOND, numbered(5), write="write-7")
    vectors.index(SECOND)

    assert told(vectors.fetch(SECOND, ["new"], vectors=True)) == {"new": told(changed)["new"]}
    assert sorted(everything(vectors, SECOND).ids) == [*numbered(3, start=2), "new"]
    assert vectors.search(SECOND, changed.vectors[1], k=1)[0].id == "new"
    assert vectors.spaces(SECOND) == {NEW.fingerprint: 4}


def test_a_search_looks_at_one_field(vectors: Vectors) -> None:
    filled(vectors, 50)
    vectors.create(SECOND, dimension=WIDE)
    batch = wide(vectors, numbered(20))
    vectors.insert(SECOND, batch)
    vectors.index(SECOND)

    found = vectors.search(SECOND, batch.vectors[7], k=30)

    assert found[0].id == batch.ids[7]
    assert len(found) == 20
    assert len(vectors.search(SECOND, batch.vectors[7], k=30, space=OLD.fingerprint)) == 0


def test_vectors_of_the_other_field_are_invalid(vectors: Vectors) -> None:
    doubled(vectors)

    with pytest.raises(Invalid):
        vectors.insert(SECOND, documents(numbered(6), vectors.traits))
    with pytest.raises(Invalid):
        vectors.search(SECOND, directions(1)[0], k=1)


def test_an_alias_stays_while_fields_come_and_go(vectors: Vectors) -> None:
    if not vectors.traits.aliases:
        pytest.skip("it has no aliases")
    filled(vectors)
    vectors.point("live", FIRST)

    vectors.create(SECOND, dimension=WIDE)
    vectors.drop(FIRST)

    assert vectors.pointed("live") == "chunks"
