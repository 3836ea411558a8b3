"""LlamaIndex's stores carry stamps and never mix two spaces; one serves while it is moved."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import chromadb
import pytest
from chromadb.config import Settings
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import BaseNode, MetadataMode, NodeRelationship, TextNode
from llama_index.core.vector_stores import (
    MetadataFilter,
    MetadataFilters,
    SimpleVectorStore,
    VectorStoreQuery,
)
from llama_index.vector_stores.chroma import ChromaVectorStore

import herdbook
from herdbook.core import stamps
from herdbook.errors import Conflict, Invalid
from herdbook.front.book import Herdbook
from herdbook.front.moving.proving import Demands, Query
from herdbook.llamaindex import HerdbookVectorStore, stamped
from tests.wording import one, other, two

TEXTS = [f"document {at} about word{at % 10} and topic{at % 7}" for at in range(60)]
IDS = [f"d{at:02}" for at in range(60)]
DEMANDS = Demands(
    queries=tuple(Query(text=text, relevant={id: 1}) for text, id in zip(TEXTS, IDS, strict=True))
)

Embed = Callable[[Sequence[str]], Any]


class Worded(BaseEmbedding):
    """A model as LlamaIndex has it."""

    embed: Any

    def _get_text_embedding(self, text: str) -> list[float]:
        found: list[float] = self.embed([text])[0].tolist()
        return found

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def nodes(count: int = 60, embed: Embed | None = None) -> list[BaseNode]:
    """Nodes of two documents, embedded where a model is given."""
    return [
        TextNode(
            id_=IDS[at],
            text=TEXTS[at],
            metadata={"n": at},
            excluded_embed_metadata_keys=["n"],
            relationships={NodeRelationship.SOURCE: {"node_id": f"doc{at % 2}"}},
            embedding=embed([TEXTS[at]])[0].tolist() if embed else None,
        )
        for at in range(count)
    ]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Herdbook]:
    """A register with two versions of gbert."""
    with herdbook.connect(f"sqlite:///{tmp_path}/herdbook.db") as found:
        found.models.register("gbert", "v1")
        found.models.register("gbert", "v2")
        yield found


def in_chroma(folder: Path) -> ChromaVectorStore:
    """Open a folder as a service of today does; Chroma wants one process to use one setting."""
    client = chromadb.PersistentClient(
        str(folder / "chroma"), settings=Settings(anonymized_telemetry=False)
    )
    return ChromaVectorStore(chroma_collection=client.get_or_create_collection("docs"))


def served(book: Herdbook, folder: Path) -> ChromaVectorStore:
    """A folder that LlamaIndex wrote, adopted, and proven to be of gbert:v1."""
    store = in_chroma(folder)
    store.add(nodes(embed=one))
    book.documents.adopt("docs", model="gbert", store=f"chroma:{folder}/chroma")
    book.documents.stamp("docs", ref="gbert:v1", encoder=one)
    return store


def created(book: Herdbook, folder: Path) -> HerdbookVectorStore:
    """A collection of Herdbook's own, as a store of LlamaIndex's."""
    book.documents.create("docs", ref="gbert:v1", store=f"lancedb:{folder}/l", encoder=one)
    store = HerdbookVectorStore(book, "docs")
    store.add(nodes())
    return store


def asked(text: str, embed: Embed = one, **more: Any) -> VectorStoreQuery:
    """A query as a retriever makes it."""
    return VectorStoreQuery(
        query_str=text, query_embedding=embed([text])[0].tolist(), similarity_top_k=1, **more
    )


# --- stamping ---


def test_an_index_over_a_wrapped_store_stamps_its_nodes(tmp_path: Path) -> None:
    model = Worded(embed=one)
    store = stamped(in_chroma(tmp_path), ref="gbert:v1", embed_model=model)
    index = VectorStoreIndex.from_vector_store(store, embed_model=model)

    index.insert_nodes(nodes())

    found = index.as_retriever(similarity_top_k=1).retrieve(TEXTS[5])[0].node
    assert found.node_id == "d05"
    assert found.metadata["embedding_model"] == "gbert"
    assert found.metadata["embedding_model_version"] == "v1"
    assert found.metadata["migration_history"] == "[]"
    assert stamps.read(found.metadata).known


def test_neither_what_embeds_nor_a_language_model_reads_the_stamps() -> None:
    store = stamped(SimpleVectorStore(), ref="gbert:v1", embed_model=Worded(embed=one))
    node = nodes(1, one)[0]
    before = node.get_content(metadata_mode=MetadataMode.EMBED)

    store.add([node])

    assert node.get_content(metadata_mode=MetadataMode.EMBED) == before
    assert "embedding" not in node.get_content(metadata_mode=MetadataMode.LLM)


def test_a_store_of_vectors_alone_has_its_stamps_in_the_document_store() -> None:
    model = Worded(embed=one)
    store = stamped(SimpleVectorStore(), ref="gbert:v1", embed_model=model)
    index = VectorStoreIndex(
        nodes(),
        embed_model=model,
        storage_context=StorageContext.from_defaults(vector_store=store),
    )

    found = asyncio.run(index.as_retriever(similarity_top_k=1).aretrieve(TEXTS[5]))[0].node

    assert found.node_id == "d05"
    assert found.metadata["embedding_model_version"] == "v1"


def test_vectors_of_another_dimension_are_refused() -> None:
    store = stamped(SimpleVectorStore(), ref="gbert:v1", embed_model=Worded(embed=one))

    with pytest.raises(Conflict, match="96 dimensions"):
        store.add(nodes(3, two))
    with pytest.raises(Conflict, match="96 dimensions"):
        store.query(asked(TEXTS[5], two))
    with pytest.raises(Conflict, match="96 dimensions"):
        asyncio.run(store.async_add(nodes(3, two)))


def test_a_hit_of_another_space_is_an_error(tmp_path: Path) -> None:
    there = in_chroma(tmp_path)
    stamped(there, ref="gbert:v2", embed_model=Worded(embed=other)).add(nodes(3, other))
    store = stamped(there, ref="gbert:v1", embed_model=Worded(embed=one))

    with pytest.raises(Conflict, match="gbert:v2"):
        store.query(asked(TEXTS[1]))
    with pytest.raises(Conflict, match="gbert:v2"):
        asyncio.run(store.aquery(asked(TEXTS[1])))


def test_a_store_that_nobody_guards_mixes_two_spaces_and_says_nothing(tmp_path: Path) -> None:
    """The negative control: what the guard is there for."""
    store = in_chroma(tmp_path)
    store.add(nodes(embed=other))

    assert store.query(asked(TEXTS[5])).ids != ["d05"]


def test_a_folder_that_llamaindex_wrote_is_adopted_proven_and_guarded(
    book: Herdbook, tmp_path: Path
) -> None:
    model = Worded(embed=one)
    store = stamped(served(book, tmp_path), book, "docs", embed_model=model)
    index = VectorStoreIndex.from_vector_store(store, embed_model=model)

    index.insert_nodes([TextNode(id_="d60", text="one more")])

    found = index.as_retriever(similarity_top_k=1).retrieve("one more")[0].node
    assert found.metadata["embedding_model_version"] == "v1"
    assert [hit.id for hit in book.documents.open("docs").search("one more", k=1)] == ["d60"]


def test_nodes_of_another_model_are_refused_though_their_dimension_fits(
    book: Herdbook, tmp_path: Path
) -> None:
    store = stamped(served(book, tmp_path), book, "docs")

    with pytest.raises(Conflict, match="cannot be compared"):
        store.add([TextNode(id_="d60", text="one more", embedding=other(["one more"])[0].tolist())])
    with pytest.raises(Conflict, match="cannot be compared"):
        stamped(in_chroma(tmp_path), book, "docs", embed_model=Worded(embed=other))


def test_a_wrapped_store_writes_nothing_while_its_documents_are_moved(
    book: Herdbook, tmp_path: Path
) -> None:
    store = stamped(served(book, tmp_path), book, "docs")

    book.documents.move("docs", to="v2", encoder=two, demands=DEMANDS)

    with pytest.raises(Conflict, match="HerdbookVectorStore"):
        store.add(nodes(1, one))
    with pytest.raises(Conflict, match="HerdbookVectorStore"):
        store.delete("doc0")
    assert store.query(asked(TEXTS[5])).ids == ["d05"]
    book.documents.cut_over("docs")
    with pytest.raises(Conflict, match="was moved to docs--v2"):
        store.query(asked(TEXTS[5]))


# --- moving ---


def test_a_collection_is_a_store_of_llamaindexs(book: Herdbook, tmp_path: Path) -> None:
    store = created(book, tmp_path)
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)

    index.insert_nodes([TextNode(id_="d60", text="one more", metadata={"deep": {"a": [1]}})])
    store.delete("doc1")
    store.delete_nodes(["d00"])

    found = index.as_retriever(similarity_top_k=1).retrieve("deep one more")[0]
    assert found.node.metadata["deep"] == {"a": [1]}
    assert found.node.metadata["embedding_model_version"] == "v1"
    assert found.node.get_content() == "one more"
    assert sorted(store.client.get(IDS).ids) == IDS[2::2]


def test_filters_find_as_many_as_there_are(book: Herdbook, tmp_path: Path) -> None:
    store = created(book, tmp_path)
    by_value = MetadataFilters(filters=[MetadataFilter(key="n", value=42)])

    assert store.query(asked(TEXTS[5], filters=by_value)).ids == ["d42"]
    assert store.query(asked(TEXTS[5], node_ids=["d07"])).ids == ["d07"]
    assert store.query(asked(TEXTS[5], doc_ids=["doc1"])).ids == ["d05"]
    assert store.query(asked(TEXTS[5], doc_ids=["doc7"])).ids == []
    store.delete_nodes(filters=by_value)
    assert store.client.get(["d42"]).ids == []


def test_a_query_that_is_a_vector_alone_is_refused(book: Herdbook, tmp_path: Path) -> None:
    store = created(book, tmp_path)

    with pytest.raises(Invalid, match="query_str"):
        store.query(VectorStoreQuery(query_embedding=[0.1] * 64))
    with pytest.raises(Invalid, match="node_ids"):
        store.delete_nodes()


def test_nodes_of_another_model_are_refused_by_a_collection(book: Herdbook, tmp_path: Path) -> None:
    store = created(book, tmp_path)

    with pytest.raises(Conflict, match="gives other vectors"):
        store.add(nodes(3, other))
    with pytest.raises(Conflict, match="gives other vectors"):
        store.add(nodes(3, two))


def test_a_migration_embeds_what_llamaindex_does(book: Herdbook, tmp_path: Path) -> None:
    store = created(book, tmp_path)
    node = TextNode(id_="d60", text="one more", metadata={"title": "window"})
    store.add([node])

    book.documents.move("docs", to="v2", encoder=two, demands=DEMANDS)
    book.documents.cut_over("docs")

    found = store.query(VectorStoreQuery(query_str="title: window\n\none more", similarity_top_k=1))
    assert found.ids == ["d60"]
    assert found.similarities == pytest.approx([1.0], abs=1e-4)
    assert found.nodes is not None
    assert found.nodes[0].get_content() == "one more"


def test_an_index_serves_while_its_documents_are_moved_and_follows_the_cut(
    book: Herdbook, tmp_path: Path
) -> None:
    store = created(book, tmp_path)
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
    retriever = index.as_retriever(similarity_top_k=1)
    early = nodes(1, one)[0]

    before = retriever.retrieve(TEXTS[5])[0].node
    book.documents.move("docs", to="v2", encoder=two, demands=DEMANDS)
    index.insert_nodes([TextNode(id_="live", text="written while it is moved")])
    during = retriever.retrieve("written while it is moved")[0].node
    book.documents.verify("docs", demands=DEMANDS)
    book.documents.cut_over("docs")
    # Embedded before the cut, written after it.
    store.add([early])
    after = retriever.retrieve(TEXTS[5])[0].node

    found = [(each.node_id, each.metadata["embedding_model_version"]) for each in (before, after)]
    assert found == [("d05", "v1"), ("d05", "v2")]
    assert during.node_id == "live"
    assert [hop["to_version"] for hop in stamps.history_of(after.metadata)] == ["v2"]
    for id in ("live", "d00"):
        assert store.client.get([id]).metadata[0]["embedding_model_version"] == "v2"
    assert [hit.id for hit in store.client.search(TEXTS[0], k=1)] == ["d00"]


def test_without_the_library_one_sentence_says_how_to_get_it() -> None:
    program = (
        "import sys; sys.modules['llama_index'] = None\n"
        "import herdbook\n"
        "try: import herdbook.llamaindex\n"
        "except herdbook.HerdbookError as error: print(error.code, error)"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert said.startswith("missing_extra ")
    assert "pip install 'herdbook[llamaindex]'" in said
    assert said.count("\n") == 1
