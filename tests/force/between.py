"""A server that is killed and started again, behind an address that stays.

On demand it is killed when it took in results and before whoever sent them knows.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Final

from tests.running import WAIT_SECONDS, free_port

_RESULTS: Final = b"/experiments/results"


class Server:
    """`herdbook server start` in a process that may be killed at any moment.

    Args:
        url: of the register.
        log: where what it says is kept.
    """

    def __init__(self, url: str, log: Path) -> None:
        self._url, self._log = url, log
        self._running: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it, at a port of its own, and wait until it answers."""
        self.port = free_port()
        words = [sys.executable, "-m", "herdbook", "server", "start", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                words, env={**os.environ, "HERDBOOK_URL": self._url}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1).close()
                return
            time.sleep(0.05)
        raise AssertionError(f"the server did not become ready: {self._log.read_text()}")

    def kill(self) -> None:
        """Kill it with -9."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()


class Between:
    """Passes on what is sent to a server, whichever port that has just now.

    Args:
        server: whose answers are passed on, and that is killed.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._cut, self.was_cut = threading.Event(), threading.Event()
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Kill the server when it next took in results, and keep its answer."""
        self.was_cut.clear()
        self._cut.set()
        assert self.was_cut.wait(WAIT_SECONDS), "nobody sent results"

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server.port))
            except OSError:
                client.close()
                continue
            told = threading.Event()
            for work in (self._asked, self._answered):
                threading.Thread(target=work, args=(client, server, told), daemon=True).start()

    @staticmethod
    def _asked(client: socket.socket, server: socket.socket, told: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if _RESULTS in data:
                    told.set()
                server.sendall(data)
        _end(client, server)

    def _answered(
        self, client: socket.socket, server: socket.socket, told: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if told.is_set() and self._cut.is_set():
                    self._cut.clear()
                    self._server.kill()
                    self.was_cut.set()
                    break
                told.clear()
                client.sendall(data)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        # Closed alone it would not end while another thread waits for it.
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
