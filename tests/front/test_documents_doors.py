"""The same story by other ways: worker processes, and a register behind a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import herdbook as hb
from herdbook.core.migrations import MigrationPhase, Options
from herdbook.errors import Conflict, Refused
from herdbook.front.moving.moved import Carrying
from herdbook.front.moving.proving import Demands, Query
from tests import hashed
from tests.front.collected import NUMBERS, UNMEASURED, Herd, address_of, hops, numbered, text_of

WORKERS = Carrying(workers=2)
QUERIES = tuple(Query(text=text_of(id), relevant={id: 1}) for id in numbered(20))


@pytest.mark.parametrize("kind", ["pgvector"])
def test_two_worker_processes_carry_what_they_can_import(herd: Herd) -> None:
    collection = herd.created(40, encoder="python:tests.hashed:one")
    collection.add([f"it is {hashed.POISON} to v2"[:12]], ids=["short"])

    found = herd.moved(
        "v2",
        encoder="python:tests.hashed:two",
        options=Options(shard=5),
        carrying=WORKERS,
    )

    assert found.phase is MigrationPhase.VERIFIED
    assert found.progress.written == 41
    herd.documents.cut_over("docs")
    assert hops(collection.get(["d007"]).metadata[0]) == [("v1", "v2")]


@pytest.mark.parametrize("kind", ["pgvector"])
def test_what_workers_cannot_import_is_told_before_anything_is_done(herd: Herd) -> None:
    herd.created(5)

    with pytest.raises(Conflict, match="nothing else can import; put it into a module"):
        herd.moved("v2", encoder=lambda texts: hashed.two(texts), carrying=WORKERS)

    assert herd.documents.status("docs").phase is MigrationPhase.PLANNED
    herd.documents.roll_back("docs")
    herd.documents.register_strategy("gbert", "v1", "v2", lambda metadata: metadata)
    with pytest.raises(Conflict, match="cannot be imported; put it into a module"):
        herd.moved("v2", encoder=None, carrying=WORKERS)


@pytest.mark.parametrize("kind", ["chroma", "qdrant"])
def test_a_folder_one_process_holds_is_not_given_to_workers(herd: Herd) -> None:
    herd.created(5)

    with pytest.raises(Conflict, match="may be open in one process only; use a server of it, or"):
        herd.moved("v2", carrying=WORKERS)


@pytest.fixture
def far(server: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Herd]:
    """A register behind a server, and a store here."""
    with hb.connect(server) as book:
        for number in NUMBERS:
            book.models.register("gbert", number)
        yield Herd(book, address_of("lancedb", request, tmp_path))


def test_the_whole_story_over_http(far: Herd) -> None:
    collection = far.created(20)
    home = far.documents.get("docs").home.place
    far.bypass(home, f"it is {hashed.POISON}", "poison")
    assert far.documents.rehearse("docs", to="v2", encoder=hashed.two).estimate.documents == 21

    far.stopped(MigrationPhase.CATCH_UP, options=Options(shard=5))
    collection.add(["written meanwhile"], ids=["live"])
    collection.delete(["d001"])
    found = far.moved("v2", demands=Demands(queries=QUERIES[2:], k=5))
    assert found.phase is MigrationPhase.VERIFY
    assert [each.id for each in far.documents.set_aside(found.id).items] == ["poison"]
    with pytest.raises(Refused, match="failed: set_aside"):
        far.documents.cut_over("docs")
    assert far.documents.pause(found.id, reason="for a look").paused
    assert not far.documents.resume(found.id).paused
    accepting = Demands(queries=QUERIES[2:], k=5, accept_set_aside=True)
    assert far.documents.verify("docs", demands=accepting).phase is MigrationPhase.VERIFIED

    far.documents.cut_over("docs")
    assert collection.search("written meanwhile", k=1)[0].id == "live"
    far.documents.roll_back("docs", reason="once more")
    far.store.delete(home, ["poison"])
    far.moved("v2", demands=UNMEASURED)
    far.documents.cut_over("docs")
    assert far.documents.retire("docs").phase is MigrationPhase.RETIRED
    assert (collection.count(), far.store.collections()) == (20, ["docs--v2"])
    copied_over_http(far)


def copied_over_http(far: Herd) -> None:
    """Go on to a version that embeds as the one before."""
    far.documents.register_strategy("gbert", "v2", "v3", way="identity")
    assert not far.moved("v3", encoder=None).embeds
    far.documents.cut_over("docs")
    said = far.documents.open("docs").get(["d000"]).metadata[0]
    assert hops(said) == [("v1", "v2"), ("v2", "v3")]
