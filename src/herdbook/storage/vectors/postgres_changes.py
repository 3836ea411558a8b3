"""Tables that hold documents: how they are made, changed, indexed and removed."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from herdbook.core.vectors import Place
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.storage.vectors.postgres_link import Connection, Names, name
from herdbook.storage.vectors.postgres_statements import without_stamp
from herdbook.storage.vectors.postgres_tables import CLASSES, METRIC, OPERATORS, Table, described

INDEXED_DIMENSIONS: Final = 2_000
_DROP_ROWS: Final = 5_000
_LOCK_POLL_SECONDS: Final = 0.1
_log = logging.getLogger(__name__)

_VIEWS: Final = """
SELECT DISTINCT v.relname, t.relname
FROM pg_class v
JOIN pg_namespace n ON n.oid = v.relnamespace
JOIN pg_rewrite r ON r.ev_class = v.oid
JOIN pg_depend d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
                AND d.refclassid = 'pg_class'::regclass
JOIN pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p')
WHERE v.relkind = 'v' AND n.nspname = coalesce(nullif(%s, ''), current_schema())
  AND obj_description(v.oid, 'pg_class') = 'herdbook alias'
"""


@contextmanager
def changing(connection: Connection) -> Iterator[None]:
    """Change tables in a transaction, one process at a time, waiting ten seconds for others."""
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '10s'")
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('herdbook vectors'))")
        yield


def create(
    connection: Connection, place: Place, names: Names, *, dimension: int, metric: str
) -> None:
    """Make a table, or a column in one.

    Raises:
        NotFound: there is no table to make a column in.
        Conflict: it is there with another dimension.
    """
    if metric not in OPERATORS:
        raise Invalid(f"{metric!r:.40} is no metric; write cosine, dot or l2", field="metric")
    with changing(connection):
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        table = described(connection, place, names)
        if table is None and place.field:
            raise NotFound(f"there is no {place.collection}; create it first", field="collection")
        if table is None:
            _make(connection, place, names, dimension=dimension)
        elif table.column not in table.fields:
            _widen(connection, table, dimension=dimension)
        else:
            _compare(table, dimension=dimension)
            return
        _remember(connection, place, names, metric=metric)


def _compare(table: Table, *, dimension: int) -> None:
    there = table.field.dimension
    if there not in {0, dimension}:
        raise Conflict(
            f"{table.place} is there already, for vectors of {there} numbers, not {dimension}; "
            "take another name",
            field="dimension",
        )


def _make(connection: Connection, place: Place, names: Names, *, dimension: int) -> None:
    connection.execute(
        sql.SQL(
            'CREATE TABLE {} ({} text COLLATE "C" PRIMARY KEY, {} text, {} jsonb, {} vector({}))'
        ).format(
            name(names.schema, place.collection),
            *map(sql.Identifier, (names.id, names.text, names.metadata, names.vector)),
            sql.Literal(dimension),
        )
    )


def _widen(connection: Connection, table: Table, *, dimension: int) -> None:
    # Documents that are only in one of the fields have no vector in the others.
    loosened = [
        sql.SQL(", ALTER COLUMN {} DROP NOT NULL").format(sql.Identifier(each))
        for each in table.others
    ]
    connection.execute(
        table.sql(
            "ALTER TABLE {t} ADD COLUMN {f} vector({n}){loosened}",
            n=sql.Literal(dimension),
            loosened=sql.Composed(loosened),
        )
    )
    for alias in _aliases_of(connection, table):
        _view(connection, alias, table)


def _remember(connection: Connection, place: Place, names: Names, *, metric: str) -> None:
    column = name(names.schema, place.collection, place.field or names.vector)
    connection.execute(
        sql.SQL("COMMENT ON COLUMN {} IS {}").format(column, sql.Literal(METRIC + metric))
    )


def drop(connection: Connection, place: Place, names: Names) -> None:
    """Remove a table, or a column of vectors with its stamps while there is another one."""
    table = described(connection, place, names)
    if table is None or table.column not in table.fields:
        return
    if table.others:
        _empty(connection, table)
    with changing(connection):
        table = described(connection, place, names)
        if table is None or table.column not in table.fields:
            return
        aliases = _aliases_of(connection, table)
        for alias in aliases:
            connection.execute(sql.SQL("DROP VIEW {}").format(name(names.schema, alias)))
        if not table.others:
            connection.execute(table.sql("DROP TABLE {t}"))
            return
        connection.execute(table.sql("LOCK TABLE {t} IN ACCESS EXCLUSIVE MODE"))
        connection.execute(
            table.sql(
                "UPDATE {t} AS t SET {metadata} = {without} WHERE {f} IS NOT NULL",
                without=without_stamp(table),
            )
        )
        connection.execute(table.sql("ALTER TABLE {t} DROP COLUMN {f}"))
        for alias in aliases:
            _view(connection, alias, table)


def _empty(connection: Connection, table: Table) -> None:
    """Take a field's vectors away, each with its stamp, without locking the table for long."""
    statement = table.sql(
        "WITH few AS (SELECT {id} AS id FROM {t} WHERE {f} IS NOT NULL "
        "LIMIT %s FOR UPDATE SKIP LOCKED) "
        "UPDATE {t} AS t SET {f} = NULL, {metadata} = {without} FROM few WHERE t.{id} = few.id",
        without=without_stamp(table),
    )
    while connection.execute(statement, [_DROP_ROWS]).rowcount:
        pass


