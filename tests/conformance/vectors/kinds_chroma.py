"""Chroma: in a folder, and its server as a process of its own."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from herdbook.storage.vectors.chroma import shut
from tests.conformance.vectors.kinds import Kind


@contextmanager
def chroma_server(folder: Path, *, port: int = 0) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run Chroma's server on a port of the loopback."""
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    command = Path(sys.executable).parent / "chroma"
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        server = subprocess.Popen(
            [command, "run", "--path", folder, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
        )
    try:
        _wait(port, server)
        yield port, server
    finally:
        server.kill()
        server.wait()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/heartbeat", timeout=5):
                return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.1)
    pytest.fail("Chroma's server does not start")


@pytest.fixture(scope="session")
def chroma_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server of Chroma for all tests, which leave it empty."""
    with chroma_server(tmp_path_factory.mktemp("chroma") / "data") as (port, _):
        yield port


@pytest.fixture
def emptied_chroma(chroma_port: int) -> Iterator[str]:
    """The server's address; what a test makes there is removed after it."""
    import chromadb
    from chromadb.config import Settings

    yield f"chroma://127.0.0.1:{chroma_port}"
    client = chromadb.HttpClient(
        host="127.0.0.1", port=chroma_port, settings=Settings(anonymized_telemetry=False)
    )
    for each in client.list_collections():
        client.delete_collection(each.name)
    shut(client)


def _folder(request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue("tmp_path")
    return f"chroma:{folder / 'chroma'}"


def _server(request: pytest.FixtureRequest) -> str:
    address: str = request.getfixturevalue("emptied_chroma")
    return address


FIXTURES = ["chroma_port", "emptied_chroma"]
KINDS = [
    Kind(name="chroma", address=_folder),
    Kind(name="chroma-server", address=_server, silent="chroma://127.0.0.1:9"),
]
