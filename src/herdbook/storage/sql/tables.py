"""The tables. A version is two JSON texts, and columns to find it by.

`facts` is what a version is and does not change once it is sealed; `about` is what is known
about it. The other columns repeat parts of both for searching and are written with them by
one function, `storage.sql.versions.columns`. Times are microseconds since 1970 in UTC.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from herdbook.storage.sql.columns import Id, Word, row_id, to
from herdbook.storage.sql.columns import metadata as metadata
from herdbook.storage.sql.document_tables import collections as collections
from herdbook.storage.sql.drift_tables import monitors as monitors
from herdbook.storage.sql.experiment_tables import experiments as experiments

models = Table(
    "models",
    metadata,
    row_id(),
    Column("name", Word, nullable=False, unique=True),
    Column("folded", Word, nullable=False, unique=True),
    Column("type", Word, nullable=False),
    Column("owner", Word, nullable=False),
    Column("description", Word, nullable=False),
    Column("versions", Integer, nullable=False),
    Column("doc", Text, nullable=False),
    Column("created_by", Word, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("next_ordinal", Integer, nullable=False, server_default="1"),
    Column("tombstone", Text),
    Index(None, "type", "name"),
)

model_tags = Table(
    "model_tags",
    metadata,
    to("models.id", "model_id", key=True),
    Column("key", Word, primary_key=True),
    Column("value", Word, nullable=False),
    Index(None, "key", "value", "model_id"),
    sqlite_with_rowid=False,
)

versions = Table(
    "versions",
    metadata,
    row_id(),
    to("models.id", "model_id"),
    Column("ordinal", Integer, nullable=False),
    Column("number", Word, nullable=False),
    Column("number_key", Word, nullable=False),
    Column("status", Word, nullable=False),
    Column("sealed", SmallInteger, nullable=False),
    Column("digest", Word, nullable=False),
    Column("facts", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("description", Word, nullable=False),
    Column("created_by", Word, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("git_commit", Word),
    Column("framework", Word),
    Column("base_model", Word),
    Column("hardware", Word),
    Column("samples", BigInteger),
    Column("epochs", Double),
    Column("batch_size", BigInteger),
    Column("learning_rate", Double),
    Column("duration_hours", Double),
    Column("cost_usd", Double),
    # 0 while it, or its model, is deleted.
    Column("visible", SmallInteger, nullable=False, server_default="1"),
    Column("tombstone", Text),
    UniqueConstraint("model_id", "number_key"),
    UniqueConstraint("model_id", "ordinal"),
    Index(None, "model_id", "visible", "ordinal"),
    Index(None, "status", "id"),
    Index(None, "cost_usd", "id"),
    Index(None, "created_at", "id"),
    Index(None, "digest"),
    Index(None, "git_commit"),
)

version_tags = Table(
    "version_tags",
    metadata,
    to("versions.id", "version_id", key=True),
    Column("key", Word, primary_key=True),
    Column("value", Word, nullable=False),
    Index(None, "key", "value", "version_id"),
    sqlite_with_rowid=False,
)

parents = Table(
    "parents",
    metadata,
    to("versions.id", "child_id", key=True),
    to("versions.id", "parent_id", key=True),
    Column("position", Integer, nullable=False),
    Column("kind", Word, nullable=False),
    Index(None, "parent_id", "child_id"),
    sqlite_with_rowid=False,
)

datasets = Table("datasets", metadata, row_id(), Column("name", Word, nullable=False, unique=True))

version_datasets = Table(
    "version_datasets",
    metadata,
    to("versions.id", "version_id", key=True),
    to("datasets.id", "dataset_id", key=True),
    Index(None, "dataset_id", "version_id"),
    sqlite_with_rowid=False,
)

metrics = Table(
    "metrics",
    metadata,
    row_id(),
    to("versions.id", "version_id"),
    Column("name", Word, nullable=False),
    Column("value", Double, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("source", Word, nullable=False),
    Column("dataset", Word, nullable=False),
    Column("by", Word, nullable=False),
    Index(None, "version_id", "name", "id"),
)

scores = Table(
    "scores",
    metadata,
    to("versions.id", "version_id", key=True),
    Column("name", Word, primary_key=True),
    Column("value", Double, nullable=False),
    Index(None, "name", "value", "version_id"),
    sqlite_with_rowid=False,
)

operational = Table(
    "operational",
    metadata,
    Column("version_id", Id, ForeignKey("versions.id"), primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("timed", BigInteger, nullable=False),
    Column("time_ms", Double, nullable=False),
    Column("judged", BigInteger, nullable=False),
    Column("confidence", Double, nullable=False),
)

aliases = Table(
    "aliases",
    metadata,
    to("models.id", "model_id", key=True),
    Column("name", Word, primary_key=True),
    Column("version_id", Id, ForeignKey("versions.id")),
    Column("epoch", Integer, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
    Column("moved_by", Word, nullable=False),
    Index(None, "version_id"),
    Index(None, "name", "model_id"),
    sqlite_with_rowid=False,
)

moves = Table(
    "moves",
    metadata,
    row_id(),
    to("models.id", "model_id"),
    Column("alias", Word, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("from_id", Id, ForeignKey("versions.id")),
    Column("to_id", Id, ForeignKey("versions.id")),
    Column("at", BigInteger, nullable=False),
    Column("doc", Text, nullable=False),
    UniqueConstraint("model_id", "alias", "epoch"),
    Index(None, "model_id", "alias", "at"),
    Index(None, "to_id"),
)

events = Table(
    "events",
    metadata,
    Column(
        "seq",
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("at", Word, nullable=False),
    Column("by", Word, nullable=False),
    Column("action", Word, nullable=False),
    Column("model", Word, nullable=False),
    Column("number", Word, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", Word, nullable=False),
    Column("hash", Word, nullable=False),
    Index(None, "model", "seq"),
    Index(None, "action", "seq"),
)

chain = Table(
    "chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Word, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    row_id(),
    Column("url", Word, nullable=False),
    Column("secret", Word, nullable=False),
    Column("actions", Text, nullable=False),
    Column("model", Word, nullable=False),
    Column("active", SmallInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Word, nullable=False),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    row_id(),
    to("webhooks.id", "webhook_id"),
    to("events.seq", "seq"),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger),
    Column("delivered_at", BigInteger),
    Column("problem", Text, nullable=False),
    UniqueConstraint("webhook_id", "seq"),
    Index(None, "next_at", "id"),
    sqlite_autoincrement=True,
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Word, primary_key=True),
    Column("secret_hash", Word, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("doc", Text, nullable=False),
    Index(None, "created_at", "id"),
)

replays = Table(
    "replays",
    metadata,
    Column("key", Word, primary_key=True),
    Column("by", Word, primary_key=True),
    Column("request", Word, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "at"),
)

# Which bytes there are. A blob is noted when the store keeps it durably, and forgotten in the
# transaction that removes it.
blobs = Table(
    "blobs",
    metadata,
    row_id(),
    Column("digest", Word, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    # What is inside, once somebody asked; it follows from the bytes alone.
    Column("contents", Text),
    Index(None, "at", "digest"),
)

# Which register this is: a store of bytes serves one.
identity = Table(
    "identity",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("key", Word, nullable=False),
)

# Who is about to need which bytes, and whether they have shown that they have them.
pins = Table(
    "pins",
    metadata,
    Column("digest", Word, primary_key=True),
    Column("by", Word, primary_key=True),
    Column("until", BigInteger, nullable=False),
    Column("proven", SmallInteger, nullable=False),
    Index(None, "until"),
    sqlite_with_rowid=False,
)

manifests = Table(
    "manifests",
    metadata,
    row_id(),
    Column("digest", Word, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("doc", Text, nullable=False),
)

manifest_blobs = Table(
    "manifest_blobs",
    metadata,
    to("manifests.id", "manifest_id", key=True),
    to("blobs.id", "blob_id", key=True),
    Index(None, "blob_id", "manifest_id"),
    sqlite_with_rowid=False,
)

version_manifests = Table(
    "version_manifests",
    metadata,
    Column("version_id", Id, ForeignKey("versions.id"), primary_key=True, autoincrement=False),
    to("manifests.id", "manifest_id"),
    Index(None, "manifest_id"),
)

signatures = Table(
    "signatures",
    metadata,
    row_id(),
    to("manifests.id", "manifest_id"),
    Column("digest", Word, nullable=False),
    Column("doc", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", Word, nullable=False),
    Column("key", Word, nullable=True),
    UniqueConstraint("manifest_id", "digest"),
)
