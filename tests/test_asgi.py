"""What requests over real HTTP leave in a register: a call each, as it went, under its unit."""

import asyncio
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request
from starlette.requests import ClientDisconnect

import herdbook as hb
from herdbook.asgi import ServingMiddleware, query, served
from herdbook.errors import NotFound
from herdbook.front.calls import Call
from tests.serving import (
    ANN,
    UNIT,
    WAYS,
    application,
    arm_of,
    errors,
    results,
    running,
    told,
    tried,
)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hb.Herdbook]:
    """A register where v2 of gnn, and of oracle, is tried."""
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path))
    with tried() as opened:
        yield opened


# --- what arrives ---


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_a_request_is_served_its_units_version_and_recorded(
    book: hb.Herdbook, way: str, path: str
) -> None:
    with running(application(book, way)) as url:
        answers = [httpx2.get(url + path, headers=ANN).json() for _ in range(3)]

    given = book.experiments.assign_variant("gnn", "ann")
    assert answers == [{"version": given.version, "variant": given.variant}] * 3
    arm = arm_of(book, "ann")
    assert (arm.results, arm.errors, arm.units, arm.alone) == (3, 0, 1, 0)
    assert arm.confidence == pytest.approx(0.9)
    assert arm.inference_time_ms is not None
    assert 20 <= arm.inference_time_ms < 1_000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("path", "status", "failed"),
    [
        ("/raises", 500, 1),
        ("/status/503", 503, 1),
        ("/set/503", 503, 1),
        ("/status/404", 404, 0),
        ("/set/404", 404, 0),
        ("/returned/404", 404, 0),
    ],
)
def test_answers_from_500_on_and_exceptions_are_errors_of_the_version(
    book: hb.Herdbook, way: str, path: str, status: int, failed: int
) -> None:
    with running(application(book, way)) as url:
        answer = httpx2.get(url + path, headers=ANN)

    assert answer.status_code == status
    found = told(book)
    assert (results(found), errors(found)) == (1, failed)


@pytest.mark.parametrize(("path", "failed"), [("/returned/503", 1), ("/handled", 0)])
def test_the_middleware_judges_by_the_answer_the_client_gets(
    book: hb.Herdbook, path: str, failed: int
) -> None:
    with running(application(book, "middleware")) as url:
        httpx2.get(url + path, headers=ANN)

    found = told(book)
    assert (results(found), errors(found)) == (1, failed)


def test_a_request_that_fastapi_finds_invalid_is_left_out(book: hb.Herdbook) -> None:
    with running(application(book, "dependency")) as url:
        answer = httpx2.get(f"{url}/stream?count=many", headers=ANN)

    assert answer.status_code == 422
    assert results(told(book)) == 0


@pytest.mark.parametrize("path", ["/health", "/later", "/nowhere"])
def test_a_request_that_never_asks_for_its_call_is_none_of_the_versions(
    book: hb.Herdbook, path: str
) -> None:
    with running(application(book, "middleware")) as url:
        httpx2.get(url + path, headers=ANN)

    assert results(told(book)) == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("headers", [{}, {"X-User-Id": ""}])
def test_a_request_without_a_unit_gets_the_champion_and_is_not_recorded(
    book: hb.Herdbook, way: str, headers: dict[str, str]
) -> None:
    with running(application(book, way)) as url:
        answer = httpx2.get(f"{url}/async", headers=headers).json()

    assert answer == {"version": "v1", "variant": "champion"}
    assert results(told(book)) == 0


def test_what_is_no_unit_is_served_like_none(book: hb.Herdbook) -> None:
    app = FastAPI()
    given = Depends(served(book, "gnn", unit=lambda _: "\ud800"))

    @app.get("/")
    async def answers(call: Annotated[Call, given]) -> str:
        return call.variant

    with running(app) as url:
        assert httpx2.get(url).json() == "champion"


