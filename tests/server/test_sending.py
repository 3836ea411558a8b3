"""Whole files over the socket itself: all of the bytes, nothing else, and nobody is held up."""

import contextlib
import hashlib
import http.client
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import herdbook
from tests.running import served

SIZE = (32 << 20) + 12_345


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server, and the digest of a blob it has verified."""
    home = tmp_path_factory.mktemp("home")
    (home / "model.safetensors").write_bytes(os.urandom(SIZE))
    with served(f"sqlite:///{home}/herdbook.db", HERDBOOK_HOME=str(home)) as address:
        with herdbook.connect(address) as book:
            book.artifacts.push("majora", path=home / "model.safetensors")
            digest = book.artifacts.files("majora:v1").files[0].digest
        yield address.removeprefix("http://"), digest


def told(answer: http.client.HTTPResponse) -> str:
    return f"sha256:{hashlib.sha256(answer.read()).hexdigest()}"


def asked(address: str, digest: str) -> str:
    """Fetch a blob over a connection of its own and give the digest of what came."""
    with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request("GET", f"/blobs/{digest}")
        return told(connection.getresponse())


def reading(address: str, path: str, *, window: int = 0) -> socket.socket:
    """Ask for a path, with a small window if told to, and read nothing yet."""
    host, port = address.split(":")
    connection = socket.socket()
    if window:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    connection.settimeout(30)
    connection.connect((host, int(port)))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    return connection


def open_files() -> int:
    """How many files and sockets the server has open: the children of this process."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in children)


def test_one_connection_gives_a_file_again_and_again_and_answers_in_between(
    given: tuple[str, str],
) -> None:
    address, digest = given
    connection = http.client.HTTPConnection(address, timeout=30)

    for _ in range(3):
        connection.request("GET", f"/blobs/{digest}")
        answer = connection.getresponse()
        assert answer.headers["content-length"] == str(SIZE)
        assert told(answer) == digest
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()

    connection.request("GET", f"/blobs/{digest}", headers={"Range": "bytes=10-19"})
    assert len(connection.getresponse().read()) == 10
    connection.request("HEAD", f"/blobs/{digest}")
    assert connection.getresponse().read() == b""
    connection.close()


def test_requests_that_are_sent_at_once_are_answered_in_their_order(
    given: tuple[str, str],
) -> None:
    address, digest = given
    connection = reading(address, f"/blobs/{digest}")
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")

    with connection:
        found = b"".join(iter(lambda: connection.recv(1 << 20), b""))

    head, _, rest = found.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0]
    assert f"sha256:{hashlib.sha256(rest[:SIZE]).hexdigest()}" == digest
    assert rest[SIZE:].startswith(b"HTTP/1.1 200 ")


def test_eight_at_once_each_get_the_whole_file(given: tuple[str, str]) -> None:
    address, digest = given

    def fetched(_: int) -> str:
        return asked(address, digest)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetched, range(8))) == {digest}


def test_those_who_read_slowly_hold_nobody_up(given: tuple[str, str]) -> None:
    address, digest = given
    slow = [reading(address, f"/blobs/{digest}", window=4096) for _ in range(80)]

    took = []
    connection = http.client.HTTPConnection(address, timeout=30)
    for _ in range(10):
        began = time.monotonic()
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        took.append(time.monotonic() - began)
    connection.close()
    whole = asked(address, digest)
    first = slow[0].recv(65_536)

    assert sorted(took)[5] < 0.5
    assert whole == digest
    assert first.startswith(b"HTTP/1.1 200 ")
    for each in slow:
        each.close()


def test_who_leaves_in_the_middle_leaves_nothing_open(given: tuple[str, str]) -> None:
    address, digest = given
    time.sleep(0.5)
    before = open_files()

    for _ in range(20):
        connection = reading(address, f"/blobs/{digest}", window=4096)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        connection.close()

    deadline = time.monotonic() + 20
    while open_files() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert open_files() <= before
    assert asked(address, digest) == digest
