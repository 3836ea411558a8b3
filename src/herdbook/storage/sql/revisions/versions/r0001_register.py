"""The register: models, versions, pedigree, deployments, events, webhooks, tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SQLITE_GUARDS = (
    "CREATE TRIGGER events_fixed BEFORE UPDATE ON events BEGIN "
    "SELECT RAISE(ABORT, 'events are append-only'); END",
    "CREATE TRIGGER events_kept BEFORE DELETE ON events BEGIN "
    "SELECT RAISE(ABORT, 'events are append-only'); END",
    "CREATE TRIGGER moves_fixed BEFORE UPDATE ON moves BEGIN "
    "SELECT RAISE(ABORT, 'the history of moves is append-only'); END",
    "CREATE TRIGGER moves_kept BEFORE DELETE ON moves BEGIN "
    "SELECT RAISE(ABORT, 'the history of moves is append-only'); END",
    "CREATE TRIGGER versions_named BEFORE UPDATE OF model_id, ordinal, number, number_key "
    "ON versions BEGIN SELECT RAISE(ABORT, 'a version keeps its number'); END",
    "CREATE TRIGGER versions_sealed BEFORE UPDATE OF facts, digest, sealed ON versions "
    "WHEN OLD.sealed = 1 BEGIN SELECT RAISE(ABORT, 'a sealed version does not change'); END",
    "CREATE TRIGGER versions_kept BEFORE DELETE ON versions BEGIN "
    "SELECT RAISE(ABORT, 'versions are never deleted, only hidden'); END",
)

_REFUSE = """CREATE FUNCTION herdbook_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$"""


def _pg(name: str, when: str, message: str, *, level: str = "ROW", only: str = "") -> str:
    return (
        f"CREATE TRIGGER {name} BEFORE {when} FOR EACH {level} {only} "
        f"EXECUTE FUNCTION herdbook_refuse('{message}')"
    )


POSTGRESQL_GUARDS = (
    _REFUSE,
    _pg("events_fixed", "UPDATE OR DELETE ON events", "events are append-only"),
    _pg("events_kept", "TRUNCATE ON events", "events are append-only", level="STATEMENT"),
    _pg("moves_fixed", "UPDATE OR DELETE ON moves", "the history of moves is append-only"),
    _pg(
        "moves_kept",
        "TRUNCATE ON moves",
        "the history of moves is append-only",
        level="STATEMENT",
    ),
    _pg(
        "versions_named",
        "UPDATE OF model_id, ordinal, number, number_key ON versions",
        "a version keeps its number",
    ),
    _pg(
        "versions_sealed",
        "UPDATE OF facts, digest, sealed ON versions",
        "a sealed version does not change",
        only="WHEN (OLD.sealed = 1)",
    ),
    _pg("versions_kept", "DELETE ON versions", "versions are never deleted, only hidden"),
    _pg(
        "versions_whole",
        "TRUNCATE ON versions",
        "versions are never deleted, only hidden",
        level="STATEMENT",
    ),
)


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _log() -> None:
    op.create_table(
        "chain",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", Word, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chain"),
    )
    op.create_table(
        "events",
        sa.Column("seq", Id, autoincrement=False, nullable=False),
        sa.Column("at", Word, nullable=False),
        sa.Column("by", Word, nullable=False),
        sa.Column("action", Word, nullable=False),
        sa.Column("model", Word, nullable=False),
        sa.Column("number", Word, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("previous", Word, nullable=False),
        sa.Column("hash", Word, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
    )
    _index("events", "action", "seq")
    _index("events", "model", "seq")


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", Word, nullable=False),
        sa.Column("folded", Word, nullable=False),
        sa.Column("type", Word, nullable=False),
        sa.Column("owner", Word, nullable=False),
        sa.Column("description", Word, nullable=False),
        sa.Column("versions", sa.Integer(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("created_by", Word, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("next_ordinal", sa.Integer(), server_default="1", nullable=False),
        sa.Column("tombstone", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("folded", name="uq_models_folded"),
        sa.UniqueConstraint("name", name="uq_models_name"),
    )
    _index("models", "type", "name")
    op.create_table(
        "model_tags",
        sa.Column("model_id", Id, nullable=False),
        sa.Column("key", Word, nullable=False),
        sa.Column("value", Word, nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_model_tags_model_id"),
        sa.PrimaryKeyConstraint("model_id", "key", name="pk_model_tags"),
        sqlite_with_rowid=False,
    )
    _index("model_tags", "key", "value", "model_id")


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", Id, nullable=False),
        sa.Column("model_id", Id, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("number", Word, nullable=False),
        sa.Column("number_key", Word, nullable=False),
        sa.Column("status", Word, nullable=False),
        sa.Column("sealed", sa.SmallInteger(), nullable=False),
        sa.Column("digest", Word, nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("description", Word, nullable=False),
        sa.Column("created_by", Word, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("git_commit", Word, nullable=True),
        sa.Column("framework", Word, nullable=True),
        sa.Column("base_model", Word, nullable=True),
        sa.Column("hardware", Word, nullable=True),
        sa.Column("samples", sa.BigInteger(), nullable=True),
        sa.Column("epochs", sa.Double(), nullable=True),
        sa.Column("batch_size", sa.BigInteger(), nullable=True),
        sa.Column("learning_rate", sa.Double(), nullable=True),
        sa.Column("duration_hours", sa.Double(), nullable=True),
        sa.Column("cost_usd", sa.Double(), nullable=True),
        sa.Column("visible", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("tombstone", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_versions_model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("model_id", "number_key", name="uq_versions_model_id_number_key"),
        sa.UniqueConstraint("model_id", "ordinal", name="uq_versions_model_id_ordinal"),
    )


def _version_indexes() -> None:
    _index("versions", "cost_usd", "id")
    _index("versions", "created_at", "id")
    _index("versions", "digest")
    _index("versions", "git_commit")
    _index("versions", "model_id", "visible", "ordinal")
    _index("versions", "status", "id")


def _pedigree() -> None:
    op.create_table(
        "parents",
        sa.Column("child_id", Id, nullable=False),
        sa.Column("parent_id", Id, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", Word, nullable=False),
        sa.ForeignKeyConstraint(["child_id"], ["versions.id"], name="fk_parents_child_id"),
        sa.ForeignKeyConstraint(["parent_id"], ["versions.id"], name="fk_parents_parent_id"),
        sa.PrimaryKeyConstraint("child_id", "parent_id", name="pk_parents"),
        sqlite_with_rowid=False,
    )
    _index("parents", "parent_id", "child_id")


def _datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", Word, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("name", name="uq_datasets_name"),
    )
    op.create_table(
        "version_datasets",
        sa.Column("version_id", Id, nullable=False),
        sa.Column("dataset_id", Id, nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="fk_version_datasets_dataset_id"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_version_datasets_version_id"
        ),
        sa.PrimaryKeyConstraint("version_id", "dataset_id", name="pk_version_datasets"),
        sqlite_with_rowid=False,
    )
    _index("version_datasets", "dataset_id", "version_id")


def _version_tags() -> None:
    op.create_table(
        "version_tags",
        sa.Column("version_id", Id, nullable=False),
        sa.Column("key", Word, nullable=False),
        sa.Column("value", Word, nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_version_tags_version_id"),
        sa.PrimaryKeyConstraint("version_id", "key", name="pk_version_tags"),
        sqlite_with_rowid=False,
    )
    _index("version_tags", "key", "value", "version_id")


def _scores() -> None:
    op.create_table(
        "metrics",
        sa.Column("id", Id, nullable=False),
        sa.Column("version_id", Id, nullable=False),
        sa.Column("name", Word, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("source", Word, nullable=False),
        sa.Column("dataset", Word, nullable=False),
        sa.Column("by", Word, nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_metrics_version_id"),
        sa.PrimaryKeyConstraint("id", name="pk_metrics"),
    )
    _index("metrics", "version_id", "name", "id")
    op.create_table(
        "scores",
        sa.Column("version_id", Id, nullable=False),
        sa.Column("name", Word, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_scores_version_id"),
        sa.PrimaryKeyConstraint("version_id", "name", name="pk_scores"),
        sqlite_with_rowid=False,
    )
    _index("scores", "name", "value", "version_id")


def _operational() -> None:
    op.create_table(
        "operational",
        sa.Column("version_id", Id, autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("timed", sa.BigInteger(), nullable=False),
        sa.Column("time_ms", sa.Double(), nullable=False),
        sa.Column("judged", sa.BigInteger(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_operational_version_id"),
        sa.PrimaryKeyConstraint("version_id", name="pk_operational"),
    )


def _aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("model_id", Id, nullable=False),
        sa.Column("name", Word, nullable=False),
        sa.Column("version_id", Id, nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.Column("moved_by", Word, nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_aliases_model_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_aliases_version_id"),
        sa.PrimaryKeyConstraint("model_id", "name", name="pk_aliases"),
        sqlite_with_rowid=False,
    )
    _index("aliases", "name", "model_id")
    _index("aliases", "version_id")


def _moves() -> None:
    op.create_table(
        "moves",
        sa.Column("id", Id, nullable=False),
        sa.Column("model_id", Id, nullable=False),
        sa.Column("alias", Word, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("from_id", Id, nullable=True),
        sa.Column("to_id", Id, nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["from_id"], ["versions.id"], name="fk_moves_from_id"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_moves_model_id"),
        sa.ForeignKeyConstraint(["to_id"], ["versions.id"], name="fk_moves_to_id"),
        sa.PrimaryKeyConstraint("id", name="pk_moves"),
        sa.UniqueConstraint("model_id", "alias", "epoch", name="uq_moves_model_id_alias_epoch"),
    )
    _index("moves", "model_id", "alias", "at")
    _index("moves", "to_id")


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", Id, nullable=False),
        sa.Column("url", Word, nullable=False),
        sa.Column("secret", Word, nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.Column("model", Word, nullable=False),
        sa.Column("active", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", Word, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deliveries",
        sa.Column("id", Id, nullable=False),
        sa.Column("webhook_id", Id, nullable=False),
        sa.Column("seq", Id, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["events.seq"], name="fk_deliveries_seq"),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name="fk_deliveries_webhook_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("webhook_id", "seq", name="uq_deliveries_webhook_id_seq"),
        sqlite_autoincrement=True,
    )
    _index("deliveries", "next_at", "id")


def _access() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", Word, nullable=False),
        sa.Column("secret_hash", Word, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
    )
    _index("tokens", "created_at", "id")
    op.create_table(
        "replays",
        sa.Column("key", Word, nullable=False),
        sa.Column("by", Word, nullable=False),
        sa.Column("request", Word, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "by", name="pk_replays"),
    )
    _index("replays", "at")


def upgrade() -> None:
    """Make every table, its indexes and the guards of what does not change."""
    for make in (
        _log,
        _models,
        _versions,
        _version_indexes,
        _pedigree,
        _datasets,
        _version_tags,
        _scores,
        _operational,
        _aliases,
        _moves,
        _webhooks,
        _access,
    ):
        make()
    first = sa.text("INSERT INTO chain (id, seq, hash) VALUES (1, 0, :hash)")
    op.execute(first.bindparams(hash="0" * 64))
    guards = {"sqlite": SQLITE_GUARDS, "postgresql": POSTGRESQL_GUARDS}
    for guard in guards[op.get_context().dialect.name]:
        op.execute(guard)
