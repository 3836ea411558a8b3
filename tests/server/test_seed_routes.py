"""The routes of the first seed, as it writes them."""

from typing import Any

import pytest

from tests.server.conftest import Served

NAME = "paraphrase-multilingual-MiniLM-L12-v2"
REGISTRATION: dict[str, Any] = {
    "model_name": NAME,
    "model_type": "embedding",
    "version": "1.0.0",
    "description": "The first version",
    "status": "production",
    "performance_metrics": {"accuracy": 0.92},
}


def test_a_version_is_registered_as_the_seed_writes_it(local: Served) -> None:
    answer = local.client().post("/models/register", json=REGISTRATION)

    found = answer.json()
    assert answer.status_code == 201
    assert (found["model"], found["number"], found["status"]) == (NAME, "1.0.0", "production")
    assert found["metrics"] == {"accuracy": 0.92}
    assert found["aliases"] == ["champion"]


@pytest.mark.parametrize("name", [NAME, f"sentence-transformers/{NAME}"])
def test_a_model_and_its_versions_are_read(local: Served, name: str) -> None:
    client = local.client()
    client.post("/models/register", json=REGISTRATION | {"model_name": name})

    model = client.get(f"/models/{name}").json()
    versions = client.get(f"/models/{name}/versions").json()

    assert model["type"] == "embedding"
    assert model["aliases"] == {"champion": "1.0.0"}
    assert [v["number"] for v in versions["items"]] == ["1.0.0"]
    assert versions["next"] is None
    assert client.get(f"/models/{name.replace('/', '%2F')}").json() == model


def test_models_are_listed_by_type(local: Served) -> None:
    client = local.client()
    client.post("/models/register", json=REGISTRATION)
    client.post("/models/register", json={"model_name": "majora", "model_type": "llm"})

    found = client.get("/models?model_type=embedding").json()

    assert [m["name"] for m in found["items"]] == [NAME]


def test_set_current_makes_the_champion(local: Served) -> None:
    client = local.client()
    client.post("/models/register", json=REGISTRATION)
    client.post("/models/register", json={"model_name": NAME, "version": "1.1.0"})

    moved = client.post(
        f"/models/{NAME}/versions/1.1.0/set-current", json={"version": "1.1.0"}
    ).json()
    again = client.post(f"/models/{NAME}/versions/1.1.0/set-current").json()
    back = client.post(f"/models/{NAME}/versions/1.0.0/set-current").json()

    assert (moved["name"], moved["number"], moved["epoch"]) == ("champion", "1.1.0", 2)
    assert again == moved
    assert (back["number"], back["epoch"]) == ("1.0.0", 3)


def test_set_deployed_puts_into_production_and_takes_out(local: Served) -> None:
    client = local.client()
    client.post("/models/register", json=REGISTRATION)
    route = f"/models/{NAME}/versions/1.0.0/set-deployed"

    out = client.post(route, json={"deployed": False}).json()
    again = client.post(route, json={"deployed": False}).json()
    back = client.post(route, json={"deployed": True}).json()

    assert (out["number"], again["number"], back["number"]) == ("", "", "1.0.0")
    assert client.get(f"/models/{NAME}/versions/1.0.0").json()["status"] == "production"


def test_set_current_with_two_different_versions_is_invalid(local: Served) -> None:
    client = local.client()
    client.post("/models/register", json=REGISTRATION)

    answer = client.post(f"/models/{NAME}/versions/1.0.0/set-current", json={"version": "9.9.9"})

    assert answer.status_code == 422
    assert answer.json()["field"] == "version"


def test_status_and_metrics_are_posted(local: Served) -> None:
    client = local.client()
    client.post("/models/register", json=REGISTRATION | {"status": "staging"})

    scored = client.post(
        f"/models/{NAME}/versions/1.0.0/metrics",
        json={"metrics": {"accuracy": 0.94, "latency_ms": 38.5}},
    )
    moved = client.post(f"/models/{NAME}/versions/1.0.0/status", json={"status": "production"})

    assert scored.json()["metrics"] == {"accuracy": 0.94, "latency_ms": 38.5}
    assert moved.json()["status"] == "production"


def test_what_is_not_built_says_so(local: Served) -> None:
    mlflow = local.client().get("/mlflow/status")

    assert mlflow.status_code == 501
    assert mlflow.headers["content-type"] == "application/problem+json"
    assert mlflow.json()["code"] == "not_built"


def test_documents_are_migrated_as_the_seed_writes_it(local: Served) -> None:
    client = local.client()
    for number in ("1.0.0", "1.1.0"):
        client.post("/models/register", json=REGISTRATION | {"version": number, "status": "draft"})
    encoder = {"model": NAME, "number": "1.0.0", "source": "python:rag.embedding:embed"}
    collection = {
        "name": "handbook",
        "model": NAME,
        "store": "lancedb:/vectors",
        "place": {"collection": "handbook"},
        "encoder": encoder,
        "space": {"model": NAME, "number": "1.0.0", "dimension": 384},
    }
    asked = {"from_version": "1.0.0", "to_version": "1.1.0", "dry_run": True}
    nothing = client.post(f"/models/{NAME}/migrate", json=asked)
    registered = client.post("/documents/collections", json=collection)

    rehearsed = client.post(f"/models/{NAME}/migrate", json=asked)
    before = client.get("/documents/migrations").json()
    begun = client.post(f"/models/{NAME}/migrate", json=asked | {"dry_run": False})

    assert (nothing.status_code, registered.status_code) == (404, 201)
    assert rehearsed.status_code == begun.status_code == 200
    assert (rehearsed.json()["id"], before["items"]) == ("", [])
    assert begun.json()["id"] == "migration-1"
    assert begun.json()["phase"] == "planned"
    assert begun.json()["target"]["place"]["collection"] == "handbook--1_1_0"
    assert client.get("/documents/migrations/migration-1").json() == begun.json()


def test_info_tells_what_serves(local: Served) -> None:
    client = local.client()
    client.post("/models/register", json=REGISTRATION)
    client.post("/models/register", json={"model_name": "majora"})

    found = client.get("/models/info").json()

    assert [(i["since"]["model"], i["since"]["to_number"]) for i in found["items"]] == [
        (NAME, "1.0.0")
    ]


@pytest.mark.parametrize(
    ("form", "kind", "said"),
    [
        ("json", "application/json", '"nodes"'),
        ("text", "text/plain; charset=utf-8", "majora version tree:"),
        ("dot", "text/vnd.graphviz; charset=utf-8", "digraph"),
        ("openlineage", "application/x-openlineage+json", '"eventType":"COMPLETE"'),
    ],
)
def test_a_pedigree_is_given_in_each_form(local: Served, form: str, kind: str, said: str) -> None:
    client = local.client()
    client.post("/models/register", json={"model_name": "majora"})
    client.post("/models/register", json={"model_name": "majora", "parents": ["majora:v1"]})

    of_model = client.get(f"/models/majora/lineage?format={form}")
    of_version = client.get(f"/models/majora/versions/v2/lineage?format={form}&depth=1")

    assert of_model.headers["content-type"] == of_version.headers["content-type"] == kind
    assert said in of_model.text
    assert "v2" in of_version.text
