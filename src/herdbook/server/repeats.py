"""Answers a request that says what one before it said, from memory, before it is parsed.

A service that asks again and again what its champion is, or a page that shows the newest versions,
sends the same bytes each time, and while nothing was committed and its token counts, the answer is
the same. Only bytes that went
through every check are remembered, whole, so nothing that was refused can be answered here.
"""

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.types import Message, Scope

from herdbook.server.log import Requests, fresh_id
from herdbook.server.metrics import Metrics
from herdbook.server.transactions import Register

# In a scope: the bytes of the request, and the memory its answer may be kept in.
SAID: Final = "herdbook.said"
MEMORY: Final = "herdbook.memory"
ANSWER_LIMIT_BYTES: Final = 262_144
# What says something about the connection, has a body after it, or differs each time.
_UNREPEATED: Final = frozenset(
    {
        *(b"connection", b"content-length", b"expect", b"transfer-encoding", b"upgrade"),
        *(b"x-request-id", b"idempotency-key"),
    }
)

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it is sent again: without its date and its request's id.

    Args:
        head: the status line and the headers.
        body: what follows.
        status: its status.
        route: the template of its route.
        by: who asked.
        until: until when their token is known to count, on the monotonic clock.
    """

    head: bytes
    body: bytes
    status: int
    route: str
    by: str
    until: float


def whole(data: bytes) -> bytes:
    """Give what came in one piece if that is one request without a body, else b""."""
    one = data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4
    return data if one else b""


class Repeats:
    """What was answered, by what was said.

    Args:
        register: what the answers are about.
        metrics: where requests are counted.
    """

    def __init__(self, register: Register, metrics: Metrics) -> None:
        self._register = register
        self._metrics = metrics

    def find(self, said: bytes) -> Answer | None:
        """Give the answer to the same bytes if it still holds."""
        memory = self._register.memory()
        found: Answer | None = None if memory is None else memory.get(said)
        return found if found is not None and found.until > time.monotonic() else None

    @staticmethod
    def keep(scope: Scope, start: Message, body: bytes) -> None:
        """Remember an answer, in the memory of the state of the register it was made from."""
        said, memory = scope.get(SAID), scope.get(MEMORY)
        if not said or memory is None or len(body) > ANSWER_LIMIT_BYTES:
            return
        if not _UNREPEATED.isdisjoint(name for name, _ in scope["headers"]):
            return
        status, caller = HTTPStatus(start["status"]), scope["herdbook.caller"]
        shown = [n + b": " + value for n, value in start["headers"] if n != b"x-request-id"]
        memory.held_bytes += len(said) + len(body)
        memory[said] = Answer(
            head=b"\r\n".join([f"HTTP/1.1 {status.value} {status.phrase}".encode(), *shown, b""]),
            body=body,
            status=status.value,
            route=scope["herdbook.route"],
            by=caller.actor.name,
            until=caller.until,
        )

    def written(self, answer: Answer, defaults: Headers, *, began: float) -> bytes:
        """Give the bytes of an answer for now, counted and logged.

        Args:
            answer: what was found.
            defaults: the headers every answer of the server has.
            began: when the request arrived, by `time.perf_counter`.
        """
        id = fresh_id()
        seconds = time.perf_counter() - began
        self._metrics.request(answer.route, "GET", answer.status, seconds)
        Requests.note(
            request_id=id, method="GET", route=answer.route, status=answer.status,
            milliseconds=round(seconds * 1000, 2), by=answer.by,
        )  # fmt: skip
        more = [name + b": " + value + b"\r\n" for name, value in defaults]
        return b"".join(
            [answer.head, *more, b"x-request-id: ", id.encode(), b"\r\n\r\n", answer.body]
        )
