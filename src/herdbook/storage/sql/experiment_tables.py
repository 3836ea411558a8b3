"""The tables of experiments."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text

from herdbook.storage.sql.columns import Id, Word, metadata, row_id, to

experiments = Table(
    "experiments",
    metadata,
    row_id(),
    to("models.id", "model_id"),
    Column("name", Word, nullable=False, unique=True),
    Column("state", Word, nullable=False),
    Column("group", Word, nullable=False),
    Column("doc", Text, nullable=False),
    # Results that came too late, or of a phase or an arm there is none of.
    Column("late", BigInteger, nullable=False, server_default="0"),
    # When it is looked at next.
    Column("due_at", BigInteger, nullable=False),
    Index(None, "model_id", "id"),
    Index(None, "state", "due_at"),
)

# The last delta of each worker that counts.
workers = Table(
    "workers",
    metadata,
    Column("name", Word, primary_key=True),
    Column("by", Word, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What workers recorded, until the evidence holds it.
deltas = Table(
    "deltas",
    metadata,
    row_id(),
    to("experiments.id", "experiment_id"),
    Column("results", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("doc", Text, nullable=False),
    Index(None, "experiment_id", "id"),
)

# What the evidence was made from, batch by batch.
batches = Table(
    "batches",
    metadata,
    to("experiments.id", "experiment_id", key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("doc", Text, nullable=False),
    # What the evidence said after it, in short, to be drawn.
    Column("point", Text, nullable=False, server_default=""),
)

evidence = Table(
    "evidence",
    metadata,
    Column(
        "experiment_id", Id, ForeignKey("experiments.id"), primary_key=True, autoincrement=False
    ),
    Column("batches", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    # Which units were seen: a bit for each place, deflated.
    Column("seen", LargeBinary, nullable=False),
    Column("doc", Text, nullable=False),
    Column("evaluation", Text, nullable=False),
)
