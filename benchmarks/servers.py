"""Both servers, each in processes of its own, on loopback."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import peer
from benchmarks.machine import tree

HOST: Final = "127.0.0.1"
READY_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    pid: int
    port: int
    ready_seconds: float


def free_port() -> int:
    """Give a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def herdbook(url: str, folder: Path) -> Iterator[Server]:
    """Serve a register with one worker, as it comes."""
    port = free_port()
    words = [sys.executable, "-m", "herdbook", "server", "start", "--port", str(port)]
    environ = {**os.environ, "HERDBOOK_URL": url, "HERDBOOK_HOME": str(folder)}
    with running(words, environ, folder / "herdbook-server.log", port, "/healthz") as server:
        yield server


@contextmanager
def mlflow(folder: Path, more: Mapping[str, str]) -> Iterator[Server]:
    """Serve MLflow's register with one worker."""
    port = free_port()
    words = [str(peer.HOME / "bin" / "mlflow"), "server", "--workers", "1", "--host", HOST]
    words += ["--port", str(port), "--backend-store-uri", peer.address(folder)]
    words += ["--default-artifact-root", str(folder / "artifacts")]
    log = folder / "mlflow-server.log"
    with running(words, peer.environ(more), log, port, "/health") as server:
        yield server


@contextmanager
def running(
    words: Sequence[str], environ: Mapping[str, str], log: Path, port: int, path: str
) -> Iterator[Server]:
    """Run a server until it is left; it is there once it answers at a path."""
    with (
        log.open("w") as output,
        subprocess.Popen(words, env=environ, stdout=output, stderr=output, cwd=log.parent) as run,
    ):
        try:
            yield Server(run.pid, port, _wait(port, path, run, log))
        finally:
            _end(run)


def _end(run: "subprocess.Popen[bytes]") -> None:
    started = tree(run.pid)
    run.terminate()
    try:
        run.wait(20)
    except subprocess.TimeoutExpired:
        run.kill()
    for pid in started[1:]:
        # What it started may not end with it.
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, 9)


def _wait(port: int, path: str, run: "subprocess.Popen[bytes]", log: Path) -> float:
    began = time.monotonic()
    while run.poll() is None and time.monotonic() - began < READY_SECONDS:
        if _answers(port, path):
            return time.monotonic() - began
        time.sleep(0.02)
    raise RuntimeError(f"the server did not become ready: {log.read_text()[-2000:]}")


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
