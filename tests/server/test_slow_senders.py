"""Who sends slowly, or more than was asked for, is cut off, and keeps nobody else waiting."""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import herdbook
from herdbook.server.limits import BODY_LIMIT_BYTES
from tests.running import served

RECEIVE_SECONDS = 1.0
# How long an answer may take on a busy machine once the time to send is up.
SLACK_SECONDS = 5.0
CROWD = 40


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with little patience."""
    url = f"sqlite:///{tmp_path_factory.mktemp('slow')}/herdbook.db"
    with served(url, HERDBOOK_RECEIVE_SECONDS=str(RECEIVE_SECONDS)) as found:
        yield found


def connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def head(route: str, *headers: str, kind: str = "application/json") -> bytes:
    lines = [f"POST {route} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """The status of an answer and the problem it tells."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split(b" ")[1])
        length = 0
        for line in iter(stream.readline, b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return status, json.loads(stream.read(length))


def is_over(connection: socket.socket) -> bool:
    """Whether the server has ended a connection."""
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def trickle(crowd: list[socket.socket], part: bytes) -> None:
    for one in crowd:
        try:
            one.sendall(part)
        except OSError:
            continue


def longest_wait(book: herdbook.Herdbook, crowd: list[socket.socket], part: bytes) -> float:
    """Let a crowd trickle for twice the time they have, and ask as others would meanwhile."""
    waits = []
    end = time.monotonic() + 2 * RECEIVE_SECONDS
    while time.monotonic() < end:
        trickle(crowd, part)
        began = time.monotonic()
        assert book.models.list().items == ()
        waits.append(time.monotonic() - began)
        time.sleep(0.05)
    return max(waits)


def memory(address: str) -> int:
    """The resident bytes of a server."""
    with connected(address) as asking:
        asking.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: asking.recv(65_536), b"")).decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)$", text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


@pytest.mark.parametrize("route", ["/models", "/import"])
def test_a_body_that_trickles_in_is_answered_408_and_keeps_nobody_waiting(
    address: str, route: str
) -> None:
    kind = "application/x-ndjson" if route == "/import" else "application/json"
    crowd = [connected(address) for _ in range(CROWD)]
    trickle(crowd, head(route, "Content-Length: 1000000", kind=kind))

    with herdbook.connect(address) as book:
        if route == "/models":
            wait = longest_wait(book, crowd, b" ")
        else:
            # An import may be long, so each part has its time: these send none.
            wait = longest_wait(book, crowd, b"")
        answers = [answer(one) for one in crowd]

    assert wait < SLACK_SECONDS
    assert {status for status, _ in answers} == {408}
    assert "did not arrive within 1 s" in answers[0][1]["detail"]
    for one in crowd:
        one.close()


def test_headers_that_never_end_are_cut_off_and_keep_nobody_waiting(address: str) -> None:
    crowd = [connected(address) for _ in range(CROWD)]
    trickle(crowd, b"GET /models HTTP/1.1\r\nHost: 127.0.0.1\r\n")

    with herdbook.connect(address) as book:
        wait = longest_wait(book, crowd, b"X: y\r\n")

    assert wait < SLACK_SECONDS
    assert all(is_over(one) for one in crowd)
    for one in crowd:
        one.close()


def test_a_connection_that_says_nothing_is_ended(address: str) -> None:
    with connected(address) as silent:
        began = time.monotonic()

        assert silent.recv(1) == b""
        assert time.monotonic() - began < RECEIVE_SECONDS + SLACK_SECONDS


def test_the_memory_of_bodies_that_never_end_is_given_back(address: str) -> None:
    nearly_all = b" " * (BODY_LIMIT_BYTES - 1)
    taken = []

    for _ in range(4):
        crowd = [connected(address) for _ in range(20)]
        trickle(crowd, head("/models", f"Content-Length: {BODY_LIMIT_BYTES}") + nearly_all)
        assert {answer(one)[0] for one in crowd} == {408}
        for one in crowd:
            one.close()
        taken.append(memory(address))

    # Had they stayed, the later three would be 60 MB more.
    assert taken[-1] - taken[0] < 20 * 2**20


@pytest.mark.parametrize(
    "length", ["10737418240", str(BODY_LIMIT_BYTES + 1), str(2**63), "0" * 30 + "99999999"]
)
def test_a_length_over_the_limit_is_refused_before_the_body_comes(
    address: str, length: str
) -> None:
    with connected(address) as sending:
        began = time.monotonic()
        sending.sendall(head("/models", f"Content-Length: {length}"))

        status, problem = answer(sending)

    assert time.monotonic() - began < RECEIVE_SECONDS
    assert (status, problem["code"]) == (413, "too_large")
    assert "1,048,576" in problem["detail"]


def test_a_body_without_a_length_is_refused_when_it_passes_the_limit(address: str) -> None:
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with connected(address) as sending:
        sending.sendall(head("/models", "Transfer-Encoding: chunked"))
        sending.sendall(piece * 16 + b"1\r\n \r\n")

        status, problem = answer(sending)

    assert (status, problem["code"]) == (413, "too_large")


def test_a_body_at_the_limit_is_read(address: str) -> None:
    text = b'{"name":"m"}'.ljust(BODY_LIMIT_BYTES - 1) + b"x"
    with connected(address) as sending:
        sending.sendall(head("/models", f"Content-Length: {BODY_LIMIT_BYTES}") + text)

        status, problem = answer(sending)

    assert (status, problem["field"]) == (422, "body")
    assert "is not JSON" in problem["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: -1"],
        ["Content-Length: 1e3"],
        ["Content-Length: +5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip"],
        ["Transfer-Encoding: chunked, gzip"],
        ["X: a\r\n b\x00: c"],
        ["X y: z"],
    ],
)
def test_a_length_that_could_be_read_in_two_ways_is_refused(
    address: str, headers: list[str]
) -> None:
    with connected(address) as sending:
        sending.sendall(head("/models", *headers) + b"12345")

        assert sending.recv(65_536).startswith(b"HTTP/1.1 400")

    with herdbook.connect(address) as book:
        assert book.models.list().items == ()


def test_a_server_with_no_patience_is_refused(tmp_path: Path) -> None:
    for given in ("0", "-1", "nan", "inf"):
        with pytest.raises(herdbook.errors.Invalid, match="receive_seconds"):
            herdbook.settings.Settings.load(
                environ={"HERDBOOK_RECEIVE_SECONDS": given}, folder=tmp_path
            )


def test_who_goes_away_in_the_middle_is_no_fault_of_the_server(address: str) -> None:
    for route, kind in (("/models", "application/json"), ("/import", "application/x-ndjson")):
        with connected(address) as leaving:
            leaving.sendall(head(route, "Content-Length: 100", kind=kind) + b"{")
            time.sleep(0.1)

    with connected(address) as asking:
        asking.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        told = b"".join(iter(lambda: asking.recv(65_536), b""))
    assert b'status="400"' in told
    assert b'status="500"' not in told


@pytest.mark.parametrize("line", ["POST /nothing", "GET /models"])
def test_a_body_nobody_reads_does_not_hold_its_connection(address: str, line: str) -> None:
    with connected(address) as one:
        declared = f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10737418240\r\n\r\n"
        one.sendall(declared.encode())
        status, _ = answer(one)
        assert status in {200, 404}

        began = time.monotonic()
        while not is_over(one):
            assert time.monotonic() - began < RECEIVE_SECONDS + SLACK_SECONDS
            trickle([one], b" ")
            time.sleep(0.05)
