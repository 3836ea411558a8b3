"""Serve versions from FastAPI, or any ASGI application: each request its call, recorded for it.

Two ways, of which a model needs one. `served` is a FastAPI dependency that gives an endpoint its
call. `ServingMiddleware` goes around a whole application, and sees what a dependency cannot: the
status of every answer, its last byte, and clients that leave in the middle of a stream.

Assigning and recording are work on memory and stay in the event loop. What the first call of a
process asks of the register is done in a thread before.
"""

from collections.abc import AsyncIterator, Callable
from threading import Lock
from typing import Final, cast

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from herdbook.core.assignment import Attributes
from herdbook.core.units import Unit
from herdbook.errors import HerdbookError, Invalid, NotFound
from herdbook.front.book import Herdbook
from herdbook.front.calls import Call

_SERVER_ERROR: Final = 500
_STATE: Final = "herdbook"
# How an answer is sent whose body is a file the server reads itself.
_BY_PATH: Final = "http.response.pathsend"

Book = Herdbook | Callable[[], Herdbook]
UnitOf = Callable[[HTTPConnection], Unit | None]
AttributesOf = Callable[[HTTPConnection], Attributes | None]


def header(name: str) -> UnitOf:
    """Give what finds the unit in a header, such as `X-User-Id`."""
    wanted = name.lower().encode("latin-1")

    def unit(connection: HTTPConnection) -> str | None:
        # Past Starlette's Headers, which take longer than assigning the version.
        for key, value in connection.scope["headers"]:
            if key == wanted:
                return cast(bytes, value).decode("latin-1")
        return None

    return unit


def query(name: str) -> UnitOf:
    """Give what finds the unit in the query, such as `user_id` of `?user_id=user123`."""

    def unit(connection: HTTPConnection) -> str | None:
        return connection.query_params.get(name)

    return unit


class _Serving:
    """How requests come to their calls of one model."""

    __slots__ = ("_attributes", "_book", "_unit", "lock", "model")

    def __init__(
        self, book: Book, model: str, unit: UnitOf, attributes: AttributesOf | None
    ) -> None:
        self._book = book
        self.model = model
        self._unit = unit
        self._attributes = attributes
        self.lock = Lock()

    @property
    def book(self) -> Herdbook:
        found = self._book
        return found if isinstance(found, Herdbook) else found()

    @property
    def ready(self) -> bool:
        """Whether a call waits for nothing."""
        return self.book.experiments.holds(self.model)

    async def prepare(self) -> HerdbookError | None:
        """See to it that a call waits for nothing; gives what the call is to raise instead."""
        try:
            await run_in_threadpool(self.book.experiments.prepare, self.model)
        except HerdbookError as problem:
            return problem
        return None

    def call(self, connection: HTTPConnection) -> Call:
        """Give a call: of the champion and unrecorded for a request without a proper unit."""
        unit = self._unit(connection)
        if unit is None or unit == "":
            return self.book.serve(self.model)
        attributes = self._attributes(connection) if self._attributes is not None else None
        try:
            return self.book.serve(self.model, unit=unit, attributes=attributes)
        except Invalid:
            # What a client wrote into a header must not become an error of the service.
            return self.book.serve(self.model)


# --- FastAPI's dependency ---


def served(
    book: Book, model: str, *, unit: UnitOf, attributes: AttributesOf | None = None
) -> Callable[[Request, Response], AsyncIterator[Call]]:
    """Give a FastAPI dependency: the call of a model for a request.

    The call lasts until the answer is sent, a streamed one until its last byte, with what runs in
    the background after it. What an endpoint raises is an error of the version, unless it is an
    HTTPException below 500; so is a status of 500 or more set on FastAPI's `response`. A Response
    of 500 or more that is returned is not seen here, nor, with uvicorn, a client that leaves in
    the middle of a stream: raise, or `call.fail()`, or take `ServingMiddleware`. A request that
    FastAPI finds invalid is left out, as no version was asked.

    Args:
        book: an opened register, or what gives it, where it is opened later than this is called.
        model: its name.
        unit: gives the unit of a request, such as `header("X-User-Id")`; for None, and for what is
            no unit, the champion is served and nothing is recorded.
        attributes: gives what experiments may target.

    In an application::

        Gnn = Annotated[Call, Depends(served(book, "gnn", unit=query("user_id")))]

        @app.post("/diagnosis/create")
        async def create_diagnosis(equipment_id: str, user_id: str, call: Gnn) -> Diagnosis:
            found = await predict(call.version, equipment_id)
            call.observe(confidence=found.confidence)
            return found
    """
    serving = _Serving(book, model, unit, attributes)

    async def dependency(request: Request, response: Response) -> AsyncIterator[Call]:
        problem = None if serving.ready else await serving.prepare()
        if problem is not None:
            raise problem
        with serving.call(request) as call:
            try:
                yield call
            except (ClientDisconnect, RequestValidationError):
                call.leave_out()
                raise
            if (response.status_code or 0) >= _SERVER_ERROR:
                call.fail()

    return dependency


