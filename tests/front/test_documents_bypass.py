"""Writers that do not know of Herdbook, and stores that change behind its back."""

import pytest

from herdbook.core.migrations import MigrationPhase, Options
from herdbook.core.vectors import Batch, Place, Range
from herdbook.errors import Conflict, HerdbookError, NotFound
from herdbook.front.moving.moved import Carrying
from tests import hashed
from tests.front.collected import KINDS, PHASES, UNMEASURED, Herd, check_of

TARGET = Place(collection="docs--v2")


@pytest.mark.parametrize("kind", KINDS)
def test_what_bypassed_herdbook_is_caught_up_with(herd: Herd) -> None:
    collection = herd.created(12)
    found = herd.stopped(MigrationPhase.CATCH_UP, options=Options(shard=4))
    place = found.source.place

    herd.bypass(place, "written past it", "new", page=100)
    herd.bypass(place, "changed past it", "d001", page=1)
    herd.bypass(place, "the text of d002 alone", "d002", page=222)
    herd.store.delete(place, ["d003"])
    found = herd.moved("v2")

    assert found.phase is MigrationPhase.VERIFIED
    target = herd.contents(found.target.place)
    assert target.keys() == herd.contents(place).keys()
    assert "d003" not in target
    assert target["new"][0] == "written past it"
    assert target["d001"][0] == "changed past it"
    assert target["d002"][1]["page"] == 222

    # Once more, after it was verified.
    herd.bypass(place, "later still", "later")
    assert herd.documents.verify("docs", demands=UNMEASURED).phase is MigrationPhase.VERIFIED
    herd.documents.cut_over("docs")
    assert collection.search("later still", k=1)[0].id == "later"


def test_writers_that_never_stop_bypassing_are_a_clear_conflict(herd: Herd) -> None:
    herd.created(5)
    place = herd.documents.get("docs").home.place
    store, rounds = herd.store, [0]
    read = store.read

    def writing(asked: Place, within: Range, *, vectors: bool = False) -> Batch:
        if asked == place and herd.documents.status("docs").phase is MigrationPhase.CATCH_UP:
            rounds[0] += 1
            herd.bypass(place, f"written past it for the {rounds[0]}th time", "d001")
        return read(asked, within, vectors=vectors)

    store.read = writing  # type: ignore[assignment, method-assign]
    with pytest.raises(Conflict, match="keep changing without passing Herdbook"):
        herd.moved("v2")

    store.read = read  # type: ignore[method-assign]
    assert herd.moved("v2").phase is MigrationPhase.VERIFIED


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_is_there_already_is_neither_mixed_nor_destroyed(herd: Herd) -> None:
    herd.created(5)
    herd.store.create(TARGET, dimension=48)
    herd.bypass(TARGET, "somebody else's", "theirs")

    with pytest.raises(Conflict, match=r"docs--v2 is in .* already"):
        herd.moved("v2")
    with pytest.raises(Conflict, match=r"docs--v2 is in .* already"):
        herd.documents.rehearse("docs", to="v2", encoder=hashed.two)

    assert herd.documents.get("docs").migration == ""
    assert herd.contents(TARGET).keys() == {"theirs"}


@pytest.mark.parametrize("phase", [MigrationPhase.REHEARSED, MigrationPhase.TARGET])
def test_a_target_somebody_makes_in_the_last_moment_is_left_alone(
    herd: Herd, phase: MigrationPhase
) -> None:
    herd.created(5)
    herd.stopped(phase)
    herd.store.create(TARGET, dimension=48)
    herd.bypass(TARGET, "somebody else's", "theirs")

    with pytest.raises(Conflict, match=r"already|did not bring there"):
        herd.moved("v2")
    herd.documents.roll_back("docs")

    assert herd.contents(TARGET).keys() == {"theirs"}


def test_to_roll_back_once_more_removes_what_is_left_and_nothing_of_others(herd: Herd) -> None:
    herd.created(5)
    found = herd.moved("v2")
    herd.documents.roll_back("docs", keep=True)
    with pytest.raises(Conflict, match="roll back or retire that one once more"):
        herd.moved("v2")

    herd.documents.roll_back(found.id)
    assert herd.store.collections() == ["docs"]

    # Another migration has that place now.
    again = herd.stopped(MigrationPhase.DUAL_WRITE)
    herd.documents.roll_back(found.id)
    assert again.target.place == TARGET
    assert herd.store.look(TARGET) is not None
    assert herd.moved("v2").phase is MigrationPhase.VERIFIED


