"""Values of qdrant-client: what it takes for rows and conditions, and what it raises."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from herdbook.errors import Conflict, Invalid, NotFound, Unavailable
from herdbook.storage.vectors.point_engine import Rows, Where
from herdbook.storage.vectors.qdrant_addresses import distance_of


def distance(metric: str) -> Any:
    """Give the client's value of a metric."""
    from qdrant_client import models

    return models.Distance(distance_of(metric))


def points_of(rows: Rows, part: slice) -> Any:
    """Give a part of rows as the client takes it."""
    from qdrant_client import models

    if rows.name is None:
        return [
            models.PointStruct(id=point, payload=payload, vector=vectors)
            for point, payload, vectors in zip(
                rows.ids[part], rows.payloads[part], rows.vectors[part], strict=True
            )
        ]
    vectors = rows.vectors[part].tolist()
    return models.Batch(
        ids=list(rows.ids[part]),
        payloads=rows.payloads[part],
        vectors=vectors if rows.unnamed and not rows.name else {rows.name: vectors},
    )


def filter_of(where: Where) -> Any:
    """Give a condition as the client takes it."""
    from qdrant_client import models

    must: list[Any] = []
    if where.ids is not None:
        must.append(models.HasIdCondition(has_id=list(where.ids)))
    if where.present is not None:
        must.append(models.HasVectorCondition(has_vector=where.present))
    for key, value in where.equal.items():
        must.append(models.FieldCondition(key=key, match=models.MatchValue(value=value)))
    for key, values in where.unchanged.items():
        either: list[Any] = [models.IsEmptyCondition(is_empty=models.PayloadField(key=key))]
        if values:
            either.append(models.FieldCondition(key=key, match=models.MatchAny(any=list(values))))
        must.append(models.Filter(should=either))
    must_not: list[Any] = [models.HasVectorCondition(has_vector=name) for name in where.absent]
    return models.Filter(must=must or None, must_not=must_not or None)


@contextmanager
def answered() -> Iterator[None]:
    """Turn what the client raises into the port's errors."""
    import sqlite3

    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

    try:
        yield
    except UnexpectedResponse as error:
        raise _answer(error.status_code or 0, _said(error)) from None
    except (ApiException, QdrantException) as error:
        raise Unavailable(f"Qdrant does not answer: {error}") from None
    except (sqlite3.Error, OSError, RuntimeError) as error:
        raise Unavailable(f"Qdrant's local mode failed: {error}") from None
    except (ValueError, TypeError, KeyError) as error:
        said = str(error).strip("'\"")
        if "not found" in said and said.startswith("Collection"):
            raise NotFound(said) from None
        if "already exists" in said:
            raise Conflict(said) from None
        raise Invalid(f"Qdrant refuses it: {said:.300}") from None


def _said(error: Any) -> str:
    try:
        return str(error.structured()["status"]["error"])[:300]
    except (ValueError, TypeError, KeyError):
        return f"{error.status_code} {error.reason_phrase}"


def _answer(status: int, said: str) -> Exception:
    if status == 404:
        return NotFound(f"Qdrant: {said}")
    if status == 409 or "already exists" in said:
        return Conflict(f"Qdrant: {said}")
    if status in {401, 403}:
        return Invalid(f"Qdrant refuses the key in QDRANT_API_KEY: {said}", field="store")
    if status == 429 or status >= 500:
        return Unavailable(f"Qdrant: {said}")
    return Invalid(f"Qdrant refuses it: {said}")
