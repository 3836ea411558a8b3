"""A real embedding service on this machine, which answers as a test tells it to."""

import base64
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import numpy as np

DIMENSION = 8


def vector(text: str, dimension: int = DIMENSION) -> list[float]:
    """Give the vector this service has for a text, never of length 1."""
    seed = int.from_bytes(blake2b(text.encode(), digest_size=4).digest())
    return [float(x) for x in np.random.default_rng(seed).normal(size=dimension).astype("<f4")]


def encoded(row: list[float]) -> str:
    """Write a vector as OpenAI does when it is asked for base64."""
    return base64.b64encode(np.array(row, dtype="<f4").tobytes()).decode()


@dataclass
class Answer:
    """What is sent back.

    Args:
        body: the bytes, or a JSON value.
        cut: after how many bytes the connection is closed, although more were promised.
        hang: wait for this before anything is sent.
        drip_seconds: wait so long after each byte.
    """

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    hang: threading.Event | None = None
    drip_seconds: float = 0.0

    @property
    def data(self) -> bytes:
        """The bytes that are promised."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Asked = dict[str, Any]
Script = Callable[[Asked], Answer]


def good(asked: Asked) -> Answer:
    """Answer as one should."""
    dimension = asked.get("dimensions", DIMENSION)
    rows = [vector(text, dimension) for text in asked["input"]]
    as_text = asked.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": encoded(row) if as_text else row}
        for at, row in enumerate(rows)
    ]
    tokens = sum(map(len, asked["input"]))
    return Answer({"object": "list", "data": data, "usage": {"total_tokens": tokens}})


@dataclass
class Service:
    """A service with a script: what it does with the next requests; then it answers well.

    Args:
        address: up to `/v1`.
    """

    address: str
    script: list[Script] = field(default_factory=list)
    always: Script = good
    asked: list[Asked] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def answer(self, path: str, headers: dict[str, str], asked: Asked) -> Answer:
        """Take down a request and answer it."""
        self.paths.append(path)
        self.headers.append(headers)
        self.asked.append(asked)
        return (self.script.pop(0) if self.script else self.always)(asked)


@contextmanager
def running() -> Iterator[Service]:
    """Run a service while the block runs."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.service = Service(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """A server that does not write about those who hung up."""

    service: Service

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): said for name, said in self.headers.items()}
        service = cast(_Server, self.server).service
        answer = service.answer(self.path, headers, json.loads(body))
        if answer.hang is not None:
            answer.hang.wait(30)
        if answer.cut == 0:
            self._reset()
            return
        self.send_response(answer.status)
        for name, said in answer.headers.items():
            self.send_header(name, said)
        self.send_header("Content-Length", str(len(answer.data)))
        self.end_headers()
        self._write(answer.data[: answer.cut], answer.drip_seconds)
        self.close_connection = answer.cut is not None

    def _write(self, data: bytes, drip_seconds: float) -> None:
        if not drip_seconds:
            self.wfile.write(data)
            return
        for at in range(len(data)):
            self.wfile.write(data[at : at + 1])
            time.sleep(drip_seconds)

    def _reset(self) -> None:
        """Close the connection as a killed process does: without a word."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        # It may have been closed above, or by who asked.
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