@pytest.mark.parametrize("phase", [*PHASES[1:], MigrationPhase.VERIFIED])
def test_a_source_that_is_gone_is_told(herd: Herd, phase: MigrationPhase) -> None:
    herd.created(5)
    if phase is MigrationPhase.VERIFIED:
        herd.moved("v2")
    else:
        herd.stopped(phase)
    herd.store.drop(herd.documents.get("docs").home.place)

    with pytest.raises(HerdbookError, match="docs"):
        herd.moved("v2")

    assert herd.documents.status("docs").phase not in (
        MigrationPhase.VERIFIED,
        MigrationPhase.CUT_OVER,
    ) or (phase is MigrationPhase.VERIFIED)


def test_what_is_gone_from_the_store_is_not_switched_to(herd: Herd) -> None:
    collection = herd.created(5)
    found = herd.moved("v2")
    herd.store.drop(found.target.place)

    with pytest.raises(Conflict, match="is gone from"):
        herd.documents.cut_over("docs")

    assert collection.search("the text of d001 alone", k=1)[0].id == "d001"
    herd.documents.roll_back("docs")
    assert herd.moved("v2").phase is MigrationPhase.VERIFIED

    herd.documents.cut_over("docs")
    herd.store.drop(found.target.place)
    with pytest.raises(Conflict, match="roll migration-2 back instead"):
        herd.documents.retire("docs")
    herd.documents.roll_back("docs")
    assert collection.search("the text of d001 alone", k=1)[0].id == "d001"


def test_a_source_that_is_gone_after_the_cut_cannot_be_gone_back_to(herd: Herd) -> None:
    collection = herd.created(5)
    found = herd.moved("v2")
    herd.documents.cut_over("docs")
    herd.store.drop(found.source.place)

    with pytest.raises(Conflict, match="cannot be rolled back, retire it"):
        herd.documents.roll_back("docs")

    herd.documents.retire("docs")
    assert collection.search("the text of d001 alone", k=1)[0].id == "d001"


def test_a_collection_that_is_gone_is_told_to_readers_and_writers(herd: Herd) -> None:
    collection = herd.created(5)
    herd.store.drop(herd.documents.get("docs").home.place)

    for act in (
        lambda: collection.search("anything"),
        lambda: collection.add(["a text"]),
        lambda: herd.documents.inspect("docs"),
        lambda: herd.documents.rehearse("docs", to="v2", encoder=hashed.two),
    ):
        with pytest.raises(NotFound, match="there is no docs in"):
            act()
    assert collection.count() == 0


def test_two_collections_of_one_store_do_not_meet(herd: Herd) -> None:
    one = herd.created(5, name="handbook")
    two = herd.created(3, name="wiki")

    herd.moved("v2", name="handbook")
    herd.documents.cut_over("handbook")
    one.add(["only in the handbook"], ids=["h"])
    herd.moved("v2", name="wiki")
    herd.documents.roll_back("wiki")
    herd.documents.retire("handbook")

    assert (one.count(), two.count()) == (6, 3)
    assert herd.store.collections() == ["handbook--v2", "wiki"]
    assert all(hit.id != "h" for hit in two.search("only in the handbook", k=9))


def test_two_names_do_not_share_a_place(herd: Herd) -> None:
    herd.created(0, name="a.b")

    with pytest.raises(Conflict, match=r"is the collection a\.b already"):
        herd.created(0, name="a_b")
    with pytest.raises(Conflict, match=r"is the collection a\.b already"):
        herd.documents.adopt("another", model="gbert", store=herd.address, collection="a_b")

    assert herd.created(0, name="a_b", collection="a_b2").count() == 0


def test_the_target_of_a_migration_is_no_place_for_a_collection(herd: Herd) -> None:
    herd.created(3)
    herd.stopped(MigrationPhase.TARGET)

    with pytest.raises(Conflict, match="is the collection docs already"):
        herd.created(0, name="other", collection="docs--v2")


def test_a_collection_with_documents_is_not_taken_over(herd: Herd) -> None:
    herd.store.create(Place(collection="docs"), dimension=32)
    herd.bypass(Place(collection="docs"), "theirs", "theirs")

    with pytest.raises(Conflict, match="holds 1 documents already: register it as it is with"):
        herd.created(0)


def test_ctrl_c_gives_the_lease_back_at_once(herd: Herd) -> None:
    herd.created(9)

    for phase in PHASES[1:]:
        found = herd.stopped(phase, options=Options(shard=3))
        assert found.driver == ""
        assert found.phase is phase

    assert herd.moved("v2", carrying=Carrying(lease_seconds=1)).phase is MigrationPhase.VERIFIED
    assert check_of(herd.documents.status("docs"), "ids").passed
