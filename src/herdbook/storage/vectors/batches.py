"""What is checked of documents before a store gets them."""

from typing import Any, Final

import numpy as np

from herdbook.core.vectors import Batch, Place
from herdbook.errors import Invalid

ID_LIMIT: Final = 400


def checked(batch: Batch, *, place: Place, dimension: int) -> Any:
    """Give a batch's vectors as float32, shape (documents, dimension).

    Args:
        batch: to be written.
        place: to where.
        dimension: of the vectors there; 0 when any will do.

    Raises:
        Invalid: ids that are none, columns of different lengths, vectors of another dimension or
            with numbers that are not finite.
    """
    count = len(batch.ids)
    if not count == len(batch.texts) == len(batch.metadata):
        raise Invalid(
            f"a batch of {count} ids has {len(batch.texts)} texts and {len(batch.metadata)} "
            "metadata; give one of each for every document",
            field="batch",
        )
    for id in batch.ids:
        if type(id) is not str or not 0 < len(id) <= ID_LIMIT:
            raise Invalid(
                f"{id!r:.80} is no id: a document's is a text of 1 to {ID_LIMIT} characters",
                field="ids",
            )
    return numbers(batch.vectors, shape=(count, dimension), place=place)


def numbers(given: Any, *, shape: tuple[int, ...], place: Place) -> Any:
    """Give vectors as float32 of a shape, whose last number is 0 when any will do.

    Raises:
        Invalid: they are of another shape, or not finite.
    """
    try:
        found = np.ascontiguousarray(given, dtype=np.float32)
    except (TypeError, ValueError):
        raise Invalid("vectors are rows of numbers, all of one length", field="vectors") from None
    expected = (*shape[:-1], shape[-1] or (found.shape[-1] if found.ndim else 0))
    if found.shape != expected:
        raise Invalid(
            f"vectors of shape {found.shape} do not go with {place}, which takes {expected}; "
            "embed with the encoder of that place",
            field="vectors",
        )
    if not np.isfinite(found).all():
        raise Invalid("a vector holds a number that is not finite", field="vectors")
    return found
