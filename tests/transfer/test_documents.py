"""Documents move with the register: collections, migrations under their ids, and their ledgers."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import herdbook as hb
from herdbook.core.documents import Bridge
from herdbook.core.migrations import MigrationPhase
from herdbook.core.pages import Page
from herdbook.errors import Corrupt
from herdbook.services import documents, ledger, migrating, switching
from tests.documents import (
    DRIVER,
    MODEL,
    begun,
    brought,
    encoder,
    outcome,
    registered,
    shards,
    space,
    verification,
)
from tests.transfer.registers import furnish, opened
from tests.transfer.test_broken_exports import edited, noticed, refused_whole, sealed
from tests.transfer.test_experiments import WAYS, on, urls

__all__ = ["urls"]
KINDS = {"migrations": 5, "shards": 7, "rejects": 2, "tombstones": 3, "collections": 5}
assert WAYS


def asking(book: hb.Herdbook) -> Callable[..., Any]:
    """What runs a verb behind a book of this machine."""
    return lambda verb, *args, **given: on(book, lambda work: verb(work, *args, **given))


def fill(book: hb.Herdbook) -> None:
    """Fill a register with collections, migrations at every kind of phase, and a bridge."""
    furnish(book)
    for number in ("v1", "v2", "v3"):
        book.models.register(MODEL, number)
    ask = asking(book)
    for name in ("handbook", "cut", "planned", "gone"):
        registered(ask, name)
    # Numbers that were given to nothing: ids of the copy are not those of the original.
    ask(documents.remove, "gone")
    registered(ask, "unknown", encoder=None, space=None)
    registered(ask, "wiki", store="pgvector://user@host:5432/rag")
    ask(switching.roll_back, begun(ask, "wiki").id, reason="slower")
    running = brought(ask, begun(ask).id, MigrationPhase.BACKFILL)
    ask(ledger.cut, running.id, driver=DRIVER, shards=shards(3))
    ask(ledger.settle, running.id, driver=DRIVER, outcomes=[outcome(2, "ä", "b\n")])
    ask(ledger.bury, running.id, ids=["審査", "a", "審査"])
    cut = brought(ask, begun(ask, "cut").id, MigrationPhase.CUT_OVER)
    ask(documents.bridge, "cut", bridge=_bridge(cut.started_at))
    begun(ask, "planned", to="v3")
    retired = begun(ask, "wiki")
    brought(ask, retired.id, MigrationPhase.RETIRED)
    book.models.register("oracle", "v9")


def _bridge(now: Any) -> Bridge:
    return Bridge(
        collection="cut",
        encoder=encoder("v3"),
        space=space("v3"),
        onto=space("v2").fingerprint,
        kind="ridge",
        map="AAAA",
        pairs=500,
        scores={"old": 0.1 + 0.2, "identity": 0.1, "bridge": 0.8},
        expires_at=now + timedelta(days=7),
    )


def told(ask: Callable[..., Any]) -> list[Any]:
    """All there is of documents."""
    found: Page[Any] = ask(migrating.page)
    names = [each.name for each in ask(documents.page).items]
    return [
        found,
        ask(documents.page),
        [ask(documents.bridging, name) for name in names],
        *([ask(verb, each.id) for verb in (ledger.shards, ledger.set_aside, ledger.buried)]
          for each in found.items),
    ]  # fmt: skip


def test_what_was_exported_and_imported_is_exported_the_same(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        fill(one)
        lines = list(one.export())

        loaded = two.load(lines)

        assert list(two.export()) == lines
        assert KINDS.items() <= loaded.counts.items()
        assert KINDS.items() <= json.loads(lines[-1])["counts"].items()
        assert told(asking(two)) == told(asking(one))
        assert two.events.verify().ok


def test_a_migration_goes_on_where_it_was_under_the_id_it_had(urls: tuple[str, str]) -> None:
    with opened(urls[0]) as one, opened(urls[1]) as two:
        fill(one)
        two.load(one.export())
        ask = asking(two)
        (key,) = [each.id for each in ask(migrating.page, collection="handbook").items]

        settled = ask(ledger.settle, key, driver=DRIVER, outcomes=[outcome(at) for at in (1, 2, 3)])
        for phase in (MigrationPhase.CATCH_UP, MigrationPhase.VERIFY):
            ask(migrating.advance, key, driver=DRIVER, to=phase)
        ask(
            migrating.advance,
            key,
            driver=DRIVER,
            to=MigrationPhase.VERIFIED,
            verification=verification(),
        )
        cut = ask(switching.cut_over, key)

        assert key == "migration-2"
        assert settled.progress.done
        assert settled.progress.written == 28
        assert ask(ledger.bury, key, ids=["x"]).buried == 4
        assert ask(documents.get, "handbook").home == cut.target
        assert begun(ask, "wiki", to="v3").id == "migration-6"


def test_a_register_without_documents_is_exported_as_it_was(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/one.db") as book:
        furnish(book)

        counts = json.loads(list(book.export())[-1])["counts"]

        assert not counts.keys() & KINDS.keys()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of a good export."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('good')}/own.db") as book:
        fill(book)
        return list(book.export())


def line(kind: str, **said: Any) -> Callable[[list[str]], list[str]]:
    """Say something else in the first line of a kind."""
    return lambda lines: edited(lines, kind, lambda body: body.update(said))


def inside(kind: str, *place: str, **said: Any) -> Callable[[list[str]], list[str]]:
    """The same some levels deeper."""

    def change(body: dict[str, Any]) -> None:
        for name in place:
            body = body[name]
        body.update(said)

    return lambda lines: edited(lines, kind, change)


def of(name: str, /, **said: Any) -> Callable[[list[str]], list[str]]:
    """Say something else of a collection."""

    def changed(lines: list[str]) -> list[str]:
        at = next(n for n, x in enumerate(lines)
                  if '"kind":"collection"' in x[:40] and f'"name":"{name}"' in x)  # fmt: skip
        body = json.loads(lines[at])
        body["doc"].update(said)
        return [*lines[:at], json.dumps(body, separators=(",", ":")), *lines[at + 1 :]]

    return changed


DOC = "doc"
SOURCE = ("migration", DOC, "source", "encoder")
BROKEN: list[tuple[str, Callable[[list[str]], list[str]], str]] = [
    ("a migration of no id", inside("migration", DOC, id="migration-x"), "no id of a migration"),
    ("a migration twice", inside("migration", DOC, id="migration-2"), "twice"),
    ("a migration of an unknown model", inside("migration", DOC, model="gnn2"), "does not embed"),
    ("an unknown version", inside("migration", DOC, to_version="v77",
                                  steps=[{"from_version": "v1", "to_version": "v77",
                                          "way": "reembed"}]), "v77, which no line"),
    ("steps that lead elsewhere", inside("migration", DOC, to_version="v3"), "do not lead"),
    ("a phase there is not", inside("migration", DOC, phase="moon"), "moon"),
    ("options that cannot be", inside("migration", DOC, "options", rate=-1), "rate is -1"),
    ("a number beyond any", inside("migration", DOC, "progress", cost=10**400), "beyond any"),
    ("a time of none", inside("migration", DOC, started_at="noon"), "not a time"),
    ("a name of no collection", inside("migration", DOC, collection="a/b"), "no name of"),
    ("a key in an encoder's address", inside(*SOURCE, source="https://u:p@host/v1"), "no secrets"),
    ("another model's encoder", inside(*SOURCE, model="gnn"), "must be one version's"),
    ("no target", inside("migration", DOC, target=None), "NoneType|Migration"),
    ("a shard of an unknown migration", line("shard", migration="migration-77"), "migration-77"),
    ("a shard of no migration", line("shard", migration=None), "missing"),
    ("a shard twice", line("shard", number=2), "twice"),
    ("a shard of no number", line("shard", number=0), "must be 1 or more"),
    ("a shard beyond any", line("shard", number=1 << 63), "must be 1 or more"),
    ("a shard of less than nothing", line("shard", documents=-1), "must be 0 or more"),
    ("a shard that is half done", line("shard", written=3), "says both"),
    ("a shard that wrote nothing", line("shard", written="x", done_at="2026-01-14"), "no number"),
    ("an id no database holds", line("shard", upto="a\x00"), "NUL"),
    ("a reject of an unknown migration", line("reject", migration="x"), "names x"),
    ("a reject of two texts", line("reject", document=["a"]), "missing"),
    ("a reject of no reason", line("reject", reason=None), "not str"),
    ("a reject twice", line("reject", document="ä"), "twice"),
    ("a reject of no shard", line("reject", shard=-1), "no number of a shard"),
    ("a reject of no time", line("reject", at="noon"), "not a time"),
    ("a deletion of an unknown migration", line("tombstone", migration="y"), "names y"),
    ("a deletion of no number", line("tombstone", number=0), "no number of a deletion"),
    ("a deletion twice", line("tombstone", number=2), "twice"),
    ("a collection of an unknown model", of("unknown", model="gnn2"), "gnn2, which no line"),
    ("a collection of another model", of("handbook", model="gnn"), "does not embed"),
    ("a collection twice", of("wiki", name="cut"), "twice"),
    ("a collection of a wrong name", of("unknown", name="a b"), "no name of a collection"),
    ("a password", of("unknown", store="pgvector://u:hunter2@host/x"), "no passwords"),
    ("no epoch", of("unknown", epoch=0), "no epoch"),
    ("a migration it is not in", of("unknown", migration="migration-1"), "no migration of it"),
    ("a migration of another", of("handbook", migration="migration-3"), "no migration of it"),
    ("one that is over", of("wiki", migration="migration-1"), "which is over"),
    ("one that is unknown", of("handbook", migration="migration-77"), "no migration of it"),
    ("nothing beside it", of("handbook", beside=None), "as migration-2 at backfill has it"),
    ("something beside it", of("wiki", beside={"place": {"collection": "x"}}), "written beside"),
    ("no mark of its bridge", of("cut", bridge=""), "not together"),
    ("a mark of no bridge", of("wiki", bridge="x"), "not together"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "broken", "match"), BROKEN, ids=[what for what, _, _ in BROKEN])
def test_what_cannot_be_is_refused_by_its_line_and_nothing_is_written(
    tmp_path: Path,
    exported: list[str],
    what: str,  # noqa: ARG001 - names the test
    broken: Callable[[list[str]], list[str]],
    match: str,
) -> None:
    refused_whole(tmp_path, broken(exported), match)


UNTRUE: list[tuple[str, Callable[[list[str]], list[str]], str]] = [
    ("a migration no collection is in", of("handbook", migration="", beside=None), "migration-2"),
    ("shards more", inside("migration", DOC, "progress", shards=7), "progress of migration-1"),
    ("deletions more", inside("migration", DOC, "progress", buried=7), "progress of migration-1"),
]


@pytest.mark.parametrize(("what", "broken", "match"), UNTRUE, ids=[what for what, _, _ in UNTRUE])
def test_what_does_not_fit_together_is_refused_whole(
    tmp_path: Path,
    exported: list[str],
    what: str,  # noqa: ARG001 - names the test
    broken: Callable[[list[str]], list[str]],
    match: str,
) -> None:
    with opened(f"sqlite:///{tmp_path}/two.db") as two:
        empty = list(two.export())

        with pytest.raises(Corrupt, match=match):
            two.load(sealed(broken(exported)))

        assert list(two.export()) == empty


def test_a_line_that_is_missing_is_noticed(tmp_path: Path, exported: list[str]) -> None:
    noticed(tmp_path, exported, ("migration", "shard", "reject", "tombstone", "collection"))
