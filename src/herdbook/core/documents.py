"""Collections of documents: where their vectors lie, and what embeds their queries.

The register's row of a collection is the one switch: readers take place and encoder from it
together, so that a query never meets vectors of another model.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from herdbook.core import names
from herdbook.core.spaces import EncoderSpec, Space
from herdbook.core.vectors import Place
from herdbook.errors import Invalid

ADDRESS_LIMIT: Final = 1_000

_NAME: Final = re.compile(r"[A-Za-z_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")


def collection_name(text: str, *, field: str = "name") -> str:
    """Check the name of a collection: it is one part of an address and of a file's name.

    Raises:
        Invalid: naming the rule that was broken.

    Example:
        >>> collection_name("handbook.de")
        'handbook.de'
    """
    names.line(text, field=field, limit=names.KEY_LIMIT)
    if not _NAME.match(text):
        raise Invalid(
            f"{text!r} is no name of a collection: begin with a letter or _, then ASCII letters, "
            "digits and . _ -, not ending in . or -",
            field=field,
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A place of a collection's documents, with what embeds for it.

    Args:
        place: where the vectors lie.
        encoder: how what embeds is opened; None while nobody said.
        space: what the vectors are in, as measured from the encoder that ran; None while that is
            not known: nothing is then searched or written.
    """

    place: Place
    encoder: EncoderSpec | None = None
    space: Space | None = None

    def __post_init__(self) -> None:
        """Refuse an encoder of another version than the space's."""
        said, found = self.encoder, self.space
        if said and found and (said.model, said.number) != (found.model, found.number):
            raise Invalid(
                f"the encoder is of {said.model}:{said.number}, the space of "
                f"{found.model}:{found.number}; they must be one version's",
                field="space",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A registered collection of documents.

    Args:
        name: unique in the register: letters, digits, `.`, `_` and `-`.
        model: the model whose versions embed it; who sees the model sees the collection.
        store: the address of the vector store, without secrets.
        home: what is searched, and written.
        beside: what is written too while a migration is under way: its target before the cut,
            the former home after it.
        migration: the migration that is under way, or "".
        epoch: how often the pointer moved.
        bridge: the fingerprint of the bridge queries pass, see `core.bridges`, or "".
        created_at: when it was registered.
        created_by: by whom.
    """

    name: str
    model: str
    store: str
    home: Home
    beside: Home | None = None
    migration: str = ""
    epoch: int = 1
    bridge: str = ""
    created_at: datetime
    created_by: str

    def __post_init__(self) -> None:
        """Refuse names and addresses that are none."""
        collection_name(self.name)
        names.model_name(self.model)
        if not 1 <= len(self.store) <= ADDRESS_LIMIT:
            raise Invalid("a store has an address like lancedb:vectors", field="store")

    @property
    def homes(self) -> tuple[Home, ...]:
        """Everything that is to be written."""
        return (self.home,) if self.beside is None else (self.home, self.beside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A map from a newer version's query space to the space a collection's vectors are in.

    Args:
        collection: whose queries pass it.
        encoder: what embeds the queries.
        space: what that embeds into.
        onto: the fingerprint of the space the vectors are in.
        kind: `procrustes`, `scaled`, `ridge` or `low_rank`.
        map: packed by `stats.mappings`, as base64 text.
        pairs: how many pairs it was fitted on.
        scores: what was measured of it on the user's queries, by name.
        expires_at: when it is used no more.
    """

    collection: str
    encoder: EncoderSpec
    space: Space
    onto: str
    kind: str
    map: str
    pairs: int
    scores: dict[str, float]
    expires_at: datetime
