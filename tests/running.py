"""A real server in a process of its own."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

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
    # Into a file: a pipe nobody reads fills up with the log, and the server waits for ever.
    with tempfile.TemporaryFile() as log:
        running = subprocess.Popen(
            words,
            env={**os.environ, "HERDBOOK_URL": url, **environ},
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            _wait(address, running, log)
            yield address
        finally:
            running.terminate()
            running.wait(timeout=WAIT_SECONDS)
        said = _said(log)
    assert "Traceback" not in said, said


def _said(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def _wait(address: str, running: "subprocess.Popen[bytes]", log: IO[bytes]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=1):  # noqa: S310
                return
        except OSError:
            time.sleep(0.05)
    running.kill()
    running.wait()
    raise AssertionError(f"the server did not become ready: {_said(log)}")
