"""Applications that serve versions, over real HTTP, and what they leave in a register."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, cast

import uvicorn
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

import herdbook as hb
from herdbook.asgi import Book, ServingMiddleware, header, served
from herdbook.core.decisions import ArmMetrics, Evaluation
from herdbook.front.calls import Call
from tests.running import free_port

UNIT: Final = header("X-User-Id")
WAYS: Final = ("dependency", "middleware")
ANN: Final = {"X-User-Id": "ann"}


@contextmanager
def tried() -> Iterator[hb.Herdbook]:
    """Open the register of the environment; v2 of gnn, and of oracle, is tried."""
    with hb.connect() as opened:
        for model in ("gnn", "oracle"):
            opened.models.register(model, "v1")
            opened.models.register(model, "v2")
            opened.deployments.promote(f"{model}:v1")
            opened.experiments.start(f"{model}_test", model, "v2", auto_rollback=False)
        yield opened


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Serve an application on a port, in a thread."""
    port = free_port()
    config = uvicorn.Config(app, port=port, log_level="critical", ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


class Lost(Exception):
    """The application has a handler for this one."""


async def of_state(request: Request) -> Call:
    """Take the call where the middleware put it."""
    return cast(Call, request.state.herdbook["gnn"])


def application(book: Book, way: str) -> FastAPI:
    """An application that gets its calls in one of the ways."""
    app = FastAPI()
    if way == "middleware":
        app.add_middleware(ServingMiddleware, book=book, model="gnn", unit=UNIT)
    given = Depends(of_state if way == "middleware" else served(book, "gnn", unit=UNIT))
    _answering(app, given)
    _failing(app, given)
    _streaming(app, given)
    return app


def _answering(app: FastAPI, given: Any) -> None:
    @app.get("/async")
    async def answers(call: Annotated[Call, given]) -> dict[str, str]:
        await asyncio.sleep(0.02)
        call.observe(confidence=0.9)
        return {"version": call.version, "variant": call.variant}

    @app.get("/sync")
    def answers_from_a_thread(call: Annotated[Call, given]) -> dict[str, str]:
        time.sleep(0.02)
        call.observe(confidence=0.9)
        return {"version": call.version, "variant": call.variant}

    @app.get("/health")
    async def lives() -> str:
        return "yes"

    @app.get("/later")
    async def asks_later(request: Request, after: BackgroundTasks) -> str:
        after.add_task(lambda: request.state.herdbook["gnn"].version)
        return "soon"


def _failing(app: FastAPI, given: Any) -> None:
    @app.get("/raises")
    async def raises(call: Annotated[Call, given]) -> None:
        raise ValueError(call.version)

    @app.get("/status/{status}")
    async def refuses(status: int, call: Annotated[Call, given]) -> None:
        raise HTTPException(status, call.version)

    @app.get("/set/{status}")
    async def sets(status: int, call: Annotated[Call, given], response: Response) -> str:
        response.status_code = status
        return call.version

    @app.get("/returned/{status}")
    async def returns(status: int, call: Annotated[Call, given]) -> JSONResponse:
        return JSONResponse(call.version, status)

    @app.get("/handled")
    async def handled(call: Annotated[Call, given]) -> None:
        raise Lost(call.version)

    @app.exception_handler(Lost)
    async def found(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse("not there", 404)


def _streaming(app: FastAPI, given: Any) -> None:
    async def chunks(count: int, call: Call, *, broken: bool) -> AsyncIterator[bytes]:
        for number in range(count):
            yield b"x" * 100
            await asyncio.sleep(0.1)
            if broken and number:
                raise ValueError(call.version)
        call.observe(confidence=0.7)

    @app.get("/stream")
    async def streams(call: Annotated[Call, given], count: int = 3) -> StreamingResponse:
        return StreamingResponse(chunks(count, call, broken=False))

    @app.get("/broken")
    async def breaks(call: Annotated[Call, given]) -> StreamingResponse:
        return StreamingResponse(chunks(3, call, broken=True))


def told(book: hb.Herdbook, experiment: str = "gnn_test") -> Evaluation:
    """What the register says after all that was recorded is there."""
    book.experiments.flush()
    return book.experiments.evaluate(experiment)


def arm_of(book: hb.Herdbook, unit: str) -> ArmMetrics:
    """The figures of the arm a unit is in."""
    return told(book).metrics(book.experiments.assign_variant("gnn", unit).variant)


def results(found: Evaluation) -> int:
    """How many results there are of all arms."""
    return sum(arm.results for arm in found.arms)


def errors(found: Evaluation) -> int:
    """How many of them are errors."""
    return sum(arm.errors for arm in found.arms)
