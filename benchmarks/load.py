"""Load a server: a process of its own, raw sockets, keep-alive, one epoll loop.

It reads a plan as JSON from its input and writes what it saw as JSON. Both sides are loaded
by the same code; the share of a core it took is part of what it says, so that a figure it
held back shows.
"""

import json
import re
import select
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import cpu_seconds

READ = 1 << 18
LIMIT_SECONDS = 60
_LENGTH = re.compile(rb"(?i)\ncontent-length: *(\d+)\r")


@dataclass(slots=True)
class Connection:
    """One connection with its own requests, asked in turn."""

    sock: socket.socket
    requests: list[bytes]
    at: int = 0
    started: float = 0.0
    answer: bytes = b""
    # Where the answer ends; 0 while that is not known, -1 while chunks tell.
    end: int = 0
    busy: bool = False

    def send(self) -> None:
        """Ask the next request."""
        self.answer = b""
        self.end = 0
        self.busy = True
        self.started = time.perf_counter()
        self.sock.sendall(self.requests[self.at])
        self.at = (self.at + 1) % len(self.requests)

    def receive(self) -> bool:
        """Take what came; whether the answer is complete."""
        data = self.sock.recv(READ)
        if not data:
            raise ConnectionError("the server closed a connection that was kept alive")
        # Most answers come whole: nothing is copied then.
        self.answer = self.answer + data if self.answer else data
        if self.end == 0:
            self.end = _end(self.answer)
        if self.end == -1:
            return self.answer.endswith(b"0\r\n\r\n")
        return 0 < self.end <= len(self.answer)


def _end(answer: bytes) -> int:
    head = answer.find(b"\r\n\r\n") + 4
    if head < 4:
        return 0
    length = _LENGTH.search(answer, 0, head)
    if length is None:
        return -1 if b"transfer-encoding: chunked" in answer[:head].lower() else head
    return head + int(length[1])


def opened(host: str, port: int) -> socket.socket:
    """Open a connection."""
    sock = socket.create_connection((host, port), timeout=LIMIT_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def asked(sock: socket.socket, request: bytes) -> tuple[int, bytes]:
    """Ask one request and give status and body."""
    one = Connection(sock, [request])
    one.send()
    while not one.receive():
        pass
    head, _, body = bytes(one.answer).partition(b"\r\n\r\n")
    if one.end == -1:
        body = _joined(body)
    return int(head[9:12]), body


def _joined(chunks: bytes) -> bytes:
    body = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        body, chunks = body + rest[:length], rest[length + 2 :]
        if not length:
            break
    return body


class Load:
    """Connections that ask as fast as they are answered."""

    def __init__(self, connections: list[Connection]) -> None:
        self._by_fd = {one.sock.fileno(): one for one in connections}
        self._only = connections[:1]
        self._poll = select.epoll()
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self.failed = 0
        self.problem = ""

    def run(self, seconds: float) -> tuple[list[float], float]:
        """Ask for so long; give the seconds each answer took, and how long it was in all."""
        took: list[float] = []
        began = time.perf_counter()
        for one in self._by_fd.values():
            one.send()
        waiting = len(self._by_fd)
        now = began
        while waiting:
            for one in self._ready():
                if not one.receive():
                    continue
                now = time.perf_counter()
                took.append(now - one.started)
                self._judge(one)
                if now - began < seconds:
                    one.send()
                else:
                    waiting -= 1
        return took, now - began

    def _ready(self) -> list[Connection]:
        if len(self._by_fd) == 1:
            return self._only  # its own timeout bounds the wait; asking which is ready is one more
        events = self._poll.poll(LIMIT_SECONDS)
        if not events:
            raise TimeoutError(f"no answer within {LIMIT_SECONDS} s")
        return [self._by_fd[fd] for fd, _ in events]

    def _judge(self, one: Connection) -> None:
        if one.answer[9:10] != b"2":
            self.failed += 1
            self.problem = self.problem or bytes(one.answer[:600]).decode("latin-1")


def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Load a server as a plan says.

    Args:
        plan: `host`, `port`, `pid` of the server, `seconds`, and `requests`: for each
            connection what it asks in turn.
    """
    connections = [
        Connection(opened(plan["host"], plan["port"]), [text.encode("latin-1") for text in texts])
        for texts in plan["requests"]
    ]
    load = Load(connections)
    load.run(plan["seconds"] / 5)
    began, own = cpu_seconds(plan["pid"]), time.process_time()
    took, elapsed = load.run(plan["seconds"])
    spent = time.process_time() - own
    took.sort()
    return {
        "rate": len(took) / elapsed,
        "p50": took[len(took) // 2] * 1e3,
        "p99": took[min(len(took) - 1, len(took) * 99 // 100)] * 1e3,
        "cpu": (cpu_seconds(plan["pid"]) - began) / len(took) * 1e3,
        "generator": spent / elapsed,
        "failed": load.failed,
        "problem": load.problem,
    }


if __name__ == "__main__":
    print(json.dumps(run(json.load(sys.stdin))))
