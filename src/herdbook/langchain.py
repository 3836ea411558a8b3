"""LangChain's vector stores, stamped and guarded; and one that is moved while it serves.

`stamped` wraps any store: it keeps its own client, Herdbook stamps what is written and refuses what
would mix two spaces. `HerdbookVectorStore` is a collection of the register: it writes both places
while the documents are moved, and follows the cut-over by itself.

Example:
    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> from langchain_core.vectorstores import InMemoryVectorStore
    >>> store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    >>> store = stamped(store, ref="gbert:v1")
    >>> found = store.add_texts(["Open the window."], ids=["a"])
    >>> store.similarity_search("Open the window.")[0].metadata["embedding_model_version"]
    'v1'
"""

import functools
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from herdbook.core.extras import needs
from herdbook.core.vectors import Hit
from herdbook.errors import Invalid
from herdbook.front.moving.guarding import Guard, guard_of
from herdbook.front.moving.narrowing import keeping, narrowed, refuse_more

with needs("langchain", "langchain_core", what="herdbook.langchain"):
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables.config import run_in_executor
    from langchain_core.vectorstores import VectorStore

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook
    from herdbook.front.moving.choosing import Named

__all__ = ["HerdbookVectorStore", "StampedVectorStore", "stamped"]

Filter = Mapping[str, Any] | Callable[[Document], bool]

K: Final = 4
# What of LangChain's interface searches, beside `similarity_search`; each has an async twin.
_SEARCHES: Final = (
    *("similarity_search_with_score", "similarity_search_with_relevance_scores"),
    *("similarity_search_by_vector", "max_marginal_relevance_search"),
    "max_marginal_relevance_search_by_vector",
)


def stamped(
    vector_store: VectorStore,
    book: "Herdbook | None" = None,
    collection: str = "",
    *,
    ref: str = "",
    strict: bool = False,
) -> "StampedVectorStore":
    """Wrap a store of LangChain's, so that what is written carries stamps and no two spaces mix.

    Args:
        vector_store: the store, with embeddings of its own.
        book: the register; closing it is the caller's.
        collection: the collection that is registered for what the store holds. The store's
            embeddings are compared with what embeds it, on a few sentences.
        ref: without a collection, the version the store's embeddings are, such as `gbert:v1`;
            dimension and length of the vectors are measured, the name is believed.
        strict: refuse hits without a stamp too, once all documents carry one.

    Raises:
        Invalid: the store has no embeddings, or nobody says of which version they are.
        Conflict: they are of another space than the collection.
    """
    embeddings = _embeddings_of(vector_store)
    guard = guard_of(book, collection, ref=ref, embed=embeddings.embed_documents, strict=strict)
    return StampedVectorStore(vector_store, guard)


def _embeddings_of(store: VectorStore) -> Embeddings:
    found = store.embeddings
    if found is None:
        raise Invalid(
            f"{type(store).__name__} was made without embeddings, so that nobody can say what "
            "embeds; give it some",
            field="vector_store",
        )
    return found


def _called(name: str) -> Any:
    """Make a method that searches as the wrapped store's of that name does, under guard."""

    @functools.wraps(getattr(VectorStore, name))
    def search(self: "StampedVectorStore", *args: Any, **kwargs: Any) -> Any:
        self._search_now(args, kwargs)
        return self._seen(getattr(self.wrapped, name)(*args, **kwargs))

    return search


def _awaited(name: str) -> Any:
    """Make one that does so without waiting, as far as the wrapped store can."""

    @functools.wraps(getattr(VectorStore, name))
    async def search(self: "StampedVectorStore", *args: Any, **kwargs: Any) -> Any:
        await run_in_executor(None, self._search_now, args, kwargs)
        return self._seen(await getattr(self.wrapped, name)(*args, **kwargs))

    return search


