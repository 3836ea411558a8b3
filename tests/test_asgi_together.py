"""Many requests at once are recorded each under its unit, and none keeps the others waiting."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request, Response

import herdbook as hb
from herdbook.asgi import ServingMiddleware, served
from herdbook.core.assignment import Assignment
from herdbook.errors import NotFound
from herdbook.front.calls import Call
from tests.serving import (
    ANN,
    UNIT,
    WAYS,
    application,
    of_state,
    running,
    told,
    tried,
)

USERS = 200


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hb.Herdbook]:
    """A register where v2 of gnn, and of oracle, is tried."""
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path))
    with tried() as opened:
        yield opened


def ask_all(url: str) -> list[Any]:
    """Two hundred users at once, over few connections that are used again."""

    async def ask() -> list[Any]:
        limits = httpx2.Limits(max_connections=50)
        async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
            asked = [client.get("/", headers={"X-User-Id": f"user{n}"}) for n in range(USERS)]
            return [answer.json() for answer in await asyncio.gather(*asked)]

    return asyncio.run(ask())


Remember = Callable[[hb.Herdbook, str], Any]
Record = Callable[[hb.Herdbook, Any, float], Any]


def mixing(book: hb.Herdbook, remember: Remember, record: Record) -> FastAPI:
    """An application whose requests overlap between being assigned and being recorded."""
    app = FastAPI()

    @app.get("/")
    async def answers(request: Request) -> str:
        unit = request.headers["X-User-Id"]
        given = remember(book, unit)
        await asyncio.sleep(int(unit[4:]) % 17 / 200)
        record(book, given, 1.0 + int(unit[4:]))
        return str(given.variant)

    return app


def shares(book: hb.Herdbook) -> dict[str, tuple[int, int]]:
    """Arm to its results and its units."""
    return {arm.arm: (arm.results, arm.units) for arm in told(book).arms}


def expected(book: hb.Herdbook) -> dict[str, tuple[int, int]]:
    """What they are when each user's one result is recorded under that user."""
    arms = [book.experiments.assign_variant("gnn", f"user{n}").variant for n in range(USERS)]
    return {arm: (arms.count(arm), arms.count(arm)) for arm in ("control", "treatment")}


def assigned(book: hb.Herdbook, unit: str) -> Assignment:
    """Let the context remember."""
    return book.experiments.assign_variant("gnn", unit)


def recorded(book: hb.Herdbook, _: Any, ms: float) -> None:
    """Name neither the unit nor the arm."""
    book.experiments.record_result("gnn_test", inference_time_ms=ms)


def test_results_that_name_no_unit_are_their_requests(book: hb.Herdbook) -> None:
    with running(mixing(book, assigned, recorded)) as url:
        ask_all(url)

    assert shares(book) == expected(book)


def test_a_global_that_remembers_the_last_unit_mixes_them_up(book: hb.Herdbook) -> None:
    last: dict[str, Any] = {}

    def remember(book: hb.Herdbook, unit: str) -> Assignment:
        last.update(unit=unit, given=assigned(book, unit))
        return cast(Assignment, last["given"])

    def record(book: hb.Herdbook, _: Any, ms: float) -> None:
        book.experiments.record_result(
            "gnn_test", last["given"].variant, inference_time_ms=ms, unit=last["unit"]
        )

    with running(mixing(book, remember, record)) as url:
        ask_all(url)

    assert shares(book) != expected(book)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_two_hundred_requests_at_once_are_recorded_each_under_its_unit(
    book: hb.Herdbook, way: str, kind: str
) -> None:
    app = FastAPI()
    if way == "middleware":
        app.add_middleware(ServingMiddleware, book=book, model="gnn", unit=UNIT)
    given = Depends(of_state if way == "middleware" else served(book, "gnn", unit=UNIT))

    async def answers(call: Annotated[Call, given]) -> str:
        await asyncio.sleep(0.05)
        return call.variant

    def answers_from_a_thread(call: Annotated[Call, given]) -> str:
        time.sleep(0.01)
        return call.variant

    app.get("/")(answers if kind == "async" else answers_from_a_thread)
    with running(app) as url:
        variants = ask_all(url)

    given_to = [book.experiments.assign_variant("gnn", f"user{n}").variant for n in range(USERS)]
    assert variants == given_to
    assert shares(book) == expected(book)


def test_what_a_call_left_in_its_context_is_there_in_an_endpoints_thread(
    book: hb.Herdbook,
) -> None:
    app = FastAPI()
    given = Depends(served(book, "gnn", unit=UNIT))

    @app.get("/")
    def answers(call: Annotated[Call, given]) -> str:
        call.leave_out()
        book.experiments.record_result("gnn_test", inference_time_ms=3.0)
        return call.variant

    with running(app) as url:
        ask_all(url)

    assert shares(book) == expected(book)


def test_nothing_stays_in_a_connection_for_the_next_request(book: hb.Herdbook) -> None:
    app = application(book, "middleware")

    @app.get("/record")
    async def records() -> str:
        book.experiments.record_result("gnn_test", "control", inference_time_ms=3.0)
        return "ok"

    with running(app) as url, httpx2.Client(base_url=url) as client:
        client.get("/async", headers=ANN)
        client.get("/record")

    control = told(book).metrics("control")
    assert control.alone == 1


# --- the event loop ---


@contextmanager
def a_register_that_never_answers() -> Iterator[str]:
    """A port where connections wait for ever."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def beating(gaps: list[float]) -> None:
    """Note how long the event loop lets others wait."""
    until, last = time.monotonic() + 1.5, time.monotonic()
    while last < until:
        await asyncio.sleep(0.01)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()


def longest_gap(make: Callable[[hb.Herdbook], Any]) -> float:
    """How long one request keeps the others waiting when the register does not answer."""
    gaps: list[float] = []
    with a_register_that_never_answers() as address, hb.connect(address) as book:
        app = make(book)

        async def beside(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/beats":
                await beating(gaps)
                await Response()(scope, receive, send)
            else:
                await app(scope, receive, send)

        with running(beside) as url:

            def ask() -> None:
                while not gaps:
                    time.sleep(0.01)
                assert httpx2.get(f"{url}/async", headers=ANN, timeout=30).status_code == 500

            asking = threading.Thread(target=ask)
            asking.start()
            httpx2.get(f"{url}/beats", timeout=30)
            asking.join()
    return max(gaps)


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a second for a register, no longer."""
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path))
    monkeypatch.setenv("HERDBOOK_TIMEOUT_SECONDS", "1")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", WAYS)
def test_a_register_that_does_not_answer_keeps_no_other_request_waiting(way: str) -> None:
    assert longest_gap(lambda book: application(lambda: book, way)) < 0.5


@pytest.mark.usefixtures("impatient")
def test_an_endpoint_that_asks_the_register_itself_keeps_them_waiting() -> None:
    def naive(book: hb.Herdbook) -> FastAPI:
        app = FastAPI()

        @app.get("/async")
        async def answers() -> str:
            with book.serve("gnn", unit="ann") as call:
                return call.version

        return app

    assert longest_gap(naive) > 0.5


def test_what_the_first_call_would_wait_for_can_be_done_before(
    book: hb.Herdbook, tmp_path: Path
) -> None:
    before = book.experiments.holds("gnn")
    book.experiments.prepare("gnn")

    assert (before, book.experiments.holds("gnn")) == (False, True)
    assert len(list((tmp_path / "journal").iterdir())) == 1
    with pytest.raises(NotFound):
        book.experiments.prepare("majora")
