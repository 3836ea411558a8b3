"""Who keeps files: Herdbook, DVC, Git LFS and MLflow, each through its own commands.

Each begins with an empty store on this disk and an empty folder to work in, and is asked the same:
take this folder, give it out again.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks import peer
from benchmarks.peer import ROOT
from benchmarks.spending import spent

HELD: Final = "model"
COMPILED: Final = ROOT / ".venv-peers" / "compiled"
IDENTITY: Final = {
    "GIT_AUTHOR_NAME": "bench",
    "GIT_AUTHOR_EMAIL": "bench@localhost",
    "GIT_COMMITTER_NAME": "bench",
    "GIT_COMMITTER_EMAIL": "bench@localhost",
    "GIT_CONFIG_NOSYSTEM": "1",
}
Words = Sequence[object]


class Keeper(Protocol):
    """One that keeps files in a folder of its own."""

    name: str

    def push(self, folder: Path, number: str) -> dict[str, Any]:
        """Keep a folder; give what it took, see `spent`."""

    def out(self, number: str, to: Path) -> Path:
        """Give a folder out again, as whoever has none of it yet; give where it is."""

    def held(self) -> int:
        """Give the bytes of all files in the store."""


class Herdbook:
    """A register in a home folder."""

    name = "Herdbook"

    def __init__(self, home: Path) -> None:
        self.home = home / "herdbook"
        self.home.mkdir()
        self._env = ours(self.home)
        # As with the others, the tables are there before anything is measured.
        spent([[sys.executable, "-m", "herdbook", "list"]], cwd=ROOT, env=self._env)

    def push(self, folder: Path, number: str) -> dict[str, Any]:
        """Keep a folder."""
        words = [sys.executable, "-m", "benchmarks.pushing", "push", self.home, number, folder]
        found = spent([words], cwd=ROOT, env=self._env)
        return {**found, "call": json.loads(found["said"])}

    def out(self, number: str, to: Path) -> Path:
        """Give a folder out."""
        words = [sys.executable, "-m", "herdbook", "-q", "artifacts", "pull"]
        spent([[*words, f"majora:{number}", "--to", to]], cwd=ROOT, env=self._env)
        return to

    def held(self) -> int:
        """Give the bytes of the store."""
        return size_of(self.home / "blobs")


class Dvc:
    """A repository of DVC's without Git, its remote a folder."""

    name = "DVC"

    def __init__(self, home: Path) -> None:
        self._work, self._remote = home / "dvc-work", home / "dvc-remote"
        self._work.mkdir()
        self._env = {**peer.environ(), "DVC_NO_ANALYTICS": "1", "HOME": str(home)}
        self._do(self._work, ["init", "-q", "--no-scm"])
        self._do(self._work, ["config", "core.analytics", "false"])
        self._do(self._work, ["config", "core.check_update", "false"])
        self._do(self._work, ["remote", "add", "-q", "-d", "store", self._remote])

    def push(self, folder: Path, number: str) -> dict[str, Any]:
        """Keep a folder, which lies in the repository by then."""
        placed(folder, self._work / HELD)
        found = self._do(self._work, ["add", "-q", HELD], ["push", "-q"])
        shutil.copy(self._work / f"{HELD}.dvc", self._work / f"{number}.dvc.kept")
        return found

    def out(self, number: str, to: Path) -> Path:
        """Give a folder out to another repository."""
        to.mkdir()
        (to / ".dvc").mkdir()
        shutil.copy(self._work / ".dvc" / "config", to / ".dvc" / "config")
        shutil.copy(self._work / f"{number}.dvc.kept", to / f"{HELD}.dvc")
        self._do(to, ["pull", "-q"])
        return to / HELD

    def held(self) -> int:
        """Give the bytes of the remote; the cache of the repository has as many again."""
        return size_of(self._remote)

    def _do(self, cwd: Path, *commands: Words) -> dict[str, Any]:
        program = peer.home("dvc") / "bin" / "dvc"
        return spent([[program, *words] for words in commands], cwd=cwd, env=self._env)


