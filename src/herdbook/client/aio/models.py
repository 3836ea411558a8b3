"""`herdbook.front.models`, awaited. Written by `scripts/make_async_front.py`."""

from collections.abc import AsyncIterator
from typing import Unpack

from herdbook.client.async_door import AsyncDoor, every
from herdbook.core import names
from herdbook.core.models import (
    Model,
    Status,
    Version,
)
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.summaries import Comparison, Summary
from herdbook.front.models import (
    Changes,
    Registration,
    _one_of,
    changes,
    draft,
)


class AsyncModels:
    """The registered models."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def register(
        self, model: str, number: str = "", **facts: Unpack[Registration]
    ) -> Version:
        """Register a version, and its model when that is new.

        Args:
            model: the model's name.
            number: such as `v1` or `1.2.0`; left out, the next in the model's own style.
            facts: what it is (`framework, base_model, samples, epochs, batch_size,
                learning_rate, duration_hours, cost_usd, hardware, files, parent, parent_kind,
                training_data, dependencies, metadata, git_commit, git_dirty`) and what is
                known about it (`status, bump, description, notes, tags, metrics,
                metrics_source, metrics_dataset, model_type, owner`). Inside a git repository
                its commit is added unless `git_commit` is given.

        Raises:
            AlreadyExists: the number is taken.
            Invalid: a fact breaks a rule; the message names it.
        """
        return await self._door.call(
            Version, "versions.register", model=model, draft=draft(number, **facts)
        )

    async def create(self, model: str, **about: Unpack[Changes]) -> Model:
        """Register a model that has no version yet."""
        return await self._door.call(Model, "models.create", model=model, about=changes(about))

    async def get(self, model: str) -> Model:
        """Give a model."""
        return await self._door.call(Model, "models.get", model=model)

    async def list(
        self,
        filter: str = "",
        *,
        model_type: str = "",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Model]:
        """Give the models a filter finds, by name."""
        return await self._door.page(
            Model,
            "models.page",
            filter=filter,
            model_type=model_type,
            page_size=page_size,
            page=page,
        )

    def each(self, filter: str = "") -> AsyncIterator[Model]:
        """Give every model a filter finds, a page in memory at a time."""
        return every(self.list, filter=filter, page_size=names.LIST_LIMIT)

    async def update(self, model: str, **about: Unpack[Changes]) -> Model:
        """Change what is known about a model."""
        return await self._door.call(Model, "models.update", model=model, about=changes(about))

    async def delete(self, model: str, *, reason: str = "") -> Model:
        """Delete a model: hidden, its name and numbers never given again."""
        return await self._door.call(Model, "models.delete", model=model, reason=reason)

    async def restore(self, model: str) -> Model:
        """Take a deleted model back."""
        return await self._door.call(Model, "models.restore", model=model)

    async def summary(self, model: str = "") -> Summary:
        """Sum up a model, or the whole register."""
        return await self._door.call(Summary, "summaries.summary", model=model)


class AsyncVersions:
    """The registered versions."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def get(self, ref: str) -> Version:
        """Give a version: `majora:v2`, `majora@champion`, `majora@latest` or `majora`."""
        return await self._door.call(Version, "versions.get", ref=ref)

    async def list(
        self,
        filter: str = "",
        *,
        model: str = "",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Version]:
        """Give the versions a filter finds, of one model or of all, newest first."""
        return await self._door.page(
            Version,
            "versions.page",
            filter=filter,
            model=model,
            page_size=page_size,
            page=page,
        )

    def each(self, filter: str = "", *, model: str = "") -> AsyncIterator[Version]:
        """Give every version a filter finds, a page in memory at a time."""
        return every(self.list, filter=filter, model=model, page_size=names.LIST_LIMIT)

    async def update(self, ref: str, **about: Unpack[Changes]) -> Version:
        """Change the description, notes and tags of a version; never what it is."""
        return await self._door.call(Version, "versions.annotate", ref=ref, about=changes(about))

    async def revise(self, ref: str, **facts: Unpack[Registration]) -> Version:
        """Complete the facts of a version in draft or training."""
        facts.setdefault("git_commit", "")
        return await self._door.call(Version, "versions.revise", ref=ref, draft=draft("", **facts))

    async def set_status(self, ref: str, status: str, *, reason: str = "") -> Version:
        """Move a version along its life; into production makes it the champion."""
        wanted = _one_of(Status, status, field="status")
        return await self._door.call(
            Version, "versions.set_status", ref=ref, status=wanted, reason=reason
        )

    async def delete(self, ref: str, *, reason: str = "") -> Version:
        """Delete a version: hidden, its number never given again."""
        return await self._door.call(Version, "versions.delete", ref=ref, reason=reason)

    async def restore(self, ref: str) -> Version:
        """Take a deleted version back."""
        return await self._door.call(Version, "versions.restore", ref=ref)

    async def compare(self, *refs: str, everything: bool = False) -> Comparison:
        """Set versions side by side; only what differs unless everything is asked for."""
        return await self._door.call(
            Comparison, "summaries.compare", refs=list(refs), everything=everything
        )

    async def best(self, metric: str, *, model: str = "", filter: str = "") -> Version:
        """Give the version that scores best at a metric whose better direction is known."""
        return await self._door.call(
            Version, "summaries.best", metric=metric, model=model, filter=filter
        )

    async def cheapest(self, *, model: str = "", filter: str = "") -> Version:
        """Give the version that cost least to train."""
        return await self._door.call(Version, "summaries.cheapest", model=model, filter=filter)
