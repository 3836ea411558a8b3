"""`herdbook.front.drift`, awaited. Written by `scripts/make_async_front.py`."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from herdbook.client.async_door import AsyncDoor
from herdbook.core.drift import DriftPoint, Episode, Report, Settings, Watched
from herdbook.core.monitors import Answers
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.references import Reference
from herdbook.core.sampling import HOURS, Distribution
from herdbook.front.drift import Changes, frozen, settled


class AsyncDrift:
    """Drift: whether what versions predict still is what it was when all was well."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def watch(
        self,
        ref: str,
        references: Mapping[str, Reference | Iterable[Any]],
        *,
        replace: bool = False,
    ) -> Watched:
        """Freeze the references of a version, and watch it from now on.

        Args:
            ref: the version, such as `gnn:v2.1.0`.
            references: by stream: `prediction`, `confidence`, any feature. Values in the order in
                which they came, or what `herdbook.services.references` makes of them.
            replace: take the place of other references; what was counted by those is removed.

        Raises:
            Conflict: other references are frozen already.
            Invalid: a stream has fewer than 20 values.
        """
        return await self._door.call(
            Watched, "drift.watch", ref=ref, references=frozen(references), replace=replace
        )

    async def unwatch(self, ref: str) -> Watched:
        """Watch a version no more: its references and all that was counted are removed."""
        return await self._door.call(Watched, "drift.unwatch", ref=ref)

    async def references(self, ref: str) -> Watched:
        """Give what a version's production is compared with; NotFound when it is not watched."""
        return await self._door.call(Watched, "drift.references", ref=ref)

    async def report(self, ref: str, *, language: str = "en") -> Report:
        """Tell how a version's drift stands, as far as the register knows by now.

        Args:
            ref: the version.
            language: of the recommendation: `en`, `ru` or `de`.
        """
        return await self._door.call(Report, "drift.report", ref=ref, language=language)

    async def list(
        self,
        model: str = "",
        *,
        language: str = "en",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Report]:
        """Tell how all watched versions stand, in short, newest first."""
        return await self._door.page(
            Report,
            "drift.page",
            model=model,
            language=language,
            page_size=page_size,
            page=page,
        )

    async def history(self, ref: str, *, hours: int = HOURS) -> Page[DriftPoint]:
        """Give a version's drift by the hour, oldest first: at most the last 168."""
        return await self._door.page(DriftPoint, "drift.history", ref=ref, hours=hours)

    async def distribution(
        self, ref: str, stream: str = "prediction", *, hours: int = 24
    ) -> Distribution:
        """Give a stream's reference beside its last hours."""
        return await self._door.call(
            Distribution, "drift.distribution", ref=ref, stream=stream, hours=hours
        )

    async def episodes(
        self,
        model: str = "",
        number: str = "",
        *,
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Episode]:
        """Give episodes of drift, newest first."""
        return await self._door.page(
            Episode,
            "drift.episodes",
            model=model,
            number=number,
            page_size=page_size,
            page=page,
        )

    async def configure(
        self, model: str, settings: Settings | None = None, **changes: Unpack[Changes]
    ) -> Settings:
        """Say how drift of a model's versions is judged from now on.

        Args:
            model: its name.
            settings: all of them; the defaults when left out.
            changes: those that are others, by name.
        """
        return await self._door.call(
            Settings, "drift.configure", model=model, settings=settled(settings, changes)
        )

    async def settings(self, model: str) -> Settings:
        """Give how drift of a model's versions is judged."""
        return await self._door.call(Settings, "drift.settings", model=model)

    async def label(self, ref: str, labels: Mapping[str, str]) -> Answers:
        """Tell the true answers of requests that were sampled with their id.

        Args:
            ref: the version that answered them.
            labels: request to what would have been right, as text; at most 10,000 at once.
        """
        return await self._door.call(Answers, "drift.label", ref=ref, labels=dict(labels))

    async def claim(
        self, episode: str, *, by: str = "", force: bool = False, alarm: bool = False
    ) -> Episode:
        """Take the retraining of an episode: one of those who ask gets it.

        Args:
            episode: its id, such as `drift-17`.
            by: who takes it; left out, whoever is signed in.
            force: take it from whoever has it, who may have died.
            alarm: take what is to be done at the alarm instead, such as to call somebody.

        Raises:
            Conflict: no retraining is asked for, or another one has it.
        """
        return await self._door.call(
            Episode, "drift.claim", episode=episode, by=by, force=force, alarm=alarm
        )

    async def retrained(self, episode: str, candidate: str) -> Episode:
        """Say which version came of a retraining: a child of the one that drifted."""
        return await self._door.call(
            Episode, "drift.retrained", episode=episode, candidate=candidate
        )
