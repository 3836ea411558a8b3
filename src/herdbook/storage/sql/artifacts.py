"""Which blobs there are, which versions hold them, and who is about to."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Insert,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)

from herdbook.core.access import Actor
from herdbook.core.artifacts import Manifest, Signature, digest_of
from herdbook.core.models import Version
from herdbook.errors import Corrupt, NotFound
from herdbook.storage.sql import search
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.rows import inserting, micros, moment
from herdbook.storage.sql.tables import (
    blobs,
    identity,
    manifest_blobs,
    manifests,
    models,
    pins,
    signatures,
    version_manifests,
    versions,
)
from herdbook.storage.sql.versions import SqlVersions

# How many digests one statement is given.
BATCH: Final = 500

_MANIFEST = Prepared(select(manifests.c.doc).where(manifests.c.digest == bindparam("wanted")))
_KNOWN = Prepared(select(manifests.c.id).where(manifests.c.digest == bindparam("wanted")))
_HELD_BY = (
    select(blobs.c.digest, models.c.name, versions.c.number)
    .join(manifest_blobs, manifest_blobs.c.blob_id == blobs.c.id)
    .join(version_manifests, version_manifests.c.manifest_id == manifest_blobs.c.manifest_id)
    .join(versions, versions.c.id == version_manifests.c.version_id)
    .join(models, models.c.id == versions.c.model_id)
)


class SqlArtifacts:
    """Blobs, manifests, pins and signatures."""

    def __init__(
        self, connection: Connection, by: Actor, versions: SqlVersions, now: datetime
    ) -> None:
        self._connection = connection
        self._by = by
        self._versions = versions
        self._now = now

    def register_key(self) -> str:
        """Give what tells this register from every other."""
        return str(self._connection.execute(select(identity.c.key)).scalar_one())

    # --- blobs ---

    def pin(self, digests: Iterable[str], *, until: datetime, proven: bool) -> None:
        """Keep blobs from being collected until a time, whether they are there yet or not."""
        pinned = sorted(set(digests))
        rows = [
            {"digest": digest, "by": self._by.sender, "until": micros(until), "proven": int(proven)}
            for digest in pinned
        ]
        # Whoever forgets one of them either is done or waits for this work, and sees its pins.
        self._lock_blobs(pinned)
        adding = inserting(self._connection, pins)
        said = adding.excluded
        self._many(
            adding.on_conflict_do_update(
                index_elements=["digest", "by"],
                set_={
                    "until": case((said.until > pins.c.until, said.until), else_=pins.c.until),
                    "proven": pins.c.proven.op("|")(said.proven),
                },
            ),
            rows,
        )

    def _lock_blobs(self, digests: Iterable[str]) -> list[int]:
        """Give the ids of those that are noted, and keep them from being forgotten meanwhile."""
        asked = select(blobs.c.id).order_by(blobs.c.digest)
        locked = asked.with_for_update(read=True, key_share=True)
        return [int(row.id) for row in self._those(locked, blobs.c.digest, digests)]

    def proven(self, digests: Iterable[str]) -> set[str]:
        """Give those whose bytes this actor has sent, under a pin that still holds."""
        asked = select(pins.c.digest).where(
            pins.c.by == self._by.sender, pins.c.proven == 1, pins.c.until > micros(self._now)
        )
        return {row[0] for row in self._those(asked, pins.c.digest, digests)}

    def add(self, sizes: Mapping[str, int]) -> None:
        """Note blobs that the store holds now; those that are noted stay as they are."""
        at = micros(self._now)
        rows = [{"digest": digest, "size": sizes[digest], "at": at} for digest in sorted(sizes)]
        self._many(inserting(self._connection, blobs).on_conflict_do_nothing(), rows)

    def _many(
        self, statement: Insert | Update, rows: Sequence[Mapping[str, Any]], *, columns: bool = True
    ) -> None:
        """Run an insert of rows, or what binds their values itself, for each of them."""
        if rows:
            given = tuple(rows[0]) if columns else ()
            Prepared(statement, columns=given).each(self._connection, rows)

    def sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """Give the sizes of those that are noted."""
        asked = select(blobs.c.digest, blobs.c.size)
        return {row[0]: int(row[1]) for row in self._those(asked, blobs.c.digest, digests)}

    def readable(self, digests: Iterable[str]) -> set[str]:
        """Give those that a version this actor may read holds."""
        asked = _HELD_BY.where(versions.c.visible == 1).with_only_columns(blobs.c.digest).distinct()
        if not self._by.sees_all():
            asked = asked.where(search.visible(self._by.grants))
        return {row[0] for row in self._those(asked, blobs.c.digest, digests)}

    def holders(self, digests: Iterable[str]) -> dict[str, list[str]]:
        """Give the versions that hold each blob, `model:number`, hidden ones too."""
        asked = _HELD_BY.order_by(models.c.name, versions.c.ordinal)
        found: dict[str, list[str]] = {}
        for row in self._those(asked, blobs.c.digest, digests):
            found.setdefault(row.digest, []).append(f"{row.name}:{row.number}")
        return found

    def owners(self, digests: Iterable[str]) -> dict[str, list[str]]:
        """Give the versions that have each manifest, `model:number`, hidden ones too."""
        asked = (
            select(manifests.c.digest, models.c.name, versions.c.number)
            .join(version_manifests, version_manifests.c.manifest_id == manifests.c.id)
            .join(versions, versions.c.id == version_manifests.c.version_id)
            .join(models, models.c.id == versions.c.model_id)
            .order_by(models.c.name, versions.c.ordinal)
        )
        found: dict[str, list[str]] = {}
        for row in self._those(asked, manifests.c.digest, digests):
            found.setdefault(row.digest, []).append(f"{row.name}:{row.number}")
        return found

    def _those(self, asked: Select[Any], column: Any, digests: Iterable[str]) -> list[Any]:
        wanted = sorted(set(digests))
        return [
            row
            for at in range(0, len(wanted), BATCH)
            for row in self._connection.execute(asked.where(column.in_(wanted[at : at + BATCH])))
        ]

    def every(self, *, after: str, limit: int) -> Sequence[tuple[str, int]]:
        """Give digest and size of noted blobs, in order, after one."""
        asked = select(blobs.c.digest, blobs.c.size).where(blobs.c.digest > after)
        found = self._connection.execute(asked.order_by(blobs.c.digest).limit(limit))
        return [(row.digest, int(row.size)) for row in found]

    def loose(self, *, before: datetime, after: str, limit: int) -> Sequence[tuple[str, int]]:
        """Give blobs noted before a time that no version holds and nobody pins, after one."""
        asked = (
            select(blobs.c.digest, blobs.c.size)
            .where(blobs.c.at < micros(before), blobs.c.digest > after, *self._unheld())
            .order_by(blobs.c.digest)
            .limit(limit)
        )
        return [(row.digest, int(row.size)) for row in self._connection.execute(asked)]

    def _unheld(self) -> tuple[Any, ...]:
        held = exists().where(manifest_blobs.c.blob_id == blobs.c.id)
        pinned = exists().where(
            and_(pins.c.digest == blobs.c.digest, pins.c.until > micros(self._now))
        )
        return ~held, ~pinned

    def awaited(self) -> tuple[int, int]:
        """Count noted blobs that no version holds and somebody pins, and add up their bytes."""
        unheld, unpinned = self._unheld()
        asked = select(func.count(), func.coalesce(func.sum(blobs.c.size), 0))
        count, size = self._connection.execute(asked.where(unheld, ~unpinned)).one()
        return int(count), int(size)

    def lock(self, digest: str) -> None:
        """Keep every other writer who notes, pins or names a blob waiting until this work ends."""
        # A transaction that writes on SQLite is alone as it is.
        own = blobs.c.digest == digest
        self._connection.execute(select(blobs.c.id).where(own).with_for_update())

    def forget(self, digest: str) -> bool:
        """Forget a blob if still no version holds it and nobody pins it; whether it was.

        The row stays locked until the work ends: whoever notes it again waits for that.
        """
        # Locked first, and looked at by a statement that begins after: under READ COMMITTED one
        # that had begun before would not see whom it waited for.
        self.lock(digest)
        own = blobs.c.digest == digest
        gone = self._connection.execute(delete(blobs).where(own, *self._unheld()))
        return bool(gone.rowcount)

    def forget_pins(self, before: datetime) -> None:
        """Forget pins that held until before a time."""
        # What somebody renews just now is left: to wait for it, in another order than theirs, could
        # be to wait for each other.
        over = (
            select(pins.c.digest, pins.c.by)
            .where(pins.c.until < micros(before))
            .with_for_update(skip_locked=True)
        )
        self._connection.execute(delete(pins).where(tuple_(pins.c.digest, pins.c.by).in_(over)))

    def described(self, digests: Iterable[str]) -> set[str]:
        """Give those of which something is known to be inside."""
        asked = select(blobs.c.digest).where(blobs.c.contents.is_not(None))
        return {row[0] for row in self._those(asked, blobs.c.digest, digests)}

    def contents(self, digests: Iterable[str]) -> dict[str, str]:
        """Give what is known to be inside blobs, as JSON."""
        asked = select(blobs.c.digest, blobs.c.contents).where(blobs.c.contents.is_not(None))
        return {row.digest: row.contents for row in self._those(asked, blobs.c.digest, digests)}

    def describe(self, contents: Mapping[str, str]) -> None:
        """Keep what is inside blobs, as JSON; those that are not noted stay so."""
        own = update(blobs).where(blobs.c.digest == bindparam("own"))
        rows = [{"own": digest, "said": contents[digest]} for digest in sorted(contents)]
        self._many(own.values(contents=bindparam("said")), rows, columns=False)

    # --- manifests ---

    def keep(self, manifest: Manifest) -> None:
        """Keep a manifest and which noted blobs it names; one that is kept stays as it is."""
        row = {"digest": manifest.digest, "size": manifest.size, "doc": manifest.text}
        adding = (
            inserting(self._connection, manifests)
            .on_conflict_do_nothing()
            .returning(manifests.c.id)
        )
        own = select(manifests.c.id).where(manifests.c.digest == manifest.digest)
        locked = own.with_for_update(read=True, key_share=True)
        while True:
            added = self._connection.execute(adding, row).scalar_one_or_none()
            if added is not None:
                return self._link(added, manifest)
            # Whoever lets go of it meanwhile has done so by now, or waits for this work.
            if self._connection.execute(locked).scalar_one_or_none() is not None:
                return None

    def _link(self, own: int, manifest: Manifest) -> None:
        named = {file.digest for file in manifest.files}
        ids = self._lock_blobs(named)
        if len(ids) != len(named):
            raise NotFound("bytes of the version were removed meanwhile; push it again")
        rows = [{"manifest_id": own, "blob_id": one} for one in sorted(ids)]
        self._many(insert(manifest_blobs), rows)

    def _id(self, digest: str) -> int:
        row = _KNOWN.row(self._connection, {"wanted": digest})
        if row is None:
            raise NotFound(f"there is no manifest {digest}", field="manifest")
        return int(row.id)

    def attach(self, version: Version) -> None:
        """Have a version hold the blobs of the manifest its facts name, and no others."""
        own, new = self._versions.id_of(version), self._id(version.facts.manifest)
        held = version_manifests.c.version_id == own
        asked = select(version_manifests.c.manifest_id).where(held)
        old = self._connection.execute(asked).scalar_one_or_none()
        if old == new:
            return
        self._connection.execute(delete(version_manifests).where(held))
        row = {"version_id": own, "manifest_id": new}
        self._connection.execute(insert(version_manifests), row)
        if old is not None:
            self._let_go(old)

    def _let_go(self, manifest: int) -> None:
        """Drop a manifest that no version has any more, so that its blobs can be collected."""
        own = manifests.c.id == manifest
        # Locked first, for the reason `forget` gives.
        self._connection.execute(select(manifests.c.id).where(own).with_for_update())
        held = exists().where(version_manifests.c.manifest_id == manifest)
        if self._connection.execute(select(held)).scalar_one():
            return
        for table in (signatures, manifest_blobs):
            self._connection.execute(delete(table).where(table.c.manifest_id == manifest))
        self._connection.execute(delete(manifests).where(own))

    def manifest(self, digest: str) -> Manifest:
        """Give a kept manifest; NotFound; Corrupt when it is no longer what was kept."""
        row = _MANIFEST.row(self._connection, {"wanted": digest})
        if row is None:
            raise NotFound(f"there is no manifest {digest}", field="manifest")
        if digest_of(row.doc.encode()) != digest:
            raise Corrupt(
                f"the manifest kept under {digest} is another: the database was changed; restore "
                "it from a backup"
            )
        return Manifest.parse(row.doc)

    def manifests(self, *, after: str, limit: int) -> Sequence[str]:
        """Give the digests of kept manifests, in order, after one."""
        asked = select(manifests.c.digest).where(manifests.c.digest > after)
        found = self._connection.execute(asked.order_by(manifests.c.digest).limit(limit))
        return [row.digest for row in found]

    # --- signatures ---

    def sign(self, manifest: str, text: str) -> bool:
        """Keep a signature of a manifest; whether it is new, for the same is kept once."""
        row = {
            "manifest_id": self._id(manifest),
            "digest": digest_of(text.encode()),
            "doc": text,
            "at": micros(self._now),
            "by": self._by.name,
        }
        adding = (
            inserting(self._connection, signatures)
            .on_conflict_do_nothing()
            .returning(signatures.c.id)
        )
        return self._connection.execute(adding, row).scalar_one_or_none() is not None

    def signers(self, manifest: str) -> Sequence[tuple[str, int]]:
        """Give who sent the signatures of a manifest and how long each is, oldest first."""
        asked = (
            select(signatures.c.by, func.length(signatures.c.doc))
            .join(manifests, manifests.c.id == signatures.c.manifest_id)
            .where(manifests.c.digest == manifest)
            .order_by(signatures.c.id)
        )
        return [(row[0], int(row[1])) for row in self._connection.execute(asked)]

    def verify(self, manifest: str, text: str, *, key: str) -> bool:
        """Note which key a kept signature was verified to be by; whether that is new."""
        own = (
            signatures.c.manifest_id == self._id(manifest),
            signatures.c.digest == digest_of(text.encode()),
            signatures.c.key.is_distinct_from(key),
        )
        noted = self._connection.execute(update(signatures).where(*own).values(key=key))
        return bool(noted.rowcount)

    def verified_keys(self, manifest: str) -> set[str]:
        """Give the digests of the keys that signatures of a manifest were verified to be by."""
        asked = (
            select(signatures.c.key)
            .join(manifests, manifests.c.id == signatures.c.manifest_id)
            .where(manifests.c.digest == manifest, signatures.c.key.is_not(None))
        )
        return {row[0] for row in self._connection.execute(asked)}

    def signatures(self, manifest: str) -> Sequence[Signature]:
        """Give the signatures of a manifest, oldest first."""
        asked = (
            select(signatures.c.doc, signatures.c.at, signatures.c.by, signatures.c.key)
            .join(manifests, manifests.c.id == signatures.c.manifest_id)
            .where(manifests.c.digest == manifest)
            .order_by(signatures.c.id)
        )
        return [
            Signature(text=row.doc, at=moment(row.at), by=row.by, key=row.key or "")
            for row in self._connection.execute(asked)
        ]
