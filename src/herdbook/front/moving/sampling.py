"""Documents that stand for all of a collection."""

from itertools import islice
from typing import Any, Final

from herdbook.core.spaces import Encoder
from herdbook.core.vectors import Batch, Place, Vectors
from herdbook.errors import Invalid

AT_ONCE: Final = 500


def sample(store: Vectors, place: Place, *, count: int, vectors: bool = False) -> Batch:
    """Give `count` documents spread evenly over the ids, or all when there are no more.

    The same documents as long as the collection stays as it is.
    """
    shape = store.look(place)
    size = max(1, (shape.documents if shape else 0) // count)
    # The last of each range: nothing else has to be read to know it.
    ids = [within.upto for within in islice(store.ranges(place, size=size), count)]
    pieces = [ids[at : at + AT_ONCE] for at in range(0, len(ids), AT_ONCE)]
    return _whole([store.fetch(place, piece, vectors=vectors) for piece in pieces])


def _whole(taken: list[Batch]) -> Batch:
    if not taken:
        return Batch([], [], [])
    made = Batch(
        [id for batch in taken for id in batch.ids],
        [text for batch in taken for text in batch.texts],
        [metadata for batch in taken for metadata in batch.metadata],
    )
    if taken[0].vectors is not None:
        import numpy as np

        made.vectors = np.concatenate([batch.vectors for batch in taken])
    return made


def embeddable(encoder: Encoder, texts: list[str]) -> tuple[list[int], Any]:
    """Embed texts, those the encoder refuses left out.

    Returns:
        The places of those it takes, and their vectors.
    """
    import numpy as np

    if not texts:
        return [], np.empty((0, encoder.space.dimension), np.float32)
    try:
        return list(range(len(texts))), encoder.embed(texts)
    except Invalid:
        if len(texts) == 1:
            return [], np.empty((0, encoder.space.dimension), np.float32)
    half = len(texts) // 2
    first, a = embeddable(encoder, texts[:half])
    second, b = embeddable(encoder, texts[half:])
    return [*first, *(half + at for at in second)], np.concatenate([a, b])
