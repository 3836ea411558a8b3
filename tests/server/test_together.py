"""What arrives together is committed together, and each is as if it had come alone."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from herdbook.bootstrap import prepare
from herdbook.core.access import everything
from herdbook.core.ports import Work
from herdbook.errors import AlreadyExists, NotFound, Unavailable
from herdbook.server.transactions import Register
from herdbook.services import events, models, versions
from herdbook.services.versions import Draft
from herdbook.storage.sql.engine import Database
from tests import registers

ME = everything("curator")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path}/herdbook.db", owner_url="http://127.0.0.1:8477")
    prepare(opened)
    yield opened
    opened.close()


def registered(model: str, number: str = "") -> Callable[[Work], str]:
    return lambda work: versions.register(work, model, draft=Draft(number=number)).ref


def all_at_once(database: Database, *jobs: Callable[[Work], Any]) -> list[Any]:
    """Ask a server's register for all of them in one turn of its loop."""

    async def asked() -> list[Any]:
        register = Register(database)
        wanted = [register.write(ME, job) for job in jobs]
        return await asyncio.gather(*wanted, return_exceptions=True)

    return asyncio.run(asked())


def whole(database: Database, **counts: int) -> bool:
    """Whether these models are there with so many versions, and every change has its event."""
    register = registers.Register(database)
    found = {model.name: model.versions for model in register.read(models.page).items}
    return found == counts and register.read(events.verify).ok


def test_what_arrives_together_needs_one_commit(database: Database) -> None:
    before = database.commits

    found = all_at_once(database, *[registered("majora")] * 20)

    assert found == [f"majora:v{n}" for n in range(1, 21)]
    assert database.commits == before + 1
    assert whole(database, majora=20)


def test_one_that_is_refused_leaves_nothing_and_takes_none_with_it(database: Database) -> None:
    found = all_at_once(
        database,
        registered("majora", "v1"),
        registered("majora", "v1"),
        registered("gnn"),
        lambda work: versions.annotate(work, "nowhere:v1", about=models.About(notes="x")),
        registered("majora"),
    )

    assert [found[0], found[2], found[4]] == ["majora:v1", "gnn:v1", "majora:v2"]
    assert isinstance(found[1], AlreadyExists)
    assert isinstance(found[3], NotFound)
    told = registers.Register(database).read(events.page).items
    written = [event.action for event in told]
    assert written.count("version.registered") == 3
    assert written.count("model.registered") == 2


def test_what_a_refused_one_wrote_before_it_was_refused_is_undone(database: Database) -> None:
    def writes_then_fails(work: Work) -> None:
        versions.register(work, "oracle", draft=Draft())
        raise NotFound("a part of it is not there")

    found = all_at_once(database, registered("majora"), writes_then_fails, registered("majora"))

    assert isinstance(found[1], NotFound)
    assert whole(database, majora=2)


def test_an_error_nobody_foresaw_is_its_own_and_the_others_are_done(database: Database) -> None:
    def breaks(work: Work) -> None:
        versions.register(work, "oracle", draft=Draft())
        raise RuntimeError("not foreseen")

    found = all_at_once(database, registered("majora"), breaks, registered("gnn"))

    assert found[0::2] == ["majora:v1", "gnn:v1"]
    assert isinstance(found[1], RuntimeError)
    assert whole(database, gnn=1, majora=1)


def test_a_commit_that_fails_acknowledges_none_of_them(database: Database) -> None:
    all_at_once(database, registered("majora"))
    with database.writing() as connection:
        driver: Any = connection.connection.driver_connection
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count={pages + 1}")

    found = all_at_once(database, *[registered("majora")] * 40)

    refused = [one for one in found if isinstance(one, Exception)]
    assert refused
    assert whole(database, majora=1 + len(found) - len(refused))


def test_who_leaves_while_waiting_is_not_waited_for(database: Database) -> None:
    async def asked() -> list[Any]:
        register = Register(database)
        jobs = [asyncio.create_task(register.write(ME, registered("majora"))) for _ in range(3)]
        await asyncio.sleep(0)
        jobs[1].cancel()
        return await asyncio.gather(*jobs, return_exceptions=True)

    found = asyncio.run(asked())

    assert isinstance(found[1], asyncio.CancelledError)
    assert [one for one in found if isinstance(one, str)] == ["majora:v1", "majora:v3"]


def test_when_the_first_of_them_leaves_the_others_are_told(database: Database) -> None:
    async def asked() -> list[Any]:
        register = Register(database)
        jobs = [asyncio.create_task(register.write(ME, registered("majora"))) for _ in range(3)]
        await asyncio.sleep(0)
        jobs[1].cancel()
        jobs[0].cancel()
        first = await asyncio.gather(*jobs, return_exceptions=True)
        return [*first, await register.write(ME, registered("majora"))]

    found = asyncio.run(asked())

    assert isinstance(found[0], asyncio.CancelledError)
    assert isinstance(found[1], asyncio.CancelledError)
    assert isinstance(found[2], Unavailable)
    assert found[3] == "majora:v1"
