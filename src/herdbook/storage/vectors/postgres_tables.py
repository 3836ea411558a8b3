"""Tables that hold documents: how they are found and described."""

from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import sql

from herdbook.core.stamps import KEYS
from herdbook.core.vectors import Place
from herdbook.errors import Invalid, NotFound
from herdbook.storage.vectors.postgres_link import Connection, Names, name

OPERATORS: Final = {"cosine": "<=>", "dot": "<#>", "l2": "<->"}
CLASSES: Final = {"cosine": "cosine", "dot": "ip", "l2": "l2"}
METRIC: Final = "herdbook metric "

_COLUMNS: Final = """
SELECT a.attname, t.typname, a.atttypmod, format_type(a.atttypid, NULL),
       col_description(c.oid, a.attnum),
       (SELECT o.opcname FROM pg_index i JOIN pg_opclass o ON o.oid = i.indclass[0]
        WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND t.typname = 'vector' LIMIT 1)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relname = %s AND c.relkind IN ('r', 'p')
  AND n.nspname = coalesce(nullif(%s, ''), current_schema())
ORDER BY a.attnum
"""
_COLLECTIONS: Final = """
SELECT c.relname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') AND n.nspname = coalesce(nullif(%s, ''), current_schema())
GROUP BY c.relname
HAVING count(*) FILTER (WHERE a.attname = ANY(%s)) = 3
   AND count(*) FILTER (WHERE t.typname = 'vector') > 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column of vectors: its dimension, 0 when any is taken, and its metric."""

    dimension: int
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that is there.

    Args:
        names: its columns'.
        place: the place that was asked for.
        id_type: as a cast is written.
        metadata_type: `jsonb` or `json`.
        fields: the columns of vectors.
    """

    names: Names
    place: Place
    id_type: str
    metadata_type: str
    fields: dict[str, Field]

    @property
    def column(self) -> str:
        """The place's own column of vectors."""
        return self.place.field or self.names.vector

    @property
    def field(self) -> Field:
        """What is known of the place's column."""
        return self.fields[self.column]

    @property
    def others(self) -> tuple[str, ...]:
        """The columns of the other fields."""
        return tuple(each for each in self.fields if each != self.column)

    @property
    def other_keys(self) -> list[str]:
        """Under which names the stamps of the other fields are kept."""
        return [self._place_of(each).stamp_key(key) for each in self.others for key in KEYS]

    def _place_of(self, column: str) -> Place:
        field = "" if column == self.names.vector else column
        try:
            return Place(collection=self.place.collection, field=field)
        except Invalid:  # a column nobody could have made a field of has no stamps
            return self.place

    def sql(self, text: LiteralString, **more: sql.Composable) -> sql.Composed:
        """Compose a statement on the table.

        In it `{t}` is the table, `{id}`, `{text}` and `{metadata}` its columns, `{f}` the place's
        column, `{m}` its metadata as jsonb, `{id_type}` and `{metadata_type}` the types to cast
        to. The table goes by the name `t` where `{m}` is used.
        """
        names = self.names
        metadata = sql.Identifier(names.metadata)
        return sql.SQL(text).format(
            t=name(names.schema, self.place.collection),
            id=sql.Identifier(names.id),
            text=sql.Identifier(names.text),
            metadata=metadata,
            f=sql.Identifier(self.column),
            m=sql.SQL("coalesce(t.{}::jsonb, '{{}}')").format(metadata),
            # As `format_type` writes it, quoted where that is called for.
            id_type=sql.SQL(self.id_type),
            metadata_type=sql.SQL(self.metadata_type),
            **more,
        )


def described(connection: Connection, place: Place, names: Names) -> Table | None:
    """Look a table up, whether or not it has the place's column.

    Raises:
        Invalid: it is there, but is none that holds documents.
    """
    if place.field in {names.id, names.text, names.metadata, names.vector}:
        raise Invalid(f"{place.field!r} is another column of {place.collection}", field="field")
    rows = connection.execute(_COLUMNS, [place.collection, names.schema]).fetchall()
    if not rows:
        return None
    types = {row[0]: row[3] for row in rows}
    for column in (names.id, names.text, names.metadata):
        if column not in types:
            raise Invalid(
                f"the table {place.collection} has no column {column!r}; name its columns in the "
                "store's address, as in ?id=…&text=…&metadata=…&vector=…",
                field="collection",
            )
    if types[names.metadata] not in {"jsonb", "json"}:
        raise Invalid(f"the column {names.metadata!r} of {place.collection} holds no JSON")
    fields = {
        row[0]: Field(dimension=max(row[2], 0), metric=_metric(row[4], row[5]))
        for row in rows
        if row[1] == "vector"
    }
    return Table(
        names=names,
        place=place,
        id_type=types[names.id],
        metadata_type=types[names.metadata],
        fields=fields,
    )


def _metric(comment: str | None, operator_class: str | None) -> str:
    if comment and comment.startswith(METRIC):
        return comment.removeprefix(METRIC)
    known = {f"vector_{short}_ops": metric for metric, short in CLASSES.items()}
    return known.get(operator_class or "", "cosine")


def found(connection: Connection, place: Place, names: Names) -> Table:
    """Look up a table that has the place's column.

    Raises:
        NotFound: it has none, or is not there.
    """
    table = described(connection, place, names)
    if table is None or table.column not in table.fields:
        raise NotFound(f"there is no {place} in the database; create it first", field="collection")
    return table


def collections(connection: Connection, names: Names) -> list[str]:
    """Name the tables that hold documents."""
    columns = [names.id, names.text, names.metadata]
    rows = connection.execute(_COLLECTIONS, [names.schema, columns]).fetchall()
    return sorted(row[0] for row in rows if _is_name(row[0]))


def _is_name(text: str) -> bool:
    try:
        Place(collection=text)
    except Invalid:
        return False
    return True
