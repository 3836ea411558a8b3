"""Drift: which versions are watched, what was counted of them, and their episodes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, Id, autoincrement=False, nullable=False)


def _to(table: str, target: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}")


def _monitors() -> None:
    op.create_table(
        "monitors",
        sa.Column("id", Id, nullable=False),
        sa.Column("version_id", Id, nullable=False),
        sa.Column("fingerprint", Word, nullable=False),
        sa.Column("frozen_at", sa.BigInteger(), nullable=False),
        sa.Column("streams", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("hours_from", sa.BigInteger()),
        sa.Column("scores_from", sa.BigInteger()),
        _to("monitors", "versions", "version_id"),
        sa.PrimaryKeyConstraint("id", name="pk_monitors"),
        sa.UniqueConstraint("version_id", name="uq_monitors_version_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "drift_references",
        _key("monitor_id"),
        sa.Column("doc", sa.Text(), nullable=False),
        _to("drift_references", "monitors", "monitor_id"),
        sa.PrimaryKeyConstraint("monitor_id", name="pk_drift_references"),
    )


def _counted() -> None:
    op.create_table(
        "drift_hours",
        _key("monitor_id"),
        sa.Column("stream", Word, nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.Column("squares", sa.Double(), nullable=False),
        _to("drift_hours", "monitors", "monitor_id"),
        sa.PrimaryKeyConstraint("monitor_id", "stream", "hour", name="pk_drift_hours"),
    )
    _index("drift_hours", "monitor_id", "hour")
    op.create_table(
        "drift_scores",
        _key("monitor_id"),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.Column("checks", sa.BigInteger(), nullable=False),
        _to("drift_scores", "monitors", "monitor_id"),
        sa.PrimaryKeyConstraint("monitor_id", "hour", name="pk_drift_scores"),
        sqlite_with_rowid=False,
    )


def _judged() -> None:
    op.create_table(
        "drift_episodes",
        sa.Column("id", Id, nullable=False),
        sa.Column("model_id", Id, nullable=False),
        sa.Column("version_id", Id, nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        _to("drift_episodes", "models", "model_id"),
        _to("drift_episodes", "versions", "version_id"),
        sa.PrimaryKeyConstraint("id", name="pk_drift_episodes"),
    )
    _index("drift_episodes", "model_id", "id")
    _index("drift_episodes", "version_id", "id")
    op.create_table(
        "drift_settings",
        _key("model_id"),
        sa.Column("doc", sa.Text(), nullable=False),
        _to("drift_settings", "models", "model_id"),
        sa.PrimaryKeyConstraint("model_id", name="pk_drift_settings"),
    )


def _marks() -> None:
    op.create_table(
        "drift_marks",
        _key("version_id"),
        sa.Column("request", Word, nullable=False),
        sa.Column("prediction", Word, nullable=False),
        sa.Column("confidence", sa.Double()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("answer", Word),
        sa.Column("was_right", sa.SmallInteger()),
        sa.Column("answered_at", sa.BigInteger()),
        _to("drift_marks", "versions", "version_id"),
        sa.PrimaryKeyConstraint("version_id", "request", name="pk_drift_marks"),
        sqlite_with_rowid=False,
    )
    _index("drift_marks", "version_id", "at", "was_right")


def upgrade() -> None:
    """Make the tables of drift."""
    for make in (_monitors, _counted, _judged, _marks):
        make()
