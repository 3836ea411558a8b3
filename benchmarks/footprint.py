"""What it costs to have it: installed, imported, started, idle."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import peer, servers
from benchmarks.machine import memory, tree
from benchmarks.peer import ROOT
from benchmarks.results import Row, at_most, of
from benchmarks.sizes import Sizes

GROUP: Final = "Footprint"
TRIES: Final = 10
CPU_SECONDS: Final = 0.15
IDLE_MB, READY_SECONDS = 120, 2
INSTALL_MB, INSTALL_PACKAGES = 150, 35
# What every new environment holds.
OF_VENV: Final = frozenset({"pip", "setuptools", "_distutils_hack", "pkg_resources"})
COUNTED: Final = (
    "import importlib.metadata as m;"
    "print(len({d.name for d in m.distributions()} - {'pip', 'setuptools'}))"
)


def measure(sizes: Sizes, url: str, folder: Path, *, with_peer: bool) -> Iterator[Row]:
    """Weigh both sides."""
    yield from _commands(sizes, with_peer=with_peer)
    yield from _idle(url, folder, with_peer=with_peer)
    if sizes.installs:
        yield from _installed(with_peer=with_peer)


def _commands(sizes: Sizes, *, with_peer: bool) -> Iterator[Row]:
    tries = min(TRIES, sizes.rounds * 2)
    theirs = peer.HOME / "bin"
    for what, ours, others in (
        (
            "`import herdbook` (`import mlflow`)",
            [sys.executable, "-c", "import herdbook"],
            [theirs / "python", "-c", "import mlflow"],
        ),
        (
            "`herdbook --help` (`mlflow --help`)",
            [sys.executable, "-m", "herdbook", "--help"],
            [theirs / "mlflow", "--help"],
        ),
    ):
        spent = _least_cpu(ours, tries)
        yield Row(
            group=GROUP,
            what=what,
            unit=f"s CPU, least of {tries}",
            ours=spent,
            peer=_least_cpu(others, max(1, tries // 3)) if with_peer else None,
            targets=(at_most(CPU_SECONDS, spent, "s"),),
            detail=f"a bare `python` takes {_least_cpu([sys.executable, '-c', ''], tries):.3g} s",
            compared=True,
        )


def _least_cpu(command: Sequence[Any], tries: int) -> float:
    return min(_cpu(command) for _ in range(tries))


def _cpu(command: Sequence[Any]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=peer.environ(), cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _idle(url: str, folder: Path, *, with_peer: bool) -> Iterator[Row]:
    with servers.herdbook(url, folder) as server:
        ours = _weight(server)
    theirs: Mapping[str, float] | None = None
    lean: Mapping[str, float] = {}
    if with_peer:
        with servers.mlflow(folder, {}) as server:
            theirs = _weight(server)
        with servers.mlflow(folder, peer.NO_JOBS) as server:
            lean = _weight(server)
    for name, what, unit, limit in (
        ("processes", "processes", "", 1),
        ("resident", "resident memory, all processes", "MB", IDLE_MB),
        ("proportional", "the same, shared pages shared out (PSS)", "MB", 0),
        ("ready", "ready within", "s", READY_SECONDS),
    ):
        yield Row(
            group=GROUP,
            what=f"idle server, one worker: {what}",
            unit=unit,
            ours=ours[name],
            peer=of(theirs, name),
            targets=(at_most(limit, ours[name], unit),) if limit else (),
            detail=f"peer without its job runner {lean[name]:.3g}" if theirs else "",
            compared=True,
        )


def _weight(server: servers.Server) -> Mapping[str, float]:
    resident, proportional = memory(server.pid)
    return {
        "processes": len(tree(server.pid)),
        "resident": resident,
        "proportional": proportional,
        "ready": server.ready_seconds,
    }


def _installed(*, with_peer: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        own = Path(scratch)
        _install(own)
        size, count = _folder_size(own / "venv"), _packages(own / "venv")
    theirs = _folder_size(peer.HOME) if with_peer else None
    packages = _packages(peer.HOME) if with_peer else None
    yield Row(
        group=GROUP,
        what="installed (`pip install .`, `pip install mlflow`): site-packages without pip's own",
        unit="MB",
        ours=size,
        peer=theirs,
        targets=(at_most(INSTALL_MB, size, "MB"),),
        compared=True,
    )
    yield Row(
        group=GROUP,
        what="installed: packages",
        unit="",
        ours=count,
        peer=packages,
        targets=(at_most(INSTALL_PACKAGES, count, ""),),
        compared=True,
    )


def _install(own: Path) -> None:
    python = own / "venv" / "bin" / "python"
    pip: list[Any] = [python, "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
    build: list[Any] = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    made: list[Any] = [sys.executable, "-m", "venv", own / "venv"]
    pinned = [*pip, "--require-hashes", "-r", ROOT / "requirements" / "runtime.txt"]
    for command in (made, [*build, "--outdir", own, ROOT], pinned):
        subprocess.run(command, check=True, capture_output=True)
    wheel = next(own.glob("*.whl"))
    subprocess.run([*pip, "--no-deps", wheel], check=True, capture_output=True)


def _folder_size(venv: Path) -> float:
    packages = next(venv.glob("lib/python*/site-packages"))
    return (
        sum(
            file.stat().st_size
            for file in packages.rglob("*")
            if file.is_file() and file.relative_to(packages).parts[0].split("-")[0] not in OF_VENV
        )
        / 1e6
    )


def _packages(venv: Path) -> int:
    done = subprocess.run(
        [venv / "bin" / "python", "-c", COUNTED], capture_output=True, text=True, check=True
    )
    return int(done.stdout)
