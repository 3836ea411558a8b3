"""Values of Chroma: what it takes and gives for documents, and what it raises."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from herdbook.core.stamps import Metadata
from herdbook.core.vectors import Batch, Place
from herdbook.errors import Conflict, HerdbookError, Invalid, NotFound, Unavailable

SPACES: Final = {"cosine": "cosine", "dot": "ip", "l2": "l2"}
_METRICS: Final = {space: metric for metric, space in SPACES.items()}
# The collection's own metadata: Chroma learns the dimension with the first document only.
DIMENSION: Final = "herdbook_dimension"
_RESERVED: Final = "chroma:"
_LARGEST: Final = 2**63


def dimension_of(collection: Any) -> int:
    """Give the dimension of a collection; 0 when nobody knows."""
    told = (collection.metadata or {}).get(DIMENSION, 0)
    return collection.get_model().dimension or (told if isinstance(told, int) else 0)


def metric_of(collection: Any) -> str:
    """Give the metric of a collection."""
    settings = collection.configuration_json
    space = str((settings.get("hnsw") or settings.get("spann") or {}).get("space", "l2"))
    return _METRICS.get(space, space)


def score_of(distance: float, metric: str) -> float:
    """Give the score of a distance: higher is nearer."""
    # For l2 Chroma gives the square of the distance.
    return -math.sqrt(max(distance, 0.0)) if metric == "l2" else 1.0 - distance


def columns(batch: Batch, rows: slice, metadata: list[Metadata]) -> dict[str, Any]:
    """Give rows of a batch as Chroma takes them."""
    return {
        "ids": batch.ids[rows],
        "embeddings": batch.vectors[rows],
        "documents": batch.texts[rows],
        # Chroma takes no empty metadata, only none.
        "metadatas": [each or None for each in metadata],
    }


def check(batch: Batch, place: Place, collection: Any) -> None:
    """Refuse a batch the collection cannot hold."""
    import numpy as np

    if not len(batch):
        return
    if not len(batch.ids) == len(batch.texts) == len(batch.metadata):
        raise Invalid(
            f"{len(batch.ids)} ids with {len(batch.texts)} texts and {len(batch.metadata)} "
            "metadata; give one of each for a document"
        )
    batch_vectors = np.asarray(batch.vectors, dtype=np.float32)
    dimension = dimension_of(collection)
    expected = (len(batch), dimension or batch_vectors.shape[-1])
    if batch_vectors.shape != expected or not np.isfinite(batch_vectors).all():
        raise Invalid(
            f"vectors of shape {batch_vectors.shape} do not fit {place}, which takes "
            f"{expected[0]} of {expected[1]} finite numbers here",
            field="vectors",
        )
    for metadata in batch.metadata:
        for key, value in metadata.items():
            if type(value) is not str and not _plain(value):
                raise Invalid(
                    f"Chroma keeps texts, numbers and booleans; {key!r:.80} is {value!r:.80}",
                    field="metadata",
                )
            if not key or key.startswith(_RESERVED):
                raise Invalid(f"{key!r:.80} is no key of metadata in Chroma", field="metadata")


def _plain(value: Any) -> bool:
    if type(value) is int:
        return -_LARGEST <= value < _LARGEST
    return type(value) is bool or (type(value) is float and math.isfinite(value))


@contextmanager
def answered() -> Iterator[None]:
    """Turn what the client raises into the port's errors."""
    import httpx
    from chromadb import errors

    try:
        yield
    except HerdbookError:
        raise
    except errors.NotFoundError as error:
        raise NotFound(f"Chroma: {error!s:.300}") from None
    except (errors.InternalError, errors.RateLimitError, errors.VersionMismatchError) as error:
        raise Unavailable(f"Chroma does not answer: {error!s:.300}") from None
    except errors.UniqueConstraintError as error:
        raise Conflict(f"Chroma: {error!s:.300}") from None
    except (httpx.HTTPError, OSError, RuntimeError) as error:
        raise Unavailable(f"Chroma does not answer: {error!s:.300}") from None
    except (errors.ChromaError, ValueError, TypeError, OverflowError) as error:
        raise Invalid(f"Chroma refuses it: {error!s:.300}") from None
