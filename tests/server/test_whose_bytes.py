"""What a token may adopt, and what it is told of others: the holes that names would leave."""

import json

from starlette.testclient import TestClient

from herdbook.core.artifacts import digest_of
from herdbook.services.artifacts import SIGNATURE_LIMIT, SIGNATURES_LIMIT
from tests.server.conftest import Served
from tests.server.test_blobs import WEIGHTS, lacking, named, problem, pushed, put, registered


def called(guarded: Served, name: str, *roles: str) -> TestClient:
    return guarded.client(guarded.book.tokens.create(name, roles=roles).secret)


def test_two_tokens_of_one_name_do_not_prove_for_each_other(guarded: Served) -> None:
    first = called(guarded, "ci", "contributor:gnn")
    second = called(guarded, "ci", "contributor:search/*")
    assert put(first, WEIGHTS).status_code == 201

    assert lacking(first, digest_of(WEIGHTS)) == []
    assert lacking(second, digest_of(WEIGHTS)) == [digest_of(WEIGHTS)]
    claimed = registered(second, "search/a", named("a.bin", WEIGHTS))
    assert problem(claimed) == (404, "not_found")


def test_who_sees_all_versions_may_not_adopt_what_was_deleted(guarded: Served) -> None:
    owner = called(guarded, "owner", "admin")
    digest = pushed(owner, "gnn", WEIGHTS)
    assert owner.delete("/models/gnn/versions/v1").status_code == 200
    reader = called(guarded, "reader", "contributor")

    assert lacking(reader, digest) == [digest]
    assert problem(registered(reader, "mine", named("a.bin", WEIGHTS))) == (404, "not_found")
    assert lacking(owner, digest) == []


def test_who_sees_all_versions_may_not_adopt_what_others_only_sent(guarded: Served) -> None:
    assert put(called(guarded, "owner", "contributor:gnn"), WEIGHTS).status_code == 201
    reader = called(guarded, "reader", "contributor")

    assert lacking(reader, digest_of(WEIGHTS)) == [digest_of(WEIGHTS)]
    assert problem(registered(reader, "mine", named("a.bin", WEIGHTS))) == (404, "not_found")


def test_signatures_of_a_version_are_bounded_together(guarded: Served) -> None:
    writer = called(guarded, "owner", "admin")
    pushed(writer, "gnn", WEIGHTS)
    address = "/models/gnn/versions/v1/signatures"

    def signed(number: int) -> int:
        text = json.dumps({"n": number, "fill": "x" * (SIGNATURE_LIMIT - 100)})
        return int(writer.post(address, json={"signature": text}).status_code)

    taken = [signed(number) for number in range(SIGNATURES_LIMIT // SIGNATURE_LIMIT)]

    assert set(taken) == {200}
    assert signed(100) == 422
    assert signed(0) == 200, "one that is there already is still one that is there"
    files = writer.get("/models/gnn/versions/v1/files").json()
    assert files["signed_by"] == ["owner"] * len(taken)


def test_damage_is_told_by_the_versions_one_may_know(guarded: Served) -> None:
    owner = called(guarded, "owner", "admin")
    digest = pushed(owner, "gnn", WEIGHTS)
    assert registered(owner, "secret", named("b.safetensors", WEIGHTS)).status_code == 201
    guarded.app.state.blobs.remove(digest)
    reader = called(guarded, "reader", "viewer:gnn")

    told = reader.post("/artifacts/verify", json={"ref": "gnn:v1"}).json()
    every = owner.post("/artifacts/verify", json={}).json()

    assert [each["versions"] for each in told["damage"]] == [["gnn:v1"]]
    assert [each["versions"] for each in every["damage"]] == [["gnn:v1", "secret:v1"]]
