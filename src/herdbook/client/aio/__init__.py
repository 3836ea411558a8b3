"""`AsyncHerdbook`: the front of a server, for services that await."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio.to_thread

from herdbook.client.aio.access import AsyncTokens
from herdbook.client.aio.artifacts import AsyncArtifacts
from herdbook.client.aio.deployments import AsyncDeployments
from herdbook.client.aio.documents import AsyncDocuments
from herdbook.client.aio.drift import AsyncDrift
from herdbook.client.aio.evaluations import AsyncEvaluations
from herdbook.client.aio.events import AsyncEvents
from herdbook.client.aio.experiments import AsyncExperiments
from herdbook.client.aio.lineage import AsyncLineage
from herdbook.client.aio.models import AsyncModels, AsyncVersions
from herdbook.client.aio.webhooks import AsyncWebhooks
from herdbook.client.async_door import AsyncDoor
from herdbook.client.remote import RemoteDoor
from herdbook.core.models import Version
from herdbook.errors import Invalid
from herdbook.front.artifacts import Artifacts
from herdbook.front.detecting import DetectedDrift
from herdbook.front.resolver import Resolver
from herdbook.front.serving import ServedExperiments
from herdbook.settings import Settings
from herdbook.storage.cache import Cache

if TYPE_CHECKING:
    from herdbook.core.assignment import Attributes
    from herdbook.core.units import Unit
    from herdbook.front.calls import Call


class AsyncHerdbook:
    """A register behind a server, awaited; its attributes are those of `Herdbook`."""

    def __init__(
        self,
        door: AsyncDoor,
        *,
        bytes_door: RemoteDoor,
        cache: Cache,
        journal: Path | None = None,
        offline: bool = False,
        refresh_seconds: float = 1.0,
    ) -> None:
        self._door = door
        self._bytes_door = bytes_door
        self._bytes = Artifacts(bytes_door, cache, offline=offline)
        self._refresh = refresh_seconds
        self._held: dict[str, tuple[float, str, Version]] = {}
        self.artifacts = AsyncArtifacts(lambda: self._bytes)
        self.models = AsyncModels(door)
        self.versions = AsyncVersions(door)
        self.lineage = AsyncLineage(door)
        self.evaluations = AsyncEvaluations(door)
        self.deployments = AsyncDeployments(door)
        self.documents = AsyncDocuments(door)
        self.drift = AsyncDrift(door)
        self.experiments = AsyncExperiments(door)
        self.events = AsyncEvents(door)
        self.tokens = AsyncTokens(door)
        self.webhooks = AsyncWebhooks(door)
        resolver = Resolver(bytes_door, interval=refresh_seconds)
        # Assigning and recording are done in memory, and need no awaiting.
        self.serving = ServedExperiments(
            bytes_door, resolver, journal=journal, interval=refresh_seconds
        )
        # So is recording samples; what asks the server, as a detector's report does, blocks.
        self.detecting = DetectedDrift(bytes_door, lambda: self.serving.recorder)

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._door.address

    async def get(self, ref: str) -> Version:
        """Give a version, asked of the server now."""
        return await self.versions.get(ref)

    async def resolve(self, ref: str) -> Version:
        """Give a version from memory, asked again when that is older than `refresh_seconds`."""
        at, mark, version = self._held.get(ref, (0.0, "", None))
        now = time.monotonic()
        if version is not None and now - at < self._refresh:
            return version
        found = await self._door.fresh(ref, mark)
        if found is not None:
            mark, version = found
        assert version is not None  # noqa: S101 - without a mark a server answers with a version
        self._held[ref] = (now, mark, version)
        return version

    @asynccontextmanager
    async def serve(
        self,
        model: str,
        *,
        unit: "Unit | None" = None,
        attributes: "Attributes | None" = None,
    ) -> "AsyncIterator[Call]":
        """Begin a call of a version, see `ServedExperiments.serve`; nothing blocks the loop."""
        if not self.serving.holds(model):
            await anyio.to_thread.run_sync(self.serving.prepare, model)
        with self.serving.serve(model, unit=unit, attributes=attributes) as call:
            yield call

    async def close(self) -> None:
        """Send what was recorded, give up connections."""
        await anyio.to_thread.run_sync(self.serving.close)
        self._bytes_door.close()
        await self._door.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def connect_async(url: str | None = None, *, token: str | None = None) -> AsyncHerdbook:
    """Open a register behind a server, for `async with`.

    Args:
        url: `http://host:8477`; left out, what the settings say.
        token: for a server that asks for one.

    Raises:
        Invalid: the address is a database's; services that await talk to a server.
    """
    settings = Settings.load(url=url, token=token)
    if not settings.url.startswith(("http://", "https://")):
        raise Invalid(
            f"{settings.database_url.split('@')[-1]} is no server; start one with `herdbook server "
            "start` and give its http:// address, or use connect()",
            field="url",
        )
    how: dict[str, Any] = {"token": settings.token, "timeout_seconds": settings.timeout_seconds}
    return AsyncHerdbook(
        AsyncDoor(settings.url, **how),
        bytes_door=RemoteDoor(settings.url, offline=settings.offline, **how),
        cache=Cache(settings.cache, limit_bytes=settings.cache_bytes),
        journal=settings.home / "journal",
        offline=settings.offline,
        refresh_seconds=settings.refresh_seconds,
    )
