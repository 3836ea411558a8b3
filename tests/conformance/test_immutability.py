"""What the database itself keeps from being changed, whoever asks."""

import pytest
from sqlalchemy.exc import DBAPIError

from herdbook.core.models import (
    Status,
)
from tests.registers import Register


# How a version gets to a status without going through production.
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE versions SET facts = '{}'",
        "UPDATE versions SET digest = 'x'",
        "UPDATE versions SET sealed = 0",
        "UPDATE versions SET number = 'v9'",
        "UPDATE versions SET number_key = 'x'",
        "UPDATE versions SET ordinal = 9",
        "UPDATE versions SET model_id = 9",
        "DELETE FROM versions",
        "UPDATE events SET body = '{}'",
        "UPDATE events SET at = '2020'",
        "DELETE FROM events",
        "UPDATE moves SET doc = '{}'",
        "UPDATE moves SET at = 0",
        "DELETE FROM moves",
    ],
)
def test_the_database_itself_refuses_to_change_history(register: Register, statement: str) -> None:
    register.add("majora:v1", status=Status.PRODUCTION)

    with pytest.raises(DBAPIError, match=r"append-only|keeps its number|sealed|never deleted"):
        register.execute(statement)

    assert register.status("majora:v1") is Status.PRODUCTION


@pytest.mark.parametrize("table", ["events", "moves", "versions"])
def test_postgresql_refuses_to_empty_what_is_kept(register: Register, table: str) -> None:
    register.add("majora:v1", status=Status.PRODUCTION)
    if register.database.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")

    with pytest.raises(DBAPIError, match=r"append-only|never deleted"):
        register.execute(f"TRUNCATE {table} CASCADE")


def test_the_facts_of_a_draft_may_change_in_the_database(register: Register) -> None:
    register.add("majora:v1", status=Status.DRAFT)

    register.execute("UPDATE versions SET digest = 'x'")
