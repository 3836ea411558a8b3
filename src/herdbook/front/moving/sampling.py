"""Documents that stand for all of a collection."""

from collections.abc import Iterator
from typing import Any, Final

from herdbook.core.spaces import Encoder
from herdbook.core.vectors import Batch, Place, Range, Vectors
from herdbook.errors import Invalid
from herdbook.front.moving.carrying import picked

PIECES: Final = 8


def sample(store: Vectors, place: Place, *, count: int, vectors: bool = False) -> Batch:
    """Give about `count` documents, from pieces spread evenly over the ids.

    The same documents as long as the collection stays as it is.
    """
    shape = store.look(place)
    total = shape.documents if shape else 0
    piece = max(1, -(-min(count, total) // PIECES))
    taken = [store.read(place, within, vectors=vectors) for within in _spread(store, place, piece)]
    return _first(taken, count)


def _spread(store: Vectors, place: Place, piece: int) -> Iterator[Range]:
    ranges = list(store.ranges(place, size=piece))
    step = max(1, len(ranges) // PIECES)
    yield from ranges[::step][:PIECES]


def _first(taken: list[Batch], count: int) -> Batch:
    if not taken:
        return Batch([], [], [])
    whole = Batch(
        [id for batch in taken for id in batch.ids],
        [text for batch in taken for text in batch.texts],
        [metadata for batch in taken for metadata in batch.metadata],
    )
    if taken[0].vectors is not None:
        import numpy as np

        whole.vectors = np.concatenate([batch.vectors for batch in taken])
    return picked(whole, range(min(count, len(whole))))


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