# --- the middleware ---


class Served:
    """The calls of a request, by model: `request.state.herdbook["gnn"]`.

    A call begins when it is first asked for. A request that never asks is none of the version's: a
    health check, a page that is not there, one that another part of the service refused before.
    """

    __slots__ = ("_exchanges",)

    def __init__(self) -> None:
        self._exchanges: dict[str, _Exchange] = {}

    def __getitem__(self, model: str) -> Call:
        exchange = self._exchanges.get(model)
        if exchange is None:
            here = ", ".join(self._exchanges)
            raise NotFound(f"no ServingMiddleware around this request serves {model}, but {here}")
        return exchange.call or exchange.begin()

    def put(self, model: str, exchange: "_Exchange") -> None:
        """Say whose call a model's is."""
        self._exchanges[model] = exchange


class ServingMiddleware:
    """Gives each HTTP request its call of a model, as `request.state.herdbook["gnn"]`.

    The call begins when it is first asked for, and lasts until the last byte of the answer. An
    answer of 500 or more, an exception, and an answer that stops halfway are errors of the version;
    answers below 500 are not. A request is left out when its client is found to have left before
    the last byte, as in a stream; an answer that was made whole for nobody counts as any other.

    For several models, put several around one another. Anything but HTTP passes through.

    Args:
        app: the application.
        book: an opened register, or what gives it, where it is opened later than this is called.
        model: its name.
        unit: gives the unit of a request, such as `header("X-User-Id")`; for None, and for what is
            no unit, the champion is served and nothing is recorded. What is known of the request
            depends on what is around this: headers and the query are.
        attributes: gives what experiments may target.

    In an application::

        app.add_middleware(ServingMiddleware, book=book, model="gnn", unit=header("X-User-Id"))

        @app.post("/diagnosis/create")
        async def create_diagnosis(request: Request, equipment_id: str) -> StreamingResponse:
            call = request.state.herdbook["gnn"]
            return StreamingResponse(predict(call.version, equipment_id))
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        book: Book,
        model: str,
        unit: UnitOf,
        attributes: AttributesOf | None = None,
    ) -> None:
        self._app = app
        self._serving = _Serving(book, model, unit, attributes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        serving = self._serving
        problem = None if serving.ready else await serving.prepare()
        exchange = _Exchange(serving, scope, receive, send, problem)
        state = scope.setdefault("state", {})
        if _STATE not in state:
            state[_STATE] = Served()
        state[_STATE].put(serving.model, exchange)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.raised(error)
            raise
        # Without a whole answer, that it is done is an error.
        exchange.end(failed=True)


class _Exchange:
    """What passes between a client and an endpoint, and what it means for the call."""

    __slots__ = (
        "_gone",
        "_over",
        "_problem",
        "_receive",
        "_scope",
        "_send",
        "_serving",
        "_status",
        "call",
    )

    def __init__(
        self,
        serving: _Serving,
        scope: Scope,
        receive: Receive,
        send: Send,
        problem: HerdbookError | None,
    ) -> None:
        self._serving = serving
        self._scope = scope
        self._receive = receive
        self._send = send
        self._problem = problem
        self._status = 0
        self._gone = False
        self._over = False
        self.call: Call | None = None

    def begin(self) -> Call:
        """Give the call, begun if it was not."""
        if self._problem is not None:
            raise self._problem
        # An endpoint may ask from several threads.
        with self._serving.lock:
            if self.call is None:
                call = self._serving.call(HTTPConnection(self._scope)).__enter__()
                if self._over:
                    # Asked for behind the answer, in the background: nobody would end it.
                    call.leave_out()
                    call.__exit__(None, None, None)
                self.call = call
            return self.call

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            # After the last byte it says no more than that.
            self._gone = True
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
        try:
            await self._send(message)
        except OSError:
            self._gone = True
            raise
        if (kind == "http.response.body" and not message.get("more_body")) or kind == _BY_PATH:
            self.end(failed=self._status >= _SERVER_ERROR)

    def raised(self, error: BaseException) -> None:
        """Note that the application raised."""
        if isinstance(error, ClientDisconnect):
            self._gone = True
        self.end(error, failed=isinstance(error, Exception))

    def end(self, error: BaseException | None = None, *, failed: bool) -> None:
        """End the call, once."""
        if self._over:
            return
        with self._serving.lock:
            self._over, call = True, self.call
        if call is None:
            return
        if self._gone:
            call.leave_out()
        elif failed:
            call.fail()
        call.__exit__(None if error is None else type(error), error, None)
