"""What Prometheus is shown of migrations of documents."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from herdbook.core.migrations import MigrationPhase
from herdbook.services import ledger, migrating, models, observing, switching
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database
from tests.documents import DRIVER, MODEL, begun, brought, outcome, registered, shards
from tests.observed import Shown, read
from tests.prometheus import promtool
from tests.registers import Register
from tests.server.conftest import Served, serving

NAMES = ("herdbook_documents_", "herdbook_document_migration_")


@pytest.fixture
def register(database: Database) -> Register:
    """A register in which one collection is being migrated, one was, and one never."""
    found = Register(database)
    for number in ("v1", "v2"):
        found.add(f"{MODEL}:{number}")
    for name in ("wiki", "handbook", "still"):
        registered(found.write, name)
    brought(found.write, begun(found.write, "wiki").id, MigrationPhase.RETIRED)
    key = begun(found.write).id
    brought(found.write, key, MigrationPhase.BACKFILL)
    found.write(ledger.cut, key, driver=DRIVER, shards=shards(3))
    found.write(ledger.settle, key, driver=DRIVER, outcomes=[outcome(2, "a", "b")])
    return found


def told(served: Served) -> Shown:
    """What is shown now."""
    served.app.state.observer._until = float("-inf")
    return read(text_string_to_metric_families(served.client().get("/metrics").text))


def of(key: str, collection: str) -> frozenset[tuple[str, str]]:
    """The labels of a migration."""
    return frozenset({("migration", key), ("collection", collection)})


def at(found: Shown) -> dict[str, float]:
    """How many migrations are at each phase that has some."""
    shown = found["herdbook_document_migrations"]
    return {dict(labels)["phase"]: count for labels, count in shown.items() if count}


def test_a_migration_that_is_under_way_is_shown_with_its_progress(
    register: Register, local: Served
) -> None:
    found = told(local)

    own = of("migration-2", "handbook")
    assert found["herdbook_documents_to_migrate"] == {own: 30}
    assert found["herdbook_documents_migrated"] == {own: 8}
    assert found["herdbook_documents_set_aside"] == {own: 2}
    assert found["herdbook_document_migration_seconds"] == {own: 0.5}
    assert found["herdbook_document_migration_cost"] == {own: 0.0005}
    assert at(found) == {"backfill": 1, "retired": 1}
    assert len(found["herdbook_document_migrations"]) == len(MigrationPhase)

    register.write(switching.roll_back, "migration-2")
    after = told(local)

    assert not [name for name in after if name.startswith(NAMES)]
    assert at(after) == {"rolled_back": 1, "retired": 1}


def test_migrations_of_deleted_models_are_gone(register: Register, local: Served) -> None:
    register.write(models.delete, MODEL)

    found = told(local)

    assert at(found) == {}
    assert not [name for name in found if name.startswith(NAMES)]


def test_they_are_bounded_and_what_is_left_out_is_counted(
    register: Register, local: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "MIGRATIONS_LIMIT", 2)
    for name in ("a", "b"):
        registered(register.write, name)
        register.write(migrating.start, name, to_version="v2")

    found = told(local)

    assert set(found["herdbook_documents_to_migrate"]) == {
        of("migration-4", "b"),
        of("migration-3", "a"),
    }
    left_out = found["herdbook_metrics_left_out"]
    assert left_out[frozenset({("what", "migrations")})] == 1


def test_they_are_named_only_where_the_setting_says_so(
    database: Database, register: Register, tmp_path: Path
) -> None:
    assert register.count("document_migrations") == 2
    quiet = Settings(home=tmp_path, metrics_models=False)

    for served in serving(database, quiet, auth=False):
        text = served.client().get("/metrics").text

        assert 'herdbook_document_migrations{phase="backfill"} 1.0' in text
        assert "handbook" not in text
        assert "migration-2" not in text


def test_prometheus_takes_the_names(register: Register, local: Served) -> None:
    assert register.count("document_migrations") == 2

    checked = promtool("check", "metrics", given=local.client().get("/metrics").text)

    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)
