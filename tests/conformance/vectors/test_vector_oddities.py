"""What every vector store promises of odd ids, texts and metadata."""

import pytest

from herdbook.core.stamps import HISTORY, Hop, Metadata, history_of
from herdbook.core.vectors import Batch, Vectors
from herdbook.errors import HerdbookError, Invalid
from tests.conformance.vectors.documents import (
    AT,
    DIMENSION,
    FIRST,
    ODD_IDS,
    directions,
    documents,
    everything,
    filled,
    numbered,
    stamped,
    told,
)


def test_odd_ids_are_ids(vectors: Vectors) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    batch = documents(ODD_IDS, vectors.traits, text="text")

    vectors.insert(FIRST, batch)
    vectors.insert(FIRST, batch)
    vectors.upsert(FIRST, batch)

    assert told(everything(vectors, FIRST, size=3)) == told(batch)
    assert vectors.fetch(FIRST, ODD_IDS[::-1]).ids == ODD_IDS[::-1]
    assert vectors.search(FIRST, batch.vectors[0], k=1)[0].id == ODD_IDS[0]
    vectors.delete(FIRST, ODD_IDS[::2], write="write-1")
    assert sorted(everything(vectors, FIRST).ids) == sorted(ODD_IDS[1::2])


def test_texts_may_be_missing_empty_long_and_odd(vectors: Vectors) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    texts = [None, "", "x" * 1_000_000, 'quote \' " \\ \\N \t\r\n 🐄 \u2028 {"a": [1]}', " "]
    batch = documents(numbered(5), vectors.traits)
    batch.texts = texts

    vectors.insert(FIRST, batch)
    inserted = vectors.fetch(FIRST, batch.ids).texts
    vectors.upsert(FIRST, batch)

    assert inserted == texts
    assert vectors.fetch(FIRST, batch.ids).texts == texts


FLAT: list[Metadata] = [
    {},
    {"a": "text", "b": 1, "c": 1.5, "d": True, "e": False, "f": 0, "g": 2.0, "h": -7, "i": ""},
    {"quote '\"\\": "'\"\\ \\N \t\n 🐄", "ключ": "значение", "with space": "x", "a.b": "y"},
    {"id": "mine", "text": "mine", "document": "mine", "vector": "mine", "metadata": "mine"},
]
NESTED: list[Metadata] = [
    {"tags": ["a", "b"], "empty": [], "none": None, "deep": {"x": [1, {"y": None}], "z": {}}}
]


def test_metadata_is_read_as_it_went_in(vectors: Vectors) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    own = FLAT + (NESTED if vectors.traits.nested else [])
    ids = numbered(len(own))
    bare = Batch(ids=ids, texts=[*ids], metadata=own, vectors=directions(len(own)))

    vectors.insert(FIRST, bare)
    without_stamps = vectors.fetch(FIRST, ids).metadata
    bare.metadata = stamped(ids, own, vectors.traits)
    vectors.upsert(FIRST, bare)

    assert without_stamps == own
    assert vectors.fetch(FIRST, ids).metadata == bare.metadata
    types = [{key: type(value) for key, value in each.items()} for each in own]
    assert [{key: type(each[key]) for key in each} for each in without_stamps] == types


def test_a_history_reads_the_same_from_every_store(vectors: Vectors) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    batch = documents(["x"], vectors.traits)
    hop = Hop(from_version="v1", to_version="v2", migrated_at=AT)
    batch.metadata = stamped(["x"], [{}], vectors.traits, hops=(hop,))

    vectors.insert(FIRST, batch)

    found = vectors.fetch(FIRST, ["x"]).metadata[0]
    assert isinstance(found[HISTORY], list if vectors.traits.nested else str)
    assert [each["to_version"] for each in history_of(found)] == ["v2"]


def test_vectors_of_another_dimension_are_invalid(vectors: Vectors) -> None:
    there = filled(vectors)
    batch = documents(numbered(8), vectors.traits)
    batch.vectors = directions(8, dimension=DIMENSION - 1)

    with pytest.raises(Invalid):
        vectors.insert(FIRST, batch)
    with pytest.raises(Invalid):
        vectors.upsert(FIRST, batch)
    with pytest.raises(Invalid):
        vectors.search(FIRST, batch.vectors[0], k=1)

    assert told(everything(vectors, FIRST)) == told(there)


@pytest.mark.parametrize("odd", ["a\x00b", "a\ud800b"], ids=["nul", "surrogate"])
@pytest.mark.parametrize("where", ["id", "text", "metadata"])
def test_what_cannot_be_kept_is_invalid(vectors: Vectors, odd: str, where: str) -> None:
    vectors.create(FIRST, dimension=DIMENSION)
    batch = documents([odd if where == "id" else "x"], vectors.traits, text="text")
    if where == "text":
        batch.texts = [odd]
    if where == "metadata":
        batch.metadata[0]["odd"] = odd

    for write in (vectors.insert, vectors.upsert):
        try:
            write(FIRST, batch)
        except Invalid:
            assert everything(vectors, FIRST).ids == []
        else:
            assert told(everything(vectors, FIRST)) == told(batch)


def test_whatever_goes_wrong_is_one_of_ours(vectors: Vectors) -> None:
    filled(vectors)
    whole = Batch(ids=["x", "y"], texts=[None], metadata=[{}, {}], vectors=directions(2))

    with pytest.raises(HerdbookError):
        vectors.insert(FIRST, whole)
