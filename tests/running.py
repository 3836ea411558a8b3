"""A real server in a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_SECONDS = 30


def free_port() -> int:
    """Give a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(url: str, *options: str, **environ: str) -> Iterator[str]:
    """Start `herdbook server start` on a register, wait until it is ready, end it."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = [sys.executable, "-m", "herdbook", "server", "start", "--port", str(port), *options]
    running = subprocess.Popen(
        words,
        env={**os.environ, "HERDBOOK_URL": url, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _wait(address, running)
        yield address
    finally:
        running.terminate()
        _, said = running.communicate(timeout=WAIT_SECONDS)
    assert b"Traceback" not in said, said.decode()


def _wait(address: str, running: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=1):  # noqa: S310
                return
        except OSError:
            time.sleep(0.05)
    running.kill()
    said = running.communicate()[1].decode()
    raise AssertionError(f"the server did not become ready: {said}")
