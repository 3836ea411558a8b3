"""`herdbook.front.evaluations`, awaited. Written by `scripts/make_async_front.py`."""

from collections.abc import Mapping, Sequence

from herdbook.client.async_door import AsyncDoor
from herdbook.core.evaluations import Metric, Observation, Operational
from herdbook.core.models import Version
from herdbook.core.pages import PAGE_DEFAULT, Page


class AsyncEvaluations:
    """How versions scored, and how they fare in service."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def score(
        self, ref: str, metrics: Mapping[str, float], *, source: str = "", dataset: str = ""
    ) -> Version:
        """Record scores of a version; each becomes the newest of its name."""
        return await self._door.call(
            Version,
            "evaluations.score",
            ref=ref,
            metrics=dict(metrics),
            source=source,
            dataset=dataset,
        )

    async def history(
        self,
        ref: str,
        *,
        name: str = "",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Metric]:
        """Give every score of a version, newest first."""
        return await self._door.page(
            Metric,
            "evaluations.history",
            ref=ref,
            name=name,
            page_size=page_size,
            page=page,
        )

    async def observe(
        self,
        ref: str,
        *,
        inference_time_ms: float | None = None,
        confidence: float | None = None,
        error: bool = False,
    ) -> Operational:
        """Fold one served request into a version's operational averages."""
        one = Observation(inference_time_ms=inference_time_ms, confidence=confidence, error=error)
        return await self.observe_many(ref, [one])

    async def observe_many(self, ref: str, observations: Sequence[Observation]) -> Operational:
        """Fold up to 10,000 served requests in one transaction."""
        return await self._door.call(
            Operational, "evaluations.observe", ref=ref, observations=list(observations)
        )

    async def operational(self, ref: str) -> Operational:
        """Give a version's operational averages."""
        return await self._door.call(Operational, "evaluations.operational", ref=ref)
