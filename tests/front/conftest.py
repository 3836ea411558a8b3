"""A register of this machine, and one behind a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from herdbook.front.book import Herdbook
from tests.front.collected import Herd, address_of, herd_in
from tests.front.samples import connected
from tests.running import served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server; each test uses models of its own."""
    home = tmp_path_factory.mktemp("server")
    with served(f"sqlite:///{home}/herdbook.db", HERDBOOK_HOME=str(home)) as address:
        yield address


@pytest.fixture(params=["local", "server"])
def book(request: pytest.FixtureRequest) -> Iterator[Herdbook]:
    """A register of this machine, and one behind a server."""
    local = request.param == "local"
    with connected("" if local else request.getfixturevalue("server")) as found:
        yield found


@pytest.fixture
def kind() -> str:
    """Which store documents lie in; a test names others by a parameter of this name."""
    return "lancedb"


@pytest.fixture
def herd(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Herd]:
    """A register of this machine, and an empty vector store."""
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / "home"))
    with herd_in(address_of(kind, request, tmp_path)) as found:
        yield found
