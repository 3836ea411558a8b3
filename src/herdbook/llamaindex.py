"""LlamaIndex's vector stores, stamped and guarded; and one that is moved while it serves.

`stamped` wraps any store: it keeps its own client, Herdbook stamps what is written and refuses what
would mix two spaces. `HerdbookVectorStore` is a collection of the register: it writes both places
while the documents are moved, and follows the cut-over by itself.

Example:
    >>> from llama_index.core.embeddings import MockEmbedding
    >>> from llama_index.core.schema import TextNode
    >>> from llama_index.core.vector_stores import SimpleVectorStore
    >>> store = stamped(SimpleVectorStore(), ref="gbert:v1", embed_model=MockEmbedding(embed_dim=8))
    >>> node = TextNode(text="Open the window.", embedding=[0.5] * 8)
    >>> _ = store.add([node])
    >>> node.metadata["embedding_model_version"]
    'v1'
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from herdbook.core import stamps
from herdbook.core.extras import needs
from herdbook.core.vectors import Hit
from herdbook.errors import Invalid
from herdbook.front.moving.collections import OpenCollection
from herdbook.front.moving.guarding import Guard, guard_of, space_of
from herdbook.front.moving.narrowing import narrowed, refuse_more

with needs("llamaindex", "llama_index", what="herdbook.llamaindex"):
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.schema import BaseNode, MetadataMode, TextNode
    from llama_index.core.vector_stores import utils as stored
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook
    from herdbook.front.moving.choosing import Named

__all__ = ["CollectionEmbedding", "HerdbookVectorStore", "StampedVectorStore", "stamped"]

# What LlamaIndex keeps of a node beside its metadata.
_OWN: Final = frozenset({"_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id"})
_FLAT: Final = (str, int, float)


def stamped(
    vector_store: BasePydanticVectorStore,
    book: "Herdbook | None" = None,
    collection: str = "",
    *,
    ref: str = "",
    embed_model: BaseEmbedding | None = None,
    strict: bool = False,
) -> "StampedVectorStore":
    """Wrap a store of LlamaIndex's, so that what is written carries stamps and no two spaces mix.

    Args:
        vector_store: the store.
        book: the register; closing it is the caller's.
        collection: the one that is registered for what the store holds. The first node of every
            `add` is embedded again with what embeds it, and must come out the same.
        ref: without a collection, the version that embeds the nodes, such as `gbert:v1`.
        embed_model: what embeds nodes and queries: compared with what embeds the collection, on a
            few sentences; without one its dimension is measured.
        strict: refuse hits without a stamp too, once all nodes carry one.

    Raises:
        Invalid: nobody says of which version the vectors are.
        Conflict: they are of another space than the collection.
    """
    embed = embed_model.get_text_embedding_batch if embed_model is not None else None
    guard = guard_of(book, collection, ref=ref, embed=embed, strict=strict)
    if embed_model is not None:
        guard.require_embedding(
            embed_model.get_text_embedding_batch, embed_model.get_query_embedding
        )
    return StampedVectorStore(vector_store, guard)


class StampedVectorStore(BasePydanticVectorStore):
    """A store of LlamaIndex's under guard; `stamped` makes it.

    Args:
        wrapped: the store. What only it can do is done through it, unguarded.
        guard: what it is checked against.
    """

    _wrapped: BasePydanticVectorStore = PrivateAttr()
    _guard: Guard = PrivateAttr()

    def __init__(self, wrapped: BasePydanticVectorStore, guard: Guard) -> None:
        super().__init__(
            stores_text=wrapped.stores_text, is_embedding_query=wrapped.is_embedding_query
        )
        self._wrapped = wrapped
        self._guard = guard

    @property
    def wrapped(self) -> BasePydanticVectorStore:
        """The store itself."""
        return self._wrapped

    @property
    def client(self) -> Any:
        """The store's own."""
        return self._wrapped.client

    def _before_adding(self, nodes: Sequence[BaseNode]) -> None:
        self._guard.require_writable()
        vectors = [node.get_embedding() for node in nodes]
        if not nodes:
            return
        self._guard.fitting(vectors, len(vectors))
        self._guard.require_documents([_embedded(nodes[0])], vectors[:1])
        texts = [node.get_content(metadata_mode=MetadataMode.NONE) for node in nodes]
        told = self._guard.stamped(texts, [node.metadata for node in nodes])
        for node, metadata in zip(nodes, told, strict=True):
            _stamp(node, metadata)

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes; they are stamped themselves, for document stores keep them too."""
        self._before_adding(nodes)
        done = self._wrapped.add(list(nodes), **kwargs)
        self._guard.require_writable()  # a migration may have begun, and read past it
        return done

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes without waiting, as far as the store can."""
        await asyncio.to_thread(self._before_adding, nodes)
        done = await self._wrapped.async_add(list(nodes), **kwargs)
        await asyncio.to_thread(self._guard.require_writable)
        return done

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document, as the store does."""
        self._guard.require_writable()
        self._wrapped.delete(ref_doc_id, **delete_kwargs)
        self._guard.require_writable()

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document without waiting, as far as the store can."""
        await asyncio.to_thread(self._guard.require_writable)
        await self._wrapped.adelete(ref_doc_id, **delete_kwargs)
        await asyncio.to_thread(self._guard.require_writable)

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete nodes, as the store does."""
        self._guard.require_writable()
        self._wrapped.delete_nodes(node_ids, filters, **delete_kwargs)
        self._guard.require_writable()

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Give nodes."""
        return self._wrapped.get_nodes(node_ids, filters)

    def _before_searching(self, query: VectorStoreQuery) -> None:
        self._guard.require_searchable()
        if query.query_embedding is not None:
            self._guard.fitting([query.query_embedding], 1)

    def _seen(self, found: VectorStoreQueryResult) -> VectorStoreQueryResult:
        self._guard.require_hits(node.metadata for node in found.nodes or ())
        return found

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search as the store does; Conflict when a hit is of another space."""
        self._before_searching(query)
        return self._seen(self._wrapped.query(query, **kwargs))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search without waiting, as far as the store can."""
        await asyncio.to_thread(self._before_searching, query)
        return self._seen(await self._wrapped.aquery(query, **kwargs))

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Keep it in a file, where the store does."""
        self._wrapped.persist(persist_path, fs)


class HerdbookVectorStore(BasePydanticVectorStore):
    """A collection of the register as a store of LlamaIndex's.

    Queries are embedded here, with what embeds the collection now, so that a search follows a
    cut-over by itself. Nodes may come embedded by it, before or after the cut, or not at all;
    vectors of anything else are refused. A migration embeds what LlamaIndex does: the text with
    the metadata that is not excluded.

    Args:
        book: the register; closing it is the caller's.
        collection: the name of one.
        encoder: a function of this process, where the collection was made with one that nothing
            else can import.
    """

    _collection: OpenCollection = PrivateAttr()

    def __init__(self, book: "Herdbook", collection: str, *, encoder: "Named" = None) -> None:
        super().__init__(stores_text=True, is_embedding_query=False)
        self._collection = book.documents.open(collection, encoder=encoder)

    @property
    def client(self) -> OpenCollection:
        """The collection, open."""
        return self._collection

    @property
    def embed_model(self) -> "CollectionEmbedding":
        """What embeds the collection, for an index that wants to be given that."""
        return CollectionEmbedding(self._collection)

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Write nodes, over what is there under the same ids.

        Raises:
            Conflict: they were embedded with something else than the collection is, or was before
                the migration under way.
        """
        refuse_more("HerdbookVectorStore", kwargs)
        if not nodes:
            return []
        texts = [_embedded(node) for node in nodes]
        about: dict[str, Any] = {
            "ids": [node.node_id for node in nodes],
            "metadata": [_metadata(node, text) for node, text in zip(nodes, texts, strict=True)],
        }
        vectors = [node.embedding for node in nodes]
        if any(vector is None for vector in vectors):
            return self._collection.add(texts, **about)
        space = space_of(self._collection, texts[0], vectors[0])
        return self._collection.add_vectors(texts, vectors, space=space, **about)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document; every document of the collection is read for that."""
        refuse_more("HerdbookVectorStore", delete_kwargs)
        self._remove(lambda _, metadata: metadata.get("ref_doc_id") == ref_doc_id)

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete nodes by id; with filters, every document of the collection is read for that."""
        refuse_more("HerdbookVectorStore", delete_kwargs)
        if filters is None and node_ids is None:
            raise Invalid("say which nodes are to go: node_ids or filters", field="node_ids")
        if filters is None:
            self._collection.delete(node_ids or ())
        else:
            self._remove(_passing(filters, node_ids))

    def _remove(self, chosen: Callable[[str, Mapping[str, Any]], bool]) -> None:
        found = [
            id
            for batch in self._collection.batches()
            for id, metadata in zip(batch.ids, batch.metadata, strict=True)
            if chosen(id, metadata)
        ]
        self._collection.delete(found)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Give the nearest nodes; filters are applied here, to as many hits as it takes."""
        refuse_more("HerdbookVectorStore", kwargs)
        text = query.query_str
        if query.mode != VectorStoreQueryMode.DEFAULT or not text:
            raise Invalid(
                "a collection of the register is searched for a text, by nearness: give query_str, "
                "and the mode default",
                field="query",
            )
        passes = _passing(query.filters, query.node_ids, query.doc_ids)
        narrows = query.filters or query.node_ids or query.doc_ids
        hits: list[Hit] = narrowed(
            lambda count: self._collection.search(text, k=count),
            (lambda hit: passes(hit.id, hit.metadata)) if narrows else None,
            k=query.similarity_top_k,
        )
        return VectorStoreQueryResult(
            nodes=[_node(hit.id, hit.text, hit.metadata) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.id for hit in hits],
        )

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Write nodes, in a thread."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document, in a thread."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search, in a thread."""
        return await asyncio.to_thread(self.query, query, **kwargs)


