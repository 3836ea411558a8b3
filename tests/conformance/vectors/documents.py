"""Documents to put into stores."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from herdbook.core.spaces import Space
from herdbook.core.stamps import Hop, Metadata, Stamper, content_digest
from herdbook.core.vectors import Batch, Place, Traits, Vectors

DIMENSION = 8
OLD = Space(model="gbert", number="v1", dimension=DIMENSION)
NEW = Space(model="gbert", number="v2", dimension=DIMENSION)
AT = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
FIRST = Place(collection="chunks")
SECOND = Place(collection="chunks", field="v2")
ODD_IDS = [
    "it's",
    'say "so"',
    "a space",
    " led by one",
    "50%_of\\it",
    "a;DROP TABLE chunks;--",
    "Ärger",
    "ärger",
    "aerger",
    "Zebra",
    "zebra",
    "é",
    "e\u0301",
    "🐄🐂",
    "herd/book?x=1#y",
    "new\nline",
    "{curly} $1 %s :name",
    "null",
    "0",
    "00000000-0000-0000-0000-000000000001",
    "x" * 400,
    "🐄" * 400,
]


def directions(count: int, *, seed: int = 7, dimension: int = DIMENSION) -> Any:
    """Make vectors of length 1."""
    found = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def numbered(count: int, *, start: int = 0) -> list[str]:
    """Make ids in order."""
    return [f"doc-{at:06}" for at in range(start, start + count)]


def stamped(
    ids: Sequence[str],
    own: Sequence[Metadata],
    traits: Traits,
    *,
    space: Space = OLD,
    write: str = "write-1",
    hops: tuple[Hop, ...] = (),
) -> list[Metadata]:
    """Put stamps into metadata."""
    stamper = Stamper(space=space, at=AT, write=write, nested=traits.nested, hops=hops)
    return [
        stamper.stamped(each, content=content_digest(id, each), history=[])
        for id, each in zip(ids, own, strict=True)
    ]


def documents(
    ids: Sequence[str],
    traits: Traits,
    *,
    seed: int = 7,
    space: Space = OLD,
    write: str = "write-1",
    text: str = "about {id}",
) -> Batch:
    """Make documents with stamps."""
    own: list[Metadata] = [{"source": f"{seed}.md", "page": at} for at in range(len(ids))]
    return Batch(
        ids=list(ids),
        texts=[text.format(id=id) for id in ids],
        metadata=stamped(ids, own, traits, space=space, write=write),
        vectors=directions(len(ids), seed=seed, dimension=space.dimension),
    )


def told(batch: Batch) -> dict[str, tuple[str | None, Metadata, list[float]]]:
    """Give what a batch with vectors says of each document."""
    rows = zip(batch.ids, batch.texts, batch.metadata, batch.vectors, strict=True)
    return {
        id: (text, dict(metadata), [round(float(number), 3) for number in vector])
        for id, text, metadata, vector in rows
    }


def everything(store: Vectors, place: Place, *, size: int = 1_000) -> Batch:
    """Read a whole place, range by range."""
    whole = Batch(ids=[], texts=[], metadata=[], vectors=[])
    for within in store.ranges(place, size=size):
        part = store.read(place, within, vectors=True)
        whole.ids += part.ids
        whole.texts += part.texts
        whole.metadata += part.metadata
        whole.vectors += list(part.vectors)
    return whole


def filled(store: Vectors, count: int = 5, *, metric: str = "cosine") -> Batch:
    """Make the collection, with documents."""
    store.create(FIRST, dimension=DIMENSION, metric=metric)
    batch = documents(numbered(count), store.traits)
    store.insert(FIRST, batch)
    return batch
