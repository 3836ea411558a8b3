"""The tables of drift.

What changes with every fold is apart from what never does: a monitor's row holds its state, its
references have a row of their own.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
)

from herdbook.storage.sql.columns import Id, Word, metadata, row_id, to

# The versions that are watched.
monitors = Table(
    "monitors",
    metadata,
    row_id(),
    Column("version_id", Id, ForeignKey("versions.id"), nullable=False, unique=True),
    Column("fingerprint", Word, nullable=False),
    Column("frozen_at", BigInteger, nullable=False),
    # How many bins each stream has, by its name.
    Column("streams", Text, nullable=False),
    Column("state", Text, nullable=False),
    # No hour, and no score, is of an earlier hour than these; NULL while there is none.
    Column("hours_from", BigInteger),
    Column("scores_from", BigInteger),
    # Who still holds what was watched before must not take it for what is watched now.
    sqlite_autoincrement=True,
)

drift_references = Table(
    "drift_references",
    metadata,
    Column("monitor_id", Id, ForeignKey("monitors.id"), primary_key=True, autoincrement=False),
    Column("doc", Text, nullable=False),
)

# What was counted, by stream and hour since 1970.
drift_hours = Table(
    "drift_hours",
    metadata,
    to("monitors.id", "monitor_id", key=True),
    Column("stream", Word, primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    # By bin, see `storage.sql.packing`.
    Column("counts", LargeBinary, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("total", Double, nullable=False),
    Column("squares", Double, nullable=False),
    Index(None, "monitor_id", "hour"),
)

drift_scores = Table(
    "drift_scores",
    metadata,
    to("monitors.id", "monitor_id", key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("total", Double, nullable=False),
    Column("checks", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Of versions, not of monitors: they stay when a version is watched no more.
drift_episodes = Table(
    "drift_episodes",
    metadata,
    row_id(),
    to("models.id", "model_id"),
    to("versions.id", "version_id"),
    Column("doc", Text, nullable=False),
    Index(None, "model_id", "id"),
    Index(None, "version_id", "id"),
)

drift_settings = Table(
    "drift_settings",
    metadata,
    Column("model_id", Id, ForeignKey("models.id"), primary_key=True, autoincrement=False),
    Column("doc", Text, nullable=False),
)

# What was predicted for requests; of versions too, for it is compared with no reference.
drift_marks = Table(
    "drift_marks",
    metadata,
    to("versions.id", "version_id", key=True),
    Column("request", Word, primary_key=True),
    Column("prediction", Word, nullable=False),
    Column("confidence", Double),
    Column("at", BigInteger, nullable=False),
    # NULL until the true answer is known.
    Column("answer", Word),
    Column("was_right", SmallInteger),
    Column("answered_at", BigInteger),
    Index(None, "version_id", "at", "was_right"),
    sqlite_with_rowid=False,
)
