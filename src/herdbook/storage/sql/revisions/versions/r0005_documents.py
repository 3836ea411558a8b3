"""Documents: collections, their migrations, and the ledger of each."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _to(table: str, target: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}")


def _registered() -> None:
    op.create_table(
        "collections",
        sa.Column("id", Id, nullable=False),
        sa.Column("model_id", Id, nullable=False),
        sa.Column("name", Word, nullable=False),
        sa.Column("store", Word, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("bridge", sa.Text()),
        _to("collections", "models", "model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_collections"),
        sa.UniqueConstraint("name", name="uq_collections_name"),
    )
    _index("collections", "model_id", "name")
    _index("collections", "store")
    op.create_table(
        "document_migrations",
        sa.Column("id", Id, nullable=False),
        sa.Column("model_id", Id, nullable=False),
        sa.Column("collection", Word, nullable=False),
        sa.Column("phase", Word, nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        _to("document_migrations", "models", "model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_document_migrations"),
        sqlite_autoincrement=True,
    )
    _index("document_migrations", "collection", "id")
    _index("document_migrations", "model_id", "id")


def _key() -> list[sa.Column[int]]:
    return [
        sa.Column("migration_id", Id, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
    ]


def _carried() -> None:
    op.create_table(
        "document_shards",
        *_key(),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("upto", sa.Text(), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("written", sa.BigInteger()),
        sa.Column("done_at", sa.BigInteger()),
        _to("document_shards", "document_migrations", "migration_id"),
        sa.PrimaryKeyConstraint("migration_id", "number", name="pk_document_shards"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "document_rejects",
        _key()[0],
        sa.Column("document", Word, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("shard", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        _to("document_rejects", "document_migrations", "migration_id"),
        sa.PrimaryKeyConstraint("migration_id", "document", name="pk_document_rejects"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "document_tombstones",
        *_key(),
        sa.Column("document", sa.Text(), nullable=False),
        _to("document_tombstones", "document_migrations", "migration_id"),
        sa.PrimaryKeyConstraint("migration_id", "number", name="pk_document_tombstones"),
        sqlite_with_rowid=False,
    )


def upgrade() -> None:
    """Add them."""
    _registered()
    _carried()
