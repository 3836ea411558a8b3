"""The awaited front: the same methods, written from the same source."""

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import herdbook
from herdbook import errors
from herdbook.client.routes import ROUTES
from herdbook.core.vectors import Place
from herdbook.services.verbs import LINES, LOADS, READS, STORES, WRITES
from tests.documents import MODEL, encoder, space
from tests.running import served


def test_it_is_up_to_date_with_the_front() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/make_async_front.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_every_verb_has_a_route_and_every_route_a_verb() -> None:
    assert set(ROUTES) == {*READS, *WRITES, *STORES, *LINES, *LOADS}


def test_it_has_every_noun_of_the_front() -> None:
    book = herdbook.connect()
    nouns = {name for name, value in vars(book).items() if not name.startswith("_")}
    book.close()

    made = herdbook.connect_async("http://127.0.0.1:1")

    assert nouns - {"resolve"} <= set(vars(made))
    assert inspect.iscoroutinefunction(made.resolve)
    asyncio.run(made.close())


def test_a_service_registers_promotes_and_resolves(tmp_path: Path) -> None:
    async def story(address: str) -> list[str]:
        async with herdbook.connect_async(address) as book:
            await book.models.register("gnn", git_commit="")
            await book.models.register("gnn", git_commit="")
            await book.deployments.promote("gnn:v1")
            before = await book.resolve("gnn@champion")
            await book.deployments.promote("gnn:v2")
            after = await book.get("gnn@champion")
            with pytest.raises(errors.NotFound):
                await book.get("gnn:v9")
            return [before.number, after.number, *[v.number async for v in book.versions.each()]]

    with served(f"sqlite:///{tmp_path}/herdbook.db") as address:
        seen = asyncio.run(story(address))

    assert seen == ["v1", "v2", "v2", "v1"]


def test_a_service_asks_for_documents(tmp_path: Path) -> None:
    async def story(address: str) -> list[object]:
        async with herdbook.connect_async(address) as book:
            await book.models.register(MODEL, "v1", git_commit="")
            await book.models.register(MODEL, "v2", git_commit="")
            await book.documents.register(
                "handbook",
                model=MODEL,
                store="lancedb:/vectors",
                place=Place(collection="handbook"),
                encoder=encoder(),
                space=space(),
            )
            begun = await book.documents.start("handbook", to_version="v2")
            await book.documents.bury(begun.id, ids=["b", "a"])
            buried = await book.documents.buried(begun.id, after=1)
            return [begun.id, await book.documents.bridging("handbook"), buried.items]

    with served(f"sqlite:///{tmp_path}/herdbook.db") as address:
        seen = asyncio.run(story(address))

    assert seen == ["migration-1", None, ("a",)]


def test_a_database_is_no_server() -> None:
    with pytest.raises(errors.Invalid, match="is no server"):
        herdbook.connect_async("sqlite:///herdbook.db")
