"""LangChain's stores carry stamps and never mix two spaces; one serves while it is moved."""

import asyncio
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chromadb.config import Settings
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

import herdbook
from herdbook.core import stamps
from herdbook.errors import Conflict, Invalid
from herdbook.front.book import Herdbook
from herdbook.front.moving.proving import Demands, Query
from herdbook.langchain import HerdbookVectorStore, StampedVectorStore, stamped
from tests.wording import one, other, two

TEXTS = [f"document {at} about word{at % 10} and topic{at % 7}" for at in range(60)]
IDS = [f"d{at:02}" for at in range(60)]

DEMANDS = Demands(
    queries=tuple(Query(text=text, relevant={id: 1}) for text, id in zip(TEXTS, IDS, strict=True))
)


class Worded(Embeddings):
    """A model as LangChain has it."""

    def __init__(self, embed: Callable[[Sequence[str]], Any]) -> None:
        self.embed = embed

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        found: list[list[float]] = self.embed(texts).tolist()
        return found

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Herdbook]:
    """A register with two versions of gbert."""
    with herdbook.connect(f"sqlite:///{tmp_path}/herdbook.db") as found:
        found.models.register("gbert", "v1")
        found.models.register("gbert", "v2")
        yield found


def in_chroma(folder: Path, embed: Callable[[Sequence[str]], Any] = one) -> Chroma:
    """Open a folder as a service of today does; Chroma wants one process to use one setting."""
    return Chroma(
        "docs",
        Worded(embed),
        persist_directory=str(folder / "chroma"),
        client_settings=Settings(anonymized_telemetry=False),
    )


def served(book: Herdbook, folder: Path) -> Chroma:
    """A folder that LangChain wrote, adopted, and proven to be of gbert:v1."""
    store = in_chroma(folder)
    store.add_texts(TEXTS, [{"n": at} for at in range(60)], ids=IDS)
    book.documents.adopt("docs", model="gbert", store=f"chroma:{folder}/chroma")
    book.documents.stamp("docs", ref="gbert:v1", encoder=one)
    return store


def created(book: Herdbook, folder: Path, kind: str = "lancedb") -> HerdbookVectorStore:
    """A collection of Herdbook's own, as a store of LangChain's."""
    book.documents.create("docs", ref="gbert:v1", store=f"{kind}:{folder}/{kind}", encoder=one)
    store = HerdbookVectorStore(book, "docs")
    store.add_texts(TEXTS, [{"n": at} for at in range(60)], ids=IDS)
    return store


# --- stamping ---


def test_what_is_written_to_a_wrapped_store_carries_the_stamps_of_the_issue() -> None:
    store = stamped(InMemoryVectorStore(Worded(one)), ref="gbert:v1")

    store.add_texts(["open the window"], [{"n": 1}], ids=["a"])

    found = store.get_by_ids(["a"])[0].metadata
    assert found["embedding_model"] == "gbert"
    assert found["embedding_model_version"] == "v1"
    assert found["migration_history"] == "[]"
    assert found["indexed_at"]
    assert found["n"] == 1
    assert stamps.read(found).known


def test_documents_that_are_given_stay_as_they_are() -> None:
    store = stamped(InMemoryVectorStore(Worded(one)), ref="gbert:v1")
    given = Document("open the window", id="a", metadata={"n": 1})

    store.add_documents([given])

    assert given.metadata == {"n": 1}
    assert store.get_by_ids(["a"])[0].metadata["n"] == 1


def test_a_document_that_is_written_back_gets_a_new_stamp() -> None:
    store = stamped(InMemoryVectorStore(Worded(one)), ref="gbert:v1")
    store.add_texts(["open the window"], ids=["a"])
    found = store.similarity_search("window")[0]
    found.metadata["embedding_model_version"] = "v7"

    store.add_documents([found])

    again = store.get_by_ids(["a"])[0].metadata
    assert again["embedding_model_version"] == "v1"
    assert again["embedding_write"] != found.metadata["embedding_write"]


def test_every_way_to_write_stamps() -> None:
    store = InMemoryVectorStore(Worded(one))
    wrapped = StampedVectorStore.from_texts(
        ["a text"], store.embedding, ids=["1"], vector_store=store, ref="gbert:v1"
    )

    wrapped.add_documents([Document("a text")], ids=["2"])
    wrapped.as_retriever().add_documents([Document("a text", id="3")])
    asyncio.run(wrapped.aadd_texts(["a text"], ids=["4"]))
    asyncio.run(wrapped.aadd_documents([Document("a text", id="5")]))

    found = wrapped.get_by_ids(list("12345"))
    assert [each.metadata["embedding_model_version"] for each in found] == ["v1"] * 5


