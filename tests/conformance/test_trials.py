"""What every database promises of experiments and of what was recorded of them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import select, update

from herdbook.core.experiments import Outcome, State
from herdbook.core.trials import Kept, Waiting
from herdbook.errors import AlreadyExists, Conflict, NotFound
from herdbook.services import deployments, experiments, models, serving
from herdbook.storage.sql.experiment_tables import workers
from herdbook.storage.sql.work import writing
from tests.experiments import arm, fold, plan, served, start
from tests.registers import Register

AT_ONCE = 8


@pytest.fixture
def trying(register: Register) -> Register:
    """A register in which gnn v2 is tried against v1."""
    start(served(register))
    return register


def asked(register: Register, name: str, *args: Any, **kwargs: Any) -> Any:
    """Ask the port, in a transaction of its own that is kept."""
    return register.write(lambda work: getattr(work.experiments, name)(*args, **kwargs))


# --- experiments ---


def test_an_experiment_is_given_as_it_was_saved(trying: Register) -> None:
    found = trying.read(experiments.get, "gnn_test")
    changed = replace(found, reason="Ünïcode\u2028", warnings=("little traffic",))

    asked(trying, "save", changed)

    assert asked(trying, "get", "gnn_test") == asked(trying, "lock", "gnn_test") == changed
    assert found.id > 0


def test_a_name_is_taken_for_ever_and_by_whatever_model(register: Register) -> None:
    served(register)
    served(register, "oracle")
    start(register)
    register.write(experiments.finalize, "gnn_test")

    for model in ("gnn", "oracle"):
        with pytest.raises(AlreadyExists, match="choose another name"):
            start(register, model=model)


def test_there_is_no_experiment_by_another_name(trying: Register) -> None:
    for name in ("gnn", "GNN_TEST", "gnn_test ", ""):
        with pytest.raises(NotFound, match="experiments list"):
            trying.read(experiments.get, name)
        with pytest.raises(NotFound):
            asked(trying, "lock", name)


def test_who_locks_an_experiment_keeps_other_writers_of_it_waiting(trying: Register) -> None:
    begun = threading.Event()

    def pausing() -> object:
        begun.set()
        return trying.write(experiments.pause, "gnn_test")

    with ThreadPoolExecutor(1) as pool:
        with writing(trying.database, trying.by, clock=trying.clock) as work:
            found = work.experiments.lock("gnn_test")
            waiting = pool.submit(pausing)
            begun.wait(5)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            work.experiments.save(replace(found, reason="first"))
        waiting.result(timeout=20)

    assert trying.read(experiments.get, "gnn_test").state is State.PAUSED


def test_pages_are_newest_first_and_narrowed_by_model_and_state(register: Register) -> None:
    served(register)
    served(register, "oracle")
    for name, model in (("a", "gnn"), ("b", "oracle"), ("c", "gnn")):
        start(register, name, model=model, exclusion_pct=40)
    register.write(experiments.finalize, "a")
    register.write(experiments.pause, "c")

    def names(**how: Any) -> list[str]:
        return [each.name for each in register.read(experiments.page, **how).items]

    assert names() == ["c", "b", "a"]
    assert names(model="gnn") == ["c", "a"]
    assert [names(state=state) for state in ("running", "paused", "ended")] == [["b"], ["c"], ["a"]]
    assert names(model="oracle", state="ended") == []
    first = register.read(experiments.page, page_size=2)
    second = register.read(experiments.page, page_size=2, page=first.next)
    assert [each.name for each in second.items] == ["a"]
    assert second.next is None


def test_live_ones_are_those_that_have_not_ended_oldest_first(register: Register) -> None:
    served(register)
    served(register, "oracle")
    for name, model in (("a", "gnn"), ("b", "oracle"), ("c", "gnn"), ("d", "gnn")):
        start(register, name, model=model, exclusion_pct=25)
    register.write(experiments.finalize, "a")
    register.write(experiments.pause, "c")

    def live(**how: Any) -> list[str]:
        return [each.name for each in asked(register, "live", **how)]

    assert live() == ["b", "c", "d"]
    assert live(model="gnn") == ["c", "d"]
    assert live(group="model:oracle") == ["b"]
    assert live(model="gnn", group="model:oracle") == []


def test_who_may_not_see_the_model_sees_no_experiment_of_it(trying: Register) -> None:
    served(trying, "oracle")
    start(trying, "oracle_test", model="oracle")
    stranger, fellow = trying.seen_by("deployer:oracle"), trying.seen_by("deployer:g*")

    with pytest.raises(NotFound, match="there is no experiment 'gnn_test'"):
        stranger.read(experiments.get, "gnn_test")
    for verb in (experiments.pause, experiments.resume, experiments.widen, experiments.finalize):
        with pytest.raises(NotFound, match="there is no experiment 'gnn_test'"):
            stranger.write(verb, "gnn_test")
    assert [e.name for e in stranger.read(experiments.page).items] == ["oracle_test"]
    assert [e.experiment for e in stranger.read(serving.routing).experiments] == ["oracle_test"]
    assert [e.name for e in fellow.read(experiments.page).items] == ["gnn_test"]
    assert fellow.read(experiments.get, "gnn_test").model == "gnn"
    # Of a group also those one may not see: they have part of its units.
    assert [e.name for e in asked(stranger, "live", group="model:gnn")] == ["gnn_test"]
    assert asked(stranger, "live", model="gnn") == []


# --- what workers recorded ---


def test_a_delta_counts_once_and_nothing_before_it_does(register: Register) -> None:
    assert asked(register, "take", "w", 1, dropped=2) == (1, True)
    assert asked(register, "take", "w", 1, dropped=2) == (1, False)
    assert asked(register, "take", "w", 3, dropped=5) == (3, True)
    assert asked(register, "take", "w", 2, dropped=5) == (3, False)
    assert asked(register, "take", "other", 1, dropped=0) == (1, True)
    with register.database.reading() as connection:
        told = connection.execute(select(workers.c.sequence, workers.c.dropped)).all()
    assert sorted(told) == [(1, 0), (3, 7)]


def test_workers_of_one_name_are_several_when_others_send_them(register: Register) -> None:
    # Who guesses the name of a worker must not make its deltas count as known.
    other = Register(register.database, replace(register.by, name="someone"), register.clock)
    assert asked(other, "take", "w", 9, dropped=0) == (9, True)

    assert asked(register, "take", "w", 1, dropped=0) == (1, True)


def test_a_delta_of_a_work_that_is_taken_back_was_not_counted(register: Register) -> None:
    with register.tried() as work:
        assert work.experiments.take("w", 1, dropped=0) == (1, True)

    assert asked(register, "take", "w", 1, dropped=0) == (1, True)


def deliveries(register: Register, take: Callable[..., bool]) -> int:
    """Deliver the same delta from several threads at once; give how often it was new."""
    ready = threading.Barrier(AT_ONCE)

    def deliver(_: int) -> bool:
        ready.wait(20)
        return register.write(take)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(deliver, range(AT_ONCE)))


@pytest.mark.parametrize("first", [1, 2])
def test_of_deliveries_at_the_same_time_exactly_one_is_new(register: Register, first: int) -> None:
    if first > 1:
        asked(register, "take", "w", 1, dropped=0)
    for sequence in range(first, first + 5):
        new = deliveries(
            register, lambda work, s=sequence: work.experiments.take("w", s, dropped=1)[1]
        )
        assert new == 1

    assert asked(register, "take", "w", 1, dropped=0) == (first + 4, False)
    with register.database.reading() as connection:
        assert connection.execute(select(workers.c.dropped)).scalar_one() == 5


def test_looking_first_and_writing_then_would_count_a_delta_twice(postgres_url: str) -> None:
    """The negative control: what the test above would find."""
    from herdbook.bootstrap import prepare
    from herdbook.storage.sql.engine import Database

    database = Database(postgres_url)
    prepare(database)
    register = Register(database)
    asked(register, "take", "w", 1, dropped=0)
    looked = threading.Barrier(AT_ONCE)

    def naive(work: Any) -> bool:
        connection = work.experiments._connection
        held = connection.execute(select(workers.c.sequence)).scalar_one()
        looked.wait(20)
        connection.execute(update(workers).values(sequence=2))
        return bool(held < 2)

    assert deliveries(register, naive) == AT_ONCE
    database.close()


def test_what_was_put_waits_until_it_is_consumed_oldest_first(trying: Register) -> None:
    found = trying.read(experiments.get, "gnn_test")
    assert asked(trying, "waiting", found) == Waiting(deltas=0, results=0, since=None)
    sums = [arm(results=n, lost=1, means={}, firsts=(n,)) for n in (5, 6, 7)]
    for each in sums:
        asked(trying, "put", found, [each, arm("treatment")])

    waiting = asked(trying, "waiting", found)
    first = asked(trying, "consume", found, limit=2)
    rest = asked(trying, "consume", found, limit=2)

    assert (waiting.deltas, waiting.results) == (3, 24)
    assert waiting.since is not None
    assert first == [sums[0], arm("treatment"), sums[1], arm("treatment")]
    assert rest == [sums[2], arm("treatment")]
    assert asked(trying, "consume", found, limit=2) == []
    assert asked(trying, "waiting", found).since is None


def test_what_is_consumed_by_a_work_that_is_taken_back_still_waits(trying: Register) -> None:
    found = trying.read(experiments.get, "gnn_test")
    asked(trying, "put", found, [arm()])

    with trying.tried() as work:
        assert work.experiments.consume(found, limit=9) == [arm()]

    assert asked(trying, "waiting", found).deltas == 1


def test_results_that_came_too_late_are_counted(trying: Register) -> None:
    found = trying.read(experiments.get, "gnn_test")

    asked(trying, "add_late", found, 3)
    asked(trying, "add_late", found, 4)
    asked(trying, "save", replace(found, reason="saved in between"))

    assert asked(trying, "late", found) == 7


# --- evidence ---


def test_evidence_is_kept_with_the_batches_it_was_made_from(trying: Register) -> None:
    found = trying.read(experiments.get, "gnn_test")
    assert asked(trying, "kept", found) is None
    at = trying.clock()
    kept = [
        Kept(batches=n, at=at, seen=b"\x00\xff" * n, state=f'{{"n":{n}}}', evaluation='"ä"')
        for n in (1, 2, 2)
    ]

    asked(trying, "keep", found, kept[0], batch=[arm(results=1)])
    asked(trying, "keep", found, kept[1], batch=[arm(results=2), arm("treatment")])
    asked(trying, "keep", found, replace(kept[2], state="{}"), batch=[])

    assert asked(trying, "kept", found) == replace(kept[2], state="{}")
    batches = trying.read(lambda work: list(work.experiments.batches(found)))
    assert batches == [(at, (arm(results=1),)), (at, (arm(results=2), arm("treatment")))]


def test_one_is_claimed_when_it_is_due_the_longest_due_first(register: Register) -> None:
    served(register)
    a, b = (start(register, name, exclusion_pct=50) for name in ("a", "b"))
    asked(register, "postpone", a, register.clock.at + timedelta(hours=1))

    assert asked(register, "claim", skip=[]).name == "b"
    assert asked(register, "claim", skip=[b.id]) is None
    register.clock.at += timedelta(hours=2)
    assert [asked(register, "claim", skip=s).name for s in ([], [b.id])] == ["b", "a"]


def test_what_was_saved_is_looked_at_at_once(trying: Register) -> None:
    found = trying.read(experiments.get, "gnn_test")
    asked(trying, "postpone", found, trying.clock.at + timedelta(minutes=30))
    assert asked(trying, "claim", skip=[]) is None

    trying.write(experiments.pause, "gnn_test")

    assert asked(trying, "claim", skip=[]).state is State.PAUSED
    trying.write(experiments.finalize, "gnn_test")
    assert asked(trying, "claim", skip=[]) is None


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_two_works_never_claim_the_same_experiment(register: Register) -> None:
    served(register)
    for name in ("a", "b"):
        start(register, name, exclusion_pct=50)

    with (
        writing(register.database, register.by, clock=register.clock) as one,
        writing(register.database, register.by, clock=register.clock) as two,
    ):
        claimed = [work.experiments.claim(skip=[]) for work in (one, two, two)]
        taken = [each for each in claimed if each is not None]
        third = two.experiments.claim(skip=[taken[1].id])

    assert [each.name for each in taken] == ["a", "b", "b"]
    assert third is None


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_who_acts_on_what_it_claimed_and_who_changes_it_wait_for_each_other(
    trying: Register,
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with writing(trying.database, trying.by, clock=trying.clock) as work:
            claimed = work.experiments.claim(skip=[])
            assert claimed is not None
            pausing = pool.submit(trying.write, experiments.pause, "gnn_test")
            # Were the model locked first, both would hold what the other wants.
            with pytest.raises(TimeoutError):
                pausing.result(timeout=0.5)
            experiments.ended(cast(Any, work), claimed, Outcome.PROMOTED, winner="v2")
        with pytest.raises(Conflict, match="gnn_test ended"):
            pausing.result(timeout=20)


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_the_oldest_alone_would_be_claimed_twice(register: Register) -> None:
    """The negative control: without a lock both works look at the same experiment."""
    served(register)
    start(register)

    with (
        writing(register.database, register.by, clock=register.clock) as one,
        writing(register.database, register.by, clock=register.clock) as two,
    ):
        claimed = [work.experiments.live()[0].name for work in (one, two)]

    assert claimed == ["gnn_test", "gnn_test"]


def test_a_part_of_a_group_is_not_given_twice_to_models_of_their_own(register: Register) -> None:
    started = groups(register, held=True)

    assert started == 1


@pytest.mark.parametrize("register_url", ["postgresql"], indirect=True)
def test_looking_for_a_free_part_unheld_would_give_it_twice(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: what the test above would find."""
    from herdbook.storage.sql.experiments import SqlExperiments

    monkeypatch.setattr(SqlExperiments, "hold_parts", lambda _: None)

    assert groups(register, held=False) > 1


