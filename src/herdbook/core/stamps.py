"""What every document carries about how it was embedded: the seeds' metadata, and a little more.

Stores that take no nested metadata hold the history as a JSON text; it reads the same everywhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final

from herdbook.core.spaces import Space
from herdbook.core.wire import time_text, time_value
from herdbook.errors import Invalid

MODEL: Final = "embedding_model"
VERSION: Final = "embedding_model_version"
SPACE: Final = "embedding_space"
INDEXED: Final = "indexed_at"
HISTORY: Final = "migration_history"
CONTENT: Final = "embedding_content"
WRITE: Final = "embedding_write"

# In the order stores keep them in.
KEYS: Final = (MODEL, VERSION, SPACE, INDEXED, HISTORY, CONTENT, WRITE)
_KEYS: Final = frozenset(KEYS)

Metadata = dict[str, Any]

# Made once: it is used for every document that is moved or compared.
_WRITTEN: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True, default=str).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One step of a document from a version to another."""

    from_version: str
    to_version: str
    migrated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """How a document was embedded.

    Args:
        model: the model that embedded it; "" when nobody knows.
        number: the version's number.
        space: the fingerprint of the space its vector is in; "" when nobody knows.
        indexed_at: when its vector was made.
        history: the migrations it went through, oldest first.
        content: the digest of the text and metadata it was made from, see `content_digest`.
        write: names the write it came with, so that a later one can tell it from its own.
    """

    model: str = ""
    number: str = ""
    space: str = ""
    indexed_at: datetime | None = None
    history: tuple[Hop, ...] = ()
    content: str = ""
    write: str = ""

    @property
    def known(self) -> bool:
        """Whether it says which space the vector is in."""
        return bool(self.space)


def read(metadata: Mapping[str, Any]) -> Stamp:
    """Read a document's stamp; what is missing is unknown.

    Raises:
        Invalid: something stands where a stamp should that is none.
    """
    at = metadata.get(INDEXED)
    return Stamp(
        model=_text(metadata, MODEL),
        number=_text(metadata, VERSION),
        space=_text(metadata, SPACE),
        indexed_at=time_value(at, field=INDEXED) if at else None,
        history=tuple(_hop(each) for each in history_of(metadata)),
        content=_text(metadata, CONTENT),
        write=_text(metadata, WRITE),
    )


def _text(metadata: Mapping[str, Any], key: str) -> str:
    found = metadata.get(key)
    return found if isinstance(found, str) else ""


def _hop(data: Any) -> Hop:
    try:
        return Hop(
            from_version=str(data["from_version"]),
            to_version=str(data["to_version"]),
            migrated_at=time_value(data["migrated_at"], field="migrated_at"),
        )
    except (TypeError, KeyError):
        raise Invalid(f"{data!r:.80} is no step of a history", field=HISTORY) from None


def history_of(metadata: Mapping[str, Any]) -> list[dict[str, str]]:
    """Give a document's history as plain data, whether a list or a JSON text holds it.

    Raises:
        Invalid: it is neither.
    """
    found = metadata.get(HISTORY)
    if not found or found == "[]":
        return []
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            raise Invalid(f"{found!r:.80} is no history", field=HISTORY) from None
    if not isinstance(found, list):
        raise Invalid(f"{found!r:.80} is no history", field=HISTORY)
    return list(found)


def history_text(history: list[dict[str, str]]) -> str:
    """Give a history as the JSON text stores without nested metadata hold."""
    return json.dumps(history, separators=(",", ":"))


def unstamped(metadata: Mapping[str, Any]) -> Metadata:
    """Give what of the metadata is the user's own."""
    return {key: value for key, value in metadata.items() if key not in _KEYS}


def content_digest(text: str | None, metadata: Mapping[str, Any]) -> str:
    """Digest what a document says: 32 hexadecimal digits of BLAKE2b; the stamp is left out.

    Equal for the same text and user's metadata, whatever store they are read from.
    """
    return own_digest(text, unstamped(metadata))


def own_digest(text: str | None, own: Mapping[str, Any]) -> str:
    """Do what `content_digest` does with metadata that hold no stamp."""
    said = f"{text}\x00{_WRITTEN(own) if own else ''}"
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Stamper:
    """Stamps documents of one write.

    Args:
        space: of the encoder that ran.
        at: when.
        write: names the write.
        nested: whether the store takes nested metadata.
        hops: the steps a migration adds to the history.
    """

    space: Space
    at: datetime
    write: str
    nested: bool
    hops: tuple[Hop, ...] = ()

    def stamped(
        self, metadata: Mapping[str, Any], *, content: str, history: list[dict[str, str]]
    ) -> Metadata:
        """Give metadata with the stamp in it.

        Args:
            metadata: the user's own; a stamp in it is replaced.
            content: see `content_digest`.
            history: the steps before this write's.
        """
        told = self._same | {CONTENT: content}
        if history or self.nested:
            steps = [*history, *(dict(step) for step in self._steps)]
            told[HISTORY] = steps if self.nested else history_text(steps)
        return {**metadata, **told}

    @cached_property
    def _steps(self) -> list[dict[str, str]]:
        return [_told(hop) for hop in self.hops]

    @cached_property
    def _same(self) -> Metadata:
        """What the stamps of all documents of the write have in common."""
        return {
            MODEL: self.space.model,
            VERSION: self.space.number,
            SPACE: self.space.fingerprint,
            INDEXED: time_text(self.at),
            HISTORY: history_text(self._steps),
            CONTENT: "",
            WRITE: self.write,
        }


def _told(hop: Hop) -> dict[str, str]:
    return {
        "from_version": hop.from_version,
        "to_version": hop.to_version,
        "migrated_at": time_text(hop.migrated_at),
    }
