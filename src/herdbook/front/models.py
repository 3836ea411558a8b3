"""`book.models` and `book.versions`."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from os import fspath
from typing import Any, TypedDict, Unpack

from herdbook.core import names
from herdbook.core.models import (
    FileLocation,
    FilePolicy,
    Model,
    ParentKind,
    Status,
    Training,
    Version,
)
from herdbook.core.numbers import Bump
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.summaries import Comparison, Summary
from herdbook.errors import Invalid, UnknownField
from herdbook.front.door import Door, every
from herdbook.front.git import commit_here
from herdbook.services.models import About
from herdbook.services.versions import Draft

Files = Mapping[str, str | Sequence[str]]


class Registration(TypedDict, total=False):
    """What can be said of a version; see `herdbook.services.versions.Draft`."""

    bump: str
    status: str
    description: str
    notes: str
    tags: Mapping[str, str] | Iterable[str]
    framework: str
    base_model: str
    samples: int
    epochs: float
    batch_size: int
    learning_rate: float
    duration_hours: float
    cost_usd: float
    hardware: str
    files: Files
    parent: str | Sequence[str]
    parent_kind: str
    training_data: Sequence[str]
    dependencies: Sequence[str]
    metadata: Mapping[str, object]
    git_commit: str
    git_dirty: bool
    metrics: Mapping[str, float]
    metrics_source: str
    metrics_dataset: str
    model_type: str
    owner: str


class Changes(TypedDict, total=False):
    """What can be changed about a model or version; see `herdbook.services.models.About`."""

    description: str
    notes: str
    type: str
    owner: str
    metadata: Mapping[str, object]
    tags: Mapping[str, str] | Iterable[str]
    untag: Sequence[str]
    file_policy: str
    trusted_keys: str | Sequence[str]


class Models:
    """The registered models."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def register(self, model: str, number: str = "", **facts: Unpack[Registration]) -> Version:
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
        return self._door.call(
            Version, "versions.register", model=model, draft=draft(number, **facts)
        )

    def create(self, model: str, **about: Unpack[Changes]) -> Model:
        """Register a model that has no version yet."""
        return self._door.call(Model, "models.create", model=model, about=changes(about))

    def get(self, model: str) -> Model:
        """Give a model."""
        return self._door.call(Model, "models.get", model=model)

    def list(
        self,
        filter: str = "",
        *,
        model_type: str = "",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Model]:
        """Give the models a filter finds, by name."""
        return self._door.page(
            Model,
            "models.page",
            filter=filter,
            model_type=model_type,
            page_size=page_size,
            page=page,
        )

    def each(self, filter: str = "") -> Iterator[Model]:
        """Give every model a filter finds, a page in memory at a time."""
        return every(self.list, filter=filter, page_size=names.LIST_LIMIT)

    def update(self, model: str, **about: Unpack[Changes]) -> Model:
        """Change what is known about a model."""
        return self._door.call(Model, "models.update", model=model, about=changes(about))

    def delete(self, model: str, *, reason: str = "") -> Model:
        """Delete a model: hidden, its name and numbers never given again."""
        return self._door.call(Model, "models.delete", model=model, reason=reason)

    def restore(self, model: str) -> Model:
        """Take a deleted model back."""
        return self._door.call(Model, "models.restore", model=model)

    def summary(self, model: str = "") -> Summary:
        """Sum up a model, or the whole register."""
        return self._door.call(Summary, "summaries.summary", model=model)


