"""Stores that others write and search: their documents are stamped, and no two spaces meet.

Such a store keeps its own client. What it is told is checked before: that the collection is where
it was, and that what embeds gives the vectors of its space, shown on texts that both embed.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from herdbook.core import stamps
from herdbook.core.documents import Collection, Home
from herdbook.core.refs import VersionRef, version_ref
from herdbook.core.spaces import Encoder, EncoderSpec, Space
from herdbook.core.stamps import Metadata, Stamper
from herdbook.encoders.measuring import PROBE, Measured, checked
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.front.moving.collections import OpenCollection
from herdbook.front.moving.proving import SAME_COSINE, cosines

if TYPE_CHECKING:
    from herdbook.front.artifacts import Artifacts
    from herdbook.front.models import Versions
    from herdbook.front.moving.holding import HeldDocuments

# A language, a question and a short word more: what differs in one way only shows in another.
PROBES: Final = (PROBE, "Wer hat das wann eingebettet?", "What embedded this, and when?", "x")

Embed = Callable[[list[str]], Any]


class Register(Protocol):
    """What of a register is asked; `herdbook.connect()` gives one."""

    @property
    def documents(self) -> "HeldDocuments":
        """Collections of documents."""

    @property
    def versions(self) -> "Versions":
        """What a reference points at."""

    @property
    def artifacts(self) -> "Artifacts":
        """The files of versions."""


class Guard:
    """Says whether a store may be written and searched now, and stamps what is written.

    Args:
        collection: the register's; None to do without one.
        space: what the documents are in, where there is no collection.
        name: of the store, for messages.
        strict: refuse hits that carry no stamp, too.
    """

    def __init__(
        self,
        *,
        collection: OpenCollection | None = None,
        space: Space | None = None,
        name: str = "",
        strict: bool = False,
    ) -> None:
        self._collection = collection
        self._strict = strict
        self._home: Home | None = None
        if collection is not None:
            self._home = collection.now.home
            space, name = self._home.space, collection.name
            if space is None:
                raise Conflict(
                    f"nobody knows what embedded {name}; prove it first: `herdbook documents "
                    f"stamp {name} --encoder …`",
                    field="space",
                )
        assert space is not None  # noqa: S101 - one of the two is given
        self.space: Final = space
        self.name: Final = name

    # --- before ---

    def require_writable(self) -> None:
        """Refuse a write that a migration would not see.

        Raises:
            Conflict: the collection is being moved, or was moved.
        """
        if self._collection is None:
            return
        found = self._collection.now
        self._require_home(found)
        if found.migration:
            raise Conflict(
                f"{self.name} is being moved ({found.migration}): what is written past Herdbook "
                "would not come along. Write with HerdbookVectorStore until it is retired",
                field="migration",
            )

    def require_searchable(self) -> None:
        """Refuse a search where the documents are no longer.

        Raises:
            Conflict: the collection was moved.
        """
        if self._collection is not None:
            self._require_home(self._collection.known)

    def _require_home(self, found: Collection) -> None:
        if self._home is None or (found.home.place, found.home.space) == (
            self._home.place,
            self._home.space,
        ):
            return
        raise Conflict(
            f"{self.name} was moved to {found.home.place} and is in the space {found.home.space}: "
            f"this store still is {self._home.place}, in {self._home.space}. Use "
            "HerdbookVectorStore, which follows by itself, or open the new place and wrap it",
            field="space",
        )

    def require_embedding(self, documents: Embed, query: Callable[[str], Any]) -> None:
        """Refuse what embeds documents and queries when it is not what the space is of.

        Raises:
            Conflict: it gives other vectors.
        """
        texts = list(PROBES)
        self.require_documents(texts, documents(texts))
        self.require_queries(texts, [query(text) for text in texts])

    def require_documents(self, texts: Sequence[str], vectors: Any) -> None:
        """Refuse vectors of documents that what embeds the collection would not give.

        Raises:
            Conflict: they are of another space.
        """
        self._require_same("documents", texts, vectors, lambda encoder: encoder.embed)

    def require_queries(self, texts: Sequence[str], vectors: Any) -> None:
        """Refuse vectors of queries, likewise."""
        self._require_same("queries", texts, vectors, lambda encoder: encoder.embed_queries)

    def _require_same(
        self, what: str, texts: Sequence[str], vectors: Any, of: Callable[[Any], Any]
    ) -> None:
        rows = self.fitting(vectors, len(texts))
        if self._collection is None or not texts:
            return
        encoder = self._collection.encoder(self._home)
        worst = float(cosines(rows, of(encoder)(list(texts))).min())
        if worst < SAME_COSINE:
            raise Conflict(
                f"{self.name} holds vectors of {self.space}, and what embeds {what} here gives "
                f"others for the same texts (cosine {worst:.4f}): they cannot be compared. Use the "
                "model, prefix and pooling the collection was made with, or migrate its documents "
                f"(`herdbook documents migrate {self.name} --to VERSION`)",
                field="space",
            )

    def fitting(self, vectors: Any, count: int) -> Any:
        """Give vectors as an array, once their shape and lengths are those of the space.

        Raises:
            Conflict: their dimension is not the space's, or they are not of length 1 where the
                space's are.
            Invalid: one is not finite or has no length.
        """
        import numpy as np

        rows = checked(
            vectors,
            count=count,
            dimension=self.space.dimension,
            normalize=False,
            name=f"what embeds for {self.name}",
        )
        if self.space.normalized and len(rows):
            lengths = np.linalg.norm(rows, axis=1)
            if abs(lengths - 1).max() > 0.01:
                raise Conflict(
                    f"{self.name} holds vectors of length 1, what embeds here gives one of length "
                    f"{float(lengths[abs(lengths - 1).argmax()]):.3f}; let it normalize them",
                    field="space",
                )
        return rows

    # --- what is written, and found ---

    def stamped(
        self, texts: Sequence[str], metadata: Iterable[Mapping[str, Any]]
    ) -> list[Metadata]:
        """Give the metadata of documents of one write with their stamps."""
        # As text: whether a store of somebody else's keeps lists is not known.
        stamper = Stamper(
            space=self.space, at=datetime.now(UTC), write=uuid.uuid4().hex, nested=False
        )
        found = []
        for text, given in zip(texts, metadata, strict=True):
            own = stamps.unstamped(given)
            found.append(stamper.stamped(own, content=_content(text, own), history=[]))
        return found

    def require_hits(self, metadata: Iterable[Mapping[str, Any]]) -> None:
        """Refuse what a search found when it is of another space.

        Raises:
            Conflict: a document is stamped with another space, or with none while that is strict.
        """
        for each in metadata:
            space = each.get(stamps.SPACE)
            if space == self.space.fingerprint or not (space or self._strict):
                continue
            said = f"{each.get(stamps.MODEL)}:{each.get(stamps.VERSION)}" if space else "unknown"
            raise Conflict(
                f"{self.name} holds a document whose vector is of {said}, in another space than "
                f"the query's, {self.space}: their scores mean nothing. Migrate the documents, or "
                "take those out that do not belong there",
                field="space",
            )


def _content(text: str, own: Mapping[str, Any]) -> str:
    try:
        return stamps.content_digest(text, own)
    except (TypeError, ValueError):
        return ""  # metadata that JSON does not know; such stores are not moved by Herdbook


def guard_of(
    book: Register | None,
    collection: str,
    *,
    ref: str,
    embed: Embed | None,
    strict: bool,
) -> Guard:
    """Make the guard of a store.

    Args:
        book: the register; None to do without.
        collection: a collection that is registered, whose documents the store holds; or "".
        ref: the version that embeds, where there is no collection.
        embed: gives vectors for texts, to be measured where there is no collection.
        strict: refuse hits that carry no stamp, too.

    Raises:
        Invalid: it cannot be told what embeds.
        NotFound: there is no such collection or version.
        Conflict: nobody knows what embedded the collection.
    """
    if collection:
        if book is None or ref:
            raise Invalid(
                f"the collection {collection} says in the register which version embeds it: give "
                "the register, and no ref",
                field="collection",
            )
        return Guard(collection=book.documents.open(collection), strict=strict)
    if not ref or embed is None:
        raise Invalid(
            "say which version embeds: a collection of the register, or a ref such as gbert:v1 "
            "together with what embeds",
            field="ref",
        )
    space = measured(embed, *_identity(book, ref))
    return Guard(space=space, name=f"the store of {space.model}:{space.number}", strict=strict)


def _identity(book: Register | None, ref: str) -> tuple[VersionRef, str]:
    """Give a version by its number, and the digest of its files where it has any."""
    said = version_ref(ref)
    if book is None:
        if not said.number:
            raise Invalid(f"{ref} is an alias: write the number, or give the register", field="ref")
        return said, ""
    version = book.versions.get(ref)
    try:
        digest = book.artifacts.files(version.ref).manifest
    except NotFound:
        digest = ""
    return VersionRef(version.model, version.number), digest


def space_of(collection: OpenCollection, text: str, vector: Any) -> str:
    """Tell which space of a collection's a vector is in: of what gives it for the text.

    While the documents are moved there are two.

    Raises:
        Conflict: it is in none of them.
    """
    homes = collection.now.homes
    for home in homes:
        if home.space and _gives(collection.encoder(home), text, vector):
            return home.space.fingerprint
    raise Conflict(
        f"{collection.name} is in the space {homes[0].space}, and what embedded these documents "
        "gives other vectors: use what embeds the collection, or migrate its documents",
        field="space",
    )


def _gives(encoder: Encoder, text: str, vector: Any) -> bool:
    import numpy as np

    row = np.asarray([vector], dtype=np.float32)
    if row.shape != (1, encoder.space.dimension):
        return False
    return bool(cosines(row, encoder.embed([text])).min() >= SAME_COSINE)


def measured(embed: Embed, ref: VersionRef, digest: str) -> Space:
    """Measure the space of what embeds, on a sentence."""
    spec = EncoderSpec(
        model=ref.model, number=ref.number, source="python:given:embed", normalize=False
    )
    return Measured(_Running(embed), spec, digest=digest, prefix="", query_prefix="").space


class _Running:
    """What embeds, as the measuring wrapper takes it."""

    pooling = ""
    # Libraries hand vectors on as lists of Python's numbers, which say nothing of the encoder's.
    dtype = "float32"
    name = "what embeds here"

    def __init__(self, embed: Embed) -> None:
        self._embed = embed

    def rows(self, texts: list[str], *, prefix: str) -> Any:
        return self._embed([prefix + text for text in texts])

    def tokens(self, texts: list[str], *, prefix: str) -> int:  # noqa: ARG002 - not asked
        return 0