def test_attributes_say_who_is_targeted(book: hb.Herdbook) -> None:
    book.experiments.finalize("gnn_test")
    book.experiments.start("gnn_de", "gnn", "v2", targeting={"country": ["de"]})
    app = FastAPI()
    given = served(
        book, "gnn", unit=query("user"), attributes=lambda request: dict(request.query_params)
    )

    @app.get("/")
    async def answers(call: Annotated[Call, Depends(given)]) -> str:
        return call.assignment.reason

    with running(app) as url:
        told_of = [httpx2.get(f"{url}?user=ann&country={where}").json() for where in ("de", "fr")]

    assert told_of == ["split", "targeting"]


# --- streams ---


@pytest.mark.parametrize("way", WAYS)
def test_the_call_of_a_stream_lasts_until_its_last_byte(book: hb.Herdbook, way: str) -> None:
    with running(application(book, way)) as url:
        httpx2.get(f"{url}/stream", headers=ANN)

    arm = arm_of(book, "ann")
    assert (arm.results, arm.errors) == (1, 0)
    assert arm.confidence == pytest.approx(0.7)
    assert arm.inference_time_ms is not None
    assert arm.inference_time_ms >= 300


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_breaks_is_an_error(book: hb.Herdbook, way: str) -> None:
    with running(application(book, way)) as url, pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(f"{url}/broken", headers=ANN)

    found = told(book)
    assert (results(found), errors(found)) == (1, 1)


def test_a_client_that_leaves_in_the_middle_of_a_stream_is_left_out(book: hb.Herdbook) -> None:
    with running(application(book, "middleware")) as url:
        with httpx2.stream("GET", f"{url}/stream?count=100", headers=ANN) as answer:
            next(answer.iter_raw())
        # The server looks at what it streams when it sends the next piece.
        time.sleep(0.5)
        httpx2.get(f"{url}/stream?count=1", headers=ANN)

    found = told(book)
    assert (results(found), errors(found)) == (1, 0)


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_tells_of_a_client_that_left_by_an_error_is_understood(
    book: hb.Herdbook, way: str
) -> None:
    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client left")

    # As ASGI has it since its version 2.4; uvicorn speaks 2.3.
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "path": "/stream",
        "query_string": b"",
        "headers": [(b"x-user-id", b"ann")],
    }
    with pytest.raises(ClientDisconnect):
        asyncio.run(application(book, way)(scope, receive, send))

    assert results(told(book)) == 0


# --- several ---


def test_one_request_has_a_call_of_each_of_its_models(book: hb.Herdbook) -> None:
    app = FastAPI()
    for model in ("gnn", "oracle"):
        app.add_middleware(ServingMiddleware, book=book, model=model, unit=UNIT)
    third = Depends(served(book, "gnn", unit=UNIT))

    @app.get("/")
    async def answers(request: Request, call: Annotated[Call, third]) -> list[str]:
        calls = request.state.herdbook
        calls["oracle"].fail()
        return [calls["gnn"].ref, calls["oracle"].ref, call.ref]

    @app.get("/other")
    async def asks_for_another(request: Request) -> str:
        with pytest.raises(NotFound, match="but oracle, gnn"):
            request.state.herdbook["majora"]
        return "no"

    with running(app) as url:
        refs = httpx2.get(url, headers=ANN).json()
        assert httpx2.get(f"{url}/other", headers=ANN).json() == "no"

    given = [book.experiments.assign_variant(model, "ann") for model in ("gnn", "oracle", "gnn")]
    assert refs == [f"{each.model}:{each.version}" for each in given]
    assert (results(told(book)), errors(told(book))) == (2, 0)
    oracle = told(book, "oracle_test")
    assert (results(oracle), errors(oracle)) == (1, 1)


def test_what_is_not_http_passes_through(book: hb.Herdbook) -> None:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(_: MutableMapping[str, Any]) -> None:
        return None

    scope = {"type": "websocket", "headers": []}
    asyncio.run(ServingMiddleware(inner, book=book, model="gnn", unit=UNIT)(scope, receive, send))

    assert seen == [(scope, receive, send)]