def groups(register: Register, *, held: bool) -> int:
    """Start one experiment of each of several models at once, all wanting a whole group."""
    names = [f"gnn-{at}" for at in range(4)]
    for name in names:
        served(register, name)
    ready = threading.Barrier(len(names))

    def begin(model: str) -> bool:
        def late(work: Any) -> bool:
            ready.wait(20) if not register.database.is_sqlite else None
            experiments.start(work, plan=plan(model, model=model, exclusion="search"))
            if not held:
                ready.wait(20)
            return True

        try:
            return register.write(late)
        except Conflict:
            return False

    with ThreadPoolExecutor(len(names)) as pool:
        return sum(pool.map(begin, names))


def test_the_experiments_of_a_deleted_model_are_no_longer_live(register: Register) -> None:
    served(register)
    start(register)
    register.write(experiments.finalize, "gnn_test")
    register.write(deployments.remove, "gnn", "champion")
    register.write(models.delete, "gnn")

    assert asked(register, "live") == []
    assert register.read(serving.routing).experiments == ()
    assert fold(register, arm()).late == {"gnn_test": 1}


def test_experiments_are_counted_by_their_state(trying: Register) -> None:
    assert asked(trying, "counts") == {"running": 1}

    trying.write(experiments.finalize, "gnn_test")

    assert asked(trying, "counts") == {"ended": 1}
