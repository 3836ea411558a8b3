"""Units get their versions from memory, as the register last said."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import herdbook
from herdbook import errors
from herdbook.core.assignment import Assignment, Reason
from herdbook.core.routing import Routing
from herdbook.front import assigning
from herdbook.front.assigning import Assigner
from herdbook.front.book import Herdbook
from tests.running import served

COUNT = itertools.count(1)
USERS = [f"user{at}" for at in range(2000)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("server")
    with served(f"sqlite:///{home}/herdbook.db", HERDBOOK_HOME=str(home)) as address:
        yield address


@pytest.fixture(params=["local", "server"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Herdbook]:
    """A register of this machine, and one behind a server, with models of the test's own."""
    local = request.param == "local"
    address = f"sqlite:///{tmp_path}/herdbook.db"
    with herdbook.connect(address if local else request.getfixturevalue("server")) as found:
        yield found


@pytest.fixture
def gnn(book: Herdbook) -> str:
    """A model with three versions, the first of them the champion."""
    name = f"gnn-{next(COUNT)}"
    for _ in range(3):
        book.models.register(name, git_commit="")
    book.deployments.promote(f"{name}:v1")
    return name


@pytest.fixture
def assigner(book: Herdbook) -> Iterator[Assigner]:
    """One that looks every 30 ms."""
    found = Assigner(book._door, book.resolve, interval=0.03)
    yield found
    found.close()


