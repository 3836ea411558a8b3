"""PostgreSQL with pgvector, a real one."""

from urllib.parse import quote, urlsplit

import pytest

from tests.conformance.vectors.kinds import Kind
from tests.postgres import PostgresServer


def pgvector_address(server: PostgresServer, database: str) -> str:
    """Give the address of a database as a vector store."""
    return f"pgvector:///{database}?host={quote(str(server.folder))}&user=postgres"


def _address(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("postgres_url")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return pgvector_address(server, urlsplit(url).path.strip("/"))


KINDS = [
    Kind(
        name="pgvector",
        address=_address,
        silent="pgvector:///herdbook?host=/nowhere/at/all&user=postgres",
    )
]
