"""Experiments: what is compared, what workers recorded, and the evidence made of it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _experiment() -> sa.Column[int]:
    return sa.Column("experiment_id", Id, autoincrement=False, nullable=False)


def _of_experiment(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["experiment_id"], ["experiments.id"], name=f"fk_{table}_experiment_id"
    )


def _experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", Id, nullable=False),
        sa.Column("model_id", Id, nullable=False),
        sa.Column("name", Word, nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("group", Word, nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("late", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_experiments_model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
        sa.UniqueConstraint("name", name="uq_experiments_name"),
    )
    _index("experiments", "model_id", "id")
    _index("experiments", "state", "due_at")


def _recorded() -> None:
    op.create_table(
        "workers",
        sa.Column("name", Word, nullable=False),
        sa.Column("by", Word, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "by", name="pk_workers"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deltas",
        sa.Column("id", Id, nullable=False),
        _experiment(),
        sa.Column("results", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        _of_experiment("deltas"),
        sa.PrimaryKeyConstraint("id", name="pk_deltas"),
    )
    _index("deltas", "experiment_id", "id")
    op.create_table(
        "batches",
        _experiment(),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("point", sa.Text(), server_default="", nullable=False),
        _of_experiment("batches"),
        sa.PrimaryKeyConstraint("experiment_id", "number", name="pk_batches"),
    )


def _evidence() -> None:
    op.create_table(
        "evidence",
        _experiment(),
        sa.Column("batches", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.LargeBinary(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("evaluation", sa.Text(), nullable=False),
        _of_experiment("evidence"),
        sa.PrimaryKeyConstraint("experiment_id", name="pk_evidence"),
    )


def upgrade() -> None:
    """Make the tables of experiments."""
    for make in (_experiments, _recorded, _evidence):
        make()
