"""The way back from every phase, the end of the source, and what readers and writers see then."""

import threading

import pytest

from herdbook.core.migrations import MigrationPhase, Options
from herdbook.errors import Conflict, HerdbookError, NotFound
from herdbook.front.moving.moved import Carrying
from herdbook.front.moving.telling import News
from tests import hashed
from tests.front.collected import KINDS, PHASES, UNMEASURED, Herd, stamp_of, text_of


@pytest.mark.parametrize("phase", [*PHASES, MigrationPhase.VERIFIED, MigrationPhase.OBSERVE])
def test_every_phase_can_be_rolled_back(herd: Herd, phase: MigrationPhase) -> None:
    collection = herd.created(9)
    if phase in (MigrationPhase.VERIFIED, MigrationPhase.OBSERVE):
        found = herd.moved("v2")
    else:
        found = herd.stopped(phase, options=Options(shard=3))
    if phase is MigrationPhase.OBSERVE:
        found = herd.documents.cut_over("docs")
    assert found.phase is phase
    collection.add(["written meanwhile"], ids=["live"])
    collection.delete(["d001"])
    was = "v2" if phase is MigrationPhase.OBSERVE else "v1"
    assert stamp_of(collection, "live").number == was

    done = herd.documents.roll_back("docs", reason="not now")

    assert (done.phase, done.reason) == (MigrationPhase.ROLLED_BACK, "not now")
    assert herd.store.collections() == ["docs"]
    assert collection.count() == 9
    assert collection.search("written meanwhile", k=1)[0].id == "live"
    assert {hit.metadata["embedding_model_version"] for hit in collection.search("x", k=9)} == {
        "v1"
    }
    collection.add(["after it"], ids=["after"])
    assert collection.count() == 10
    held = herd.documents.get("docs")
    assert (held.beside, held.migration) == (None, "")
    assert herd.documents.roll_back("docs").phase is MigrationPhase.ROLLED_BACK
    with pytest.raises(Conflict, match="was rolled back"):
        herd.documents.cut_over("docs")
    with pytest.raises(HerdbookError, match="say where to"):
        herd.documents.move("docs")


@pytest.mark.parametrize("kind", KINDS)
def test_a_rolled_back_migration_can_be_begun_again_and_retired(herd: Herd) -> None:
    collection = herd.created(9)
    herd.moved("v2")
    herd.documents.cut_over("docs")
    herd.documents.roll_back("docs")

    herd.moved("v2")
    herd.documents.cut_over("docs")
    collection.add(["written beside"], ids=["live"])
    done = herd.documents.retire("docs")

    assert done.phase is MigrationPhase.RETIRED
    assert herd.store.collections() == ["docs--v2"]
    collection.delete(["d002"])
    collection.add(["in the one that is left"], ids=["last"])
    assert collection.count() == 10
    assert collection.search("in the one that is left", k=1)[0].id == "last"
    assert herd.documents.retire("docs").phase is MigrationPhase.RETIRED
    with pytest.raises(Conflict, match="was retired"):
        herd.documents.roll_back("docs")


def test_a_source_that_is_kept_is_written_no_more(herd: Herd) -> None:
    collection = herd.created(3)
    found = herd.moved("v2")
    herd.documents.cut_over("docs")
    herd.documents.retire("docs", keep=True)

    collection.add(["a late one"], ids=["late"])

    assert "late" not in herd.contents(found.source.place)
    with pytest.raises(Conflict, match=r"only what was cut over|say where to|at retired"):
        herd.documents.verify("docs")


def test_only_what_was_cut_over_is_retired(herd: Herd) -> None:
    herd.created(3)
    herd.moved("v2")

    with pytest.raises(Conflict, match="only what was cut over is retired"):
        herd.documents.retire("docs")
    herd.documents.cut_over("docs")
    with pytest.raises(Conflict, match="was cut over; retire it, or roll it back"):
        herd.moved("v2")
    herd.created(0, name="other")
    with pytest.raises(NotFound, match="was never migrated"):
        herd.documents.status("other")


def test_to_roll_back_under_a_running_driver_tells_it_so(herd: Herd) -> None:
    herd.created(60)
    ended: list[BaseException] = []
    going = threading.Event()

    def said(news: News) -> None:
        if news.phase is MigrationPhase.BACKFILL and news.done:
            going.set()

    def move() -> None:
        try:
            herd.moved("v2", options=Options(shard=2, rate=20), carrying=Carrying(said=said))
        except HerdbookError as error:
            ended.append(error)

    moving = threading.Thread(target=move, daemon=True)
    moving.start()
    assert going.wait(20)

    herd.documents.roll_back("docs", reason="enough")
    moving.join(20)

    assert isinstance(ended[0], Conflict)
    assert "was rolled back; start another" in str(ended[0])
    assert herd.store.collections() == ["docs"]
    assert herd.moved("v2").phase is MigrationPhase.VERIFIED


def test_every_step_is_an_event(herd: Herd) -> None:
    herd.created(3)
    herd.moved("v2")
    herd.documents.cut_over("docs")
    herd.documents.roll_back("docs")
    herd.moved("v2", demands=UNMEASURED)
    herd.documents.cut_over("docs")
    herd.documents.retire("docs")

    recorded = set(herd.events())

    assert recorded >= {
        "documents.registered",
        "documents.planned",
        "documents.advanced",
        "documents.verified",
        "documents.cut_over",
        "documents.rolled_back",
        "documents.retired",
    }


def test_readers_of_another_register_follow_the_cut(herd: Herd) -> None:
    herd.created(5, encoder="python:tests.hashed:one")
    herd.moved("v2", encoder="python:tests.hashed:two")
    reader = herd.documents.open("docs")
    herd.documents._open.clear()  # nobody tells it
    assert reader.search(text_of("d001"), k=1)[0].metadata["embedding_model_version"] == "v1"

    herd.documents.cut_over("docs")
    herd.documents.retire("docs")

    # What it knew a moment ago is gone: it asks anew.
    assert reader.search(text_of("d001"), k=1)[0].metadata["embedding_model_version"] == "v2"
    assert reader.encoder().space.dimension == hashed.two(["x"]).shape[1]
