"""What the loader's tests stand on: a hub of their own and settings that lead nowhere else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from herdbook.settings import Settings
from tests.loader.hub import Hub, served_hub


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and an environment that names no hub of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERDBOOK_ACTOR", "ci")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HERDBOOK_OFFLINE", "HERDBOOK_MODEL_REF"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def settings(home: Path) -> Settings:
    """Settings of an empty home."""
    return Settings(home=home, actor="ci")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub without repositories, which HF_ENDPOINT names."""
    with served_hub() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.address)
        yield found
