"""Around every request: its id, its headers, its line in the log, its place in the metrics."""

import re
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from herdbook.errors import HerdbookError
from herdbook.server import problems
from herdbook.server.log import Requests, fresh_id, logger
from herdbook.server.metrics import Metrics
from herdbook.server.repeats import MEMORY, Repeats

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
UNMATCHED: Final = "unmatched"


class Envelope:
    """The outermost part of the app."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["herdbook.request_id"] = _request_id(scope)
        began = time.perf_counter()
        start: Message = {}

        async def stamped(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                message["headers"] = _stamped(message["headers"], scope["herdbook.request_id"])
            elif MEMORY in scope and not message.get("more_body", False):
                Repeats.keep(scope, start, message["body"])
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        except Exception as error:  # noqa: BLE001 - a door: logged once, answered without internals
            told = error.__cause__ or error
            if start and isinstance(told, HerdbookError):
                # Of bytes that are on their way already: the connection breaks off.
                logger().error("broken off", code=told.code, detail=told.message)
            else:
                logger().exception("failed", request_id=scope["herdbook.request_id"])
            if not start:
                await _failed(scope)(scope, receive, stamped)
        finally:
            self._note(scope, start.get("status", 500), time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("herdbook.route", UNMATCHED)
        self._metrics.request(route, scope["method"], status, seconds)
        caller = scope.get("herdbook.caller")
        Requests.note(
            request_id=scope["herdbook.request_id"],
            method=scope["method"],
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 2),
            by=caller.actor.name if caller else "",
        )


def _failed(scope: Scope) -> ASGIApp:
    return problems.rendered(
        500,
        HerdbookError.code,
        "the server failed; its log has more under this request's id",
        request_id=scope["herdbook.request_id"],
    )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.match(value.decode("latin-1")):
            return str(value.decode())
    return fresh_id()


def _stamped(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    named = {name.lower() for name, _ in headers}
    added = [*_HEADERS, (b"x-request-id", request_id.encode())]
    if b"cache-control" not in named:
        added.append((b"cache-control", b"no-store"))
    return [*headers, *added]
