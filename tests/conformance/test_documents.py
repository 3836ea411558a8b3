"""What every database promises of collections of documents, and who sees them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from herdbook.core.documents import Bridge, Collection
from herdbook.core.vectors import Place
from herdbook.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, StaleEpoch
from herdbook.services import asking, deployments, documents, events, migrating, models
from tests.documents import MODEL, begun, encoder, registered, space
from tests.registers import Register


@pytest.fixture
def gbert(register: Register) -> Register:
    """A register with versions of a model that embeds."""
    for number in ("v1", "v2", "v3"):
        register.add(f"{MODEL}:{number}")
    return register


def bridge(register: Register, **said: Any) -> Bridge:
    """A map from queries of v2 to the vectors of v1."""
    given: dict[str, Any] = {
        "collection": "handbook",
        "encoder": encoder("v2"),
        "space": space("v2"),
    }
    given |= {"onto": space("v1").fingerprint, "kind": "procrustes", "map": "AAAA", "pairs": 500}
    given |= {"scores": {"old": 0.7, "identity": 0.1, "bridge": 0.8}}
    given |= {"expires_at": register.clock() + timedelta(days=7)}
    return Bridge(**(given | said))


# --- registering ---


def test_what_is_registered_is_given(gbert: Register) -> None:
    made = registered(gbert.write)

    assert gbert.read(documents.get, "handbook") == made
    assert made.home.space == space()
    assert (made.epoch, made.beside, made.migration, made.bridge) == (1, None, "", "")
    assert made.created_by == "curator"
    (told,) = gbert.read(events.page, action="documents.registered").items
    assert (told.model, told.number, told.body["collection"]) == (MODEL, "v1", "handbook")


def test_a_name_is_taken_once(gbert: Register) -> None:
    registered(gbert.write)

    with pytest.raises(AlreadyExists, match="handbook"):
        registered(gbert.write, store="chroma:/other")

    assert gbert.read(documents.page).items[0].store == "lancedb:/vectors"


def test_names_that_no_address_could_hold_are_refused(gbert: Register) -> None:
    for name in ("", "a b", "a/b", "9", "ä", "x.", "x-", "..", "a" * 101):
        with pytest.raises(Invalid):
            registered(gbert.write, name, place=Place(collection="docs"))


SECRETS = [
    "pgvector://user:hunter2@host:5432/rag",
    "pgvector://user:hunt/er2@host/rag",
    "pgvector://user:hunt@er2@host/rag",
    "pgvector:///rag?host=/run&user=x&password=hunter2",
    "pgvector://host/rag?sslpassword=hunter2",
    "qdrant+https://host:6333?api_key=hunter2",
    "qdrant+https://host:6333?API-KEY=hunter2",
    "lancedb:s3://key:hunter2@bucket/docs",
]
PLAIN = [
    "pgvector://user@host:5432/rag",
    "pgvector://host:5432/rag",
    "pgvector:///rag?host=/run/x&user=rag&passfile=/etc/pgpass",
    "lancedb:/vectors",
    "chroma://host:8000",
    "qdrant+https://host:6333",
    "qdrant-edge:/vectors",
]


def test_addresses_with_passwords_are_refused_and_not_repeated(gbert: Register) -> None:
    for store in SECRETS:
        with pytest.raises(Invalid, match="PGPASSWORD") as caught:
            registered(gbert.write, store=store)

        assert "hunter2" not in str(caught.value)
    assert gbert.read(documents.page).items == ()


def test_addresses_without_secrets_are_taken(gbert: Register) -> None:
    for at, store in enumerate(PLAIN):
        assert registered(gbert.write, f"docs{at}", store=store).store == store


def test_numbers_are_kept_as_the_version_writes_them(gbert: Register) -> None:
    made = registered(gbert.write, encoder=encoder("1.0.0"), space=space("1.0.0"))

    assert made.home.encoder is not None
    assert made.home.space is not None
    assert (made.home.encoder.number, made.home.space.number) == ("v1", "v1")


def test_what_embeds_must_be_a_version_of_the_model(gbert: Register) -> None:
    other = encoder(model="gnn")

    with pytest.raises(NotFound, match="v7"):
        registered(gbert.write, number="v7")
    with pytest.raises(Invalid, match="gnn does not embed"):
        registered(gbert.write, encoder=other, space=None)
    with pytest.raises(Invalid, match="name it"):
        registered(gbert.write, encoder=None)
    with pytest.raises(NotFound, match="gnn"):
        registered(gbert.write, model="gnn", encoder=None, space=None)


def test_collections_come_by_name_in_pages(gbert: Register) -> None:
    gbert.add("gnn:v1")
    for name in ("b", "a", "c"):
        registered(gbert.write, name)
    registered(gbert.write, "d", model="gnn", encoder=None, space=None)

    first = gbert.read(documents.page, size=2)
    rest = gbert.read(documents.page, size=2, page=first.next)
    own = gbert.read(documents.page, model=MODEL)

    assert [each.name for each in first.items + rest.items] == ["a", "b", "c", "d"]
    assert rest.next is None
    assert [each.name for each in own.items] == ["a", "b", "c"]
    with pytest.raises(NotFound):
        gbert.read(documents.page, model="oracle")
    with pytest.raises(Invalid, match="page"):
        gbert.read(documents.page, model=MODEL, page=first.next)


def test_what_is_removed_leaves_its_name_free(gbert: Register) -> None:
    registered(gbert.write)

    gbert.write(documents.remove, "handbook")

    with pytest.raises(NotFound, match="handbook"):
        gbert.read(documents.get, "handbook")
    assert registered(gbert.write).epoch == 1


def test_a_pointer_that_moved_meanwhile_is_not_written_over(gbert: Register) -> None:
    made = registered(gbert.write)
    moved = replace(made, epoch=2)
    gbert.write(_save, moved)

    gbert.write(_save, moved)
    for epoch in (1, 4):
        stale = replace(made, epoch=epoch)
        with pytest.raises(StaleEpoch):
            gbert.write(_save, stale)

    assert gbert.read(documents.get, "handbook").epoch == 2


def _save(work: Any, collection: Collection) -> None:
    work.documents.save(collection)


# --- what embedded it ---


def test_what_was_unknown_is_known_once_it_is_proven(gbert: Register) -> None:
    registered(gbert.write, encoder=None, space=None)

    found = gbert.write(
        documents.identify, "handbook", encoder=encoder("1.0.0"), space=space("1.0.0")
    )

    assert found.home.space is not None
    assert (found.home.space.number, found.epoch) == ("v1", 2)


def test_what_is_known_to_be_in_another_space_is_not_said_to_be_in_this(gbert: Register) -> None:
    registered(gbert.write)
    said: dict[str, Any] = {"encoder": encoder("v2"), "space": space("v2")}

    with pytest.raises(Conflict, match="migrate"):
        gbert.write(documents.identify, "handbook", **said)
    found = gbert.write(documents.identify, "handbook", replace_known=True, **said)

    assert found.home.space == space("v2")


def test_what_is_being_migrated_is_neither_said_anew_nor_removed(gbert: Register) -> None:
    registered(gbert.write)
    begun(gbert.write)

    with pytest.raises(Conflict, match="migration-1"):
        gbert.write(documents.identify, "handbook", encoder=encoder(), space=space())
    with pytest.raises(Conflict, match="migration-1"):
        gbert.write(documents.remove, "handbook")


# --- bridges ---


def test_a_bridge_is_given_while_it_is_in_use(gbert: Register) -> None:
    registered(gbert.write)
    made = bridge(gbert)

    bridged = gbert.write(documents.bridge, "handbook", bridge=made)

    assert gbert.read(documents.bridging, "handbook").items == (made,)
    assert (bridged.epoch, bool(bridged.bridge)) == (2, True)
    (told,) = gbert.read(events.page, action="documents.bridged").items
    assert "map" not in told.body
    gbert.clock.at += timedelta(days=8)
    assert gbert.read(documents.bridging, "handbook").items == ()
    assert gbert.write(documents.unbridge, "handbook").bridge == ""
    assert gbert.write(documents.unbridge, "handbook").epoch == 3


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"onto": "0" * 32}, Conflict),
        ({"collection": "other"}, Conflict),
        ({"scores": {"old": 0.8, "identity": 0.1, "bridge": 0.8}}, Invalid),
        ({"scores": {"old": 0.1, "identity": 0.9, "bridge": 0.8}}, Invalid),
        ({"scores": {"bridge": 0.9}}, Invalid),
        ({"scores": {"old": 0.7, "bridge": float("nan")}}, Invalid),
        ({"scores": {}}, Invalid),
    ],
)
def test_a_bridge_that_leads_nowhere_or_is_no_better_is_refused(
    gbert: Register, said: dict[str, Any], error: type[Exception]
) -> None:
    registered(gbert.write)

    with pytest.raises(error):
        gbert.write(documents.bridge, "handbook", bridge=bridge(gbert, **said))

    assert gbert.read(documents.bridging, "handbook").items == ()
    expired = bridge(gbert, expires_at=gbert.clock())
    with pytest.raises(Invalid, match="expired"):
        gbert.write(documents.bridge, "handbook", bridge=expired)


def test_a_bridge_ends_when_the_vectors_turn_out_to_be_in_another_space(gbert: Register) -> None:
    registered(gbert.write)
    gbert.write(documents.bridge, "handbook", bridge=bridge(gbert))

    found = gbert.write(
        documents.identify,
        "handbook",
        encoder=encoder("v3"),
        space=space("v3"),
        replace_known=True,
    )

    assert found.bridge == ""
    assert gbert.read(documents.bridging, "handbook").items == ()


# --- who sees them ---


def test_who_may_not_see_the_model_sees_neither_collection_nor_migration(gbert: Register) -> None:
    registered(gbert.write)
    made = begun(gbert.write)
    stranger = gbert.seen_by("deployer:search/*")
    family = gbert.seen_by("viewer:deepset/*")

    for verb, name in ((documents.get, "handbook"), (migrating.get, made.id)):
        with pytest.raises(NotFound):
            stranger.read(verb, name)
        assert family.read(verb, name) == gbert.read(verb, name)
    assert stranger.read(documents.page).items == ()
    assert stranger.read(migrating.page).items == ()
    assert stranger.read(lambda work: list(work.documents.running(limit=9))) == []
    assert len(family.read(documents.page).items) == len(family.read(migrating.page).items) == 1
    with pytest.raises(NotFound):
        stranger.write(documents.remove, "handbook")
    with pytest.raises(Forbidden):
        family.write(documents.remove, "handbook")


def test_a_bridge_takes_who_may_deploy(gbert: Register) -> None:
    registered(gbert.write)
    writer = gbert.seen_by("contributor:deepset/*")

    with pytest.raises(Forbidden):
        writer.write(documents.bridge, "handbook", bridge=bridge(gbert))
    with pytest.raises(Forbidden):
        writer.write(documents.unbridge, "handbook")


def test_the_collections_of_a_deleted_model_are_not_there(gbert: Register) -> None:
    registered(gbert.write)
    made = begun(gbert.write)

    gbert.write(models.delete, MODEL)

    with pytest.raises(NotFound):
        gbert.read(documents.get, "handbook")
    assert gbert.read(documents.page).items == ()
    assert gbert.read(migrating.get, made.id).collection == "handbook"
    gbert.write(models.restore, MODEL)
    assert gbert.read(documents.get, "handbook").migration == made.id


# --- asked for by model and versions ---


def test_the_collection_at_a_version_is_found_by_value(gbert: Register) -> None:
    registered(gbert.write)
    registered(gbert.write, "later", "v2")

    tried = gbert.write(
        asking.migrate, MODEL, from_version="1.0.0", to_version="2.0.0", dry_run=True
    )
    none = gbert.read(migrating.page).items
    made = gbert.write(asking.migrate, MODEL, from_version="1.0.0", to_version="2.0.0")

    assert (tried.id, tried.collection, tried.from_version, tried.to_version) == (
        "", "handbook", "v1", "v2",
    )  # fmt: skip
    assert none == ()
    assert gbert.read(documents.get, "handbook").migration == made.id
    assert made.target.encoder is not None
    assert made.target.encoder.source == f"herdbook:{MODEL}:v2"


def test_what_is_asked_for_by_an_alias_is_found(gbert: Register) -> None:
    registered(gbert.write, number="v2")
    gbert.write(deployments.promote, f"{MODEL}:v2")

    made = gbert.write(asking.migrate, MODEL, from_version="@champion", to_version="v3")

    assert (made.from_version, made.to_version) == ("v2", "v3")


def test_several_collections_at_a_version_are_named(gbert: Register) -> None:
    for name in ("a", "b"):
        registered(gbert.write, name)

    with pytest.raises(Conflict, match=r"a, b are at .*say which"):
        gbert.write(asking.migrate, MODEL, from_version="v1", to_version="v2")
    made = gbert.write(asking.migrate, MODEL, from_version="v1", to_version="v2", collection="b")

    assert made.collection == "b"


def test_no_collection_at_a_version_says_where_they_are(gbert: Register) -> None:
    gbert.add("gnn:v1")
    ask: dict[str, Any] = {"from_version": "v3", "to_version": "v2"}

    with pytest.raises(NotFound, match=r"no collection of .* is registered"):
        gbert.write(asking.migrate, MODEL, **ask)
    registered(gbert.write, "a")
    registered(gbert.write, "b", encoder=None, space=None)
    with pytest.raises(NotFound, match="a is at v1, nobody knows what embedded b"):
        gbert.write(asking.migrate, MODEL, **ask)
    with pytest.raises(NotFound, match="not by gnn"):
        gbert.write(asking.migrate, "gnn", collection="a", **ask)
    with pytest.raises(NotFound, match="oracle"):
        gbert.write(asking.migrate, "oracle", **ask)
    with pytest.raises(NotFound):
        gbert.seen_by("deployer:gnn").write(asking.migrate, MODEL, **ask)


def test_a_place_is_one_collections(gbert: Register) -> None:
    registered(gbert.write)

    with pytest.raises(Conflict, match="registered as a collection already"):
        registered(gbert.write, "another", place=Place(collection="handbook"))
    registered(gbert.write, "elsewhere", place=Place(collection="handbook"), store="lancedb:/other")
    registered(gbert.write, "field", place=Place(collection="handbook", field="second"))


def test_documents_are_not_moved_into_another_collection(gbert: Register) -> None:
    registered(gbert.write)
    registered(gbert.write, "another")

    with pytest.raises(Conflict, match="registered as a collection already"):
        begun(gbert.write, place=Place(collection="another"))


def test_the_address_of_an_encoder_holds_no_secret(gbert: Register) -> None:
    keyed = encoder(source="https://embeddings.example.com/v1?api_key=secret")

    with pytest.raises(Invalid, match="HERDBOOK_EMBEDDING_KEY"):
        registered(gbert.write, encoder=keyed)