def _aliases_of(connection: Connection, table: Table) -> list[str]:
    rows = connection.execute(_VIEWS, [table.names.schema]).fetchall()
    return [view for view, of in rows if of == table.place.collection]


def point(connection: Connection, alias: str, place: Place, names: Names) -> None:
    """Make a view by the alias's name, over the table.

    Raises:
        NotFound: there is no such table.
        Conflict: something that is no alias goes by that name.
    """
    with changing(connection):
        table = described(connection, Place(collection=place.collection), names)
        if table is None:
            raise NotFound(f"there is no {place.collection}; create it first", field="collection")
        known = {view for view, _ in connection.execute(_VIEWS, [names.schema]).fetchall()}
        there = connection.execute(
            "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relname = %s AND n.nspname = coalesce(nullif(%s, ''), current_schema())",
            [alias, names.schema],
        ).fetchone()
        if there and alias not in known:
            raise Conflict(f"{alias} is something else in the database; take another alias")
        _view(connection, alias, table)


def _view(connection: Connection, alias: str, table: Table) -> None:
    view = name(table.names.schema, alias)
    over = table.sql("VIEW {view} AS SELECT * FROM {t}", view=view)
    try:
        with connection.transaction():  # keeps who may read it, where the columns are the same
            connection.execute(sql.SQL("CREATE OR REPLACE ") + over)
    except psycopg.errors.InvalidTableDefinition:
        connection.execute(sql.SQL("DROP VIEW {}").format(view))
        connection.execute(sql.SQL("CREATE ") + over)
    connection.execute(sql.SQL("COMMENT ON VIEW {} IS 'herdbook alias'").format(view))


def pointed(connection: Connection, alias: str, names: Names) -> str:
    """Give the table a view is over, or ""."""
    rows = connection.execute(_VIEWS, [names.schema]).fetchall()
    return next((str(of) for view, of in rows if view == alias), "")


def index(connection: Connection, table: Table) -> None:
    """Build an HNSW index while the table is written and searched, where there is none."""
    if table.field.dimension > INDEXED_DIMENSIONS or not table.field.dimension:
        _log.warning(
            "%s has vectors of %s dimensions: pgvector indexes 1 to %s; searches read them all",
            table.place,
            table.field.dimension or "any",
            INDEXED_DIMENSIONS,
        )
        return
    with _alone(connection, f"herdbook index {table.place}"):
        if _usable(connection, table):
            return
        connection.execute(
            table.sql(
                "CREATE INDEX CONCURRENTLY ON {t} USING hnsw ({f} {operators})",
                operators=sql.Identifier(f"vector_{CLASSES[table.field.metric]}_ops"),
            )
        )


@contextmanager
def _alone(connection: Connection, what: str) -> Iterator[None]:
    # To wait in the database would keep a concurrent build waiting for us in turn.
    while not _one(connection, "SELECT pg_try_advisory_lock(hashtext(%s))", [what]):
        time.sleep(_LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", [what])


def _usable(connection: Connection, table: Table) -> bool:
    """Whether there is an index; what a build that was cut off left is removed."""
    rows = connection.execute(
        "SELECT x.relname, i.indisvalid FROM pg_index i "
        "JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam "
        "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
        "WHERE i.indrelid = %s::regclass AND a.attname = %s AND m.amname IN ('hnsw', 'ivfflat')",
        [table.sql("{t}").as_string(connection), table.column],
    ).fetchall()
    for left in [index for index, valid in rows if not valid]:
        connection.execute(
            sql.SQL("DROP INDEX CONCURRENTLY {}").format(name(table.names.schema, left))
        )
    return any(valid for _, valid in rows)


def _one(connection: Connection, statement: Any, values: list[Any]) -> Any:
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None
