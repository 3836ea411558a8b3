"""What an export says of bytes into the tables: manifests, the blobs they name, who holds them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, select

from herdbook.core.artifacts import Manifest, blob_digest, digest_of
from herdbook.core.transfer import Record
from herdbook.core.wire import canonical, time_value
from herdbook.errors import Corrupt, Invalid
from herdbook.storage.sql.rows import BATCH, inserting, micros
from herdbook.storage.sql.tables import (
    blobs,
    manifest_blobs,
    manifests,
    signatures,
    version_manifests,
)


class Holding:
    """Writes which bytes the versions of an export have; the bytes travel on their own.

    Args:
        connection: of the work that imports.
        now: when the blobs are noted.
    """

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    def add_manifests(self, records: Sequence[Record]) -> None:
        """Add manifests, and note their blobs."""
        found = [(record, _manifest(record)) for record in records]
        self._insert(
            manifests,
            [
                {"digest": manifest.digest, "size": manifest.size, "doc": manifest.text}
                for _, manifest in found
            ],
        )
        ids = self._note(found)
        own = self._ids([manifest.digest for _, manifest in found])
        self._insert(
            manifest_blobs,
            [
                {"manifest_id": own[manifest.digest], "blob_id": blob}
                for _, manifest in found
                for blob in sorted({ids[file.digest] for file in manifest.files})
            ],
        )

    def _note(self, found: Sequence[tuple[Record, Manifest]]) -> dict[str, int]:
        """Note the blobs of manifests, and give their ids."""
        sizes: dict[str, int] = {}
        for record, manifest in found:
            for file in manifest.files:
                if sizes.setdefault(file.digest, file.size) != file.size:
                    raise _two_sizes(record, file.digest)
        at = micros(self._now)
        rows = [{"digest": digest, "size": sizes[digest], "at": at} for digest in sorted(sizes)]
        added = inserting(self._connection, blobs).on_conflict_do_nothing()
        self._connection.execute(added, rows)
        # What another line, or a push that ended without a version, noted before.
        noted = self._those(select(blobs.c.digest, blobs.c.id, blobs.c.size), blobs.c.digest, sizes)
        wrong = {row.digest for row in noted if row.size != sizes[row.digest]}
        for record, manifest in found if wrong else ():
            for file in manifest.files:
                if file.digest in wrong:
                    raise _two_sizes(record, file.digest)
        return {row.digest: int(row.id) for row in noted}

    def add_signatures(self, records: Sequence[Record]) -> None:
        """Add signatures of manifests that were added before."""
        ids = self._ids([record.text("manifest") for record in records])
        rows = []
        for record in records:
            manifest, text = record.text("manifest"), record.text("text")
            if manifest not in ids:
                raise _nowhere(record, manifest)
            rows.append(
                {
                    "manifest_id": ids[manifest],
                    "digest": digest_of(text.encode()),
                    "doc": text,
                    "at": micros(time_value(record.text("at"), field=f"line {record.line}")),
                    "by": record.text("by"),
                }
            )
        self._insert(signatures, rows)

    def attach(self, held: Sequence[tuple[Record, int, str]]) -> None:
        """Have versions, by their ids, hold manifests that were added before."""
        ids = self._ids([digest for _, _, digest in held])
        for record, _, digest in held:
            if digest not in ids:
                raise _nowhere(record, digest)
        self._insert(
            version_manifests,
            [{"version_id": key, "manifest_id": ids[digest]} for _, key, digest in held],
        )

    def _insert(self, table: Any, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(insert(table), rows)

    def _ids(self, digests: Iterable[str]) -> dict[str, int]:
        asked = select(manifests.c.digest, manifests.c.id)
        found = self._those(asked, manifests.c.digest, digests)
        return {row.digest: int(row.id) for row in found}

    def _those(self, asked: Select[Any], key: Any, digests: Iterable[str]) -> list[Any]:
        wanted = sorted(set(digests))
        parts = (wanted[at : at + BATCH] for at in range(0, len(wanted), BATCH))
        return [
            row for part in parts for row in self._connection.execute(asked.where(key.in_(part)))
        ]


def _manifest(record: Record) -> Manifest:
    said = record.text("digest")
    try:
        blob_digest(said)
        text = canonical(record.body.get("doc"))
        if digest_of(text.encode()) != said:
            raise Corrupt(
                f"line {record.line}: {said} is not the digest of the manifest beside it; the "
                "export was changed"
            )
        return Manifest.parse(text)
    except (Invalid, ValueError, RecursionError) as error:
        raise record.invalid(f"this is no manifest of a version: {error}") from error


def _two_sizes(record: Record, digest: str) -> Corrupt:
    return Corrupt(
        f"line {record.line}: the size it gives {digest} is not the one known before; the export "
        "was changed"
    )


def _nowhere(record: Record, digest: str) -> Invalid:
    return record.invalid(
        f"the {record.kind} names the manifest {digest}, which no line before it holds"
    )
