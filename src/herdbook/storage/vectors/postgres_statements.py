"""The statements documents go in and out by, one for each question."""

from typing import Final

from psycopg import sql

from herdbook.core.stamps import KEYS, SPACE, WRITE
from herdbook.storage.vectors.postgres_tables import Table

_NOTHING: Final = sql.SQL("")
# Columns of a batch. In an order all writers share, so that two never wait for each other.
_GIVEN: Final = (
    "unnest(%b::text[]::{id_type}[], %b::text[], %b::text[], %b::vector[]) "
    "AS g(id, document, metadata, vector) ORDER BY g.id"
)


def _keys(table: Table) -> sql.Composable:
    """The names the place's stamp is stored under."""
    return sql.SQL("{}::text[]").format(sql.Literal([table.place.stamp_key(key) for key in KEYS]))


def _stamped(table: Table, key: str) -> sql.Composed:
    return table.sql("{m} ->> {key}", key=sql.Literal(table.place.stamp_key(key)))


def without_stamp(table: Table) -> sql.Composed:
    """The metadata of a row without the place's stamp."""
    return table.sql("({m} - {keys})::{metadata_type}", keys=_keys(table))


def count(table: Table) -> sql.Composed:
    """How many have a vector, and how long one of these is."""
    return table.sql(
        "SELECT count(*), (SELECT vector_dims({f}) FROM {t} WHERE {f} IS NOT NULL LIMIT 1) "
        "FROM {t} WHERE {f} IS NOT NULL"
    )


def following(table: Table, *, after: bool) -> sql.Composed:
    """The last of the documents of a range, and how many they are; takes [after,] size."""
    return table.sql(
        "SELECT {id}::text, count(*) OVER () FROM ("
        "SELECT {id} FROM {t} WHERE {f} IS NOT NULL{after} ORDER BY {id} LIMIT %s"
        ") AS s ORDER BY s.{id} DESC LIMIT 1",
        after=table.sql(" AND {id} > %s::{id_type}") if after else _NOTHING,
    )


def _selected(table: Table, *, vectors: bool, where: sql.Composed) -> sql.Composed:
    return table.sql(
        "SELECT {id}::text, {text}, {m}::text{sent} FROM {t} AS t "
        "WHERE {f} IS NOT NULL AND {where}",
        sent=table.sql(", vector_send({f})") if vectors else _NOTHING,
        where=where,
    )


def within(table: Table, *, after: bool, vectors: bool) -> sql.Composed:
    """The documents of a range, in order; takes upto[, after]."""
    where = table.sql(
        "{id} <= %s::{id_type}{after} ORDER BY t.{id}",
        after=table.sql(" AND {id} > %s::{id_type}") if after else _NOTHING,
    )
    return _selected(table, vectors=vectors, where=where)


def by_id(table: Table, *, vectors: bool) -> sql.Composed:
    """The documents of some ids."""
    where = table.sql("{id} = ANY(%b::text[]::{id_type}[])")
    return _selected(table, vectors=vectors, where=where)


def _added(table: Table) -> sql.Composed:
    return table.sql(
        "INSERT INTO {t} AS t ({id}, {text}, {metadata}, {f}) "
        "SELECT g.id, g.document, g.metadata::{metadata_type}, g.vector FROM {given} "
        "ON CONFLICT ({id}) DO UPDATE SET {f} = EXCLUDED.{f}, ",
        given=table.sql(_GIVEN),
    )


def insert(table: Table) -> sql.Composed:
    """Add documents; one that is there without a vector is given one, and its stamp."""
    return _added(table) + table.sql(
        "{metadata} = ({m} || coalesce(("
        "SELECT jsonb_object_agg(key, value) FROM jsonb_each(EXCLUDED.{metadata}::jsonb) "
        "WHERE key = ANY({keys})), '{{}}'))::{metadata_type} WHERE t.{f} IS NULL",
        keys=_keys(table),
    )


