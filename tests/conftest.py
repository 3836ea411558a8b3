"""Fixtures of all tests: a real PostgreSQL, and how hard Hypothesis tries."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import PostgresServer, fresh_database, running_server

# The fixtures that are shared between the examples of one test only set the environment.
SHARED = [HealthCheck.function_scoped_fixture]
settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=100, suppress_health_check=SHARED
)
settings.register_profile(
    "thorough", deadline=None, max_examples=2_000, suppress_health_check=SHARED
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for each worker, stopped and removed at the end."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy address of a database of its own, empty and dropped afterwards."""
    with fresh_database(postgres_server) as url:
        yield url