class StampedVectorStore(VectorStore):
    """A store of LangChain's under guard; `stamped` makes it.

    Args:
        wrapped: the store. What only it can do is done through it, unguarded.
        guard: what it is checked against.
    """

    def __init__(self, wrapped: VectorStore, guard: Guard) -> None:
        self.wrapped: Final = wrapped
        self._guard = guard
        self._proven: Embeddings | None = None
        self._prove()

    @property
    def embeddings(self) -> Embeddings | None:
        """The store's own."""
        return self.wrapped.embeddings

    def _prove(self) -> None:
        """Compare what embeds now with the space, unless it is what was compared before."""
        found = _embeddings_of(self.wrapped)
        if found is not self._proven:
            self._guard.require_embedding(found.embed_documents, found.embed_query)
            self._proven = found

    def _before_writing(self) -> None:
        self._prove()
        self._guard.require_writable()

    def _before_searching(self) -> None:
        self._prove()
        self._guard.require_searchable()

    # --- writing ---

    def _stamped(self, documents: Sequence[Document]) -> list[Document]:
        texts = [each.page_content for each in documents]
        told = self._guard.stamped(texts, [each.metadata for each in documents])
        return [
            Document(id=each.id, page_content=each.page_content, metadata=metadata)
            for each, metadata in zip(documents, told, strict=True)
        ]

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Add documents, stamped; those given stay as they are."""
        self._before_writing()
        done = self.wrapped.add_documents(self._stamped(documents), **kwargs)
        self._guard.require_writable()  # a migration may have begun, and read past it
        return done

    async def aadd_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Add documents, stamped, without waiting as far as the store can."""
        await run_in_executor(None, self._before_writing)
        done = await self.wrapped.aadd_documents(self._stamped(documents), **kwargs)
        await run_in_executor(None, self._guard.require_writable)
        return done

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, stamped."""
        return self.add_documents(_documents(texts, metadatas, ids), **kwargs)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, stamped, without waiting as far as the store can."""
        return await self.aadd_documents(_documents(texts, metadatas, ids), **kwargs)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Delete, as the store does."""
        self._guard.require_writable()
        done = self.wrapped.delete(ids, **kwargs)
        self._guard.require_writable()
        return done

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Delete, as the store does without waiting."""
        await run_in_executor(None, self._guard.require_writable)
        done = await self.wrapped.adelete(ids, **kwargs)
        await run_in_executor(None, self._guard.require_writable)
        return done

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Wrap a store, given as `vector_store` beside what `stamped` takes, and write to it."""
        store = kwargs.get("vector_store")
        if not isinstance(store, VectorStore) or store.embeddings is not embedding:
            raise Invalid(
                "give the store that is to be filled, made with that embedding: vector_store=…",
                field="vector_store",
            )
        wrapped = stamped(**kwargs)
        made = cls(wrapped.wrapped, wrapped._guard)
        made.add_texts(texts, metadatas, ids=ids)
        return made

    # --- reading ---

    def _seen(self, found: list[Any]) -> list[Any]:
        for each in found:
            document = each[0] if isinstance(each, tuple) else each
            self._guard.require_hits([document.metadata])
        return found

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Give documents by id."""
        return self.wrapped.get_by_ids(ids)

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Give documents by id."""
        return await self.wrapped.aget_by_ids(ids)

    def _search_now(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._before_searching()
        vector = kwargs.get("embedding", args[0] if args else None)
        if vector is not None and not isinstance(vector, str):
            self._guard.fitting([vector], 1)  # who embedded it cannot be known

    def similarity_search(self, query: str, k: int = K, **kwargs: Any) -> list[Document]:
        """Search as the store does; Conflict when a hit is of another space."""
        self._before_searching()
        return self._seen(self.wrapped.similarity_search(query, k, **kwargs))


for _name in _SEARCHES:
    setattr(StampedVectorStore, _name, _called(_name))
for _name in ("similarity_search", *_SEARCHES):
    setattr(StampedVectorStore, f"a{_name}", _awaited(f"a{_name}"))


class HerdbookVectorStore(VectorStore):
    """A collection of the register as a store of LangChain's.

    It embeds with what embeds the collection, so it takes no embeddings. While the documents are
    moved it writes both places; after the cut-over it searches the new one, with the new model.
    Scores are cosine similarities where the collection is compared by cosine: higher is nearer.

    Args:
        book: the register; closing it is the caller's.
        collection: the name of one.
        encoder: a function of this process, where the collection was made with one that nothing
            else can import.
    """

    def __init__(self, book: "Herdbook", collection: str, *, encoder: "Named" = None) -> None:
        self.collection: Final = book.documents.open(collection, encoder=encoder)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed and write, over what is there under the same ids."""
        refuse_more("HerdbookVectorStore", kwargs)
        held = list(texts)
        named = None if ids is None else [each or uuid.uuid4().hex for each in ids]
        return self.collection.add(held, ids=named, metadata=metadatas or None)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Delete documents, those that are not there too."""
        refuse_more("HerdbookVectorStore", kwargs)
        if ids is None:
            raise Invalid("say which documents are to go: ids", field="ids")
        self.collection.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Give those of the documents that are there."""
        found = self.collection.get(list(ids))
        return [
            Document(id=id, page_content=text or "", metadata=metadata)
            for id, text, metadata in zip(found.ids, found.texts, found.metadata, strict=True)
        ]

    def similarity_search(
        self, query: str, k: int = K, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Give the k nearest documents.

        Args:
            query: embedded as the documents were.
            k: how many.
            filter: what the metadata must equal, or a function of a document.
            kwargs: nothing more.
        """
        return [each for each, _ in self.similarity_search_with_score(query, k, filter, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = K, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Give the k nearest documents with their scores, higher is nearer."""
        refuse_more("HerdbookVectorStore", kwargs)
        hits = narrowed(
            lambda count: self.collection.search(query, k=count), keeping(filter, _document), k=k
        )
        return [(_document(hit), hit.score) for hit in hits]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        metric = self.collection.metric
        if metric != "cosine":
            raise Invalid(
                f"{self.collection.name} is compared by {metric}, whose scores have no bounds; "
                "take similarity_search_with_score",
                field="search_type",
            )
        return lambda score: min(max(score, 0.0), 1.0)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Open a collection, named by `book` and `collection`, and write to it."""
        if embedding is not None:
            raise Invalid(
                "a collection of the register says itself what embeds it; give embedding=None",
                field="embedding",
            )
        made = cls(**kwargs)
        made.add_texts(texts, metadatas, ids=ids)
        return made


def _documents(
    texts: Iterable[str],
    metadatas: Sequence[dict[str, Any]] | None,
    ids: Sequence[str | None] | None,
) -> list[Document]:
    held = list(texts)
    told = metadatas or [{} for _ in held]
    named = ids or [None for _ in held]
    if not len(held) == len(told) == len(named):
        raise Invalid(
            f"there are {len(held)} texts, metadata of {len(told)} and {len(named)} ids; give one "
            "of each",
            field="texts",
        )
    return [
        Document(id=id, page_content=text, metadata=metadata)
        for text, metadata, id in zip(held, told, named, strict=True)
    ]


def _document(hit: Hit) -> Document:
    return Document(id=hit.id, page_content=hit.text or "", metadata=dict(hit.metadata))
