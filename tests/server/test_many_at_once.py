"""Many who register, and many who send slowly: nobody waits for ever, and readers not at all."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from herdbook.bootstrap import prepare
from herdbook.core.artifacts import digest_of
from herdbook.server.app import create_app
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database

HERE = "http://127.0.0.1:8477"
BYTES = {"Content-Type": "application/octet-stream"}
# More than there are threads of either kind.
MANY = 70
PATIENCE_SECONDS = 20


@pytest.fixture(params=["alone", "shared"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Starlette]:
    """An app over a file that it owns, or that others write too: then each write has a thread."""
    owner_url = HERE if request.param == "alone" else ""
    database = Database(f"sqlite:///{tmp_path}/herdbook.db", owner_url=owner_url)
    prepare(database)
    yield create_app(database, auth=False, settings=Settings(home=tmp_path))
    database.close()


def run(app: Starlette, story: Any) -> Any:
    """Run what many clients do in one event loop."""

    async def told() -> Any:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url=HERE, timeout=None) as client:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await story(client)

    return asyncio.run(told())


async def put(client: httpx2.AsyncClient, data: bytes) -> None:
    answer = await client.put(f"/blobs/{digest_of(data)}", content=data, headers=BYTES)
    assert answer.status_code == 201


async def registered(client: httpx2.AsyncClient, model: str, data: bytes) -> int:
    file = {"path": "a.bin", "size": len(data), "digest": digest_of(data), "role": "weights"}
    body = {"model_name": model, "artifacts": [file]}
    return int((await client.post("/models/register", json=body)).status_code)


def test_more_registrations_at_once_than_threads_all_end(app: Starlette) -> None:
    async def story(client: httpx2.AsyncClient) -> list[int]:
        every = [f"weights {number}".encode() for number in range(MANY)]
        for data in every:
            await put(client, data)
        asked: list[Coroutine[Any, Any, int]] = [
            registered(client, f"m{number}", data) for number, data in enumerate(every)
        ]
        return await asyncio.gather(*asked)

    assert run(app, story) == [201] * MANY


def test_who_sends_slowly_keeps_nobody_from_reading(app: Starlette) -> None:
    data = b"the weights of gnn"

    async def story(client: httpx2.AsyncClient) -> tuple[bytes, set[int]]:
        await put(client, data)
        assert await registered(client, "gnn", data) == 201
        enough = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"s"
            await enough.wait()
            yield b"low"

        address, headers = f"/blobs/{digest_of(b'slow')}", {**BYTES, "Content-Length": "4"}
        sending = [
            asyncio.create_task(client.put(address, content=slowly(), headers=headers))
            for _ in range(MANY)
        ]
        await asyncio.sleep(0.5)
        found = (await client.get(f"/blobs/{digest_of(data)}")).content
        assert (await client.get("/models/gnn/versions/v1/files")).status_code == 200
        enough.set()
        return found, {answer.status_code for answer in await asyncio.gather(*sending)}

    assert run(app, story) == (data, {201})
