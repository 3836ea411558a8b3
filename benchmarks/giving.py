"""A file over HTTP: Herdbook's server beside nginx, one client and eight at once."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from benchmarks import servers
from benchmarks.machine import cpu_seconds, memory
from benchmarks.peer import ROOT
from benchmarks.results import Reading, Row, Target, at_most, interleaved, of
from benchmarks.servers import Server

AT_ONCE: Final = 8
LEAST: Final = 0.85
GROWTH_MB: Final = 20
LOOK_SECONDS: Final = 0.05
# What Debian's package comes with, but for one worker, another port, and no log of each request.
CONF: Final = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 768; }}
http {{
    sendfile on;
    tcp_nopush on;
    access_log off;
    default_type application/octet-stream;
    server {{ listen {host}:{port}; root {root}; }}
}}
"""


def nginx_program() -> str:
    """Give where nginx is, or "" when it is not there."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""


def nginx_version() -> str:
    """Give its name and version; "nginx missing" when it is not there."""
    program = nginx_program()
    if not program:
        return "nginx missing (apt install nginx-light)"
    done = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
    return f"nginx {done.stderr.strip().rpartition('/')[2]}"


@contextmanager
def nginx(root: Path, folder: Path) -> Iterator[Server]:
    """Serve a folder with one worker of nginx."""
    folder.mkdir()
    folder.chmod(0o755)
    port = servers.free_port()
    conf = folder / "nginx.conf"
    conf.write_text(CONF.format(folder=folder, host=servers.HOST, port=port, root=root))
    words = [nginx_program(), "-p", str(folder), "-c", str(conf)]
    if os.geteuid() == 0:
        # The worker would be nobody's, and what is measured lies in a folder of this user alone.
        words += ["-g", "user root;"]
    with servers.running(words, os.environ, folder / "nginx.log", port, "/ready") as server:
        yield server


def measure(
    url: str, digest: str, file: Path, folder: Path, *, rounds: int, with_peer: bool
) -> Iterator[Row]:
    """Serve the same bytes from both and read them in turn.

    Args:
        url: a register that holds the file.
        digest: of the file.
        file: the file.
        folder: for logs and what nginx serves.
        rounds: how often each is read.
        with_peer: whether nginx is asked, which has to be there then.
    """
    root = folder / "served"
    root.mkdir()
    (root / "ready").touch()
    shutil.copy(file, root / "file")
    root.chmod(0o755)
    with (
        servers.herdbook(url, folder) as server,
        nginx(root, folder / "nginx") if with_peer else nullcontext() as other,
    ):
        path = f"/blobs/{digest}"
        first = _asked(server, path, "sha256")
        assert first["digest"] == digest.removeprefix("sha256:")
        if other is not None:
            assert _asked(other, "/file", "sha256")["digest"] == first["digest"]
        for at_once in (1, AT_ONCE):
            ours, theirs = interleaved(
                [
                    lambda: _read(server, path, at_once),  # noqa: B023 - run before the next
                    (lambda: _read(other, "/file", at_once)) if other else None,  # noqa: B023
                ],
                rounds=rounds,
            )
            assert ours is not None
            yield _row(at_once, file.stat().st_size, ours, theirs)
            if at_once == AT_ONCE:
                yield _memory(ours)


def _row(at_once: int, size: int, ours: Reading, theirs: Reading | None) -> Row:
    peer = of(theirs, "rate")
    clients = "1 client" if at_once == 1 else f"{at_once} clients at once"
    return Row(
        group=f"A file of {size / 2**20:,.0f} MiB over HTTP, one worker, beside nginx",
        what=f"`GET /blobs/…`, {clients}",
        unit="GB/s",
        ours=ours["rate"],
        peer=peer,
        cpu=f"{ours['cpu']:.3g} s/GB",
        peer_cpu=f"{theirs['cpu']:.3g} s/GB" if theirs else "",
        targets=(Target(f"≥ {LEAST}x", None if peer is None else ours["rate"] >= LEAST * peer),),
        detail=f"{nginx_version()}; the client takes {ours['client']:.3g} s CPU per GB"
        + (f" / {theirs['client']:.3g}" if theirs else ""),
        compared=True,
    )


def _memory(ours: Reading) -> Row:
    return Row(
        group="",
        what=f"memory of Herdbook's server, {AT_ONCE} clients at once, over that before",
        unit="MB more at the peak",
        ours=ours["growth"],
        targets=(at_most(GROWTH_MB, ours["growth"], "MB more"),),
        detail=f"{ours['resident']:.0f} MB after",
    )


def _read(server: Server, path: str, at_once: int) -> Reading:
    before, used = memory(server.pid)[0], cpu_seconds(server.pid)
    with _watched(server.pid) as seen:
        found = _asked(server, path, str(at_once))
    gigabytes = found["bytes"] / 1e9
    return {
        "rate": gigabytes / found["wall"],
        "cpu": (cpu_seconds(server.pid) - used) / gigabytes,
        "client": found["cpu"] / gigabytes,
        "growth": max(seen) - before,
        "resident": memory(server.pid)[0],
    }


@contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """Look at a process's memory now and then."""
    seen, done = [memory(pid)[0]], threading.Event()

    def look() -> None:
        while not done.wait(LOOK_SECONDS):
            seen.append(memory(pid)[0])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        done.set()
        looking.join()


def _asked(server: Server, path: str, how: str) -> dict[str, Any]:
    """Let a process of its own read."""
    words = [sys.executable, "-m", "benchmarks.draining", str(server.port), path, how]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
