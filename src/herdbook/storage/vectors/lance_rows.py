"""Documents as Arrow tables and back.

Beside `id`, `text` and one column for each vector field there is `metadata`, the user's own as a
JSON text, and a column for each key of each field's stamp.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from herdbook.core.stamps import HISTORY, KEYS, Metadata, unstamped
from herdbook.core.vectors import Batch, Place
from herdbook.errors import Invalid

VECTOR: Final = "vector"
_METRIC: Final = b"herdbook_metric"
_written = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def column_of(place: Place) -> str:
    """Name the column of a place's vectors."""
    if place.field == VECTOR:
        raise Invalid(f"{VECTOR!r} is the column of the first field; take another", field="field")
    return place.field or VECTOR


def stamp_columns(place: Place) -> list[str]:
    """Name the columns of a place's stamps, in the order of `KEYS`."""
    return [place.stamp_key(key) for key in KEYS]


def field_columns(place: Place, *, dimension: int, metric: str) -> list[Any]:
    """Describe the columns a vector field is made of."""
    vectors = pa.field(
        column_of(place), pa.list_(pa.float32(), dimension), metadata={_METRIC: metric.encode()}
    )
    return [vectors, *(pa.field(each, pa.string()) for each in stamp_columns(place))]


def shared_columns() -> list[Any]:
    """Describe the columns all fields share."""
    return [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("metadata", pa.string()),
    ]


def dimensions(schema: Any) -> dict[str, int]:
    """Give the columns of vectors, and how long these are."""
    return {
        each.name: each.type.list_size
        for each in schema
        if pa.types.is_fixed_size_list(each.type) and pa.types.is_float32(each.type.value_type)
    }


def metric_of(schema: Any, column: str) -> str:
    """Give the metric a column's vectors are compared by."""
    found: bytes = (schema.field(column).metadata or {}).get(_METRIC, b"cosine")
    return found.decode()


def rows(place: Place, batch: Batch, vectors: Any, *, only: str = "") -> Any:
    """Give documents as a table of what their place holds of them.

    Args:
        place: the place.
        batch: documents.
        vectors: float32, shape (documents, dimension).
        only: `vectors` leaves text and the user's metadata out.
    """
    columns = {"id": pa.array(batch.ids, pa.string())}
    if not only:
        columns["text"] = pa.array(batch.texts, pa.string())
        columns["metadata"] = pa.array([_own(each) for each in batch.metadata], pa.string())
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    columns[column_of(place)] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    for key in KEYS:
        values = [each.get(key) for each in batch.metadata]
        if key == HISTORY:
            values = [_history(each) for each in values]
        columns[place.stamp_key(key)] = pa.array(values, pa.string())
    return pa.table(columns)


def _own(metadata: Metadata) -> str:
    try:
        return _written(unstamped(metadata))
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"metadata is what JSON can say: {error}", field="metadata") from None


def _history(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return _written(value) if value else "[]"


def wanted(schema: Any, place: Place, *, vectors: bool) -> list[str]:
    """Name the columns a batch is read from, of those that are there."""
    asked = ["id", "text", "metadata", *stamp_columns(place)]
    there = set(schema.names)
    return [each for each in asked if each in there] + ([column_of(place)] if vectors else [])


def batch(place: Place, table: Any, *, vectors: bool) -> Batch:
    """Give a table's rows as documents."""
    there = set(table.column_names)
    return Batch(
        ids=table["id"].to_pylist(),
        texts=table["text"].to_pylist() if "text" in there else [None] * len(table),
        metadata=metadata(place, table),
        vectors=_numbers(table[column_of(place)]) if vectors else None,
    )


def metadata(place: Place, table: Any) -> list[Metadata]:
    """Give the metadata of a table's rows, the place's stamps by their plain keys."""
    found = _owned(table)
    columns = dict(zip(stamp_columns(place), KEYS, strict=True))
    there = {columns[each]: table[each] for each in table.column_names if each in columns}
    values = {key: column.to_pylist() for key, column in there.items()}
    if HISTORY in values:
        values[HISTORY] = _histories(values[HISTORY])
    if any(column.null_count for column in there.values()):
        for key, column in values.items():
            for each, value in zip(found, column, strict=True):
                if value is not None:
                    each[key] = value
    elif values:
        keys = list(values)
        for each, stamp in zip(found, zip(*values.values(), strict=True), strict=True):
            each.update(zip(keys, stamp, strict=True))
    return found


def _owned(table: Any) -> list[Metadata]:
    if "metadata" not in table.column_names:
        return [{} for _ in range(len(table))]
    column = table["metadata"]
    if pa.types.is_struct(column.type):
        return [
            {key: value for key, value in (each or {}).items() if value is not None}
            for each in column.to_pylist()
        ]
    return _parsed([each or "{}" for each in column.to_pylist()])


def _histories(texts: list[str | None]) -> list[Any]:
    """Parse histories; what is no JSON is left for whoever reads the stamp to complain of."""
    try:
        return _parsed([each or "null" for each in texts])
    except Invalid:
        return list(texts)


def _parsed(texts: list[str]) -> list[Any]:
    try:
        found: list[Any] = json.loads(f"[{','.join(texts)}]")
    except ValueError:
        raise Invalid("the column metadata holds a text that is no JSON") from None
    return found


def _numbers(column: Any) -> Any:
    """Give a column of vectors as one array."""
    dimension = column.type.list_size
    parts = [each.flatten().to_numpy().reshape(-1, dimension) for each in column.chunks]
    return np.concatenate(parts) if parts else np.empty((0, dimension), np.float32)


def quoted(text: str) -> str:
    """Write a text in a filter."""
    return "'" + text.replace("'", "''") + "'"


def named(ids: Sequence[str]) -> str:
    """Write the filter of some ids."""
    return f"id IN ({', '.join(map(quoted, ids))})"


def matching(conditions: Mapping[str, str]) -> str:
    """Write the filter of columns that hold texts."""
    return " AND ".join(f"`{column}` = {quoted(text)}" for column, text in conditions.items())
