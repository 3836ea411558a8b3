"""Versions to pack into bundles, and archives made by others to be refused."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from herdbook.core.artifacts import Artifact, Manifest, digest_of, role_of
from herdbook.storage.bundles import Bundle, Packed, Written, write_bundle

WEIGHTS = bytes(range(256)) * 9_000  # more than two chunks
ONE = {
    "model.safetensors": WEIGHTS,
    "config.json": b"{}",  # the same bytes as a document of the layout
    "labels.txt": b"a\nb\n",
    "empty.txt": b"",
    "notes/empty.md": b"",
}
TWO = {**ONE, "labels.txt": b"a\nb\nc\n"}
SIGNATURE = json.dumps({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "é": 1})


def a_version(files: Mapping[str, bytes], name: str, *signatures: str) -> Packed:
    """A version of files."""
    manifest = Manifest(
        tuple(
            Artifact(path=path, size=len(data), digest=digest_of(data), role=role_of(path))
            for path, data in files.items()
        )
    )
    return Packed(
        version=json.dumps({"name": name, "notes": "größer"}, ensure_ascii=False),
        manifest=manifest,
        signatures=signatures,
    )


VERSIONS = (
    a_version(ONE, "majora:v1"),
    a_version(TWO, "majora:v2", SIGNATURE, '{"other":2}'),
    a_version(TWO, "oracle:v1"),
)
STORE = {digest_of(data): data for data in (*ONE.values(), *TWO.values())}


def from_store(digest: str) -> Iterator[bytes]:
    """The bytes of a digest, in uneven chunks."""
    data = io.BytesIO(STORE[digest])
    while chunk := data.read(70_001):
        yield chunk


def a_bundle(path: Path) -> Written:
    """A bundle of all versions."""
    return write_bundle(path, VERSIONS, from_store)


def every_byte(bundle: Bundle) -> dict[str, bytes]:
    """The files of a bundle by their digests."""
    return {digest: b"".join(chunks) for digest, _, chunks in bundle.blobs()}


Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def unpacked(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """What an archive holds, as Python's own reader sees it."""
    with tarfile.open(path) as archive:
        return [(info, _data(archive, info)) for info in archive]


def _data(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    return file.read() if file else b""


def repacked(
    path: Path,
    parts: list[tuple[tarfile.TarInfo, bytes]],
    *,
    kind: Literal[0, 1, 2] = tarfile.GNU_FORMAT,
) -> Path:
    """Write an archive as anybody could."""
    with path.open("wb") as file:
        for info, data in parts:
            file.write(info.tobuf(kind))
            file.write(data)
            file.write(bytes(-len(data) % 512))
        file.write(bytes(1_024))
    return path


def blob(data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    """A file of the archive under the digest of its bytes."""
    info = tarfile.TarInfo(f"blobs/sha256/{hashlib.sha256(data).hexdigest()}")
    info.size = len(data)
    return info, data
