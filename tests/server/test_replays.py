"""Idempotency keys: the same request twice is done once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

import herdbook
from herdbook.bootstrap import prepare
from herdbook.server.app import create_app
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database
from tests.running import served
from tests.server.conftest import HERE, Served

KEY = {"Idempotency-Key": "0123456789abcdef"}


def test_the_same_request_again_gets_the_same_answer(local: Served) -> None:
    client = local.client()

    first = client.post("/models/register", json={"model_name": "majora"}, headers=KEY)
    second = client.post("/models/register", json={"model_name": "majora"}, headers=KEY)

    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert len(local.book.versions.list().items) == 1


def test_a_key_with_another_request_is_refused(local: Served) -> None:
    client = local.client()
    client.post("/models/register", json={"model_name": "majora"}, headers=KEY)

    other = client.post("/models/register", json={"model_name": "gnn"}, headers=KEY)

    assert (other.status_code, other.json()["code"]) == (409, "key_reused")


def test_what_failed_may_be_asked_again_under_its_key(local: Served) -> None:
    client = local.client()
    body = {"metrics": {"accuracy": 0.9}}
    missing = client.post("/models/majora/versions/v1/metrics", json=body, headers=KEY)
    local.book.models.register("majora")

    found = client.post("/models/majora/versions/v1/metrics", json=body, headers=KEY)

    assert (missing.status_code, found.status_code) == (404, 200)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokens", {"name": "ci", "roles": ["viewer"]}),
        ("/webhooks", {"url": "https://hooks.example/herdbook"}),
    ],
)
def test_a_secret_is_shown_once_even_to_its_key(
    local: Served, database: Database, path: str, body: dict[str, object]
) -> None:
    client = local.client()

    first = client.post(path, json=body, headers=KEY)
    second = client.post(path, json=body, headers=KEY)

    assert first.status_code == 201
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    assert first.json()["secret"] not in second.text
    assert len(client.get(path).json()["items"]) == 1
    kept = Path(database.url.database or "").read_bytes()
    assert path == "/webhooks" or first.json()["secret"].encode() not in kept


def test_keys_of_two_tokens_are_two_keys(guarded: Served) -> None:
    one, other = guarded.holding("contributor"), guarded.holding("contributor")

    first = one.post("/models/register", json={"model_name": "majora"}, headers=KEY)
    second = other.post("/models/register", json={"model_name": "majora"}, headers=KEY)

    assert (first.json()["number"], second.json()["number"]) == ("v1", "v2")


@pytest.mark.parametrize("key", ["x" * 256, "ä"])
def test_a_key_is_short_and_plain(local: Served, key: str) -> None:
    answer = local.client().post(
        "/models/register",
        json={"model_name": "majora"},
        headers={b"Idempotency-Key": key.encode("latin-1")},
    )

    assert answer.status_code == 422


def test_keys_work_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    database = Database(postgres_url)
    prepare(database)
    settings = Settings(home=tmp_path, actor="curator")
    with TestClient(create_app(database, auth=False, settings=settings), base_url=HERE) as client:
        answers = [
            client.post("/models/register", json={"model_name": "majora"}, headers=KEY)
            for _ in range(2)
        ]
    database.close()

    assert answers[0].content == answers[1].content


def test_the_same_request_twice_at_once_is_done_once(postgres_url: str) -> None:
    with herdbook.connect(postgres_url) as book, served(postgres_url) as address:
        body = b'{"model_name":"majora","version":"1.0.0"}'

        def ask(_: int) -> tuple[int, bytes]:
            answer = httpx2.post(
                f"{address}/models/register",
                content=body,
                headers={**KEY, "Content-Type": "application/json"},
            )
            return answer.status_code, answer.content

        with ThreadPoolExecutor(8) as pool:
            answers = set(pool.map(ask, range(8)))

        assert len(answers) == 1
        assert next(iter(answers))[0] == 201
        assert len(book.versions.list().items) == 1
