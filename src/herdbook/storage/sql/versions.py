"""Versions in the database."""

import json
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update
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
from herdbook.storage.sql import search
from herdbook.storage.sql.rows import micros, tombstone
from herdbook.storage.sql.tables import (
    aliases,
    datasets,
    models,
    parents,
    version_datasets,
    version_tags,
    versions,
)


def decoded(text: str) -> Version:
    """Give a version from its JSON text."""
    return wire.value(Version, json.loads(text))


def _text(row: Any) -> str:
    # What is known about a version, with what it is put inside.
    return f'{row.about[:-1]},"facts":{row.facts}}}'


class SqlVersions:
    """The registered versions."""

    def __init__(self, connection: Connection, by: Actor) -> None:
        self._connection = connection
        self._by = by

    def get(self, ref: VersionRef) -> Version:
        """Give a version by number (by value), alias or `latest`; NotFound or Gone."""
        return decoded(self.text(ref))

    def text(self, ref: VersionRef) -> str:
        """Give the same as JSON text."""
        row = self._connection.execute(*_lookup(ref)).one_or_none()
        if row is None or row.tombstone is not None or not row.visible:
            raise self._missing(ref, row)
        return _text(row)

    def _missing(self, ref: VersionRef, row: Any) -> NotFound:
        asked = select(models.c.tombstone).where(models.c.name == ref.model)
        model = self._connection.execute(asked).one_or_none()
        if model is None:
            return missing_model(ref.model)
        if model.tombstone is not None:
            return Gone(f"the model {ref.model} was deleted {tombstone(model.tombstone)}")
        if row is not None:
            return Gone(f"{ref} was deleted {tombstone(row.tombstone)}", field="ref")
        if ref.number:
            hint = f"`herdbook versions {ref.model}` shows those there are"
            return NotFound(f"{ref.model} has no version {ref.number}; {hint}", field="ref")
        hint = f"point it with `herdbook deploy {ref.model} VERSION --alias {ref.alias}`"
        return NotFound(f"{ref} points nowhere; {hint}", field="ref")

    def id(self, ref: VersionRef) -> int:
        """Give the row's id of a version that is there."""
        return int(self._connection.execute(*_lookup(ref)).one().id)

    def take_ordinal(self, model: str) -> int:
        """Take the next ordinal of a model, never given before, by a locked counter."""
        taken = (
            update(models)
            .where(models.c.name == model)
            .values(next_ordinal=models.c.next_ordinal + 1)
            .returning(models.c.next_ordinal)
        )
        return int(self._connection.execute(taken).scalar_one()) - 1

    def highest(self, model: str) -> Number | None:
        """The highest number ever given in a model, deleted ones included."""
        asked = (
            select(versions.c.number)
            .where(versions.c.model_id == _model_id(model))
            .order_by(versions.c.number_key.desc())
            .limit(1)
        )
        found = self._connection.execute(asked).scalar_one_or_none()
        return Number(found) if found else None

    def latest(self, model: str) -> str:
        """The number registered last and not deleted, or ""."""
        asked = (
            select(versions.c.number)
            .where(versions.c.model_id == _model_id(model), versions.c.visible == 1)
            .order_by(versions.c.ordinal.desc())
            .limit(1)
        )
        return self._connection.execute(asked).scalar_one_or_none() or ""

    def add(self, version: Version) -> None:
        """Add a version, its parents and data sets; AlreadyExists when the number is taken."""
        number = Number(version.number)
        row = columns(version) | _facts(version)
        row |= {
            "ordinal": version.ordinal,
            "number": version.number,
            "number_key": number.key,
        }
        row["model_id"] = _model_id(version.model)
        try:
            with self._connection.begin_nested():
                added = self._connection.execute(insert(versions).values(**row))
        except IntegrityError:
            raise self._taken(version, number) from None
        key = added.inserted_primary_key
        self._relate(int(key[0]) if key else 0, version)

    def _taken(self, version: Version, number: Number) -> AlreadyExists:
        asked = select(versions.c.number, versions.c.tombstone).where(
            versions.c.model_id == _model_id(version.model),
            versions.c.number_key == number.key,
        )
        held, gone = self._connection.execute(asked).one()
        how = (
            f"was deleted {tombstone(gone)}; a number is never given again"
            if gone
            else ("is registered; leave the number out to get the next one")
        )
        return AlreadyExists(f"{version.model} {held} {how}", field="number")

    def _relate(self, key: int, version: Version) -> None:
        for position, parent in enumerate(version.facts.parents):
            self._connection.execute(
                insert(parents).values(
                    child_id=key,
                    parent_id=self.id(VersionRef(parent.model, parent.number)),
                    position=position,
                    kind=str(parent.kind),
                )
            )
        for name in version.facts.datasets:
            self._connection.execute(
                insert(version_datasets).values(version_id=key, dataset_id=self._dataset(name))
            )
        for tag, value in version.tags.items():
            self._connection.execute(
                insert(version_tags).values(version_id=key, key=tag, value=value)
            )

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
        asked = select(versions.c.id, versions.c.sealed, versions.c.digest, versions.c.about).where(
            versions.c.model_id == _model_id(version.model),
            versions.c.ordinal == version.ordinal,
        )
        row = self._connection.execute(asked).one()
        changes = columns(version)
        if row.digest != version.digest:
            if row.sealed:
                raise Immutable(f"{version.ref} is sealed; register a new version", field="facts")
            changes |= _facts(version)
        elif version.sealed and not row.sealed:
            changes["sealed"] = 1
        self._connection.execute(update(versions).where(versions.c.id == row.id).values(**changes))
        if row.digest != version.digest or json.loads(row.about)["tags"] != version.tags:
            for table, key in _RELATED:
                self._connection.execute(delete(table).where(key == row.id))
            self._relate(row.id, version)

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
        asked: Select[Any] = select(versions.c.about, versions.c.facts).where(
            versions.c.visible == 1
        )
        if model is not None:
            asked = asked.where(versions.c.model_id == _model_id(model))
        return search.page(
            self._connection,
            asked,
            query,
            searched=search.VERSIONS,
            by=self._by,
            size=size,
            page=page,
            within=model or "",
            text=_text,
        )

    def remove(self, version: Version, *, by: str, reason: str) -> None:
        """Hide a version behind a tombstone; its number and ordinal stay taken."""
        gone = wire.dumps({"at": version.updated_at, "by": by, "reason": reason})
        self._hide(version, gone)

    def _hide(self, version: Version, gone: str | None) -> None:
        self._connection.execute(
            update(versions)
            .where(
                versions.c.model_id == _model_id(version.model),
                versions.c.ordinal == version.ordinal,
            )
            .values(tombstone=gone, visible=0 if gone else 1)
        )

    def restore(self, ref: VersionRef) -> Version:
        """Take a tombstone away; NotFound when there is none."""
        row = self._connection.execute(*_lookup(ref)).one_or_none() if ref.number else None
        if row is None or row.tombstone is None:
            raise NotFound(f"no deleted version is called {ref}", field="ref")
        version = decoded(_text(row))
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
            asked = asked.where(versions.c.model_id == _model_id(model))
            counted = counted.where(models.c.name == model)
        elif not self._by.sees_all():
            seen = search.visible(self._by)
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


