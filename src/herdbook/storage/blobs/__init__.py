"""Bytes by their digest: in a folder, or in an object store."""

from pathlib import Path
from typing import Final

from herdbook.core.blobs import Blobs
from herdbook.errors import Invalid, MissingExtra
from herdbook.storage.blobs.folder import FolderBlobs

OBJECT_SCHEMES: Final = frozenset({"s3", "gs", "az", "memory"})


def opened(address: str) -> Blobs:
    """Open the store at an address: a folder, `s3://`, `gs://` or `az://bucket/prefix`, `memory:`.

    Credentials of an object store come from its usual environment variables, never from here.

    Raises:
        Invalid: no store is kept at such an address.
        MissingExtra: obstore is needed for it and not installed.
    """
    scheme, colon, rest = address.partition(":")
    if not colon or "/" in scheme:
        return FolderBlobs(_folder(address))
    if scheme == "file":
        return FolderBlobs(_folder(rest.removeprefix("//")))
    if scheme not in OBJECT_SCHEMES:
        raise Invalid(
            f"{scheme!r:.40} is no kind of store: write a folder, s3://bucket/prefix, "
            "gs://bucket/prefix or az://container/prefix",
            field="blobs",
        )
    return _objects(address)


def _folder(text: str) -> Path:
    if not text:
        raise Invalid("the address of the store is empty: write a folder", field="blobs")
    return Path(text)


def _objects(address: str) -> Blobs:
    try:
        from herdbook.storage.blobs.objects import ObjectBlobs  # it waits for obstore
    except ModuleNotFoundError as missing:
        if missing.name != "obstore":
            raise
        raise MissingExtra(
            f"{address.partition(':')[0]}: stores need obstore: pip install 'herdbook[objects]'"
        ) from None
    return ObjectBlobs.at(address)
