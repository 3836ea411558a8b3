"""Whether what a database says of bytes agrees with itself; the bytes are not looked at."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, exists, select

from herdbook.core.artifacts import Manifest, digest_of
from herdbook.errors import HerdbookError
from herdbook.storage.sql.rows import each
from herdbook.storage.sql.tables import (
    blobs,
    manifest_blobs,
    manifests,
    signatures,
    version_manifests,
)

# One may name ten thousand files.
MANIFESTS_AT_ONCE: Final = 10


def wrong_manifests(connection: Connection) -> Iterator[str]:
    """Tell, a sentence each, which manifests, blobs and signatures were changed."""
    holding = select(manifest_blobs.c.manifest_id, blobs.c.digest, blobs.c.size).join(
        blobs, blobs.c.id == manifest_blobs.c.blob_id
    )
    rows = each(connection, select(manifests), (manifests.c.id,), size=MANIFESTS_AT_ONCE)
    while batch := list(islice(rows, MANIFESTS_AT_ONCE)):
        held: dict[int, dict[str, int]] = defaultdict(dict)
        own = manifest_blobs.c.manifest_id.in_([row.id for row in batch])
        for manifest, digest, size in connection.execute(holding.where(own)):
            held[manifest][digest] = size
        for row in batch:
            yield from _wrong_manifest(row, held[row.id])
    yield from _ownerless(connection)
    yield from _wrong_signatures(connection)


def _wrong_manifest(row: Any, held: Mapping[str, int]) -> Iterator[str]:
    if digest_of(row.doc.encode()) != row.digest:
        yield f"the manifest {row.digest} is not the one of that digest: it was changed"
    try:
        manifest = Manifest.parse(row.doc)
    except HerdbookError as error:
        yield f"the manifest {row.digest} cannot be read: {error}"
        return
    if row.size != manifest.size:
        yield f"the manifest {row.digest} is noted with {row.size:,} bytes, not {manifest.size:,}"
    named = {file.digest: file.size for file in manifest.files}
    for digest in sorted(named.keys() - held.keys()):
        yield f"the manifest {row.digest} names {digest}, and does not hold it"
    for digest in sorted(held.keys() - named.keys()):
        yield f"the manifest {row.digest} holds {digest}, and does not name it"
    for digest in sorted(held.keys() & named.keys()):
        if held[digest] != named[digest]:
            yield f"{digest} is noted with {held[digest]:,} bytes, not {named[digest]:,}"


def _ownerless(connection: Connection) -> Iterator[str]:
    had = exists().where(version_manifests.c.manifest_id == manifests.c.id)
    asked = select(manifests.c.id, manifests.c.digest).where(~had)
    for row in each(connection, asked, (manifests.c.id,)):
        yield f"no version has the manifest {row.digest}"


def _wrong_signatures(connection: Connection) -> Iterator[str]:
    asked = select(
        signatures.c.id,
        signatures.c.digest,
        signatures.c.doc,
        manifests.c.digest.label("manifest"),
    ).join(manifests, manifests.c.id == signatures.c.manifest_id)
    for row in each(connection, asked, (signatures.c.id,), size=MANIFESTS_AT_ONCE):
        if digest_of(row.doc.encode()) != row.digest:
            yield f"a signature of the manifest {row.manifest} was changed"


def bound(connection: Connection, versions: Sequence[int]) -> dict[int, str]:
    """Give the digest of the manifest of each version that has one."""
    asked = (
        select(version_manifests.c.version_id, manifests.c.digest)
        .join(manifests, manifests.c.id == version_manifests.c.manifest_id)
        .where(version_manifests.c.version_id.in_(versions))
    )
    return {int(row[0]): str(row[1]) for row in connection.execute(asked)}
