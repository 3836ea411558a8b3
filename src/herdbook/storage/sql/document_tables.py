"""The tables of documents: collections, their migrations, and the ledger of each.

No document is kept here: those are in the user's vector store.
"""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from herdbook.storage.sql.columns import Word, metadata, row_id, to

collections = Table(
    "collections",
    metadata,
    row_id(),
    to("models.id", "model_id"),
    Column("name", Word, nullable=False, unique=True),
    # The address of its vector store.
    Column("store", Word, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("doc", Text, nullable=False),
    # The map its queries pass, or NULL.
    Column("bridge", Text),
    Index(None, "model_id", "name"),
    Index(None, "store"),
)

document_migrations = Table(
    "document_migrations",
    metadata,
    row_id(),
    to("models.id", "model_id"),
    # Not a key: what is removed from the register leaves its history.
    Column("collection", Word, nullable=False),
    Column("phase", Word, nullable=False),
    Column("doc", Text, nullable=False),
    Index(None, "collection", "id"),
    Index(None, "model_id", "id"),
    # An id is never given again: stamps of documents name it.
    sqlite_autoincrement=True,
)

# What is carried at once; a row is done when the store has acknowledged it.
document_shards = Table(
    "document_shards",
    metadata,
    to("document_migrations.id", "migration_id", key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("after", Text, nullable=False),
    Column("upto", Text, nullable=False),
    Column("documents", BigInteger, nullable=False),
    Column("written", BigInteger),
    Column("done_at", BigInteger),
    sqlite_with_rowid=False,
)

# Documents that could not be moved.
document_rejects = Table(
    "document_rejects",
    metadata,
    to("document_migrations.id", "migration_id", key=True),
    Column("document", Word, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("shard", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Documents that were deleted while they were moved, in the order of that.
document_tombstones = Table(
    "document_tombstones",
    metadata,
    to("document_migrations.id", "migration_id", key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    sqlite_with_rowid=False,
)