class Versions:
    """The registered versions."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def get(self, ref: str) -> Version:
        """Give a version: `majora:v2`, `majora@champion`, `majora@latest` or `majora`."""
        return self._door.call(Version, "versions.get", ref=ref)

    def list(
        self,
        filter: str = "",
        *,
        model: str = "",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Version]:
        """Give the versions a filter finds, of one model or of all, newest first."""
        return self._door.page(
            Version,
            "versions.page",
            filter=filter,
            model=model,
            page_size=page_size,
            page=page,
        )

    def each(self, filter: str = "", *, model: str = "") -> Iterator[Version]:
        """Give every version a filter finds, a page in memory at a time."""
        return every(self.list, filter=filter, model=model, page_size=names.LIST_LIMIT)

    def update(self, ref: str, **about: Unpack[Changes]) -> Version:
        """Change the description, notes and tags of a version; never what it is."""
        return self._door.call(Version, "versions.annotate", ref=ref, about=changes(about))

    def revise(self, ref: str, **facts: Unpack[Registration]) -> Version:
        """Complete the facts of a version in draft or training."""
        facts.setdefault("git_commit", "")
        return self._door.call(Version, "versions.revise", ref=ref, draft=draft("", **facts))

    def set_status(self, ref: str, status: str, *, reason: str = "") -> Version:
        """Move a version along its life; into production makes it the champion."""
        wanted = _one_of(Status, status, field="status")
        return self._door.call(
            Version, "versions.set_status", ref=ref, status=wanted, reason=reason
        )

    def delete(self, ref: str, *, reason: str = "") -> Version:
        """Delete a version: hidden, its number never given again."""
        return self._door.call(Version, "versions.delete", ref=ref, reason=reason)

    def restore(self, ref: str) -> Version:
        """Take a deleted version back."""
        return self._door.call(Version, "versions.restore", ref=ref)

    def compare(self, *refs: str, everything: bool = False) -> Comparison:
        """Set versions side by side; only what differs unless everything is asked for."""
        return self._door.call(
            Comparison, "summaries.compare", refs=list(refs), everything=everything
        )

    def best(self, metric: str, *, model: str = "", filter: str = "") -> Version:
        """Give the version that scores best at a metric whose better direction is known."""
        return self._door.call(Version, "summaries.best", metric=metric, model=model, filter=filter)

    def cheapest(self, *, model: str = "", filter: str = "") -> Version:
        """Give the version that cost least to train."""
        return self._door.call(Version, "summaries.cheapest", model=model, filter=filter)


def draft(number: str = "", **given: Any) -> Draft:
    """Give what is said of a version as one value.

    Raises:
        UnknownField: a name that is none of `Registration`'s.
    """
    _refuse_unknown(given, Registration)
    known = {k: v for k, v in given.items() if v is not None}
    training = {f.name: known.pop(f.name) for f in fields(Training) if f.name in known}
    if "git_commit" not in known:
        known["git_commit"], known["git_dirty"] = commit_here()
    if "bump" in known:
        known["bump"] = _one_of(Bump, known["bump"], field="bump")
    if "status" in known:
        known["status"] = _one_of(Status, known["status"], field="status")
    if "parent_kind" in known:
        known["parent_kind"] = _one_of(ParentKind, known["parent_kind"], field="parent_kind")
    if "parent" in known:
        known["parents"] = _several(known.pop("parent"))
    for name in ("training_data", "dependencies"):
        if name in known:
            known[name] = _several(known[name])
    return Draft(
        number=number,
        training=Training(**training),
        files=_files(known.pop("files", {})),
        tags=names.tags(known.pop("tags", {})),
        **known,
    )


def _files(given: Files) -> tuple[FileLocation, ...]:
    return tuple(
        FileLocation(role=role, location=fspath(location))
        for role, where in given.items()
        for location in _several(where)
    )


def _several(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, list | tuple | set) else (given,)


def _one_of(kind: Any, word: str, *, field: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        raise Invalid(f"{field} {word!r:.60} is none of {', '.join(kind)}", field=field) from None


def changes(given: Changes) -> About:
    """Give changes as one value.

    Raises:
        UnknownField: a name that is none of `Changes`'s.
    """
    _refuse_unknown(given, Changes)
    known: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    if "tags" in known:
        known["tags"] = names.tags(known["tags"])
    for name in known.keys() & {"untag", "trusted_keys"}:
        known[name] = _several(known[name])
    if "file_policy" in known:
        known["file_policy"] = _one_of(FilePolicy, known["file_policy"], field="file_policy")
    return About(**known)


def _refuse_unknown(given: Mapping[str, object], kind: Any) -> None:
    known = list(kind.__annotations__)
    for name in given.keys() - set(known):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UnknownField(f"{name} is not a field; {hint}", field=name)