def test_texts_without_as_many_ids_are_refused_not_dropped() -> None:
    store = stamped(InMemoryVectorStore(Worded(one)), ref="gbert:v1")

    with pytest.raises(Invalid, match="2 texts"):
        store.add_texts(["a", "b"], ids=["1"])


def test_every_way_to_search_passes_the_guard() -> None:
    store = stamped(InMemoryVectorStore(Worded(one)), ref="gbert:v1")
    store.add_texts(TEXTS, ids=IDS)
    vector = Worded(one).embed_query(TEXTS[5])

    ways = [
        store.similarity_search(TEXTS[5], k=1),
        [each for each, _ in store.similarity_search_with_score(TEXTS[5], k=1)],
        store.similarity_search_by_vector(vector, k=1),
        store.max_marginal_relevance_search(TEXTS[5], k=1),
        store.max_marginal_relevance_search_by_vector(vector, k=1),
        store.as_retriever(search_type="mmr", search_kwargs={"k": 1}).invoke(TEXTS[5]),
        asyncio.run(store.asimilarity_search(TEXTS[5], k=1)),
        [each for each, _ in asyncio.run(store.asimilarity_search_with_score(TEXTS[5], k=1))],
        asyncio.run(store.as_retriever(search_kwargs={"k": 1}).ainvoke(TEXTS[5])),
    ]
    store.wrapped.add_documents([Document(TEXTS[5], id="x", metadata=_of_v2())])

    assert [[each.id for each in found] for found in ways] == [["d05"]] * len(ways)
    for search in ("similarity_search", "similarity_search_with_score"):
        with pytest.raises(Conflict, match="gbert:v2"):
            getattr(store, search)(TEXTS[5])
        with pytest.raises(Conflict, match="gbert:v2"):
            asyncio.run(getattr(store, f"a{search}")(TEXTS[5]))


def _of_v2() -> dict[str, Any]:
    wrapped = stamped(InMemoryVectorStore(Worded(two)), ref="gbert:v2")
    wrapped.add_texts(["a text"], ids=["x"])
    return wrapped.get_by_ids(["x"])[0].metadata


def test_a_store_that_nobody_guards_mixes_two_spaces_and_says_nothing() -> None:
    """The negative control: what the guard is there for."""
    store = InMemoryVectorStore(Worded(one))
    store.add_texts(TEXTS, ids=IDS)
    store.embedding = Worded(other)

    found = [each.id for each in store.similarity_search(TEXTS[5], k=1)]

    assert found != ["d05"]


def test_a_model_that_is_changed_under_a_wrapped_store_is_noticed(
    book: Herdbook, tmp_path: Path
) -> None:
    book.documents.create("docs", ref="gbert:v1", store=f"lancedb:{tmp_path}/l", encoder=one)
    store = InMemoryVectorStore(Worded(one))
    wrapped = stamped(store, book, "docs")
    wrapped.add_texts(TEXTS, ids=IDS)

    store.embedding = Worded(other)

    with pytest.raises(Conflict, match="cannot be compared"):
        wrapped.similarity_search(TEXTS[5])
    with pytest.raises(Conflict, match="cannot be compared"):
        wrapped.add_texts(["one more"])


