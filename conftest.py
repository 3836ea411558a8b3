"""What every test and every documented example stands on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

from tests.console import ConsoleParser


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HERDBOOK_HOME, so that no test sees the user's own register."""
    folder = tmp_path / "herdbook-home"
    monkeypatch.setenv("HERDBOOK_HOME", str(folder))
    for name in (
        *("HERDBOOK_URL", "HERDBOOK_TOKEN", "HERDBOOK_MODEL_REF", "HERDBOOK_OFFLINE"),
        *("HERDBOOK_BLOBS", "HERDBOOK_CACHE", "MLFLOW_TRACKING_URI", "ML_MODEL_REF"),
    ):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(scope="module")
def documented_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One HERDBOOK_HOME and working folder for all examples of a page."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("documented")
        patch.setenv("HERDBOOK_HOME", str(folder / "home"))
        patch.chdir(folder)
        yield folder


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), ConsoleParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],  # here * also matches folders
    fixtures=["documented_home"],
).pytest()
