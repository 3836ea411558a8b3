"""The wheel as a user gets it: built, installed beside the runtime pins alone, and used."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
# One worker builds and installs for all tests of this file.
pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.timeout(600)]

STORY = """
import herdbook

book = herdbook.connect()
book.models.register("majora", "v1", metrics={"accuracy": 0.85})
book.models.register("majora", "v2", metrics={"accuracy": 0.87}, parent="majora:v1")
book.deployments.promote("majora:v1")
book.deployments.promote("majora:v2")
book.deployments.rollback("majora")
print(book.resolve("majora@champion").number)
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment that holds the wheel, and a folder to work in."""

    programs: Path
    home: Path
    cwd: Path

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs with a register of its own; the output."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HERDBOOK_", "PYTHON", "VIRTUAL_ENV"))
        }
        environment = {**inherited, "HERDBOOK_HOME": str(self.home)}
        return _run([self.programs / program, *arguments], cwd=self.cwd, env=environment)


def _run(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        ROOT,
    ]
    _run([*build, "--outdir", folder], cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "-qq", "install"]
    _run([*pip, "--require-hashes", "-r", ROOT / "requirements/runtime.txt"], cwd=folder)
    _run([*pip, "--no-deps", wheel], cwd=folder)
    return folder / "bin"


@pytest.fixture
def installed(environment: Path, tmp_path: Path) -> Installed:
    cwd = tmp_path / "empty"
    cwd.mkdir()
    return Installed(environment, home=tmp_path / "home", cwd=cwd)


def test_the_wheel_carries_its_types_and_its_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()

    assert "herdbook/py.typed" in names
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"herdbook"}


def test_the_wheel_asks_for_nothing_but_its_runtime(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = archive.read(name).decode()

    assert "Provides-Extra: dev" not in metadata
    assert "pytest" not in metadata


def test_its_command_tells_what_it_can_do(installed: Installed) -> None:
    assert "rollback" in installed.run("herdbook", "--help")


def test_a_story_on_the_command_line(installed: Installed) -> None:
    for line in (
        "add majora v1 --accuracy 0.85",
        "add majora v2 --accuracy 0.87 --parent majora:v1",
        "deploy majora v1",
        "deploy majora v2",
        "rollback majora",
    ):
        installed.run("herdbook", *line.split())

    info = json.loads(installed.run("herdbook", "info", "majora", "--json"))
    assert info["champion"] == "v1"
    assert list(installed.cwd.iterdir()) == []


def test_the_same_story_in_python(installed: Installed) -> None:
    champion = installed.run("python", "-c", STORY)

    assert champion.strip() == "v1"
    assert list(installed.cwd.iterdir()) == []