def test_documents_without_a_stamp_are_served_until_that_is_strict() -> None:
    store = InMemoryVectorStore(Worded(one))
    store.add_texts(["written long ago"], ids=["old"])

    found = stamped(store, ref="gbert:v1").similarity_search("long ago")

    assert [each.id for each in found] == ["old"]
    with pytest.raises(Conflict, match="unknown"):
        stamped(store, ref="gbert:v1", strict=True).similarity_search("long ago")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "gbert:v1"),
        ({"ref": "gbert@champion"}, "alias"),
        ({"collection": "docs"}, "register"),
    ],
)
def test_a_store_of_which_nobody_says_what_embeds_it_is_not_wrapped(
    given: dict[str, Any], says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        stamped(InMemoryVectorStore(Worded(one)), **given)


def test_a_store_without_embeddings_is_not_wrapped(tmp_path: Path) -> None:
    store = Chroma(
        "docs",
        persist_directory=str(tmp_path / "chroma"),
        client_settings=Settings(anonymized_telemetry=False),
    )

    with pytest.raises(Invalid, match="without embeddings"):
        stamped(store, ref="gbert:v1")


def test_with_the_register_a_ref_may_be_an_alias_and_the_files_name_the_space(
    book: Herdbook, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    book.artifacts.push("gbert", "v3", path=tmp_path / "config.json")
    book.deployments.promote("gbert:v3")

    store = stamped(InMemoryVectorStore(Worded(one)), book, ref="gbert@champion")
    store.add_texts(["a text"], ids=["with files"])
    bare = stamped(InMemoryVectorStore(Worded(one)), ref="gbert:v3")
    bare.add_texts(["a text"], ids=["by name"])

    [by_files] = store.get_by_ids(["with files"])
    [by_name] = bare.get_by_ids(["by name"])
    assert by_files.metadata["embedding_model_version"] == "v3"
    assert by_files.metadata["embedding_space"] != by_name.metadata["embedding_space"]


# --- stamping, with a collection of the register ---


def test_a_folder_of_langchain_chroma_is_adopted_proven_and_guarded(
    book: Herdbook, tmp_path: Path
) -> None:
    store = stamped(served(book, tmp_path), book, "docs", strict=True)

    store.add_texts(["one more document"], [{"n": 60}], ids=["d60"])

    assert [each.id for each in store.similarity_search("one more document", k=1)] == ["d60"]
    assert store.similarity_search(TEXTS[5], k=1)[0].metadata["embedding_model_version"] == "v1"
    by_herdbook = book.documents.open("docs")
    assert [hit.id for hit in by_herdbook.search("one more document", k=1)] == ["d60"]
    assert by_herdbook.count() == 61


@pytest.mark.parametrize(("embed", "says"), [(two, "96 dimensions"), (other, "cannot be compared")])
def test_another_model_than_the_collections_is_refused_at_the_start(
    book: Herdbook, tmp_path: Path, embed: Callable[[Sequence[str]], Any], says: str
) -> None:
    served(book, tmp_path)

    with pytest.raises(Conflict, match=says):
        stamped(in_chroma(tmp_path, embed), book, "docs")


def test_vectors_that_are_not_normalized_like_the_collections_are_refused(
    book: Herdbook, tmp_path: Path
) -> None:
    served(book, tmp_path)

    with pytest.raises(Conflict, match="length 3"):
        stamped(in_chroma(tmp_path, lambda texts: one(texts) * 3), book, "docs")


def test_a_collection_of_which_nobody_knows_the_model_is_not_wrapped(
    book: Herdbook, tmp_path: Path
) -> None:
    store = in_chroma(tmp_path)
    store.add_texts(TEXTS, ids=IDS)
    book.documents.adopt("docs", model="gbert", store=f"chroma:{tmp_path}/chroma")

    with pytest.raises(Conflict, match="documents stamp docs"):
        stamped(store, book, "docs")


def test_a_wrapped_store_writes_nothing_while_its_documents_are_moved(
    book: Herdbook, tmp_path: Path
) -> None:
    store = stamped(served(book, tmp_path), book, "docs")

    book.documents.move("docs", to="v2", encoder=two, demands=DEMANDS)

    with pytest.raises(Conflict, match="HerdbookVectorStore"):
        store.add_texts(["one more"], ids=["d60"])
    with pytest.raises(Conflict, match="HerdbookVectorStore"):
        store.delete(["d00"])
    assert store.get_by_ids(["d60"]) == []
    assert [each.id for each in store.similarity_search(TEXTS[5], k=1)] == ["d05"]


def test_a_migration_that_begins_during_a_write_is_told_to_who_wrote(
    book: Herdbook, tmp_path: Path
) -> None:
    begun: list[str] = []

    def embed(texts: Sequence[str]) -> Any:
        if texts[0] == "one more":
            begun.append(book.documents.start("docs", to_version="v2").id)
        return one(texts)

    served(book, tmp_path)
    store = stamped(in_chroma(tmp_path, embed), book, "docs")

    with pytest.raises(Conflict, match="is being moved"):
        store.add_texts(["one more"], ids=["d60"])
    assert len(begun) == 1


def test_a_wrapped_store_stops_once_its_documents_were_moved(
    book: Herdbook, tmp_path: Path
) -> None:
    store = stamped(served(book, tmp_path), book, "docs")
    store.similarity_search(TEXTS[5])
    book.documents.move("docs", to="v2", encoder=two, demands=DEMANDS)

    book.documents.cut_over("docs")

    with pytest.raises(Conflict, match="was moved to docs--v2"):
        store.similarity_search(TEXTS[5])


# --- moving ---


def test_a_collection_is_a_store_of_langchains(book: Herdbook, tmp_path: Path) -> None:
    store = created(book, tmp_path)

    store.add_documents([Document("one more document", id="d60"), Document("without an id")])
    store.delete(["d00"])

    assert isinstance(store, VectorStore)
    assert store.collection.count() == 61
    assert store.similarity_search("one more document", k=1)[0].id == "d60"
    assert [each.id for each in store.get_by_ids(["d00", "d01"])] == ["d01"]
    found = asyncio.run(store.asimilarity_search_with_score(TEXTS[5], k=1))
    assert [(each.id, round(score, 3)) for each, score in found] == [("d05", 1.0)]


def test_a_filter_finds_as_many_as_there_are(book: Herdbook, tmp_path: Path) -> None:
    store = created(book, tmp_path)

    by_value = store.similarity_search(TEXTS[5], k=1, filter={"n": 42})
    by_function = store.similarity_search(TEXTS[5], k=3, filter=lambda it: it.metadata["n"] > 56)
    none = store.similarity_search(TEXTS[5], k=3, filter={"n": 1_000})

    assert [each.id for each in by_value] == ["d42"]
    assert sorted(str(each.id) for each in by_function) == ["d57", "d58", "d59"]
    assert none == []


def test_what_the_store_does_not_know_is_refused_not_passed_over(
    book: Herdbook, tmp_path: Path
) -> None:
    store = created(book, tmp_path)

    with pytest.raises(Invalid, match="where_document"):
        store.similarity_search("x", where_document={"$contains": "x"})
    with pytest.raises(Invalid, match="ids"):
        store.delete()
    with pytest.raises(Invalid, match="embedding=None"):
        HerdbookVectorStore.from_texts(["x"], Worded(one), book=book, collection="docs")


def test_a_retriever_with_a_threshold_gives_what_is_near_enough(
    book: Herdbook, tmp_path: Path
) -> None:
    store = created(book, tmp_path)
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99, "k": 5}
    )

    assert [each.id for each in retriever.invoke(TEXTS[5])] == ["d05"]


