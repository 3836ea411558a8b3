"""The peers' environments, made from their pins, and MLflow in process as a child."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
HOME: Final = ROOT / ".venv-peers" / "mlflow"
# It is asked to measure, not to report home, and to run what is measured and no job queue.
QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
NO_JOBS: Final = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def environ(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the environment a peer runs in."""
    return {**os.environ, **QUIET, **(more or {}), "PYTHONPATH": str(ROOT)}


def home(name: str) -> Path:
    """Give where a peer's environment is."""
    return HOME.parent / name


def installed(name: str = "mlflow") -> tuple[str, str]:
    """Make a peer's environment unless it is there as pinned.

    Returns:
        Its version and why it is missing; one of them is "".
    """
    stamp, pins = home(name) / "pins.sha256", _pins(name)
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == wanted):
        problem = _install(home(name), pins)
        if problem:
            return "", problem
        stamp.write_text(wanted)
    asked = f"from importlib.metadata import version; print(version('{name}'))"
    return _run([home(name) / "bin" / "python", "-c", asked]).stdout.strip(), ""


def _pins(name: str) -> Path:
    return ROOT / "requirements" / "peers" / f"{name}.txt"


def _install(venv: Path, pins: Path) -> str:
    pip = [venv / "bin" / "python", "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", venv],
        # All that is needed is pinned; with hashes pip stumbles over what asks for an extra of it.
        [*pip, "--require-hashes", "--no-deps", "-r", pins],
    ):
        done = _run(command)
        if done.returncode:
            return (done.stderr.strip() or "unknown").splitlines()[-1]
    return ""


def _run(command: list[Any]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ())


class Peer:
    """MLflow in process, in a child that answers commands."""

    def __init__(self, child: "subprocess.Popen[str]", folder: Path) -> None:
        self._child = child
        self.folder = folder

    def tell(self, do: str, **arguments: object) -> None:
        """Give a command."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._child.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to the command given first."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"MLflow ended: {(self.folder / 'mlflow.log').read_text()[-2000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        self.tell(do, **arguments)
        return self.answer()


def address(folder: Path) -> str:
    """Give the address of MLflow's register in a folder."""
    return f"sqlite:///{folder / 'mlflow.db'}"


@contextmanager
def in_process(folder: Path) -> Iterator[Peer]:
    """Start MLflow in a child on an empty register; end it."""
    with (
        (folder / "mlflow.log").open("w") as log,
        subprocess.Popen(
            [HOME / "bin" / "python", "-m", "benchmarks.mlflow_side", address(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environ(),
            cwd=folder,
        ) as child,
    ):
        try:
            yield Peer(child, folder)
        finally:
            child.kill()
