"""What of drift was changed behind the program's back is told."""

from dataclasses import replace

import pytest

from herdbook.core.drift import Episode, Level, State
from herdbook.core.sampling import StreamSums
from herdbook.services import versions
from herdbook.storage.sql import health
from herdbook.storage.sql.work import SqlWork
from tests.conformance.test_monitors import HOUR, references
from tests.registers import NOON, Register


@pytest.fixture
def watched(register: Register) -> Register:
    """A register in which gnn v1 is watched and in an episode."""
    register.add("gnn:v1")
    version = register.read(versions.get, "gnn:v1")
    given = references(register)

    def fill(work: SqlWork) -> None:
        found = work.drift.watch(version, given)
        came = [StreamSums(stream=name, hour=HOUR, counts={"1": 300}) for name in found.streams]
        work.drift.count(found, came, oldest=HOUR - 5)
        work.drift.score(found, HOUR, 0.5, oldest=0)
        said = Episode(id="", model="gnn", number="v1", began_at=NOON, level=Level.WATCH, peak=0.2)
        episode = work.drift.begin(said)
        work.drift.save(replace(found, state=State(alarm=True, episode=episode.id)))

    register.write(fill)
    return register


def wrong(register: Register) -> list[str]:
    """What is told of a register."""
    with register.database.reading() as connection:
        return list(health.inconsistencies(connection))


def test_nothing_is_wrong_with_what_the_program_wrote(watched: Register) -> None:
    assert wrong(watched) == []


CHANGES = [
    ("UPDATE monitors SET state = '{'", "what is stored of the drift of gnn:v1 cannot be read"),
    ("UPDATE drift_references SET doc = '[1]'", "what is stored of the drift of gnn:v1 cannot be"),
    ("DELETE FROM drift_references", "the references of gnn:v1 are not those of their fingerprint"),
    (
        "UPDATE drift_references SET doc = replace(doc, 'de', 'fr')",
        "the references of gnn:v1 are not those of their fingerprint",
    ),
    ("UPDATE monitors SET streams = '{\"country\": 3}'", "the streams of gnn:v1 are noted with"),
    ("DELETE FROM drift_episodes", "gnn:v1 is said to be in drift-1, which is no episode of it"),
    (
        "UPDATE drift_hours SET counts = missing_counts WHERE stream = 'country'",
        f"what was counted of country of gnn:v1 in hour {HOUR} cannot be read",
    ),
    ("UPDATE drift_hours SET stream = 'x' WHERE stream = 'country'", "what was counted of x of"),
    ("UPDATE drift_hours SET hour = 7", "gnn:v1 has older hours than it is noted to have"),
]


@pytest.mark.parametrize(("statement", "told"), CHANGES)
def test_what_was_changed_is_told(watched: Register, statement: str, told: str) -> None:
    none = "x'00'" if watched.database.is_sqlite else "decode('00', 'hex')"

    watched.execute(statement.replace("missing_counts", none))

    assert any(told in each for each in wrong(watched))