class CollectionEmbedding(BaseEmbedding):
    """What embeds a collection of the register now, as LlamaIndex wants it.

    Args:
        collection: the collection, open.
    """

    _collection: OpenCollection = PrivateAttr()

    def __init__(self, collection: OpenCollection) -> None:
        super().__init__(model_name=collection.name)
        self._collection = collection

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        found: list[list[float]] = self._encoder().embed(texts).tolist()
        return found

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        found: list[float] = self._encoder().embed_queries([query])[0].tolist()
        return found

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    def _encoder(self) -> Any:
        return self._collection.encoder(self._collection.known.home)


def _embedded(node: BaseNode) -> str:
    """Give the text LlamaIndex embeds for a node."""
    return node.get_content(metadata_mode=MetadataMode.EMBED)


def _stamp(node: BaseNode, metadata: dict[str, Any]) -> None:
    """Put a stamp on a node where neither what embeds nor a language model reads it."""
    # New objects: copies of a node share theirs.
    node.metadata = metadata
    for excluded in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys"):
        there = getattr(node, excluded)
        setattr(node, excluded, [*there, *(key for key in stamps.KEYS if key not in there)])


def _metadata(node: BaseNode, embedded: str) -> dict[str, Any]:
    """Give a node as metadata every store takes: itself as JSON, and what a filter may ask for."""
    bare = node.model_copy(update={"metadata": stamps.unstamped(node.metadata)})
    same = embedded == node.get_content(metadata_mode=MetadataMode.NONE)
    found = stored.node_to_metadata_dict(bare, remove_text=same)
    return {key: value for key, value in found.items() if isinstance(value, _FLAT)}