def insert_vectors(table: Table) -> sql.Composed:
    """Give vectors, and what is in the metadata, to documents that have none."""
    return table.sql(
        "WITH g AS MATERIALIZED (SELECT * FROM {given}), locked AS MATERIALIZED ("
        "SELECT t.{id} AS id FROM {t} AS t WHERE t.{id} IN (SELECT g.id FROM g) "
        "AND t.{f} IS NULL ORDER BY t.{id} FOR UPDATE) "
        "UPDATE {t} AS t SET {f} = g.vector, {metadata} = ({m} || g.metadata::jsonb)"
        "::{metadata_type} FROM g JOIN locked ON locked.id = g.id "
        "WHERE t.{id} = locked.id AND t.{f} IS NULL",
        given=table.sql(_GIVEN),
    )


def upsert(table: Table) -> sql.Composed:
    """Write documents; the stamps of other fields stay."""
    kept = table.sql(
        "coalesce((SELECT jsonb_object_agg(key, value) FROM jsonb_each({m}) "
        "WHERE key = ANY({keys}::text[])), '{{}}') || ",
        keys=sql.Literal(table.other_keys),
    )
    return _added(table) + table.sql(
        "{text} = EXCLUDED.{text}, "
        "{metadata} = ({kept}EXCLUDED.{metadata}::jsonb)::{metadata_type}",
        kept=kept if table.others else _NOTHING,
    )


def _locked(table: Table, *, guarded: bool) -> sql.Composed:
    guard = sql.SQL(" AND ") + _stamped(table, WRITE) + sql.SQL(" = %s")
    return table.sql(
        "WITH locked AS (SELECT t.{id} AS id FROM {t} AS t "
        "WHERE t.{id} = ANY(%b::text[]::{id_type}[]){guard} ORDER BY t.{id} FOR UPDATE) ",
        guard=guard if guarded else _NOTHING,
    )


def delete(table: Table, *, guarded: bool) -> sql.Composed:
    """Remove documents; takes ids[, write]."""
    return _locked(table, guarded=guarded) + table.sql(
        "DELETE FROM {t} AS t USING locked WHERE t.{id} = locked.id"
    )


def take_vectors(table: Table, *, guarded: bool) -> sql.Composed:
    """Take vectors away, each with its stamp, and tell whose; takes ids[, write]."""
    return _locked(table, guarded=guarded) + table.sql(
        "UPDATE {t} AS t SET {f} = NULL, {metadata} = {without} FROM locked "
        "WHERE t.{id} = locked.id AND t.{f} IS NOT NULL RETURNING t.{id}::text",
        without=without_stamp(table),
    )


def delete_bare(table: Table) -> sql.Composed:
    """Remove those of some documents that have no vector left."""
    bare = [sql.SQL("t.{} IS NULL").format(sql.Identifier(each)) for each in table.fields]
    return table.sql(
        "DELETE FROM {t} AS t WHERE t.{id} = ANY(%b::text[]::{id_type}[]) AND {bare}",
        bare=sql.SQL(" AND ").join(bare),
    )


_DISTANCE: Final = {
    "cosine": "{f} <=> %b::vector",
    "dot": "{f} <#> %b::vector",
    "l2": "{f} <-> %b::vector",
}


def nearest(table: Table, *, space: bool, exact: bool) -> sql.Composed:
    """The nearest documents and their distances; takes vector, [space,] vector, k."""
    distance = table.sql(_DISTANCE[table.field.metric])
    of_space = sql.SQL(" AND ") + _stamped(table, SPACE) + sql.SQL(" = %s")
    return table.sql(
        "SELECT {id}::text, {text}, {m}::text, {distance} FROM {t} AS t "
        "WHERE {f} IS NOT NULL{space} ORDER BY ({distance}){plus} LIMIT %s",
        distance=distance,
        space=of_space if space else _NOTHING,
        # What is computed from the distance is in the order of no index.
        plus=sql.SQL(" + 0") if exact else _NOTHING,
    )


def spaces(table: Table) -> sql.Composed:
    """How many documents each space has."""
    return table.sql(
        "SELECT coalesce({space}, ''), count(*) FROM {t} AS t WHERE {f} IS NOT NULL GROUP BY 1",
        space=_stamped(table, SPACE),
    )
