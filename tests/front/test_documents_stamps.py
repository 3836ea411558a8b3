"""What every document says of how it was embedded, from its first write through all migrations."""

import json
from datetime import datetime
from typing import Any

import pytest

from herdbook.core import stamps
from herdbook.core.migrations import MigrationPhase, Options
from herdbook.core.stamps import Metadata
from herdbook.errors import Conflict, HerdbookError, Refused
from tests import hashed
from tests.front.collected import (
    KINDS,
    UNMEASURED,
    WITH_FIELDS,
    Counting,
    Herd,
    check_of,
    hops,
    stamp_of,
)

SEED_KEYS = {"embedding_model", "embedding_model_version", "indexed_at", "migration_history"}
HOP_KEYS = {"from_version", "to_version", "migrated_at"}


def with_language(metadata: Metadata) -> Metadata:
    """What version 2 asks of metadata."""
    return {**metadata, "language": "de"}


def without_language(metadata: Metadata) -> Metadata:
    """The way back."""
    return {key: value for key, value in metadata.items() if key != "language"}


def shouting(metadata: Metadata) -> Metadata:
    """Another function."""
    return {**metadata, "language": "DE"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_carries_the_seeds_metadata_and_its_history(herd: Herd) -> None:
    collection = herd.created(2)

    assert stamps.KEYS[0] == "embedding_model"
    first = collection.get(["d000"]).metadata[0]
    assert first.keys() >= SEED_KEYS
    assert (first["embedding_model"], first["embedding_model_version"]) == ("gbert", "v1")
    assert datetime.fromisoformat(first["indexed_at"]).tzinfo is not None
    assert first["page"] == 0
    assert hops(first) == []

    herd.moved("v2")
    herd.documents.cut_over("docs")

    then = collection.get(["d000"]).metadata[0]
    history = then["migration_history"]
    told = history if herd.store.traits.nested else json.loads(history)
    assert [set(hop) for hop in told] == [HOP_KEYS]
    assert (then["embedding_model_version"], hops(then)) == ("v2", [("v1", "v2")])
    assert then["page"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_history_keeps_every_hop_back_and_forth(herd: Herd) -> None:
    collection = herd.created(3)

    for to, encoder in (("v2", hashed.two), ("v3", hashed.also_two), ("v1", hashed.one)):
        herd.moved(to, encoder=encoder)
        herd.documents.cut_over("docs")
        herd.documents.retire("docs")

    assert hops(collection.get(["d002"]).metadata[0]) == [("v1", "v2"), ("v2", "v3"), ("v3", "v1")]
    assert collection.search("the text of d002 alone", k=1)[0].id == "d002"
    assert len(herd.store.collections()) == 1


def test_a_stamp_somebody_gives_is_replaced_by_the_true_one(herd: Herd) -> None:
    collection = herd.created(0)
    lie = {"embedding_model": "oracle", "embedding_space": "00", "migration_history": "[1]"}

    collection.add(["a text"], ids=["d0"], metadata=[lie])

    found = stamp_of(collection, "d0")
    assert (found.model, found.number, found.history) == ("gbert", "v1", ())


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_of_metadata_and_embedding_embeds_once_with_the_last_model(herd: Herd) -> None:
    collection = herd.created(8)
    herd.documents.register_strategy("gbert", "v1", "v2", with_language)
    herd.documents.register_strategy("gbert", "v2", "v3", way="reembed")
    encoder = Counting()

    found = herd.moved("v3", encoder=encoder)
    herd.documents.cut_over("docs")

    assert [(step.from_version, step.to_version) for step in found.steps] == [
        ("v1", "v2"),
        ("v2", "v3"),
    ]
    backfilled = [text for text in encoder.texts if text == "the text of d007 alone"]
    # Once to rehearse it, twice that a rehearsal takes, once to move it, once to verify it.
    assert len(backfilled) <= 4
    said = collection.get(["d007"]).metadata[0]
    assert hops(said) == [("v1", "v2"), ("v2", "v3")]
    assert (said["language"], said["embedding_model_version"]) == ("de", "v3")


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_alone_changes_no_vector_and_goes_back(herd: Herd) -> None:
    collection = herd.created(5)
    herd.documents.register_strategy("gbert", "v1", "v2", with_language, back=without_language)
    before = herd.contents()

    found = herd.moved("v2", encoder=None)
    herd.documents.cut_over("docs")
    herd.documents.retire("docs")

    after = herd.contents()
    assert not found.embeds
    assert {id: row[2] for id, row in after.items()} == {id: row[2] for id, row in before.items()}
    assert after["d001"][1]["indexed_at"] == before["d001"][1]["indexed_at"]
    assert after["d001"][1]["language"] == "de"
    assert stamp_of(collection).number == "v2"
    assert collection.search("the text of d001 alone", k=1)[0].id == "d001"

    herd.moved("v1", encoder=None)
    herd.documents.cut_over("docs")
    said = collection.get(["d001"]).metadata[0]
    assert "language" not in said
    assert hops(said) == [("v1", "v2"), ("v2", "v1")]
    collection.add(["written after both"], ids=["late"])
    assert collection.search("written after both", k=1)[0].id == "late"


def test_what_is_written_while_metadata_moves_passes_its_function_at_the_target_only(
    herd: Herd,
) -> None:
    collection = herd.created(3)
    herd.documents.register_strategy("gbert", "v1", "v2", with_language)
    found = herd.stopped(MigrationPhase.CATCH_UP, encoder=None)

    collection.add(["a live one"], ids=["live"], metadata=[{"page": 9}])

    assert herd.contents(found.source.place)["live"][1].get("language") is None
    assert herd.contents(found.target.place)["live"][1]["language"] == "de"
    assert herd.documents.move("docs", demands=UNMEASURED).phase is MigrationPhase.VERIFIED

    herd.documents.cut_over("docs")
    collection.add(["after the cut"], ids=["after"], metadata=[{"language": "fr"}])
    for place in (found.source.place, found.target.place):
        assert herd.contents(place)["after"][1]["language"] == "fr"


def test_one_space_is_copied_and_two_are_refused(herd: Herd) -> None:
    herd.created(4)
    herd.documents.register_strategy("gbert", "v1", "v2", way="identity")

    with pytest.raises(Refused, match="not one space; let the path embed anew"):
        herd.moved("v2", encoder=hashed.two)
    herd.documents.roll_back("docs")
    found = herd.moved("v2", encoder=None)

    assert found.phase is MigrationPhase.VERIFIED
    assert found.target.space is not None
    assert found.source.space is not None
    assert found.target.space.fingerprint == found.source.space.fingerprint


def test_a_copy_takes_no_document_of_another_space_along(herd: Herd) -> None:
    herd.created(4)
    place = herd.documents.get("docs").home.place
    herd.bypass(place, "of nobody knows what", "odd")
    herd.documents.register_strategy("gbert", "v1", "v2", with_language)

    found = herd.moved("v2", encoder=None)

    assert found.phase is MigrationPhase.VERIFY
    assert [each.id for each in herd.documents.set_aside(found.id).items] == ["odd"]
    assert "another space" in herd.documents.set_aside(found.id).items[0].reason


@pytest.mark.parametrize("change", ["renamed", "changed"])
def test_a_function_that_is_not_what_a_migration_was_begun_with_is_refused(
    herd: Herd, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    herd.created(3)
    herd.documents.register_strategy("gbert", "v1", "v2", with_language)
    herd.stopped(MigrationPhase.BACKFILL, encoder=None)
    herd.documents._functions.clear()
    if change == "renamed":
        monkeypatch.delitem(globals(), "with_language")
    else:
        monkeypatch.setitem(globals(), "with_language", shouting)

    with pytest.raises(HerdbookError, match=r"is not there|is not the code"):
        herd.documents.move("docs", demands=UNMEASURED)

    monkeypatch.undo()
    assert herd.documents.status("docs").progress.written == 0


def test_another_encoder_than_it_was_begun_with_is_refused(herd: Herd) -> None:
    herd.created(3)
    herd.stopped(MigrationPhase.BACKFILL)

    for other in (hashed.also_two, "python:tests.hashed:also_two", lambda texts: hashed.two(texts)):
        with pytest.raises(Conflict, match=r"was begun with python:tests.hashed:two"):
            herd.moved("v2", encoder=other)
    assert herd.moved("v2").phase is MigrationPhase.VERIFIED


@pytest.mark.parametrize("kind", WITH_FIELDS)
def test_functions_of_metadata_are_refused_where_fields_share_it(herd: Herd) -> None:
    herd.created(3)
    herd.documents.register_strategy("gbert", "v1", "v2", with_language)

    with pytest.raises(Conflict, match="changes metadata, which all vector fields"):
        herd.moved("v2", encoder=None, options=Options(field=True))

    assert herd.documents.get("docs").migration == ""


def test_a_function_that_fails_sets_its_document_aside(herd: Herd) -> None:
    def careful(metadata: Metadata) -> Any:
        return None if metadata["page"] == 1 else {**metadata, "n": 1 // (metadata["page"] - 2)}

    herd.created(4)
    herd.documents.register_strategy("gbert", "v1", "v2", careful)

    found = herd.moved("v2", encoder=None)

    reasons = {each.id: each.reason for each in herd.documents.set_aside(found.id).items}
    assert reasons.keys() == {"d001", "d002"}
    assert "gave NoneType" in reasons["d001"]
    assert "ZeroDivisionError" in reasons["d002"]
    assert not check_of(found, "set_aside").passed