class GitLfs:
    """A repository of Git's with LFS, its remote a bare one on this disk."""

    name = "Git LFS"

    def __init__(self, home: Path) -> None:
        self._work, self._remote, self._home = home / "lfs-work", home / "lfs-remote.git", home
        self._work.mkdir()
        self._env = {**os.environ, **IDENTITY, "HOME": str(home)}
        self._do(home, ["init", "-q", "--bare", "-b", "main", self._remote])
        self._do(
            self._work,
            ["init", "-q", "-b", "main"],
            ["lfs", "install", "--local"],
            ["lfs", "track", f"{HELD}/**"],
            ["remote", "add", "origin", f"file://{self._remote}"],
            ["add", ".gitattributes"],
            ["commit", "-q", "-m", "track"],
        )

    def push(self, folder: Path, number: str) -> dict[str, Any]:
        """Keep a folder, which lies in the repository by then."""
        placed(folder, self._work / HELD)
        return self._do(
            self._work,
            ["add", HELD],
            ["commit", "-q", "-m", number],
            ["tag", number],
            ["push", "-q", "origin", "main", number],
        )

    def out(self, number: str, to: Path) -> Path:
        """Give a folder out to a clone."""
        self._do(self._home, ["lfs", "install", "--skip-repo"])
        self._do(self._home, ["clone", "-q", "-b", number, f"file://{self._remote}", to])
        return to / HELD

    def held(self) -> int:
        """Give the bytes of the remote; the repository has as many again."""
        return size_of(self._remote)

    def _do(self, cwd: Path, *commands: Words) -> dict[str, Any]:
        return spent([["git", *words] for words in commands], cwd=cwd, env=self._env)


class Mlflow:
    """A tracking store in SQLite, its artifacts in a folder."""

    name = "MLflow"

    def __init__(self, home: Path) -> None:
        self._home = home / "mlflow"
        self._home.mkdir()
        first = self._home / "first"
        first.mkdir()
        (first / "nothing").touch()
        # The tables are made by whoever comes first; that is not what is measured.
        self._do("keep", "first", first)

    def push(self, folder: Path, number: str) -> dict[str, Any]:
        """Keep a folder as the artifacts of a run."""
        return self._do("keep", number, folder)

    def out(self, number: str, to: Path) -> Path:
        """Give a folder out."""
        to.mkdir()
        return Path(self._do("give", number, to)["call"]["path"])

    def held(self) -> int:
        """Give the bytes of the artifacts."""
        return size_of(self._home / "artifacts")

    def _do(self, do: str, number: str, folder: Path) -> dict[str, Any]:
        program = ROOT / "benchmarks" / "mlflow_artifacts.py"
        words = [peer.HOME / "bin" / "python", program, do, self._home, number, folder]
        found = spent([words], cwd=self._home, env=peer.environ({"HOME": str(self._home)}))
        return {**found, "call": json.loads(found["said"].splitlines()[-1])}


def ours(home: Path) -> dict[str, str]:
    """Give the environment of Herdbook: compiled once, as what is installed is."""
    env = {**os.environ, "HERDBOOK_HOME": str(home), "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**env, "PYTHONPYCACHEPREFIX": str(COMPILED)}


def missing(*, with_peer: bool) -> Mapping[str, str]:
    """Tell which of the peers cannot be asked, and why."""
    if not with_peer:
        return {one.name: "not asked for" for one in (Dvc, GitLfs, Mlflow)}
    found = {Mlflow.name: peer.installed()[1], Dvc.name: peer.installed("dvc")[1]}
    lacking = [program for program in ("git", "git-lfs") if shutil.which(program) is None]
    found[GitLfs.name] = f"no {' and no '.join(lacking)}; apt install git-lfs" if lacking else ""
    return {name: why for name, why in found.items() if why}


def versions(absent: Mapping[str, str]) -> dict[str, str]:
    """Tell of each peer which version is asked, or why it is missing."""
    asked: dict[str, list[str | Path]] = {
        Dvc.name: [peer.home("dvc") / "bin" / "dvc", "--version"],
        GitLfs.name: ["git-lfs", "version"],
        Mlflow.name: [peer.HOME / "bin" / "mlflow", "--version"],
    }
    said = {}
    for name, words in asked.items():
        if name in absent:
            said[name] = f"{name} missing ({absent[name]})"
            continue
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=peer.environ())
        said[name] = f"{name} {done.stdout.split('(')[0].split('/')[-1].split()[-1]}"
    return said


def placed(folder: Path, at: Path) -> None:
    """Copy a folder to where its keeper looks for it."""
    shutil.rmtree(at, ignore_errors=True)
    shutil.copytree(folder, at)


def size_of(folder: Path) -> int:
    """Give the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
