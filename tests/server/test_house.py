"""Health, metrics, the hot path, streams: what is not one noun's."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

import herdbook
from herdbook.bootstrap import LocalDoor
from herdbook.core.access import everything
from herdbook.front.book import Herdbook
from herdbook.server.log import redacted
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database
from tests.server.conftest import Served


def test_it_is_alive_and_ready(guarded: Served) -> None:
    client = guarded.client()

    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_it_is_not_ready_when_the_database_cannot_be_written(
    guarded: Served, database: Database
) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    behind = guarded.client().get("/readyz")

    with database.writing() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    stranger = guarded.client().get("/readyz")

    assert (behind.status_code, behind.json()["code"]) == (503, "schema_mismatch")
    assert stranger.status_code in {500, 503}
    assert str(database.path) not in stranger.text


def test_readiness_really_writes(local: Served, database: Database) -> None:
    with contextlib.closing(sqlite3.connect(str(database.path))) as watching:
        before = watching.execute("PRAGMA data_version").fetchone()

        local.client().get("/readyz")

        assert watching.execute("PRAGMA data_version").fetchone() != before


def test_metrics_count_by_route_and_status(local: Served) -> None:
    local.book.models.register("majora")
    client = local.client()
    client.get("/models/majora")
    client.get("/models/gnn")
    client.get("/nothing/majora")

    told = client.get("/metrics").text

    assert 'route="/models/{model}",status="200"} 1.0' in told
    assert 'route="/models/{model}",status="404"} 1.0' in told
    assert 'route="unmatched",status="404"} 1.0' in told
    assert "herdbook_events_head 2.0" in told
    assert "process_resident_memory_bytes" in told
    assert "majora" not in told


@pytest.mark.parametrize("ref", ["majora", "majora@champion", "majora%40champion", "majora:v1"])
def test_a_reference_is_resolved_with_its_etag(local: Served, ref: str) -> None:
    local.book.models.register("majora")
    local.book.deployments.promote("majora:v1")
    client = local.client()

    found = client.get(f"/resolve/{ref}")
    same = client.get(f"/resolve/{ref}", headers={"If-None-Match": found.headers["etag"]})
    local.book.evaluations.score("majora:v1", {"accuracy": 0.9})
    changed = client.get(f"/resolve/{ref}", headers={"If-None-Match": found.headers["etag"]})

    assert found.json()["number"] == "v1"
    assert found.headers["cache-control"] == "no-cache"
    assert (same.status_code, same.content) == (304, b"")
    assert changed.json()["metrics"] == {"accuracy": 0.9}


def test_a_register_goes_out_and_into_another(local: Served, tmp_path: Path) -> None:
    local.book.models.register("majora", metrics={"accuracy": 0.9})
    local.book.deployments.promote("majora:v1")
    client = local.client()

    told = client.get("/export")
    full = client.post(
        "/import", content=told.content, headers={"Content-Type": "application/x-ndjson"}
    )

    assert told.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in told.text.splitlines()]
    assert (full.status_code, full.json()["code"]) == (409, "conflict")
    with herdbook.connect(f"sqlite:///{tmp_path}/other.db") as other:
        other.load(told.text.splitlines())
        assert other.get("majora@champion").metrics == {"accuracy": 0.9}


def test_an_export_is_taken_over_http(local: Served, tmp_path: Path) -> None:
    with herdbook.connect(f"sqlite:///{tmp_path}/other.db") as other:
        other.models.register("majora", metrics={"accuracy": 0.9})
        lines = "".join(line.rstrip("\n") + "\n" for line in other.export()).encode()
    client = local.client()
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k" * 16}

    tried = client.post("/import?dry_run=true", content=lines, headers=headers)
    nothing = client.get("/models").json()["items"]
    taken = client.post("/import", content=lines, headers=headers)
    again = client.post("/import", content=lines, headers=headers)

    assert tried.json()["dry_run"] is True
    assert nothing == []
    assert taken.json()["dry_run"] is False
    assert again.content == taken.content
    assert again.headers["idempotency-replayed"] == "true"
    assert local.book.get("majora:v1").metrics == {"accuracy": 0.9}


def test_a_body_that_is_no_export_is_refused(local: Served) -> None:
    client = local.client()
    headers = {"Content-Type": "application/x-ndjson"}

    for body in (b"", b"{}\n", b"\xff\n", b"not json\n"):
        assert client.post("/import", content=body, headers=headers).status_code in {422, 500}
    assert client.post("/import", json={}).status_code == 415


def test_pages_follow_each_other(local: Served) -> None:
    for name in ("gnn", "majora", "oracle"):
        local.book.models.register(name)
    client = local.client()

    for path in ("/models", "/versions", "/deployments/history", "/events", "/tokens"):
        page = client.get(path, params={"page_size": 2}).json()
        assert page.keys() == {"items", "next"}
    first = client.get("/models?page_size=2").json()
    rest = client.get("/models", params={"page_size": 2, "page": first["next"]}).json()

    assert [m["name"] for m in first["items"] + rest["items"]] == ["gnn", "majora", "oracle"]
    assert rest["next"] is None


def test_every_change_is_recorded_under_the_caller(guarded: Served) -> None:
    guarded.holding("contributor").post("/models", json={"name": "majora"})

    event = guarded.book.events.list(model="majora").items[0]

    assert (event.action, event.by) == ("model.registered", "tester")


def test_secrets_are_taken_out_of_the_log() -> None:
    said = redacted(
        "Authorization: Bearer hb_abcdefgh1234 postgresql://herd:hunter2@host/book "
        "hbwh_0123456789abcdef password=hunter2"
    )

    assert "hunter2" not in said
    assert "abcdefgh1234" not in said
    assert "0123456789abcdef" not in said


def test_a_failure_tells_nothing_of_the_inside(
    local: Served, database: Database, tmp_path: Path
) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE models")

    answer = local.client().get("/models")

    assert answer.status_code == 500
    assert answer.json()["code"] == "error"
    for inside in ("sqlite", "SELECT", "Traceback", str(tmp_path)):
        assert inside not in answer.text


def test_settings_do_not_show_secrets() -> None:
    shown = repr(
        Settings(home=Path(), url="postgresql://herd:hunter2@host/book", token="hb_secret")
    )

    assert "hunter2" not in shown
    assert "hb_secret" not in shown


def test_observations_add_up(local: Served) -> None:
    local.book.models.register("majora")
    client = local.client()
    place = "/models/majora/versions/v1"

    client.post(f"{place}/observations", json={"observations": [{"confidence": 1}]})
    client.post(f"{place}/observations", json={"observations": [{"error": True}]})

    assert client.get(f"{place}/operational").json() == {
        "count": 2,
        "inference_time_ms": None,
        "confidence": 1.0,
        "error_rate": 0.5,
    }


def test_a_door_in_process_and_one_over_http_say_the_same(
    local: Served, database: Database
) -> None:
    local.book.models.register("majora", tags={"team": "search"})
    book = Herdbook(LocalDoor(database, everything("curator")))

    told = local.client().get("/models/majora/versions/v1").json()

    assert told["digest"] == book.get("majora:v1").digest
