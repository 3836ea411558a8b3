"""Versions in the database."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from herdbook.core import wire
from herdbook.core.access import Actor, missing_model
from herdbook.core.filters import Query
from herdbook.core.models import UNSEALED, Version
from herdbook.core.numbers import Number
from herdbook.core.pages import Page
from herdbook.core.refs import LATEST, VersionRef
from herdbook.core.summaries import Totals
from herdbook.errors import AlreadyExists, Gone, Immutable, NotFound
from herdbook.storage.sql import pages, search
from herdbook.storage.sql.models import SqlModels
from herdbook.storage.sql.pages import Question
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.rows import decoded, micros, row_text, tombstone
from herdbook.storage.sql.tables import (
    aliases,
    datasets,
    models,
    parents,
    version_datasets,
    version_tags,
    versions,
)


@dataclass(frozen=True, slots=True)
class Met:
    """What a work remembers of a version's row."""

    id: int
    digest: str
    tags: Mapping[str, str]
    sealed: bool


class SqlVersions:
    """The registered versions."""

    def __init__(self, connection: Connection, by: Actor, models: SqlModels) -> None:
        self._connection = connection
        self._by = by
        self._models = models
        # Rows this work has met, by model and ordinal; the lock of the model keeps them true.
        self._met: dict[tuple[str, int], Met] = {}
        self._ids: dict[tuple[str, str], int] = {}
        # The keys of the highest numbers this work has asked for, by model.
        self._highest: dict[str, str] = {}

    def get(self, ref: VersionRef) -> Version:
        """Give a version by number (by value), alias or `latest`; NotFound or Gone."""
        row = self._row(ref)
        found = decoded(row_text(row))
        self._met[found.model, found.ordinal] = Met(
            row.id, found.digest, found.tags, sealed=found.sealed
        )
        self._ids[found.model, found.number] = row.id
        return found

    def text(self, ref: VersionRef) -> str:
        """Give the same as JSON text."""
        return row_text(self._row(ref))

    def _row(self, ref: VersionRef) -> Any:
        row = self._looked_up(ref)
        if row is None or row.tombstone is not None or not row.visible:
            raise self._missing(ref, row)
        return row

    def _looked_up(self, ref: VersionRef) -> Any:
        asked, given = _lookup(ref)
        return asked.row(self._connection, given)

    def _missing(self, ref: VersionRef, row: Any) -> NotFound:
        asked = select(models.c.tombstone).where(models.c.name == ref.model)
        model = self._connection.execute(asked).one_or_none()
        if model is None:
            return missing_model(ref.model)
        if model.tombstone is not None:
            return Gone(f"the model {ref.model} was deleted {tombstone(model.tombstone)}")
        if row is not None:
            told = f"{ref} was deleted {tombstone(row.tombstone)}"
            return Gone(f"{told}; `herdbook versions restore {ref}` takes it back", field="ref")
        if ref.number:
            hint = f"`herdbook versions {ref.model}` shows those there are"
            return NotFound(f"{ref.model} has no version {ref.number}; {hint}", field="ref")
        hint = f"point it with `herdbook deploy {ref.model} VERSION --alias {ref.alias}`"
        return NotFound(f"{ref} points nowhere; {hint}", field="ref")

    def id(self, ref: VersionRef) -> int:
        """Give the row's id of a version that is or was there."""
        key = ref.model, ref.number
        if key not in self._ids:
            self._ids[key] = int(self._looked_up(ref).id)
        return self._ids[key]

    def id_of(self, version: Version) -> int:
        """Give the row's id of a version, from memory when this work has met it."""
        return self._remembered(version).id

    def _remembered(self, version: Version) -> Met:
        key = version.model, version.ordinal
        if key not in self._met:
            found = self._looked_up(VersionRef(version.model, version.number))
            kept = decoded(row_text(found))
            self._met[key] = Met(found.id, kept.digest, kept.tags, sealed=kept.sealed)
        return self._met[key]

    def take_ordinal(self, model: str) -> int:
        """Take the next ordinal of a model, never given before, by a locked counter."""
        return int(_TAKE.row(self._connection, {"wanted": model}).next_ordinal) - 1

    def highest(self, model: str) -> Number | None:
        """The highest number ever given in a model, deleted ones included."""
        own = {"own": self._models.id(model)}
        found = _HIGHEST.row(self._connection, own)
        number = Number(found.number) if found else None
        self._highest[model] = number.key if number else ""
        return number

    def latest(self, model: str) -> str:
        """The number registered last and not deleted, or ""."""
        row = _NEWEST.row(self._connection, {"model": model})
        return str(json.loads(row.about)["number"]) if row else ""

    def add(self, version: Version) -> None:
        """Add a version, its parents and data sets; AlreadyExists when the number is taken."""
        number, own = Number(version.number), self._models.id(version.model)
        # What is above the highest cannot be taken.
        if number.key <= self._highest.pop(version.model, number.key):
            taken = _TAKEN.row(self._connection, {"own": own, "key": number.key})
            if taken is not None:
                raise _already(version.model, taken)
        row = {
            **columns(version),
            **fact_columns(version),
            "model_id": own,
            "ordinal": version.ordinal,
            "number": version.number,
            "number_key": number.key,
        }
        added = _adding(tuple(row)).row(self._connection, row)
        key = int(added.id)
        met = Met(key, version.digest, version.tags, sealed=version.sealed)
        self._met[version.model, version.ordinal] = met
        self._relate(key, version)

    def _relate(self, key: int, version: Version) -> None:
        steps = [
            {
                "child_id": key,
                "parent_id": self.id(VersionRef(parent.model, parent.number)),
                "position": position,
                "kind": str(parent.kind),
            }
            for position, parent in enumerate(version.facts.parents)
        ]
        # In one order, so that two works that name new data sets do not wait for each other.
        used = [self._dataset(name) for name in sorted(version.facts.datasets)]
        for statement, rows in (
            (_STEP, steps),
            (_USE, [{"version_id": key, "dataset_id": one} for one in used]),
            (_TAG, [{"version_id": key, "key": k, "value": v} for k, v in version.tags.items()]),
        ):
            if rows:
                statement.each(self._connection, rows)

    def _dataset(self, name: str) -> int:
        asked = select(datasets.c.id).where(datasets.c.name == name)
        found = self._connection.execute(asked).scalar_one_or_none()
        if found is None:
            try:
                with self._connection.begin_nested():
                    self._connection.execute(insert(datasets).values(name=name))
            except IntegrityError:  # another work named it meanwhile
                pass
            found = self._connection.execute(asked).scalar_one()
        return int(found)

    def save(self, version: Version) -> None:
        """Write what is known about a version; its facts only while it is not sealed."""
        met, changes = self._remembered(version), columns(version)
        if met.digest != version.digest:
            if met.sealed:
                raise Immutable(f"{version.ref} is sealed; register a new version", field="facts")
            changes |= fact_columns(version)
        elif version.sealed and not met.sealed:
            changes["sealed"] = 1
        _saving(tuple(changes)).count(self._connection, {**changes, "own": met.id})
        if met.digest != version.digest or met.tags != version.tags:
            for table, key in _RELATED:
                self._connection.execute(delete(table).where(key == met.id))
            self._relate(met.id, version)
        self._met[version.model, version.ordinal] = Met(
            met.id, version.digest, version.tags, sealed=met.sealed or version.sealed
        )

    def page(
        self, query: Query, *, model: str | None, size: int, page: str | None
    ) -> Page[Version]:
        """Give the versions a query finds, newest first unless it orders them."""
        found = self.page_texts(query, model=model, size=size, page=page)
        return Page(tuple(decoded(text) for text in found.items), found.next)

    def page_texts(
        self, query: Query, *, model: str | None, size: int, page: str | None
    ) -> Page[str]:
        """Give the same as JSON texts."""
        grants, given = self._by.narrowed(), {}
        question = Question(_PAGE, search.VERSIONS, query, grants)
        if model is not None:
            question = Question(_PAGE_OF_MODEL, search.VERSIONS_OF_MODEL, query, grants)
            given = {"own": self._models.id(model)}
        return pages.page(self._connection, question, given, size=size, page=page, text=_page_text)

    def remove(self, version: Version, *, by: str, reason: str) -> None:
        """Hide a version behind a tombstone; its number and ordinal stay taken."""
        gone = wire.dumps({"at": version.updated_at, "by": by, "reason": reason})
        self._hide(version, gone)

    def _hide(self, version: Version, gone: str | None) -> None:
        self._connection.execute(
            update(versions)
            .where(
                versions.c.model_id == self._models.id(version.model),
                versions.c.ordinal == version.ordinal,
            )
            .values(tombstone=gone, visible=0 if gone else 1)
        )

    def restore(self, ref: VersionRef) -> Version:
        """Take a tombstone away; NotFound when there is none."""
        row = self._looked_up(ref) if ref.number else None
        if row is None or row.tombstone is None:
            raise NotFound(f"no deleted version is called {ref}", field="ref")
        version = decoded(row_text(row))
        self._hide(version, None)
        return version

    def totals(self, *, model: str | None) -> Totals:
        """Count the versions of a model or of all, and add up what they cost."""
        asked = select(
            versions.c.status,
            func.count(),
            func.sum(versions.c.cost_usd),
            func.sum(versions.c.duration_hours),
        ).where(versions.c.visible == 1)
        counted = select(func.count()).select_from(models).where(models.c.tombstone.is_(None))
        if model is not None:
            asked = asked.where(versions.c.model_id == self._models.id(model))
            counted = counted.where(models.c.name == model)
        elif not self._by.sees_all():
            seen = search.visible(self._by.grants)
            asked = asked.join(models, models.c.id == versions.c.model_id).where(seen)
            counted = counted.where(seen)
        rows = self._connection.execute(asked.group_by(versions.c.status)).all()
        return Totals(
            models=int(self._connection.execute(counted).scalar_one()),
            versions=sum(row[1] for row in rows),
            statuses={row[0]: row[1] for row in sorted(rows)},
            cost_usd=round(sum(row[2] or 0.0 for row in rows), 9),
            duration_hours=round(sum(row[3] or 0.0 for row in rows), 9),
        )


