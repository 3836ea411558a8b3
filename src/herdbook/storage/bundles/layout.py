"""What a bundle consists of: an OCI image layout, computed from its versions alone."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from herdbook.core.artifacts import (
    ARTIFACT_TYPE,
    MANIFEST_BYTES_LIMIT,
    MANIFEST_TYPE,
    Manifest,
    blob_digest,
    digest_of,
)
from herdbook.core.wire import canonical
from herdbook.errors import Corrupt, Invalid, TooLarge

LAYOUT, INDEX, BLOBS = "oci-layout", "index.json", "blobs/sha256/"
RECORD_TYPE: Final = "application/vnd.herdbook.version.v1+json"
SIGNATURE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"

_INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
_NOTHING_TYPE: Final = "application/vnd.oci.empty.v1+json"
_NOTHING: Final = b"{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A version in a bundle.

    Args:
        version: what registers it elsewhere, as the text of a JSON object.
        manifest: its files.
        signatures: over those, as JSON texts.
    """

    version: str
    manifest: Manifest
    signatures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a text that is no JSON object."""
        for text, field in (
            (self.version, "version"),
            *((s, "signatures") for s in self.signatures),
        ):
            if not _is_object(text):
                raise Invalid(f"{field} of a bundle must be the text of a JSON object", field=field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of the archive.

    Args:
        name: in the archive.
        size: its bytes.
        digest: of them; empty for the two that go by a name.
        data: them, unless it is a file of a version and no document too.
    """

    name: str
    size: int
    digest: str = ""
    data: bytes | None = None


def entries(contents: Iterable[Packed]) -> list[Entry]:
    """Give every file of a bundle in its order.

    Raises:
        Invalid: there is no version, one is there twice, or two give one digest two sizes.
        TooLarge: there are more versions or signatures than one list takes.
    """
    documents: dict[str, bytes] = {}
    files: dict[str, int] = {}
    named: list[dict[str, Any]] = []
    for one in contents:
        about = _small(_about(one), "the signatures of one version")
        if digest_of(about) in documents:
            raise Invalid("a version is in the bundle twice", field="contents")
        if one.manifest.digest not in documents:
            _add(documents, one.manifest.text.encode(), one.manifest.config.encode())
        _add(documents, about, _NOTHING, one.version.encode(), *map(str.encode, one.signatures))
        _note(files, {file.digest: file.size for file in one.manifest.files})
        named += [_subject(one.manifest) | {"artifactType": ARTIFACT_TYPE}]
        named += [_descriptor(MANIFEST_TYPE, about) | {"artifactType": RECORD_TYPE}]
    if not named:
        raise Invalid("a bundle holds at least one version", field="contents")
    _note(files, {digest: len(documents[digest]) for digest in files.keys() & documents.keys()})
    index = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": named}
    return [
        *_named(_small(canonical(index), "its versions")),
        *(_entry(digest, len(data), data) for digest, data in documents.items()),
        *(_entry(digest, files[digest]) for digest in sorted(files.keys() - documents.keys())),
    ]


def _named(index: bytes) -> list[Entry]:
    layout = canonical({"imageLayoutVersion": "1.0.0"}).encode()
    return [
        Entry(name=LAYOUT, size=len(layout), data=layout),
        Entry(name=INDEX, size=len(index), data=index),
    ]


def _add(documents: dict[str, bytes], *texts: bytes) -> None:
    documents |= {digest_of(text): text for text in texts}


def _note(files: dict[str, int], found: Mapping[str, int]) -> None:
    for digest, size in found.items():
        if files.setdefault(digest, size) != size:
            raise Invalid(f"{digest} has two sizes in the bundle", field="contents")


def _small(text: str, what: str) -> bytes:
    # What lists other things is read with a JSON reader, which takes many times its length.
    if len(text) > MANIFEST_BYTES_LIMIT:
        raise TooLarge(
            f"{what} take {len(text):,} bytes in a bundle to list, the limit is "
            f"{MANIFEST_BYTES_LIMIT:,}; write fewer into each"
        )
    return text.encode()


def packed(document: Callable[[str], bytes]) -> tuple[Packed, ...]:
    """Read the versions of a bundle; what else it says is not looked at.

    Args:
        document: gives the bytes of a digest, or of a name.

    Raises:
        Corrupt: they cannot be read.
    """
    try:
        found = _listed(document, INDEX)["manifests"]
        pairs = zip(found[::2], found[1::2], strict=True)
        manifests: dict[str, Manifest] = {}
        return tuple(_packed(document, manifests, *pair) for pair in pairs)
    except (Invalid, ValueError, TypeError, LookupError, AttributeError, RecursionError) as problem:
        raise Corrupt(
            f"the bundle was changed: its {INDEX} leads to no versions ({problem!s:.200}); "
            "copy it again"
        ) from None


def _packed(
    document: Callable[[str], bytes],
    manifests: dict[str, Manifest],
    subject: Mapping[str, Any],
    about: Mapping[str, Any],
) -> Packed:
    digest = blob_digest(subject["digest"])
    if digest not in manifests:
        manifests[digest] = Manifest.parse(document(digest).decode())
    layers = _listed(document, blob_digest(about["digest"]))["layers"]
    record, *signatures = (document(blob_digest(one["digest"])).decode() for one in layers)
    return Packed(version=record, manifest=manifests[digest], signatures=tuple(signatures))


def _listed(document: Callable[[str], bytes], name: str) -> Any:
    data = document(name)
    if len(data) > MANIFEST_BYTES_LIMIT:
        raise ValueError(f"it has {len(data):,} bytes, the limit is {MANIFEST_BYTES_LIMIT:,}")
    return json.loads(data)


def _about(one: Packed) -> str:
    """Give the manifest that refers to a version's and holds what is said of it."""
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": RECORD_TYPE,
            "config": _descriptor(_NOTHING_TYPE, _NOTHING),
            "layers": [
                _descriptor(RECORD_TYPE, one.version.encode()),
                *(_descriptor(SIGNATURE_TYPE, text.encode()) for text in one.signatures),
            ],
            "subject": _subject(one.manifest),
        }
    )


def _subject(manifest: Manifest) -> dict[str, Any]:
    return {
        "mediaType": MANIFEST_TYPE,
        "digest": manifest.digest,
        "size": len(manifest.text),  # it is ASCII
    }


def _descriptor(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}


def _entry(digest: str, size: int, data: bytes | None = None) -> Entry:
    name = BLOBS + digest.removeprefix("sha256:")
    return Entry(name=name, size=size, digest=digest, data=data)


def _is_object(text: str) -> bool:
    try:
        text.encode()
        return isinstance(json.loads(text), dict)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False
