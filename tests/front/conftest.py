"""A register of this machine, and one behind a real server."""

from collections.abc import Iterator

import pytest

from herdbook.front.book import Herdbook
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
