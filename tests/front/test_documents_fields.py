"""Migrations into another vector field of the same collection, where a store has them."""

import pytest

from herdbook.core.migrations import MigrationPhase, Options
from herdbook.errors import Conflict
from tests import hashed
from tests.front.collected import KINDS, WITH_FIELDS, Herd, hops, stamp_of, text_of

FIELD = Options(field=True, shard=5)


@pytest.mark.parametrize("kind", WITH_FIELDS)
def test_the_whole_story_in_fields_of_one_collection(herd: Herd) -> None:
    collection = herd.created(12)
    found = herd.stopped(MigrationPhase.CATCH_UP, options=FIELD)
    assert (found.target.place.collection, found.target.place.field) == ("docs", "embedding_v2")

    collection.add(["written meanwhile"], ids=["live"], metadata=[{"page": 7}])
    collection.add(["changed meanwhile"], ids=["d001"])
    collection.delete(["d002"])
    herd.bypass(found.source.place, "changed past it", "d003", page=3)
    herd.store.delete(found.source.place, ["d004"])
    found = herd.moved("v2")
    assert found.phase is MigrationPhase.VERIFIED, found.verification
    assert stamp_of(collection).number == "v1"
    assert herd.store.collections() == ["docs"]

    herd.documents.cut_over("docs")
    assert stamp_of(collection).number == "v2"
    assert hops(collection.get(["d000"]).metadata[0]) == [("v1", "v2")]
    for text, id in (
        ("written meanwhile", "live"),
        ("changed meanwhile", "d001"),
        ("changed past it", "d003"),
        (text_of("d005"), "d005"),
    ):
        assert collection.search(text, k=1)[0].id == id
    collection.add(["after the cut"], ids=["after"])

    herd.documents.roll_back("docs")
    assert stamp_of(collection).number == "v1"
    assert collection.search("after the cut", k=1)[0].id == "after"
    assert herd.store.look(found.target.place) is None

    herd.moved("v2", options=FIELD)
    herd.documents.cut_over("docs")
    herd.documents.retire("docs")
    assert herd.store.look(found.source.place) is None or (
        herd.store.look(found.source.place).documents == 0  # type: ignore[union-attr]
    )
    assert collection.count() == len(herd.contents())
    collection.delete(["after"])
    collection.add(["in the second field alone"], ids=["late"])
    assert collection.search("in the second field alone", k=1)[0].id == "late"


@pytest.mark.parametrize("kind", WITH_FIELDS)
def test_after_the_first_field_is_retired_documents_go_back_and_on(herd: Herd) -> None:
    collection = herd.created(6)
    herd.moved("v2", options=FIELD)
    herd.documents.cut_over("docs")
    herd.documents.retire("docs")

    back = herd.moved("v1", encoder=hashed.one, options=FIELD)
    herd.documents.cut_over("docs")
    herd.documents.retire("docs")

    assert back.phase is MigrationPhase.VERIFIED
    assert hops(collection.get(["d003"]).metadata[0]) == [("v1", "v2"), ("v2", "v1")]
    assert collection.search(text_of("d003"), k=1)[0].id == "d003"

    out = herd.moved("v3", encoder=hashed.also_two)
    herd.documents.cut_over("docs")
    herd.documents.retire("docs")
    assert out.target.place.field == ""
    assert out.target.place.collection != "docs"
    assert collection.search(text_of("d003"), k=1)[0].id == "d003"
    assert collection.count() == 6


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(WITH_FIELDS)))
def test_a_store_with_one_field_says_so_at_once(herd: Herd) -> None:
    herd.created(3)

    with pytest.raises(Conflict, match="has one vector field; migrate without `field`"):
        herd.moved("v2", options=FIELD)

    assert herd.documents.get("docs").migration == ""