def _page_text(row: Sequence[Any]) -> str:
    return f'{row[0][:-1]},"facts":{row[1]}}}'


_RELATED = (
    (parents, parents.c.child_id),
    (version_datasets, version_datasets.c.version_id),
    (version_tags, version_tags.c.version_id),
)


@cache
def _adding(names: tuple[str, ...]) -> Prepared:
    return Prepared(insert(versions).returning(versions.c.id), columns=names)


@cache
def _saving(names: tuple[str, ...]) -> Prepared:
    return Prepared(_SAVE, columns=names)


def _already(model: str, taken: Any) -> AlreadyExists:
    how = (
        f"was deleted {tombstone(taken.tombstone)}; a number is never given again"
        if taken.tombstone
        else "is registered; leave the number out to get the next one"
    )
    return AlreadyExists(f"{model} {taken.number} {how}", field="number")


# Statements are built once, at import: building one costs more than running it.
_OWN = versions.c.model_id == bindparam("own", required=False)
_TAKE = Prepared(
    update(models)
    .where(models.c.name == bindparam("wanted"))
    .values(next_ordinal=models.c.next_ordinal + 1)
    .returning(models.c.next_ordinal)
)
_HIGHEST = Prepared(
    select(versions.c.number).where(_OWN).order_by(versions.c.number_key.desc()).limit(1)
)
_TAKEN = Prepared(
    select(versions.c.number, versions.c.tombstone).where(
        _OWN, versions.c.number_key == bindparam("key")
    )
)
_SAVE = update(versions).where(versions.c.id == bindparam("own"))
_STEP = Prepared(insert(parents), columns=("child_id", "parent_id", "position", "kind"))
_USE = Prepared(insert(version_datasets), columns=("version_id", "dataset_id"))
_TAG = Prepared(insert(version_tags), columns=("version_id", "key", "value"))


