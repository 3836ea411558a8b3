"""Vector stores: what Herdbook asks of one. Each sentence is a test in `tests/conformance/`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from herdbook.core.stamps import Metadata
from herdbook.errors import Invalid

NAME_LIMIT: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where vectors lie: a collection, and which of its vector fields.

    Args:
        collection: 1 to 60 letters, digits, `_` and `-`, a letter first.
        field: "" for the collection's first vector field; another's name is written as a
            collection's. The stamp of another field goes by keys of its own: `stamp_key`.
    """

    collection: str
    field: str = ""

    def __post_init__(self) -> None:
        """Refuse names that are none."""
        for said, name in (("collection", self.collection), ("field", self.field or "x")):
            plain = name.replace("_", "").replace("-", "")
            if (
                not 1 <= len(name) <= NAME_LIMIT
                or not name[0].isalpha()
                or not (plain.isascii() and plain.isalnum())
            ):
                raise Invalid(
                    f"{name!r:.80} is no name of a {said}: write 1 to {NAME_LIMIT} letters, "
                    "digits, _ and -, a letter first",
                    field=said,
                )

    def stamp_key(self, key: str) -> str:
        """Give the name a key of the stamp is stored under."""
        return f"{self.field}_{key}" if self.field else key

    def __str__(self) -> str:
        return f"{self.collection}.{self.field}" if self.field else self.collection


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is known of a place that is there.

    Args:
        dimension: of its vectors; 0 when the store does not know yet.
        documents: how many have a vector there.
        metric: `cosine`, `dot` or `l2`.
    """

    dimension: int
    documents: int
    metric: str = "cosine"

    @classmethod
    def nothing(cls) -> "Shape":
        """Give the shape of what is not there."""
        return cls(dimension=0, documents=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Documents that follow one another in the order of a store's ids.

    Args:
        after: the id before the first one; "" for none.
        upto: the last one's id.
        documents: how many there were when it was made.
    """

    after: str
    upto: str
    documents: int


@dataclass(slots=True)
class Batch:
    """Documents side by side.

    Args:
        ids: one of each, none twice.
        texts: None where the store has none.
        metadata: with their stamps, by the plain keys whatever the place.
        vectors: float32, shape (documents, dimension); None when they were not asked for.
    """

    ids: list[str]
    texts: list[str | None]
    metadata: list[Metadata]
    vectors: Any = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A document a search found.

    Args:
        id: its id.
        score: higher is nearer; for `cosine` the cosine similarity.
        text: its text.
        metadata: with its stamp.
    """

    id: str
    score: float
    text: str | None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a store can do.

    Args:
        kind: `pgvector`, `lancedb`, `chroma`, `qdrant` or `qdrant-edge`.
        fields: whether a collection can get another vector field.
        aliases: whether it has names that can be moved from a collection to another.
        nested: whether metadata may hold lists and objects.
        shared: whether several processes may have it open at once.
    """

    kind: str
    fields: bool
    aliases: bool
    nested: bool
    shared: bool


class Vectors(Protocol):
    """A vector store, opened. Ids are texts of 1 to 400 characters.

    Every method raises Unavailable when the store does not answer or is being restarted, Invalid
    when it refuses what it was given, and NotFound when the place is not there; nothing is
    retried in it. What a write was acknowledged for survives a kill of the store and of the
    process.
    """

    @property
    def address(self) -> str:
        """Where it is, without secrets."""

    @property
    def traits(self) -> Traits:
        """What it can do."""

    def collections(self) -> list[str]:
        """Name the collections, in order."""

    def look(self, place: Place) -> Shape | None:
        """Tell of a place; None when it is not there. Documents without a vector do not count."""

    def create(self, place: Place, *, dimension: int, metric: str = "cosine") -> None:
        """Make a collection, or another vector field of one that is there.

        To make again what is there is nothing; Conflict when its dimension is another.
        """

    def drop(self, place: Place) -> None:
        """Remove a collection with its documents, or a vector field with its stamps.

        To drop the first field of a collection that has others leaves the documents and theirs.
        What is not there is dropped already.
        """

    def ranges(self, place: Place, *, size: int) -> Iterator[Range]:
        """Cut the documents that are there into ranges of `size`, the last one smaller.

        In the order of ids, in bounded memory.
        """

    def read(self, place: Place, within: Range, *, vectors: bool = False) -> Batch:
        """Give the documents of a range as it is now, in the order of ids."""

    def fetch(self, place: Place, ids: Sequence[str], *, vectors: bool = False) -> Batch:
        """Give those of the documents that have a vector there, in the order asked for."""

    def insert(self, place: Place, batch: Batch) -> int:
        """Add the documents that are not there; one that is there stays as it is, all of it.

        In another field: give a vector and a stamp to the documents that have none there; a
        document that is not in the collection stays out of it. Gives how many were added where
        the store can tell, else how many were offered.
        """

    def upsert(self, place: Place, batch: Batch) -> None:
        """Write documents over what was, or add them.

        Text and user's metadata are shared by all fields; the vector and the stamp are the
        field's own, those of other fields stay.
        """

    def delete(self, place: Place, ids: Sequence[str], *, write: str = "") -> None:
        """Remove documents; with `write`, only those whose stamp names that write, at once.

        From a field while another one has a vector of the document: the field's vector and stamp.
        """

    def search(self, place: Place, vector: Any, *, k: int, space: str = "") -> list[Hit]:
        """Give the k nearest documents, nearest first.

        With `space`, only documents whose stamp names it are looked at: k of those are given when
        there are k.
        """

    def spaces(self, place: Place) -> Mapping[str, int]:
        """Count documents by the space their stamp names, "" for those that name none."""

    def index(self, place: Place) -> None:
        """Make the index a search is quick with, where the store does not by itself."""

    def point(self, alias: str, place: Place) -> None:
        """Move a store's alias to a collection at once, where it has aliases; else nothing."""

    def pointed(self, alias: str) -> str:
        """Give the collection an alias names, or ""."""

    def close(self) -> None:
        """Give it up."""