def until(told: Callable[[], bool], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not told() and time.monotonic() < deadline:
        time.sleep(0.01)
    return told()


def versions(assigner: Assigner, model: str) -> set[str]:
    return set(assigner.get_versions_for_requests(model, USERS[:200]))


def test_an_experiment_splits_units_and_gives_each_the_same_again(
    book: Herdbook, assigner: Assigner, gnn: str
) -> None:
    book.experiments.start(f"{gnn}-test", gnn, "v2")

    found = [assigner.assign_variant(gnn, user_id=user) for user in USERS]
    again = Assigner(book._door, book.resolve)

    treated = sum(each.variant == "treatment" for each in found)
    assert 850 < treated < 1150
    assert {(each.variant, each.version) for each in found} == {
        ("control", "v1"),
        ("treatment", "v2"),
    }
    assert [again.assign_variant(gnn, user) for user in USERS] == found
    assert [again.get_version_for_request(gnn, user) for user in USERS] == [
        each.version for each in found
    ]
    assert again.assign_many(gnn, USERS) == found
    again.close()


def test_an_array_of_units_gives_an_array(book: Herdbook, assigner: Assigner, gnn: str) -> None:
    book.experiments.start(f"{gnn}-test", gnn, "v2")

    found = assigner.get_versions_for_requests(gnn, np.arange(1000))

    assert found.dtype.kind == "U"
    assert set(found) == {"v1", "v2"}
    assert found[7] == assigner.get_version_for_request(gnn, "7")
    assert isinstance(assigner.assign_many(gnn, np.array(USERS))[0], Assignment)


def test_a_start_a_pause_a_widening_and_an_end_are_seen(
    book: Herdbook, assigner: Assigner, gnn: str
) -> None:
    assert versions(assigner, gnn) == {"v1"}
    name = f"{gnn}-test"

    book.experiments.start(name, gnn, "v2", ramp=[10, 50])
    assert until(lambda: versions(assigner, gnn) == {"v1", "v2"})
    narrow = assigner.assign_many(gnn, USERS)
    book.experiments.widen(name)
    assert until(lambda: assigner.assign_variant(gnn, "user1").phase == 2)
    wide = assigner.assign_many(gnn, USERS)
    book.experiments.pause(name)
    assert until(lambda: assigner.assign_variant(gnn, "user1").reason is Reason.PAUSED)
    paused = versions(assigner, gnn)
    book.experiments.finalize(name, "promote")
    assert until(lambda: versions(assigner, gnn) == {"v2"})

    part = [(old, new) for old, new in zip(narrow, wide, strict=True) if old.experiment]
    assert 300 < len(part) < 500
    assert all(old.version == new.version for old, new in part)
    assert all(each.experiment for each in wide)
    assert paused == {"v1"}
    assert assigner.assign_variant(gnn, "user1").experiment == ""


def test_a_model_without_an_experiment_has_its_champion_for_everyone(
    book: Herdbook, assigner: Assigner, gnn: str
) -> None:
    first = assigner.assign_variant(gnn, "user1")
    book.deployments.promote(f"{gnn}:v3")
    book.resolve.refresh()

    assert first == Assignment(model=gnn, version="v1")
    assert assigner.assign_variant(gnn, "user1") is assigner.assign_variant(gnn, 2)
    assert assigner.get_version_for_request(gnn, "user1") == "v3"
    assert first.counted == ""


def test_a_model_with_neither_is_not_found(book: Herdbook, assigner: Assigner, gnn: str) -> None:
    book.models.register(f"{gnn}-bare", git_commit="")

    with pytest.raises(errors.NotFound, match="champion"):
        assigner.assign_variant(f"{gnn}-bare", "user1")
    with pytest.raises(errors.NotFound, match="no model"):
        assigner.assign_variant("oracle", "user1")


def test_targets_are_told_by_attributes(book: Herdbook, assigner: Assigner, gnn: str) -> None:
    book.experiments.start(f"{gnn}-test", gnn, "v2", targeting={"country": ["de"]})

    inside = assigner.assign_variant(gnn, "user1", attributes={"country": "de"})
    outside = assigner.assign_variant(gnn, "user1")

    assert inside.experiment == f"{gnn}-test"
    assert (outside.reason, outside.version) == (Reason.TARGETING, "v1")
    both = assigner.assign_many(gnn, ["user1"] * 2, attributes=[{"country": "de"}, {}])
    assert both == [inside, outside]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "not NoneType"),
        ({"unit": ""}, "a unit is empty"),
        ({"user_id": 1.5}, "not float"),
        ({"unit": "user1", "user_id": "user1"}, "give one of them"),
    ],
)
def test_what_is_no_unit_is_invalid(
    assigner: Assigner, gnn: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(errors.Invalid, match=said) as refused:
        assigner.assign_variant(gnn, **given)

    assert refused.value.field == "unit"


class FailingDoor:
    """The door of a register that can be cut off, and that counts looks."""

    address = "http://gone"

    def __init__(self, book: Herdbook) -> None:
        self.book, self.gone, self.looks = book, False, 0
        self.answers: list[Routing] = []

    def call(self, kind: Any, verb: str, /, **arguments: Any) -> Any:
        self.looks += 1
        if self.gone:
            raise errors.Unreachable("no server answers")
        self.answers.append(self.book._door.call(kind, verb, **arguments))
        return self.answers[-1]


def test_what_is_held_stays_while_the_register_is_gone_and_a_later_look_mends_it(
    book: Herdbook, gnn: str
) -> None:
    book.experiments.start(f"{gnn}-test", gnn, "v2")
    door = FailingDoor(book)
    assigner = Assigner(door, book.resolve, interval=0.02)  # type: ignore[arg-type]
    before = assigner.assign_many(gnn, USERS)

    door.gone = True
    looks = door.looks
    assert until(lambda: door.looks > looks + 3)
    during = assigner.assign_many(gnn, USERS)
    aged = assigner.staleness
    book.experiments.finalize(f"{gnn}-test")
    door.gone = False

    assert during == before
    assert aged > 0.04
    assert until(lambda: versions(assigner, gnn) == {"v1"})
    assigner.close()


def test_nothing_is_given_before_the_first_look_succeeds(book: Herdbook, gnn: str) -> None:
    door = FailingDoor(book)
    door.gone = True
    assigner = Assigner(door, book.resolve)  # type: ignore[arg-type]

    with pytest.raises(errors.Unreachable):
        assigner.assign_variant(gnn, "user1")
    assert assigner.staleness == 0.0
    door.gone = False

    assert assigner.get_version_for_request(gnn, "user1") == "v1"
    assigner.close()


def test_a_look_that_finds_nothing_new_keeps_the_very_same_assignments(
    book: Herdbook, gnn: str
) -> None:
    book.experiments.start(f"{gnn}-test", gnn, "v2")
    door = FailingDoor(book)
    assigner = Assigner(door, book.resolve, interval=60)  # type: ignore[arg-type]
    before = assigner.assign_variant(gnn, "user1")

    assigner.refresh()

    assert door.answers[1].experiments == ()
    assert assigner.assign_variant(gnn, "user1") is before
    assigner.close()


def test_an_assigner_that_nobody_holds_looks_no_more(book: Herdbook, gnn: str) -> None:
    door = FailingDoor(book)
    assigner = Assigner(door, book.resolve, interval=0.02)  # type: ignore[arg-type]
    assigner.assign_variant(gnn, "user1")
    assert until(lambda: door.looks > 2)

    del assigner
    time.sleep(0.1)
    looks = door.looks
    time.sleep(0.1)

    assert door.looks == looks


def in_child(check: Callable[[], bool]) -> int:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("book", ["local"], indirect=True)
def test_a_forked_child_gives_the_same_and_looks_for_itself(book: Herdbook, gnn: str) -> None:
    book.experiments.start(f"{gnn}-test", gnn, "v2")
    assigner = Assigner(book._door, book.resolve, interval=0.05)
    before = assigner.assign_many(gnn, USERS)

    def follows() -> bool:
        same = assigner.assign_many(gnn, USERS) == before
        book.experiments.finalize(f"{gnn}-test", "promote")
        return same and until(lambda: versions(assigner, gnn) == {"v2"})

    assert in_child(follows) == 0
    assert until(lambda: versions(assigner, gnn) == {"v2"})
    assigner.close()


@pytest.mark.parametrize("book", ["local"], indirect=True)
def test_a_child_that_is_not_told_of_the_fork_fails_the_same_test(book: Herdbook, gnn: str) -> None:
    book.experiments.start(f"{gnn}-test", gnn, "v2")
    assigner = Assigner(book._door, book.resolve, interval=0.05)
    assigner.assign_variant(gnn, "user1")
    assigning._ALL.discard(assigner)

    def follows() -> bool:
        book.experiments.finalize(f"{gnn}-test", "promote")
        return until(lambda: versions(assigner, gnn) == {"v2"}, seconds=0.5)

    assert in_child(follows) == 1
    assigner.close()


@pytest.mark.parametrize("book", ["local"], indirect=True)
def test_a_child_that_waited_before_it_first_assigns_looks_first(book: Herdbook, gnn: str) -> None:
    book.experiments.start(f"{gnn}-test", gnn, "v2")
    assigner = Assigner(book._door, book.resolve, interval=0.05)
    assigner.assign_variant(gnn, "user1")

    def waits() -> bool:
        book.experiments.pause(f"{gnn}-test")
        time.sleep(0.1)
        return assigner.assign_variant(gnn, "user1").reason is Reason.PAUSED

    assert in_child(waits) == 0
    assigner.close()


def test_many_threads_that_assign_while_it_changes_see_one_snapshot_or_the_next(
    book: Herdbook, assigner: Assigner, gnn: str
) -> None:
    name = f"{gnn}-test"
    book.experiments.start(name, gnn, ["v2", "v3"], ramp=[1, 30, 60])
    seen: set[tuple[int, str, str]] = set()
    wrong: list[Exception] = []
    stop = threading.Event()

    def ask() -> None:
        try:
            while not stop.is_set():
                found = assigner.assign_many(gnn, USERS[:100])
                assert len({each.phase for each in found if each.phase}) <= 1
                seen.update((each.phase, each.variant, each.version) for each in found)
        except Exception as error:  # noqa: BLE001 - told to the test
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for phase in (2, 3):
        book.experiments.widen(name)
        assert until(lambda phase=phase: any(each[0] == phase for each in seen))  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert {each[1:] for each in seen} <= {
        ("champion", "v1"),
        ("control", "v1"),
        ("treatment-1", "v2"),
        ("treatment-2", "v3"),
    }
