"""What of documents was changed behind the program's back is told."""

import pytest

from herdbook.core.migrations import MigrationPhase
from herdbook.services import documents, ledger, switching
from herdbook.storage.sql import health
from tests.documents import DRIVER, MODEL, begun, brought, outcome, registered, shards
from tests.registers import Register


@pytest.fixture
def moving(register: Register) -> Register:
    """A register in which one collection is being migrated, one was, and one never."""
    for number in ("v1", "v2"):
        register.add(f"{MODEL}:{number}")
    for name in ("wiki", "handbook", "still", "gone"):
        registered(register.write, name)
    brought(register.write, begun(register.write, "wiki").id, MigrationPhase.RETIRED)
    key = begun(register.write).id
    brought(register.write, key, MigrationPhase.BACKFILL)
    register.write(ledger.cut, key, driver=DRIVER, shards=shards(3))
    register.write(ledger.settle, key, driver=DRIVER, outcomes=[outcome(2, "a", "b")])
    register.write(ledger.bury, key, ids=["c", "d"])
    register.write(switching.roll_back, begun(register.write, "gone").id)
    register.write(documents.remove, "gone")
    return register


def wrong(register: Register) -> list[str]:
    """What is told of a register."""
    with register.database.reading() as connection:
        return list(health.inconsistencies(connection))


def test_nothing_is_wrong_with_what_the_program_wrote(moving: Register) -> None:
    assert wrong(moving) == []


@pytest.mark.parametrize(
    "phase", [each for each in MigrationPhase if each is not MigrationPhase.ROLLED_BACK]
)
def test_nothing_is_wrong_at_any_phase(register: Register, phase: MigrationPhase) -> None:
    for number in ("v1", "v2"):
        register.add(f"{MODEL}:{number}")
    registered(register.write)
    brought(register.write, begun(register.write).id, phase)

    assert wrong(register) == []


CHANGES = [
    (
        "UPDATE collections SET doc = '{' WHERE name = 'handbook'",
        "the collection handbook cannot be read",
    ),
    (
        "UPDATE collections SET epoch = 9 WHERE name = 'handbook'",
        "is stored under another name, model or epoch",
    ),
    (
        "UPDATE collections SET bridge = 'x' WHERE name = 'handbook'",
        "the bridge of the collection handbook and",
    ),
    (
        "UPDATE collections SET doc = replace(doc, 'migration-2', 'migration-1') "
        "WHERE name = 'handbook'",
        "the collection handbook is said to be in migration-1, which is no migration of it",
    ),
    (
        "UPDATE collections SET doc = replace(doc, 'migration-2', 'migration-77') "
        "WHERE name = 'handbook'",
        "is said to be in migration-77, which is no migration of it",
    ),
    (
        "UPDATE collections SET doc = replace(doc, 'migration-2', '') WHERE name = 'handbook'",
        "the collection handbook is written beside, but not migrated",
    ),
    (
        "UPDATE collections SET doc = replace(doc, 'migration-2', '') WHERE name = 'handbook'",
        "migration-2 is at backfill, but is not what handbook is in",
    ),
    (
        "DELETE FROM collections WHERE name = 'handbook'",
        "migration-2 is at backfill, but is not what handbook",
    ),
    (
        "UPDATE collections SET doc = replace(doc, 'handbook--v2', 'elsewhere') "
        "WHERE name = 'handbook'",
        "is not searched and written as migration-2 at backfill has it",
    ),
    (
        "UPDATE document_migrations SET doc = replace(doc, 'backfill', 'observe') WHERE id = 2",
        "is not searched and written as migration-2 at observe has it",
    ),
    (
        "UPDATE document_migrations SET doc = replace(doc, 'backfill', 'retired'), "
        "phase = 'retired' WHERE id = 2",
        "the collection handbook is said to be in migration-2, which is over",
    ),
    (
        "UPDATE document_migrations SET phase = 'target' WHERE id = 2",
        "migration-2 is stored under another collection or phase",
    ),
    ("UPDATE document_migrations SET doc = '[]' WHERE id = 3", "migration-3 cannot be read"),
    ("DELETE FROM document_shards WHERE number = 3", "the progress of migration-2 is not that"),
    ("UPDATE document_shards SET done_at = NULL WHERE number = 2", "the progress of migration-2"),
    ("DELETE FROM document_rejects WHERE document = 'a'", "the progress of migration-2 is not"),
    ("DELETE FROM document_tombstones WHERE number = 1", "the progress of migration-2 is not"),
]


@pytest.mark.parametrize(("statement", "told"), CHANGES)
def test_what_was_changed_is_told(moving: Register, statement: str, told: str) -> None:
    moving.execute(statement)

    assert any(told in each for each in wrong(moving)), wrong(moving)
