"""What is Chroma's own: its server killed, its folder's one process, LangChain's collections."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from herdbook.core.vectors import Batch, Place, Vectors
from herdbook.errors import Invalid, Unavailable
from herdbook.storage.vectors import opened
from herdbook.storage.vectors.chroma_ids import KnownIds
from tests.conformance.vectors.documents import (
    DIMENSION,
    FIRST,
    directions,
    documents,
    everything,
    filled,
    numbered,
    told,
)
from tests.conformance.vectors.kinds_chroma import chroma_server
from tests.storage.vector_writers import HOLDING, acknowledged, process


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"chroma:{tmp_path / 'vectors'}"


@pytest.fixture
def store(address: str) -> Iterator[Vectors]:
    found = opened(address)
    yield found
    found.close()


def missing(address: str, count: int) -> list[str]:
    store = opened(address)
    try:
        ids = numbered(count)
        there = set(store.fetch(FIRST, ids, vectors=True).ids)
        return [each for each in ids if each not in there]
    finally:
        store.close()


def test_what_a_killed_process_was_told_is_written_is_there(address: str) -> None:
    count = acknowledged(address)

    assert missing(address, count) == []


def test_a_writer_that_acknowledges_too_early_fails_that_test(address: str) -> None:
    count = acknowledged(address, manner="naive")

    assert missing(address, count) != []


def test_what_a_killed_server_acknowledged_is_there_when_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    with chroma_server(folder) as (port, server):
        store = opened(f"chroma://127.0.0.1:{port}")
        batch = filled(store, 1_200)
        server.kill()
        server.wait()

        with pytest.raises(Unavailable):
            store.fetch(FIRST, batch.ids)
        with pytest.raises(Unavailable):
            store.insert(FIRST, batch)

    with chroma_server(folder, port=port):
        assert told(everything(store, FIRST)) == told(batch)
        store.close()


def test_a_folder_another_process_has_open_is_refused_until_it_ends(address: str) -> None:
    with process(HOLDING, address) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        with pytest.raises(Unavailable, match="another process"):
            opened(address)

    opened(address).close()


def test_a_process_shares_what_it_has_open(address: str) -> None:
    one, two = opened(address), opened(address)
    filled(one)

    one.close()
    one.close()

    assert len(two.fetch(FIRST, numbered(5))) == 5
    with pytest.raises(Unavailable, match="closed"):
        one.look(FIRST)
    two.close()


@pytest.mark.parametrize("value", [["a"], {"a": 1}, None, 2**63, float("nan")])
def test_metadata_that_is_not_flat_is_invalid_and_its_key_is_named(
    store: Vectors, value: object
) -> None:
    store.create(FIRST, dimension=DIMENSION)
    batch = documents(numbered(2), store.traits)
    batch.metadata[1]["tags"] = value

    with pytest.raises(Invalid, match="'tags'"):
        store.insert(FIRST, batch)

    assert everything(store, FIRST).ids == []


@pytest.mark.parametrize("name", ["ab", "ends-", "ends_"])
def test_names_chroma_does_not_take_are_invalid(store: Vectors, name: str) -> None:
    with pytest.raises(Invalid, match="3 characters"):
        store.create(Place(collection=name), dimension=DIMENSION)


def test_a_collection_of_langchain_is_read_and_written(address: str, tmp_path: Path) -> None:
    chroma = pytest.importorskip("langchain_chroma")
    documents_of = pytest.importorskip("langchain_core.documents")
    embeddings = pytest.importorskip("langchain_core.embeddings")
    fake = embeddings.DeterministicFakeEmbedding(size=DIMENSION)
    folder = str(tmp_path / "vectors")
    theirs = chroma.Chroma("chunks", fake, persist_directory=folder)
    theirs.add_documents([documents_of.Document("a cow", metadata={"page": 1})], ids=["a"])
    theirs._client.close()
    store = opened(address)

    read = store.fetch(FIRST, ["a"], vectors=True)
    store.insert(FIRST, documents(["b"], store.traits, text="a bull"))
    store.close()

    assert (read.texts, read.metadata) == (["a cow"], [{"page": 1}])
    assert np.allclose(read.vectors[0], fake.embed_query("a cow"), atol=1e-5)
    again = chroma.Chroma("chunks", fake, persist_directory=folder)
    found = again.get_by_ids(["b"])
    again._client.close()
    assert found[0].page_content == "a bull"
    assert found[0].metadata["embedding_model"] == "gbert"


def test_a_range_shows_what_was_added_and_deleted_since_by_others(tmp_path: Path) -> None:
    with chroma_server(tmp_path / "server") as (port, _):
        store, other = (opened(f"chroma://127.0.0.1:{port}") for _ in range(2))
        filled(store, 20)
        within = next(iter(store.ranges(FIRST, size=20)))
        other.delete(FIRST, ["doc-000003", "doc-000019"])
        other.insert(FIRST, documents(["doc-000005b", "zz"], store.traits))

        found = store.read(FIRST, within).ids

        expected = [*numbered(19), "doc-000005b"]
        expected.remove("doc-000003")
        assert found == sorted(expected)
        for each in (store, other):
            each.close()


def overlooked(*, by_position: bool) -> set[str]:
    """Read ids page by page while others are deleted; gives those that were never seen."""
    rng = random.Random(5)  # noqa: S311 - which are deleted is no secret
    laid = [f"{at * 7_919 % 10_007:05}" for at in range(2_000)]

    def page(limit: int, offset: int) -> list[str]:
        found = laid[offset : offset + min(limit, 50)]
        for _ in range(3 if len(laid) > 500 else 0):
            laid.remove(rng.choice(laid))
        return found

    seen: set[str] = set()
    if by_position:
        offset = 0
        while part := page(50, offset):
            seen.update(part)
            offset += len(part)
    else:
        known = KnownIds(page)
        # A page of 50 looks like the last one, so that each look goes on where one ended.
        for _ in range(200):
            known.refresh()
        seen.update(each for piece in known.cut(10) for each in piece)
    return set(laid) - seen


def test_deletes_between_pages_hide_no_document() -> None:
    assert overlooked(by_position=False) == set()


def test_pages_by_position_alone_lose_documents() -> None:
    assert len(overlooked(by_position=True)) > 50


def test_a_guarded_delete_never_takes_a_later_write(store: Vectors) -> None:
    store.create(FIRST, dimension=DIMENSION)
    lost = []

    for at in range(40):
        ids = numbered(3, start=3 * at)
        store.insert(FIRST, documents(ids, store.traits, write="old"))
        later = documents(ids, store.traits, write="new")
        with ThreadPoolExecutor(2) as pool:
            done = [
                pool.submit(store.delete, FIRST, ids, write="old"),
                pool.submit(store.upsert, FIRST, later),
            ]
            for each in done:
                each.result()
        lost += [each for each in ids if each not in store.fetch(FIRST, ids).ids]

    assert lost == []


def test_an_upsert_removes_a_text_that_is_no_more(store: Vectors) -> None:
    filled(store, 2)
    bare = Batch(ids=["doc-000001"], texts=[None], metadata=[{}], vectors=directions(1))

    store.upsert(FIRST, bare)

    found = store.fetch(FIRST, numbered(2))
    assert found.texts == ["about doc-000000", None]
    assert found.metadata[1] == {}