def _node(id: str, text: str | None, metadata: Mapping[str, Any]) -> BaseNode:
    """Make the node of a document; one that LlamaIndex did not write becomes a text."""
    told = {key: value for key, value in metadata.items() if key not in _OWN}
    if "_node_content" not in metadata:
        node: BaseNode = TextNode(id_=id, text=text or "")
    else:
        node = stored.metadata_dict_to_node(dict(metadata))
        if not node.get_content(metadata_mode=MetadataMode.NONE):
            node.set_content(text or "")
    # What is flat is in the store itself, where a migration may have changed it.
    deep = {key: value for key, value in node.metadata.items() if not isinstance(value, _FLAT)}
    _stamp(node, {**deep, **told})
    return node


def _passing(
    filters: MetadataFilters | None,
    node_ids: Sequence[str] | None,
    doc_ids: Sequence[str] | None = None,
) -> Callable[[str, Mapping[str, Any]], bool]:
    """Give what says whether a document passes; ids that are none or empty choose nothing."""
    asked: dict[str, Mapping[str, Any]] = {}
    passes = stored.build_metadata_filter_fn(lambda id: asked[id], filters)

    def chosen(id: str, metadata: Mapping[str, Any]) -> bool:
        if (node_ids and id not in node_ids) or (
            doc_ids and metadata.get("ref_doc_id") not in doc_ids
        ):
            return False
        asked[id] = metadata
        return passes(id)

    return chosen
