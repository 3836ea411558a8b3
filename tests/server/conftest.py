"""An app over a register of its own, and clients of it with every role."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from herdbook.bootstrap import LocalDoor, prepare
from herdbook.core.access import everything
from herdbook.front.book import Herdbook
from herdbook.server.app import create_app
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database

HERE = "http://127.0.0.1:8477"


@dataclass(frozen=True)
class Served:
    """An app, the register behind it, and how to ask it."""

    app: Starlette
    book: Herdbook
    client: Callable[..., TestClient]

    def token(self, *roles: str) -> str:
        """Make a token and give its text."""
        return self.book.tokens.create("tester", roles=roles).secret

    def holding(self, *roles: str) -> TestClient:
        """Give a client that holds a token."""
        return self.client(self.token(*roles))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty register that this process owns."""
    opened = Database(f"sqlite:///{tmp_path}/herdbook.db", owner_url=HERE)
    prepare(opened)
    yield opened
    opened.close()


def serving(database: Database, settings: Settings, *, auth: bool) -> Iterator[Served]:
    """An app over a register, until it is no longer needed."""
    app = create_app(database, auth=auth, settings=settings)
    clients = []

    def client(token: str = "") -> TestClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        made = TestClient(app, base_url=HERE, headers=headers, raise_server_exceptions=False)
        clients.append(made)
        return made

    yield Served(app, Herdbook(LocalDoor(database, everything("root"))), client)
    for each in clients:
        each.close()


@pytest.fixture
def local(database: Database, tmp_path: Path) -> Iterator[Served]:
    """A server in local mode."""
    yield from serving(database, Settings(home=tmp_path, actor="curator"), auth=False)


@pytest.fixture
def guarded(database: Database, tmp_path: Path) -> Iterator[Served]:
    """A server that asks for tokens."""
    yield from serving(database, Settings(home=tmp_path), auth=True)
