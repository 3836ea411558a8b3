"""Memory while a whole register is read: listed and exported, small and large.

Run as a program it is the child that reads, so that nothing else is in its memory.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import herdbook as hb
from benchmarks import servers
from benchmarks.asking import request
from benchmarks.load import Connection, opened
from benchmarks.machine import memory, own_memory
from benchmarks.peer import ROOT
from benchmarks.registers import Bulk, fill
from benchmarks.results import Row, at_most
from benchmarks.sizes import Sizes

# What a page, its values and the database's cache may take; the rest would be growth.
GROWTH_MB: Final = 12


def measure(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Build both registers; read each in a child of its own, then through a server."""
    small = _filled(folder / "small.db", sizes.few, sizes)
    large = _filled(folder / "large.db", sizes.listed, sizes)
    for what in ("list", "export"):
        yield _row(f"{what} in process", _child(what, small), _child(what, large), sizes)
    few, many = (_served(url, folder) for url in (small, large))
    yield _row("export over HTTP, the server's", few, many, sizes)


def _filled(path: Path, count: int, sizes: Sizes) -> str:
    url = f"sqlite:///{path}"
    fill(url, Bulk(sizes.models, count // sizes.models))
    return url


def _row(what: str, few: float, many: float, sizes: Sizes) -> Row:
    return Row(
        group=f"Memory: {sizes.listed:,} versions beside {sizes.few:,} (the peer column)",
        what=what,
        unit="MB more at the peak",
        ours=many,
        peer=few,
        targets=(at_most(GROWTH_MB, many - few, "MB more"),),
        compared=True,
    )


def _child(what: str, url: str) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", what, url],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return float(json.loads(done.stdout))


def _served(url: str, folder: Path) -> float:
    with servers.herdbook(url, folder) as server, opened(servers.HOST, server.port) as sock:
        _drain(sock, request("GET", "/versions?page_size=1000"), 0, server.pid)
        before = memory(server.pid)[0]
        return _drain(sock, request("GET", "/export"), 20, server.pid) - before


def _drain(sock: object, text: str, looks: int, pid: int) -> float:
    """Read an answer, keeping nothing of it; give the server's greatest memory meanwhile."""
    one = Connection(sock, [text.encode("latin-1")])  # type: ignore[arg-type]
    one.send()
    peak, received = 0.0, 0
    while not one.receive():
        received += 1
        if looks and received % looks == 0:
            peak = max(peak, memory(pid)[0])
        if one.end == -1:
            # Of a chunked answer only the tail tells the end.
            one.answer = one.answer[-16:]
    return max(peak, memory(pid)[0])


def read(what: str, url: str) -> float:
    """Read a whole register; give by how many MB memory grew at its peak."""
    with hb.connect(url) as book:
        book.versions.list(page_size=500)
        before = own_memory()
        count = 0
        for _ in book.versions.each() if what == "list" else book.export():
            count += 1
        assert count
        return own_memory("VmHWM") - before


if __name__ == "__main__":
    print(read(sys.argv[1], sys.argv[2]))