_FOUND = (
    versions.c.id,
    versions.c.about,
    versions.c.facts,
    versions.c.tombstone,
    versions.c.visible,
)


_PAGE = select(versions.c.about, versions.c.facts).where(versions.c.visible == 1)
_PAGE_OF_MODEL = _PAGE.where(_OWN)
_IN_MODEL = (
    select(*_FOUND)
    .join(models, models.c.id == versions.c.model_id)
    .where(models.c.name == bindparam("model"))
)
_BY_NUMBER = Prepared(_IN_MODEL.where(versions.c.number_key == bindparam("key")))
# The model is named twice, so that the one row is found by the key of aliases.
_BY_ALIAS = Prepared(
    _IN_MODEL.join(
        aliases, and_(aliases.c.version_id == versions.c.id, aliases.c.model_id == models.c.id)
    ).where(aliases.c.name == bindparam("alias"))
)
_NEWEST = Prepared(
    _IN_MODEL.where(versions.c.visible == 1).order_by(versions.c.ordinal.desc()).limit(1)
)


def _lookup(ref: VersionRef) -> tuple[Prepared, dict[str, str]]:
    if ref.number:
        return _BY_NUMBER, {"model": ref.model, "key": Number(ref.number).key}
    if ref.alias == LATEST:
        return _NEWEST, {"model": ref.model}
    return _BY_ALIAS, {"model": ref.model, "alias": ref.alias}


_ABOUT = tuple(name for name in Version.__dataclass_fields__ if name != "facts")
_LATER = {name for name, f in Version.__dataclass_fields__.items() if f.metadata == wire.LATER}


def columns(version: Version) -> dict[str, Any]:
    """Give the columns that repeat what is known about a version."""
    about = {
        name: value for name in _ABOUT if (value := getattr(version, name)) or name not in _LATER
    }
    return {
        "status": str(version.status),
        "about": wire.dumps(about),
        "description": version.description,
        "created_by": version.created_by,
        "created_at": micros(version.created_at),
        "updated_at": micros(version.updated_at),
    }


def fact_columns(version: Version) -> dict[str, Any]:
    """Give the columns that repeat what a version is."""
    training = version.facts.training
    return {
        "facts": wire.dumps(version.facts),
        "digest": version.digest,
        "sealed": 0 if version.status in UNSEALED else 1,
        "git_commit": version.facts.git_commit or None,
        "framework": training.framework or None,
        "base_model": training.base_model or None,
        "hardware": training.hardware or None,
        "samples": training.samples,
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "learning_rate": training.learning_rate,
        "duration_hours": training.duration_hours,
        "cost_usd": training.cost_usd,
    }
