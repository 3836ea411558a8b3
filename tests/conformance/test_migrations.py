"""What every database promises of migrations of documents: phases, lease, ledger and switch."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from herdbook.core.migrations import (
    Estimate,
    Migration,
    MigrationPhase,
    Options,
    SetAside,
    Shard,
    Step,
    Way,
    allowed,
)
from herdbook.core.vectors import Place, Range
from herdbook.errors import Conflict, Forbidden, Invalid, NotFound, Refused
from herdbook.services import documents, events, ledger, migrating, switching
from tests.conformance.test_documents import bridge
from tests.documents import (
    DRIVER,
    MODEL,
    begun,
    brought,
    carried,
    encoder,
    outcome,
    registered,
    shards,
    space,
    verification,
)
from tests.registers import Register

RUNNING: list[MigrationPhase] = [
    each
    for each in MigrationPhase
    if each not in (MigrationPhase.RETIRED, MigrationPhase.ROLLED_BACK)
]


@pytest.fixture
def handbook(register: Register) -> Register:
    """A register with a collection whose documents are at v1."""
    for number in ("v1", "v2", "v3"):
        register.add(f"{MODEL}:{number}")
    registered(register.write)
    return register


@pytest.fixture
def begin(handbook: Register) -> Migration:
    """A migration to v2 that was just begun, and claimed."""
    return begun(handbook.write)


# --- beginning ---


def test_a_migration_begins_planned_and_its_collection_names_it(handbook: Register) -> None:
    made = handbook.write(migrating.start, "handbook", to_version="2.0.0")

    assert (made.id, made.phase, made.to_version) == ("migration-1", MigrationPhase.PLANNED, "v2")
    assert made.target.place == Place(collection="handbook--v2")
    assert made.target.encoder is not None
    assert made.target.encoder.source == f"herdbook:{MODEL}:v2"
    assert made.steps == (Step(from_version="v1", to_version="v2", way=Way.REEMBED),)
    assert handbook.read(migrating.get, made.id) == made
    held = handbook.read(documents.get, "handbook")
    assert (held.migration, held.beside, held.epoch) == (made.id, None, 1)
    (told,) = handbook.read(events.page, action="documents.planned").items
    assert (told.body["migration"], told.body["from"], told.body["to"]) == (made.id, "v1", "v2")


def test_a_dry_run_writes_nothing(handbook: Register) -> None:
    before = handbook.count("events")

    made = handbook.write(migrating.start, "handbook", to_version="v2", dry_run=True)

    assert (made.id, made.to_version) == ("", "v2")
    assert handbook.read(migrating.page).items == ()
    assert handbook.count("events") == before
    assert handbook.write(migrating.start, "handbook", to_version="v2").id == "migration-1"


def test_a_second_migration_of_a_collection_is_refused(handbook: Register) -> None:
    first = begun(handbook.write)

    with pytest.raises(Conflict, match=f"{first.id} of handbook is under way"):
        handbook.write(migrating.start, "handbook", to_version="v3")

    registered(handbook.write, "other")
    assert handbook.write(migrating.start, "other", to_version="v3").id == "migration-2"


def test_documents_do_not_go_where_they_are_however_that_is_written(handbook: Register) -> None:
    for version in ("v1", "1.0.0", "1"):
        with pytest.raises(Conflict, match=r"is at .*v1 already"):
            handbook.write(migrating.start, "handbook", to_version=version)


def test_what_cannot_be_begun_is_refused(handbook: Register) -> None:
    registered(handbook.write, "unknown", encoder=None, space=None)
    given: dict[str, Any] = {"to_version": "v2"}
    hop = Step(from_version="v1", to_version="v3", way=Way.REEMBED)

    for name, said, error in (
        ("unknown", {}, Conflict),
        ("nowhere", {}, NotFound),
        ("handbook", {"to_version": "v7"}, NotFound),
        ("handbook", {"to_version": "@champion"}, NotFound),
        ("handbook", {"to_version": "latest"}, Invalid),
        ("handbook", {"encoder": encoder("v3")}, Invalid),
        ("handbook", {"encoder": encoder("v2", model="gnn")}, Invalid),
        ("handbook", {"steps": (hop,)}, Invalid),
        ("handbook", {"place": Place(collection="handbook")}, Invalid),
        ("handbook", {"place": Place(collection="handbook", field="next")}, Invalid),
        ("handbook", {"place": Place(collection="x"), "options": Options(field=True)}, Invalid),
    ):
        with pytest.raises(error):
            handbook.write(migrating.start, name, **(given | said))

    assert handbook.read(migrating.page).items == ()


def test_an_encoder_is_the_versions_by_value(handbook: Register) -> None:
    made = handbook.write(migrating.start, "handbook", to_version="v2", encoder=encoder("2.0.0"))

    assert made.target.encoder == encoder("v2")


def test_a_target_may_be_another_field(handbook: Register) -> None:
    made = handbook.write(migrating.start, "handbook", to_version="v2", options=Options(field=True))

    assert made.target.place == Place(collection="handbook", field="embedding_v2")


def test_of_works_that_begin_at_once_one_does(handbook: Register) -> None:
    def start(_: int) -> str:
        try:
            return str(handbook.write(migrating.start, "handbook", to_version="v2").id)
        except Conflict as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(start, range(8)))

    assert found == ["conflict"] * 7 + ["migration-1"]


def test_migrations_come_newest_first_in_pages(handbook: Register) -> None:
    for name in ("a", "b"):
        registered(handbook.write, name)
    keys = [begun(handbook.write, name).id for name in ("a", "handbook", "b")]
    brought(handbook.write, keys[0], MigrationPhase.RETIRED)

    first = handbook.read(migrating.page, size=2)
    rest = handbook.read(migrating.page, size=2, page=first.next)

    assert [each.id for each in first.items + rest.items] == keys[::-1]
    assert [each.id for each in handbook.read(migrating.page, collection="b").items] == keys[2:]
    assert handbook.read(migrating.page, model=MODEL).items == first.items + rest.items
    running = handbook.read(lambda work: work.documents.running(limit=9))
    assert [each.id for each in running] == [keys[2], keys[1]]
    assert len(handbook.read(lambda work: work.documents.running(limit=1))) == 1
    phases = handbook.read(lambda work: work.documents.phases())
    assert phases == {MigrationPhase.RETIRED: 1, MigrationPhase.PLANNED: 2}
    assert handbook.seen_by("viewer:gnn").read(lambda work: work.documents.phases()) == {}


def test_what_is_no_migration_is_not_found(handbook: Register) -> None:
    begun(handbook.write)

    for key in ("migration-2", "migration-01", "migration-", "1", "x", "ä"):
        with pytest.raises(NotFound):
            handbook.read(migrating.get, key)


def test_history_stays_and_ids_are_not_given_again(handbook: Register) -> None:
    made = begun(handbook.write)
    handbook.write(switching.roll_back, made.id)
    handbook.write(documents.remove, "handbook")
    registered(handbook.write)

    again = begun(handbook.write)

    assert [each.id for each in handbook.read(migrating.page).items] == [again.id, made.id]
    assert again.id == "migration-2"


# --- the lease ---


def test_a_lease_is_taken_over_only_after_it_ran_out(handbook: Register, begin: Migration) -> None:
    with pytest.raises(Conflict, match=DRIVER):
        handbook.write(migrating.claim, begin.id, driver="driver-2")
    kept = handbook.write(migrating.claim, begin.id, driver=DRIVER, lease_seconds=60)
    handbook.clock.at += timedelta(seconds=50)
    with pytest.raises(Conflict, match=DRIVER):
        handbook.write(migrating.claim, begin.id, driver="driver-2")
    handbook.clock.at += timedelta(seconds=20)

    taken = handbook.write(migrating.claim, begin.id, driver="driver-2")

    assert begin.lease_until is not None
    assert kept.lease_until is not None
    assert kept.lease_until > begin.lease_until
    assert taken.driver == "driver-2"
    with pytest.raises(Conflict, match="carried out by driver-2, no longer by driver-1"):
        handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards())


def test_a_lease_that_is_given_back_is_free(handbook: Register, begin: Migration) -> None:
    handbook.write(migrating.leave, begin.id, driver="driver-2")
    assert handbook.read(migrating.get, begin.id).driver == DRIVER

    left = handbook.write(migrating.leave, begin.id, driver=DRIVER)

    assert (left.driver, left.lease_until) == ("", None)
    assert handbook.write(migrating.claim, begin.id, driver="driver-2").driver == "driver-2"


def test_leases_have_a_length(handbook: Register, begin: Migration) -> None:
    for seconds in (0, -1, 3_601, float("nan"), float("inf")):
        with pytest.raises(Invalid, match="1 to 3600"):
            handbook.write(migrating.claim, begin.id, driver=DRIVER, lease_seconds=seconds)


def test_a_foreign_driver_is_refused_everything(handbook: Register, begin: Migration) -> None:
    other: dict[str, Any] = {"driver": "driver-2"}

    asked: list[tuple[Any, dict[str, Any]]] = [
        (migrating.advance, {"to": MigrationPhase.REHEARSED}),
        (ledger.cut, {"shards": shards()}),
        (ledger.settle, {"outcomes": [outcome(1)]}),
        (ledger.take_back, {"ids": ["d1"]}),
    ]
    for verb, said in asked:
        with pytest.raises(Conflict, match="driver-1, no longer by driver-2"):
            handbook.write(verb, begin.id, **other, **said)

    assert handbook.read(migrating.get, begin.id) == begin


# --- phases ---


@pytest.mark.parametrize("phase", RUNNING)
def test_a_migration_goes_only_where_its_phase_allows(
    handbook: Register, phase: MigrationPhase
) -> None:
    key = begun(handbook.write).id
    held = brought(handbook.write, key, phase)
    handbook.write(migrating.claim, key, driver=DRIVER)
    forbidden = {
        *RUNNING[: RUNNING.index(MigrationPhase.CUT_OVER)]
    } - {phase, MigrationPhase.VERIFIED, *allowed(phase)}  # fmt: skip

    for to in forbidden:
        with pytest.raises(Conflict, match=f"is at {phase}; {to} does not follow it"):
            handbook.write(migrating.advance, key, driver=DRIVER, to=to, space=space("v2"))
    for other in (
        MigrationPhase.CUT_OVER,
        MigrationPhase.OBSERVE,
        MigrationPhase.RETIRED,
        MigrationPhase.ROLLED_BACK,
    ):
        with pytest.raises(Invalid, match="not come to by advancing"):
            handbook.write(migrating.advance, key, driver=DRIVER, to=other)

    assert handbook.read(migrating.get, key).phase is held.phase is phase


def test_a_phase_that_is_come_to_again_is_nothing(handbook: Register, begin: Migration) -> None:
    found = brought(handbook.write, begin.id, MigrationPhase.DUAL_WRITE)
    before = handbook.count("events")

    again = handbook.write(migrating.advance, begin.id, driver=DRIVER, to=MigrationPhase.DUAL_WRITE)

    assert again == found
    assert handbook.count("events") == before
    assert handbook.read(documents.get, "handbook").epoch == 2


def test_a_rehearsal_keeps_what_it_estimated(handbook: Register, begin: Migration) -> None:
    said = Estimate(
        documents=9, sampled=3, tokens=90, seconds=1.5, cost=0.1, space_bytes=99,
        set_aside={"no text": 1}, spaces={"": 9}, examples=({"id": "d1", "after": {"n": 1}},),
    )  # fmt: skip

    handbook.write(
        migrating.advance, begin.id, driver=DRIVER, to=MigrationPhase.REHEARSED, estimate=said
    )
    found = brought(handbook.write, begin.id, MigrationPhase.TARGET)

    assert found.estimate == said


def test_the_target_is_made_in_the_space_that_was_measured(
    handbook: Register, begin: Migration
) -> None:
    for said, match in ((None, "measured"), (space("v3"), "one version's")):
        with pytest.raises(Invalid, match=match):
            handbook.write(
                migrating.advance, begin.id, driver=DRIVER, to=MigrationPhase.TARGET, space=said
            )

    found = brought(handbook.write, begin.id, MigrationPhase.TARGET)

    assert found.target.space == space("v2")


def test_vectors_are_copied_within_one_space_only(handbook: Register) -> None:
    steps = (Step(from_version="v1", to_version="v2", way=Way.IDENTITY),)
    made = begun(handbook.write, steps=steps)
    same = space("v2", digest=space("v1").digest)

    with pytest.raises(Refused, match="not one space"):
        handbook.write(
            migrating.advance, made.id, driver=DRIVER, to=MigrationPhase.TARGET, space=space("v2")
        )
    found = handbook.write(
        migrating.advance, made.id, driver=DRIVER, to=MigrationPhase.TARGET, space=same
    )

    assert found.target.space == same


def test_writers_write_beside_from_dual_write_on(handbook: Register, begin: Migration) -> None:
    made = brought(handbook.write, begin.id, MigrationPhase.TARGET)
    before = handbook.read(documents.get, "handbook")

    handbook.write(migrating.advance, begin.id, driver=DRIVER, to=MigrationPhase.DUAL_WRITE)

    after = handbook.read(documents.get, "handbook")
    assert (before.beside, before.epoch) == (None, 1)
    assert (after.home, after.beside, after.epoch) == (made.source, made.target, 2)


def test_what_was_not_carried_is_not_caught_up(handbook: Register, begin: Migration) -> None:
    brought(handbook.write, begin.id, MigrationPhase.BACKFILL)
    handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(3))
    handbook.write(ledger.settle, begin.id, driver=DRIVER, outcomes=[outcome(2)])

    with pytest.raises(Conflict, match="carried 1 of 3 shards"):
        handbook.write(migrating.advance, begin.id, driver=DRIVER, to=MigrationPhase.CATCH_UP)


def test_a_verification_that_fails_is_kept_and_stays_where_it_was(
    handbook: Register, begin: Migration
) -> None:
    brought(handbook.write, begin.id, MigrationPhase.VERIFY)
    ask: dict[str, Any] = {"driver": DRIVER, "to": MigrationPhase.VERIFIED}

    with pytest.raises(Invalid, match="what the verification found"):
        handbook.write(migrating.advance, begin.id, **ask)
    failed = handbook.write(migrating.advance, begin.id, verification=verification("sample"), **ask)
    passed = handbook.write(migrating.advance, begin.id, verification=verification(), **ask)
    again = handbook.write(migrating.advance, begin.id, verification=verification(), **ask)
    fell = handbook.write(migrating.advance, begin.id, verification=verification("ids"), **ask)

    assert [each.phase for each in (failed, passed, again, fell)] == [
        MigrationPhase.VERIFY,
        MigrationPhase.VERIFIED,
        MigrationPhase.VERIFIED,
        MigrationPhase.VERIFY,
    ]
    assert fell.verification is not None
    assert fell.verification.failed == ("ids",)
    told = handbook.read(events.page, action="documents.verified").items
    assert [each.body["passed"] for each in told] == [False, True, True, False]


def test_a_verification_without_gates_has_not_passed() -> None:
    found = verification()

    assert not type(found)(at=found.at, checks=()).passed
    assert not type(found)(at=found.at, checks=found.checks[3:]).passed


def test_a_pause_is_kept_until_it_goes_on(handbook: Register, begin: Migration) -> None:
    paused = handbook.write(migrating.pause, begin.id, reason="the night is over")
    again = handbook.write(migrating.pause, begin.id, reason="other")
    resumed = handbook.write(migrating.resume, begin.id)

    assert (paused.paused, paused.reason) == (True, "the night is over")
    assert again == paused
    assert (resumed.paused, resumed.reason) == (False, "")
    assert len(handbook.read(events.page, action="documents.paused").items) == 1
    handbook.write(switching.roll_back, begin.id)
    with pytest.raises(Conflict, match="rolled back"):
        handbook.write(migrating.pause, begin.id)


# --- the ledger ---


def test_shards_are_cut_once(handbook: Register, begin: Migration) -> None:
    cut = handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(2))
    again = handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(2))
    more = handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(2, first=3))

    assert (cut.shards, cut.documents, cut.shards_done) == (2, 20, 0)
    assert again == cut
    assert (more.shards, more.documents) == (4, 40)
    with pytest.raises(Conflict, match="cut otherwise"):
        handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(2, first=4))
    assert handbook.read(migrating.get, begin.id).progress == more
    assert handbook.read(ledger.shards, begin.id).items == tuple(shards(4))


def test_shards_that_are_not_done_come_by_number(handbook: Register, begin: Migration) -> None:
    handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(5))
    handbook.write(ledger.settle, begin.id, driver=DRIVER, outcomes=[outcome(2), outcome(4)])

    first = handbook.read(ledger.shards, begin.id, size=2)
    rest = handbook.read(ledger.shards, begin.id, after=int(first.next or 0), size=2)

    assert [each.number for each in first.items] == [1, 3]
    assert [each.number for each in rest.items] == [5]
    assert rest.next is None
    for after in (-1, 1 << 63):
        with pytest.raises(Invalid, match="after"):
            handbook.read(ledger.shards, begin.id, after=after)


def test_what_became_of_a_shard_counts_once(handbook: Register, begin: Migration) -> None:
    handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(2))
    came = [outcome(1, "d7", "d8"), outcome(1), outcome(9)]

    once = handbook.write(ledger.settle, begin.id, driver=DRIVER, outcomes=came)
    twice = handbook.write(ledger.settle, begin.id, driver=DRIVER, outcomes=came)

    assert once == twice
    found = once.progress
    assert (found.shards_done, found.written, found.set_aside, found.tokens) == (1, 8, 2, 1_000)
    assert (found.cost, found.seconds) == (0.0005, 0.5)
    assert not found.done


def test_what_belongs_to_no_shard_is_added(handbook: Register, begin: Migration) -> None:
    late: dict[str, Any] = {"driver": DRIVER, "outcomes": [outcome(0, "late", written=1)]}
    handbook.write(ledger.settle, begin.id, **late)
    found = handbook.write(ledger.settle, begin.id, **late)

    assert (found.progress.shards_done, found.progress.written) == (0, 2)
    assert (found.progress.set_aside, found.progress.tokens) == (1, 2_000)


def test_a_document_is_set_aside_once_and_taken_back(handbook: Register, begin: Migration) -> None:
    handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(2))
    came = [outcome(1, "é", "b", "B"), outcome(2, "b", "a")]
    handbook.write(ledger.settle, begin.id, driver=DRIVER, outcomes=came)

    first = handbook.read(ledger.set_aside, begin.id, size=3)
    rest = handbook.read(ledger.set_aside, begin.id, size=3, page=first.next)

    assert [each.id for each in first.items + rest.items] == ["B", "a", "b", "é"]
    assert first.items[2].shard == 1
    assert first.items[2].at is not None
    taken = handbook.write(ledger.take_back, begin.id, driver=DRIVER, ids=["b", "x", "b"])
    assert taken.progress.set_aside == 3
    again = handbook.write(ledger.take_back, begin.id, driver=DRIVER, ids=["b"])
    assert again.progress.set_aside == 3
    assert [each.id for each in handbook.read(ledger.set_aside, begin.id).items] == [
        "B", "a", "é",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        lambda: outcome(-1),
        lambda: outcome(1, written=-1),
        lambda: outcome(1, tokens=1 << 63),
        lambda: outcome(1, seconds=float("nan")),
        lambda: outcome(1, set_aside=(SetAside(id="a", reason="", shard=-1),)),
        lambda: Shard(number=0, within=Range(after="", upto="a", documents=1)),
        lambda: Shard(number=1, within=Range(after="", upto="a", documents=-1)),
    ],
)
def test_counts_that_cannot_be_are_refused(given: Any) -> None:
    with pytest.raises(Invalid):
        given()


def test_ids_no_database_holds_are_refused_by_name(handbook: Register, begin: Migration) -> None:
    bad = Shard(number=1, within=Range(after="", upto="a\x00", documents=1))

    asked: list[tuple[Any, dict[str, Any]]] = [
        (ledger.cut, {"driver": DRIVER, "shards": [bad]}),
        (ledger.settle, {"driver": DRIVER, "outcomes": [outcome(0, "\ud800")]}),
        (ledger.take_back, {"driver": DRIVER, "ids": ["a\x00"]}),
        (ledger.bury, {"ids": ["a\x00"]}),
        (ledger.bury, {"ids": ["a" * 1_001]}),
    ]
    for verb, said in asked:
        with pytest.raises(Invalid, match="ids"):
            handbook.write(verb, begin.id, **said)


def test_no_more_than_ten_thousand_are_told_at_once(handbook: Register, begin: Migration) -> None:
    ids = [f"d{at}" for at in range(10_000)]

    assert handbook.write(ledger.bury, begin.id, ids=ids).buried == 10_000

    asked: list[tuple[Any, dict[str, Any]]] = [
        (ledger.bury, {"ids": [*ids, "x"]}),
        (ledger.take_back, {"driver": DRIVER, "ids": [*ids, "x"]}),
        (ledger.settle, {"driver": DRIVER, "outcomes": [outcome(1)] * 10_001}),
        (ledger.cut, {"driver": DRIVER, "shards": shards(1) * 10_001}),
    ]
    for verb, said in asked:
        with pytest.raises(Invalid, match="at most 10000"):
            handbook.write(verb, begin.id, **said)


def test_deletions_are_numbered_and_read_in_their_order(
    handbook: Register, begin: Migration
) -> None:
    assert handbook.write(ledger.bury, begin.id, ids=["b", "a"]).buried == 2
    assert handbook.write(ledger.bury, begin.id, ids=[]).buried == 2
    assert handbook.write(ledger.bury, begin.id, ids=["b"]).buried == 3

    first = handbook.read(ledger.buried, begin.id, size=2)
    rest = handbook.read(ledger.buried, begin.id, after=int(first.next or 0), size=2)

    assert (first.items, first.next) == (("b", "a"), "2")
    assert (rest.items, rest.next) == (("b",), None)
    assert handbook.read(ledger.buried, begin.id, after=3).items == ()


def test_deletions_noted_at_once_get_numbers_of_their_own(
    handbook: Register, begin: Migration
) -> None:
    def bury(writer: int) -> list[int]:
        return [
            handbook.write(
                ledger.bury, begin.id, ids=[f"w{writer}-{at}", f"w{writer}-{at}x"]
            ).buried
            for at in range(5)
        ]

    with ThreadPoolExecutor(6) as pool:
        told = [number for numbers in pool.map(bury, range(6)) for number in numbers]

    assert sorted(told) == list(range(2, 62, 2))
    found = handbook.read(ledger.buried, begin.id, size=100).items
    assert len(set(found)) == len(found) == 60
    assert handbook.count("document_tombstones") == 60


def test_what_is_over_takes_no_more_work(handbook: Register, begin: Migration) -> None:
    handbook.write(switching.roll_back, begin.id)

    asked: list[tuple[Any, dict[str, Any]]] = [
        (migrating.claim, {"driver": DRIVER}),
        (migrating.advance, {"driver": DRIVER, "to": MigrationPhase.REHEARSED}),
        (ledger.cut, {"driver": DRIVER, "shards": shards()}),
        (ledger.settle, {"driver": DRIVER, "outcomes": [outcome(0)]}),
        (switching.cut_over, {}),
        (switching.observe, {}),
    ]
    for verb, said in asked:
        with pytest.raises(Conflict, match="rolled back"):
            handbook.write(verb, begin.id, **said)


# --- the switch ---


def test_the_cut_moves_place_and_encoder_together(handbook: Register, begin: Migration) -> None:
    made = brought(handbook.write, begin.id, MigrationPhase.VERIFIED)
    before = handbook.read(documents.get, "handbook")

    cut = handbook.write(switching.cut_over, begin.id)

    after = handbook.read(documents.get, "handbook")
    assert (before.home, before.beside) == (made.source, made.target)
    assert (after.home, after.beside) == (made.target, made.source)
    assert after.epoch == before.epoch + 1
    assert (cut.phase, cut.driver) == (MigrationPhase.CUT_OVER, "")
    assert handbook.write(switching.cut_over, begin.id) == cut
    assert handbook.read(documents.get, "handbook") == after
    (told,) = handbook.read(events.page, action="documents.cut_over").items
    assert (told.body["from"], told.body["to"], told.body["forced"]) == ("v1", "v2", "")


@pytest.mark.parametrize("phase", RUNNING[: RUNNING.index(MigrationPhase.CATCH_UP)])
def test_what_was_not_carried_cannot_be_cut_over_even_by_force(
    handbook: Register, begin: Migration, phase: MigrationPhase
) -> None:
    brought(handbook.write, begin.id, phase)

    with pytest.raises(Conflict, match="not every document was carried"):
        handbook.write(switching.cut_over, begin.id, force="it must be today")

    assert handbook.read(documents.get, "handbook").home == begin.source


@pytest.mark.parametrize("phase", [MigrationPhase.CATCH_UP, MigrationPhase.VERIFY])
def test_what_is_not_verified_is_cut_over_only_for_a_reason(
    handbook: Register, begin: Migration, phase: MigrationPhase
) -> None:
    brought(handbook.write, begin.id, phase)

    with pytest.raises(Refused, match="was not verified"):
        handbook.write(switching.cut_over, begin.id)
    cut = handbook.write(switching.cut_over, begin.id, force="it must be today")

    assert cut.reason == "it must be today"
    (told,) = handbook.read(events.page, action="documents.cut_over").items
    assert told.body["forced"] == "it must be today"


def test_a_verification_that_failed_is_named_when_it_is_not_cut_over(
    handbook: Register, begin: Migration
) -> None:
    brought(handbook.write, begin.id, MigrationPhase.VERIFY)
    handbook.write(
        migrating.advance, begin.id, driver=DRIVER, to=MigrationPhase.VERIFIED,
        verification=verification("sample", "ids"),
    )  # fmt: skip

    with pytest.raises(Refused, match="failed: ids, sample"):
        handbook.write(switching.cut_over, begin.id)


def test_shards_that_were_added_later_hold_up_the_cut(handbook: Register, begin: Migration) -> None:
    brought(handbook.write, begin.id, MigrationPhase.VERIFIED)
    handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(1, first=3))

    with pytest.raises(Conflict, match="not every document"):
        handbook.write(switching.cut_over, begin.id)
    carried(handbook.write, begin.id, shards(1, first=3))

    assert handbook.write(switching.cut_over, begin.id).phase is MigrationPhase.CUT_OVER


@pytest.mark.parametrize("phase", RUNNING)
def test_rolling_back_gives_the_home_back_from_every_phase(
    handbook: Register, phase: MigrationPhase
) -> None:
    before = handbook.read(documents.get, "handbook")
    key = begun(handbook.write).id
    brought(handbook.write, key, phase)

    back = handbook.write(switching.roll_back, key, reason="slower")

    after = handbook.read(documents.get, "handbook")
    assert (after.home, after.beside, after.migration) == (before.home, None, "")
    assert (back.phase, back.reason, back.driver) == (MigrationPhase.ROLLED_BACK, "slower", "")
    assert back.ended_at is not None
    assert handbook.write(switching.roll_back, key) == back
    assert handbook.read(documents.get, "handbook") == after
    (told,) = handbook.read(events.page, action="documents.rolled_back").items
    assert told.body["phase"] == phase
    assert begun(handbook.write).id == "migration-2"


def test_a_bridge_to_the_target_ends_when_it_is_gone_back_from(
    handbook: Register, begin: Migration
) -> None:
    brought(handbook.write, begin.id, MigrationPhase.OBSERVE)
    newer = bridge(handbook, encoder=encoder("v3"), space=space("v3"), onto=space("v2").fingerprint)
    handbook.write(documents.bridge, "handbook", bridge=newer)

    handbook.write(switching.roll_back, begin.id)

    assert handbook.read(documents.get, "handbook").bridge == ""
    assert handbook.read(documents.bridging, "handbook").items == ()


def test_a_bridge_outlives_a_migration_that_is_given_up_but_not_the_cut(
    handbook: Register,
) -> None:
    handbook.write(documents.bridge, "handbook", bridge=bridge(handbook))
    first = begun(handbook.write)
    brought(handbook.write, first.id, MigrationPhase.BACKFILL)

    handbook.write(switching.roll_back, first.id)
    kept = handbook.read(documents.bridging, "handbook").items
    brought(handbook.write, begun(handbook.write).id, MigrationPhase.CUT_OVER)

    assert len(kept) == 1
    assert handbook.read(documents.get, "handbook").bridge == ""
    assert handbook.read(documents.bridging, "handbook").items == ()


def test_what_is_retired_is_written_no_more_and_never_gone_back_from(
    handbook: Register, begin: Migration
) -> None:
    brought(handbook.write, begin.id, MigrationPhase.CUT_OVER)
    with pytest.raises(Conflict, match="is at cut_over"):
        handbook.write(switching.retire, begin.id)
    handbook.write(switching.observe, begin.id)

    retired = handbook.write(switching.retire, begin.id)

    held = handbook.read(documents.get, "handbook")
    assert (held.home, held.beside, held.migration) == (retired.target, None, "")
    assert handbook.write(switching.retire, begin.id) == retired
    assert handbook.write(switching.observe, begin.id) == retired
    for verb in (switching.roll_back, switching.cut_over):
        with pytest.raises(Conflict, match="was retired"):
            handbook.write(verb, begin.id)


def test_only_what_was_cut_over_is_observed_or_retired(
    handbook: Register, begin: Migration
) -> None:
    for verb in (switching.observe, switching.retire):
        with pytest.raises(Conflict, match="is at planned"):
            handbook.write(verb, begin.id)


def test_the_switch_takes_who_may_deploy(handbook: Register, begin: Migration) -> None:
    writer = handbook.seen_by("contributor:deepset/*")
    brought(writer.write, begin.id, MigrationPhase.VERIFIED)

    for verb in (switching.cut_over, switching.observe, switching.roll_back, switching.retire):
        with pytest.raises(Forbidden):
            writer.write(verb, begin.id)

    deployer = handbook.seen_by("deployer:deepset/*")
    assert deployer.write(switching.cut_over, begin.id).phase is MigrationPhase.CUT_OVER


def test_readers_see_the_old_pair_or_the_new_one_while_it_moves(handbook: Register) -> None:
    def look(_: int) -> None:
        for _ in range(40):
            held = handbook.read(documents.get, "handbook")
            assert held.home.space is not None
            assert held.home.encoder is not None
            assert held.home.space.number == held.home.encoder.number
            assert (held.home.place.collection == "handbook") == (held.home.space.number == "v1")

    def move(_: int) -> None:
        for _ in range(3):
            key = begun(handbook.write).id
            brought(handbook.write, key, MigrationPhase.CUT_OVER)
            handbook.write(switching.roll_back, key)

    with ThreadPoolExecutor(4) as pool:
        moving = pool.submit(move, 0)
        list(pool.map(look, range(3)))
        moving.result()


def test_a_cut_that_was_broken_off_is_begun_anew(handbook: Register, begin: Migration) -> None:
    brought(handbook.write, begin.id, MigrationPhase.TARGET)
    handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(3))

    progress = handbook.write(ledger.cut, begin.id, driver=DRIVER, shards=shards(2))

    assert (progress.shards, progress.documents) == (2, 20)
    assert len(handbook.read(ledger.shards, begin.id).items) == 2
