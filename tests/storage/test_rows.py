"""What rows are written with: an INSERT that knows what to do about a row that is there."""

import subprocess
import sys

from sqlalchemy import Column, Integer, MetaData, String, Table, select

from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.rows import inserting

HERDS = Table(
    "herds", MetaData(), Column("name", String, primary_key=True), Column("head", Integer)
)


def test_a_row_that_is_there_is_left_alone_or_brought_up_to_date(database: Database) -> None:
    with database.writing() as connection:
        HERDS.create(connection)
        connection.execute(inserting(connection, HERDS).values(name="majora", head=1))

        left = inserting(connection, HERDS).on_conflict_do_nothing()
        connection.execute(left, [{"name": "majora", "head": 9}, {"name": "gnn", "head": 2}])
        asked = select(HERDS.c.name, HERDS.c.head).order_by(HERDS.c.name)
        assert [tuple(row) for row in connection.execute(asked)] == [("gnn", 2), ("majora", 1)]

        put = inserting(connection, HERDS).values(name="gnn", head=5)
        added = put.on_conflict_do_update(
            index_elements=[HERDS.c.name], set_={"head": HERDS.c.head + put.excluded.head}
        )
        assert connection.execute(added.returning(HERDS.c.head)).scalar_one() == 7


def test_it_is_of_the_database_at_hand(database: Database) -> None:
    with database.reading() as connection:
        made = inserting(connection, HERDS)

        assert type(made).__module__.startswith(
            f"sqlalchemy.dialects.{connection.dialect.name}."
        ), type(made)
        assert type(made).__name__ == "Insert"


def test_who_has_sqlite_imports_nothing_of_postgresql() -> None:
    script = """
import sys
from sqlalchemy import Column, Integer, MetaData, Table, create_engine
from herdbook.storage.sql.rows import inserting
herds = Table("herds", MetaData(), Column("head", Integer))
with create_engine("sqlite://").connect() as connection:
    inserting(connection, herds)
print("sqlalchemy.dialects.postgresql" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"
