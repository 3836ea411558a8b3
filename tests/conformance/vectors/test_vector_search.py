"""What every vector store promises of a search."""

import numpy as np
import pytest

from herdbook.core.stamps import SPACE
from herdbook.core.vectors import Vectors
from tests.conformance.vectors.documents import (
    DIMENSION,
    FIRST,
    NEW,
    directions,
    documents,
    filled,
    numbered,
)


@pytest.mark.parametrize("indexed", [False, True], ids=["plain", "indexed"])
def test_a_search_gives_the_nearest_first(vectors: Vectors, indexed: bool) -> None:  # noqa: FBT001
    batch = filled(vectors, 200)
    if indexed:
        vectors.index(FIRST)
    query = directions(1, seed=99)[0]
    cosines = batch.vectors @ query

    hits = vectors.search(FIRST, query, k=7)

    nearest = np.argsort(-cosines)[:7]
    assert [hit.id for hit in hits] == [batch.ids[at] for at in nearest]
    assert [hit.score for hit in hits] == pytest.approx(cosines[nearest].tolist(), abs=1e-4)
    assert hits[0].text == batch.texts[nearest[0]]
    assert dict(hits[0].metadata) == batch.metadata[nearest[0]]


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_a_search_by_another_metric_gives_the_nearest_first(vectors: Vectors, metric: str) -> None:
    vectors.create(FIRST, dimension=DIMENSION, metric=metric)
    batch = documents(numbered(60), vectors.traits)
    batch.vectors = batch.vectors * np.linspace(0.5, 3, 60, dtype=np.float32)[:, None]
    vectors.insert(FIRST, batch)
    vectors.index(FIRST)
    query = directions(1, seed=98)[0]
    far = np.linalg.norm(batch.vectors - query, axis=1)
    near = batch.vectors @ query if metric == "dot" else -far

    hits = vectors.search(FIRST, query, k=5)

    assert [hit.id for hit in hits] == [batch.ids[at] for at in np.argsort(-near)[:5]]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_search_gives_no_more_than_there_are(vectors: Vectors) -> None:
    batch = filled(vectors, 3)

    assert len(vectors.search(FIRST, batch.vectors[0], k=10)) == 3
    assert vectors.search(FIRST, batch.vectors[0], k=10, space="another") == []


@pytest.mark.parametrize("indexed", [False, True], ids=["plain", "indexed"])
def test_a_search_of_one_space_gives_k_when_there_are_k(vectors: Vectors, indexed: bool) -> None:  # noqa: FBT001
    vectors.create(FIRST, dimension=DIMENSION)
    near = documents(numbered(1_000), vectors.traits)
    near.vectors = np.abs(near.vectors)
    far = documents(numbered(6, start=5_000), vectors.traits, space=NEW)
    far.vectors = -np.abs(far.vectors)
    for batch in (near, far):
        vectors.insert(FIRST, batch)
    if indexed:
        vectors.index(FIRST)
    query = np.abs(directions(1, seed=3)[0])

    hits = vectors.search(FIRST, query, k=5, space=NEW.fingerprint)

    order = np.argsort(-(far.vectors @ query))[:5]
    assert [hit.id for hit in hits] == [far.ids[at] for at in order]
    assert {hit.metadata[SPACE] for hit in hits} == {NEW.fingerprint}


def test_documents_are_counted_by_space(vectors: Vectors) -> None:
    old = filled(vectors, 5)
    vectors.insert(FIRST, documents(numbered(3, start=10), vectors.traits, space=NEW))
    legacy = documents(numbered(2, start=20), vectors.traits)
    legacy.metadata = [{"source": "before.md"}, {}]
    vectors.insert(FIRST, legacy)

    assert vectors.spaces(FIRST) == {old.metadata[0][SPACE]: 5, NEW.fingerprint: 3, "": 2}