_RELATED = (
    (parents, parents.c.child_id),
    (version_datasets, version_datasets.c.version_id),
    (version_tags, version_tags.c.version_id),
)


def _model_id(name: str) -> Any:
    return select(models.c.id).where(models.c.name == name).scalar_subquery()


_FOUND = (
    versions.c.id,
    versions.c.about,
    versions.c.facts,
    versions.c.tombstone,
    versions.c.visible,
)


def _lookup(ref: VersionRef) -> tuple[Select[Any]]:
    asked = select(*_FOUND).join(models, models.c.id == versions.c.model_id)
    asked = asked.where(models.c.name == ref.model)
    if ref.number:
        return (asked.where(versions.c.number_key == Number(ref.number).key),)
    if ref.alias == LATEST:
        newest = asked.where(versions.c.visible == 1).order_by(versions.c.ordinal.desc())
        return (newest.limit(1),)
    pointed = aliases.c.version_id == versions.c.id
    return (asked.join(aliases, pointed).where(aliases.c.name == ref.alias),)


def columns(version: Version) -> dict[str, Any]:
    """Give the columns that repeat what is known about a version."""
    about = wire.plain(version)
    del about["facts"]
    return {
        "status": str(version.status),
        "about": wire.dumps(about),
        "description": version.description,
        "created_by": version.created_by,
        "created_at": micros(version.created_at),
        "updated_at": micros(version.updated_at),
    }


def _facts(version: Version) -> dict[str, Any]:
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
