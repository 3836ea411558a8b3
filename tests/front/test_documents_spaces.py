"""No two spaces meet: what is written and searched is of the collection's own, or refused."""

from typing import Any

import numpy as np
import pytest

from herdbook.core import stamps
from herdbook.core.vectors import Batch, Place
from herdbook.errors import Conflict, Invalid, NotFound, Refused
from tests import hashed
from tests.front.collected import KINDS, Herd, hops, stamp_of, text_of


def legacy(herd: Herd, count: int = 20, *, others: int = 0) -> None:
    """A collection somebody else made: no stamps, and some vectors of another model."""
    place = Place(collection="legacy")
    herd.store.create(place, dimension=48)
    ids = [f"d{at:03}" for at in range(count)]
    texts = [text_of(id) for id in ids]
    vectors = np.array(hashed.two(texts))
    vectors[count - others :] = hashed.also_two(texts)[count - others :]
    metadata: list[dict[str, Any]] = [{"page": at} for at in range(count)]
    herd.store.upsert(place, Batch(ids, list(texts), metadata, vectors))
    herd.documents.adopt("legacy", model="gbert", store=herd.address)


@pytest.mark.parametrize("encoder", [hashed.one, hashed.also_two])
def test_writing_and_searching_with_another_space_is_refused(herd: Herd, encoder: Any) -> None:
    collection = herd.created(3, encoder=hashed.two)
    other = herd.documents.create(
        "other", ref="gbert:v2", store=herd.address, encoder=encoder
    ).encoder()
    vectors = encoder(["a text"])

    with pytest.raises(Conflict, match="cannot be compared; embed them with the collection's"):
        collection.add_vectors(["a text"], vectors, space=other.space.fingerprint)
    with pytest.raises(Conflict, match="their vectors cannot be compared; embed the query with"):
        collection.search_by_vector(vectors[0], space=other.space.fingerprint)
    assert collection.count() == 3


def test_an_encoder_whose_code_changed_is_refused(herd: Herd) -> None:
    herd.created(3, encoder=lambda texts: hashed.two(texts))
    herd.documents.open("docs", encoder=lambda texts: hashed.two(texts))

    collection = herd.documents.open("docs", encoder=hashed.also_two)

    with pytest.raises(Conflict, match="Use the encoder the collection was made with, or migrate"):
        collection.add(["a text"])
    with pytest.raises(Conflict, match="herdbook documents migrate docs --to VERSION"):
        collection.search("a text")


def test_vectors_that_are_embedded_already_are_checked(herd: Herd) -> None:
    collection = herd.created(0)
    space = collection.encoder().space.fingerprint

    collection.add_vectors(["a text"], hashed.one(["a text"]), space=space, ids=["a"])
    assert collection.search("a text")[0].id == "a"
    for wrong in (hashed.two(["b"]), [[float("nan")] * 32], [[0.0] * 32], [[1.0] * 32] * 2):
        with pytest.raises((Conflict, Invalid)):
            collection.add_vectors(["b"], wrong, space=space, ids=["b"])
    assert collection.count() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_legacy_vectors_are_unknown_until_a_sample_proves_them(herd: Herd) -> None:
    legacy(herd)
    collection = herd.documents.open("legacy")

    for act in (
        lambda: collection.search("the text"),
        lambda: collection.add(["a text"]),
        lambda: herd.moved("v3", name="legacy"),
        lambda: herd.documents.rehearse("legacy", to="v3", encoder=hashed.one),
    ):
        with pytest.raises(Conflict, match="nobody knows what embedded legacy; prove it first"):
            act()
    assert herd.documents.inspect("legacy").spaces == {"": 20}

    with pytest.raises(Refused, match=r"0 of 20 .*Name the encoder that did"):
        herd.documents.stamp("legacy", ref="gbert:v1", encoder=hashed.also_two)
    with pytest.raises(Refused):
        herd.documents.stamp("legacy", ref="gbert:v1", encoder=hashed.one)
    assert herd.documents.inspect("legacy").spaces == {"": 20}

    dry = herd.documents.stamp("legacy", ref="gbert:v1", encoder=hashed.two, dry_run=True)
    assert (dry.stamped, dry.dry_run, dry.proof.holds) == (20, True, True)
    assert herd.documents.inspect("legacy").spaces == {"": 20}

    done = herd.documents.stamp("legacy", ref="gbert:v1", encoder=hashed.two)
    assert (done.stamped, done.known, done.unknown) == (20, 0, 0)
    stamp = stamp_of(collection, "d003")
    assert (stamp.model, stamp.number, stamp.history) == ("gbert", "v1", ())
    assert collection.search(text_of("d003"), k=1)[0].id == "d003"
    again = herd.documents.stamp("legacy")
    assert (again.stamped, again.known) == (0, 20)


def test_a_mixed_collection_is_stamped_only_where_it_matches(herd: Herd) -> None:
    legacy(herd, others=5)

    with pytest.raises(Refused, match="--every"):
        herd.documents.stamp("legacy", ref="gbert:v1", encoder=hashed.two)
    done = herd.documents.stamp("legacy", ref="gbert:v1", encoder=hashed.two, every=True)

    assert (done.stamped, done.unknown) == (15, 5)
    collection = herd.documents.open("legacy")
    found = {hit.id for hit in collection.search(text_of("d017"), k=20)}
    assert found == {f"d{at:03}" for at in range(15)}

    # To embed anew takes the others along.
    moved = herd.moved("v3", name="legacy", encoder=hashed.one)
    herd.documents.cut_over("legacy")
    assert moved.phase == "verified"
    assert collection.search(text_of("d017"), k=1)[0].id == "d017"
    assert herd.documents.inspect("legacy").spaces.keys() == {stamp_of(collection).space}
    assert hops(collection.get(["d017"]).metadata[0]) == [("v1", "v3")]


def test_what_is_known_is_not_stamped_as_something_else(herd: Herd) -> None:
    herd.created(3)

    with pytest.raises(Conflict, match=r"is known to be in the space .* migrate it instead"):
        herd.documents.stamp("docs", ref="gbert:v2", encoder=hashed.two)
    with pytest.raises(NotFound, match=r"there is no nothing in .* there are: docs"):
        herd.documents.adopt("nothing", model="gbert", store=herd.address)


def test_a_poison_document_does_not_hinder_a_stamp_of_the_rest(herd: Herd) -> None:
    legacy(herd)
    poison = Batch(["poison"], [f"it is {hashed.POISON}"], [{"page": 1}], hashed.two(["x"]))
    herd.store.upsert(Place(collection="legacy"), poison)

    done = herd.documents.stamp("legacy", ref="gbert:v1", encoder=hashed.two, every=True)

    assert (done.stamped, done.unknown) == (20, 1)
    assert not stamps.read(herd.documents.open("legacy").get(["poison"]).metadata[0]).known


@pytest.mark.parametrize(
    "address",
    [
        "pgvector://me:secret@host/db",
        "qdrant://host:6333?api_key=secret",
        "pgvector:///db?host=/tmp&password=secret",
    ],
)
def test_an_address_holds_no_secret(herd: Herd, address: str) -> None:
    with pytest.raises(Invalid, match=r"PGPASSWORD|QDRANT_API_KEY|password") as refused:
        herd.documents.create("docs", ref="gbert:v1", store=address, encoder=hashed.one)

    assert "secret" not in str(refused.value).replace("no secrets", "")
