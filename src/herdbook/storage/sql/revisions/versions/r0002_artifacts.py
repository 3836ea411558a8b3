"""Artifacts: blobs, who is about to need them, manifests and their signatures."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("id", Id, nullable=False),
        sa.Column("digest", Word, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("contents", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        sa.UniqueConstraint("digest", name="uq_blobs_digest"),
    )
    _index("blobs", "at", "digest")
    op.create_table(
        "pins",
        sa.Column("digest", Word, nullable=False),
        sa.Column("by", Word, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("proven", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "by", name="pk_pins"),
        sqlite_with_rowid=False,
    )
    _index("pins", "until")


def _identity() -> None:
    table = op.create_table(
        "identity",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", Word, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identity"),
    )
    op.bulk_insert(table, [{"id": 1, "key": secrets.token_hex(16)}])


def _manifests() -> None:
    op.create_table(
        "manifests",
        sa.Column("id", Id, nullable=False),
        sa.Column("digest", Word, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_manifests"),
        sa.UniqueConstraint("digest", name="uq_manifests_digest"),
    )
    op.create_table(
        "manifest_blobs",
        sa.Column("manifest_id", Id, nullable=False),
        sa.Column("blob_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name="fk_manifest_blobs_manifest_id"
        ),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name="fk_manifest_blobs_blob_id"),
        sa.PrimaryKeyConstraint("manifest_id", "blob_id", name="pk_manifest_blobs"),
        sqlite_with_rowid=False,
    )
    _index("manifest_blobs", "blob_id", "manifest_id")


def _holders() -> None:
    op.create_table(
        "version_manifests",
        sa.Column("version_id", Id, autoincrement=False, nullable=False),
        sa.Column("manifest_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_version_manifests_version_id"
        ),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name="fk_version_manifests_manifest_id"
        ),
        sa.PrimaryKeyConstraint("version_id", name="pk_version_manifests"),
    )
    _index("version_manifests", "manifest_id")


def _signatures() -> None:
    op.create_table(
        "signatures",
        sa.Column("id", Id, nullable=False),
        sa.Column("manifest_id", Id, nullable=False),
        sa.Column("digest", Word, nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", Word, nullable=False),
        sa.Column("key", Word, nullable=True),
        sa.ForeignKeyConstraint(
            ["manifest_id"], ["manifests.id"], name="fk_signatures_manifest_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_signatures"),
        sa.UniqueConstraint("manifest_id", "digest", name="uq_signatures_manifest_id_digest"),
    )


def upgrade() -> None:
    """Make the tables of the bytes."""
    for make in (_identity, _blobs, _manifests, _holders, _signatures):
        make()
