"""Sixteen processes promote, roll back and read: one champion at every instant, no move lost."""

from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import create_engine, text

import herdbook
from tests.force import champion
from tests.force.linearizability import UNKNOWN, Operation, linearizable

PROCESSES = 16
OPERATIONS = 20


def work_on(gate: Barrier, url: str, seed: int) -> tuple[list[Operation], list[int]]:
    """Promote, roll back and read; beside each, count the versions in production."""
    with herdbook.connect(url) as book:
        champions = []

        def ask(kind: str, given: Any) -> tuple[Any, ...]:
            result = champion.ask(book, kind, given)
            serving = book.versions.list("status = 'production'", model="gnn").items
            champions.append(len([v for v in serving if "champion" in v.aliases]))
            return result

        gate.wait()
        return champion.hammer(ask, seed=seed, count=OPERATIONS), champions


def naive(gate: Barrier, url: str, seed: int) -> list[Operation]:
    """Do the same as most scripts do: read the champion, then write the next one."""
    engine = create_engine(url, connect_args={"timeout": 30} if "sqlite" in url else {})

    def ask(kind: str, given: Any) -> tuple[Any, ...]:
        with engine.begin() as connection:
            found = connection.execute(text("SELECT epoch, stack FROM naive")).one()
        stack = tuple(found.stack.split())
        state = (found.epoch, stack)
        asked = Operation(0, 0, kind, given, UNKNOWN)
        result = champion._result(state, asked)
        for epoch, after in champion._after(state, asked):
            with engine.begin() as connection:
                connection.execute(
                    text("UPDATE naive SET epoch = :epoch, stack = :stack"),
                    {"epoch": epoch, "stack": " ".join(after)},
                )
        return result

    gate.wait()
    history = champion.hammer(ask, seed=seed, count=OPERATIONS)
    engine.dispose()
    return history


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/herdbook.db"
    return str(request.getfixturevalue("postgres_url"))


def test_the_history_is_linearizable_and_there_is_one_champion(url: str) -> None:
    with herdbook.connect(url) as book:
        for _ in champion.VERSIONS:
            book.models.register("gnn", git_commit="")
        book.deployments.promote("gnn:v1")
        start = (1, ("v1",))

        seen = champion.at_once(work_on, [(url, seed) for seed in range(PROCESSES)])

        history = [one for operations, _ in seen for one in operations]
        assert linearizable(history, initial=start, step=champion.step)
        assert {count for _, counts in seen for count in counts} == {1}
        moved = [one.result[1] for one in history if one.result[0] == "moved"]
        assert sorted(moved) == list(range(2, len(moved) + 2))
        assert book.events.verify().ok


def test_naive_code_is_found_out(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE naive (epoch INTEGER, stack TEXT)"))
        connection.execute(text("INSERT INTO naive VALUES (1, 'v1')"))
    engine.dispose()

    seen = champion.at_once(naive, [(url, seed) for seed in range(PROCESSES)])

    history = [one for operations in seen for one in operations]
    assert not linearizable(history, initial=(1, ("v1",)), step=champion.step)


def op(started: int, ended: int, kind: str, given: Any, *result: Any) -> Operation:
    return Operation(started, ended, kind, given, result)


def test_the_checker_knows_right_from_wrong() -> None:
    right = [
        op(0, 10, "promote", ("v1", None), "moved", 1, "v1"),
        op(5, 20, "promote", ("v2", 1), "moved", 2, "v2"),
        op(6, 8, "read", None, "read", 1, "v1"),
        op(21, 22, "rollback", None, "moved", 3, "v1"),
    ]
    stale_read = [*right, op(23, 24, "read", None, "read", 2, "v2")]
    lost = [*right, op(25, 26, "promote", ("v3", None), "moved", 3, "v3")]
    unknown = [
        *right,
        Operation(27, champion.END_OF_TIME, "promote", ("v3", None), UNKNOWN),
        op(30, 31, "read", None, "read", 4, "v3"),
    ]

    assert linearizable(right, initial=champion.EMPTY, step=champion.step)
    assert not linearizable(stale_read, initial=champion.EMPTY, step=champion.step)
    assert not linearizable(lost, initial=champion.EMPTY, step=champion.step)
    assert linearizable(unknown, initial=champion.EMPTY, step=champion.step)
