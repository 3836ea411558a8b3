"""Documents as payloads of Qdrant's points: by default as LangChain lays them out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from herdbook.core.stamps import KEYS, WRITE, Metadata
from herdbook.core.vectors import Place
from herdbook.errors import Invalid
from herdbook.storage.vectors.point_ids import native

# Beside the user's metadata, not in it: who reads the collection with LangChain does not see it.
ID: Final = "herdbook_id"

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Under which keys of a payload a document is.

    Args:
        text: the text's key.
        metadata: the key metadata is nested under; "" where it lies beside the text.
        vector: the name of a collection's first vector field; "" for the unnamed one.
    """

    text: str = "page_content"
    metadata: str = "metadata"
    vector: str = ""

    def name(self, place: Place) -> str:
        """Give the name of a place's vector field in the store."""
        return place.field or self.vector

    def field(self, name: str) -> str:
        """Give what a place calls a vector field of the store."""
        return "" if name == self.vector else name

    def path(self, key: str) -> str:
        """Give the path of a key of metadata, for filters."""
        return f"{self.metadata}.{key}" if self.metadata else key

    def packed(
        self, place: Place, ident: str, text: str | None, metadata: Mapping[str, Any]
    ) -> Payload:
        """Give a document's payload, the stamp under the keys of its field."""
        payload: Payload = {}
        inner = payload
        if self.metadata:
            inner = payload[self.metadata] = {}
        if place.field:
            stamps = {key: place.stamp_key(key) for key in KEYS}
            inner.update((stamps.get(key, key), value) for key, value in metadata.items())
        else:
            inner.update(metadata)
        if not self.metadata and (self.text in inner or ID in inner):
            taken = self.text if self.text in inner else ID
            raise Invalid(f"metadata holds the key {taken!r}, which is the document's own")
        if text is not None:
            payload[self.text] = text
        if native(ident) is None:
            payload[ID] = ident
        return payload

    def inner(self, payload: Payload | None) -> Payload:
        """Give what of a payload is metadata, with the stamps of all fields."""
        if not payload:
            return {}
        if self.metadata:
            return payload.get(self.metadata) or {}
        return {key: value for key, value in payload.items() if key not in (self.text, ID)}

    def ident(self, point: Any, payload: Payload | None) -> str:
        """Give a document's id, which is its point's where it could be."""
        return str((payload or {}).get(ID, point))

    def said(self, payload: Payload | None) -> str | None:
        """Give a document's text."""
        text = (payload or {}).get(self.text)
        return text if isinstance(text, str) else None

    def unpacked(self, place: Place, payload: Payload | None, others: Iterable[str]) -> Metadata:
        """Give a document's metadata, the field's stamp by the plain keys, others' left out."""
        inner = self.inner(payload)
        fields = [field for field in others if field != place.field]
        if not fields and not place.field:
            return inner
        hidden = {f"{field}_{key}" if field else key for field in fields for key in KEYS}
        plain = {place.stamp_key(key): key for key in KEYS}
        return {plain.get(key, key): value for key, value in inner.items() if key not in hidden}

    def with_stamps(self, payload: Payload, of: Payload | None, fields: Iterable[str]) -> Payload:
        """Take the stamps of fields from another payload into this one."""
        kept = self.inner(of)
        inner = payload[self.metadata] if self.metadata else payload
        for field in fields:
            for key in KEYS:
                named = f"{field}_{key}" if field else key
                if named in kept:
                    inner[named] = kept[named]
        return payload

    def without_stamp(self, payload: Payload, place: Place) -> Payload:
        """Give a payload without the stamp of a field."""
        gone = {place.stamp_key(key) for key in KEYS}
        inner = {key: value for key, value in self.inner(payload).items() if key not in gone}
        if self.metadata:
            return {**payload, self.metadata: inner}
        return {key: value for key, value in payload.items() if key not in gone}

    def write_of(self, place: Place, payload: Payload | None) -> str | None:
        """Give the write a field's stamp names."""
        found = self.inner(payload).get(place.stamp_key(WRITE))
        return found if isinstance(found, str) else None