@contextmanager
def asked_again_and_again(chain: Runnable[str, Any]) -> Iterator[list[Any]]:
    """Ask a chain from another thread, and give what it answers."""
    answers: list[Any] = []
    done = threading.Event()

    def ask() -> None:
        for text in itertools.cycle(TEXTS[:50]):
            if done.is_set():
                return
            answers.append(chain.invoke(text))

    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(ask)
        try:
            yield answers
        finally:
            done.set()
        asking.result()


def test_a_chain_serves_while_its_documents_are_moved_and_follows_the_cut(
    book: Herdbook, tmp_path: Path
) -> None:
    store = created(book, tmp_path)
    chain = {
        "found": store.as_retriever(search_kwargs={"k": 1}),
        "asked": RunnablePassthrough(),
    } | RunnableLambda(lambda said: (said["asked"], said["found"][0]))

    with asked_again_and_again(chain) as answers:
        book.documents.move("docs", to="v2", encoder=two, demands=DEMANDS)
        store.add_texts(["written while it is moved"], ids=["live"])
        store.delete(["d58"])
        book.documents.verify("docs", demands=DEMANDS)
        book.documents.cut_over("docs")
        store.add_texts(["written after the cut"], ids=["late"])
        answers.append(chain.invoke(TEXTS[0]))

    assert [asked for asked, found in answers if found.page_content != asked] == []
    assert {found.metadata["embedding_model_version"] for _, found in answers} == {"v1", "v2"}
    live, late = store.get_by_ids(["live", "late"])
    assert live.metadata["embedding_model_version"] == "v2"
    assert late.metadata["embedding_model_version"] == "v2"
    assert store.similarity_search("written while it is moved", k=1)[0].id == "live"
    moved = store.get_by_ids(["d05"])[0].metadata
    assert [hop["to_version"] for hop in stamps.history_of(moved)] == ["v2"]


def test_without_the_library_one_sentence_says_how_to_get_it() -> None:
    program = (
        "import sys; sys.modules['langchain_core'] = None\n"
        "import herdbook\n"
        "try: import herdbook.langchain\n"
        "except herdbook.HerdbookError as error: print(error.code, error)"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert said.startswith("missing_extra ")
    assert "pip install 'herdbook[langchain]'" in said
    assert said.count("\n") == 1
