"""A query's conditions in SQL.

Every field of the allow-lists has its column here, or a table its key is looked up in; every
value is a bound parameter.
"""

import operator
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Row,
    and_,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)

from herdbook.core import filters
from herdbook.core.access import Grant
from herdbook.core.filters import And, Comparison, Not, Op, Or
from herdbook.core.numbers import Number
from herdbook.storage.sql.rows import micros
from herdbook.storage.sql.tables import (
    aliases,
    datasets,
    manifests,
    model_tags,
    models,
    scores,
    version_datasets,
    version_manifests,
    version_tags,
    versions,
)

Found = Callable[[Row[Any]], str]


@dataclass(frozen=True, slots=True)
class Keyed:
    """A table that holds a value by owner and key: tags, scores, aliases, data sets."""

    table: FromClause
    owner: ColumnElement[Any]
    of: ColumnElement[Any]
    key: ColumnElement[Any] | None
    value: ColumnElement[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """What is searched: its columns by field, its order, and whether models are needed."""

    columns: dict[str, ColumnElement[Any]]
    keyed: dict[str, Keyed]
    last: ColumnElement[Any]
    newest_first: bool
    on_models: frozenset[str]


_MODEL_TAGS = Keyed(
    model_tags, model_tags.c.model_id, models.c.id, model_tags.c.key, model_tags.c.value
)
_named = version_datasets.join(datasets, datasets.c.id == version_datasets.c.dataset_id)
_held = version_manifests.join(manifests, manifests.c.id == version_manifests.c.manifest_id)

MODELS = Searched(
    columns={
        name: models.c[name]
        for name in (
            "name",
            "type",
            "owner",
            "description",
            "versions",
            "created_at",
            "updated_at",
            "created_by",
        )
    },
    keyed={
        "tags": _MODEL_TAGS,
        "alias": Keyed(aliases, aliases.c.model_id, models.c.id, None, aliases.c.name),
    },
    last=models.c.name,
    newest_first=False,
    on_models=frozenset(),
)

VERSIONS = Searched(
    columns={
        "model": models.c.name,
        "type": models.c.type,
        "owner": models.c.owner,
        "number": versions.c.number_key,
        **{
            name: versions.c[name]
            for name in (
                "ordinal",
                "status",
                "description",
                "created_at",
                "updated_at",
                "created_by",
                "digest",
                "git_commit",
            )
        },
        **{
            f"training.{name}": versions.c[name]
            for name in (
                "framework",
                "base_model",
                "hardware",
                "samples",
                "epochs",
                "batch_size",
                "learning_rate",
                "duration_hours",
                "cost_usd",
            )
        },
    },
    keyed={
        "metrics": Keyed(scores, scores.c.version_id, versions.c.id, scores.c.name, scores.c.value),
        "tags": Keyed(
            version_tags,
            version_tags.c.version_id,
            versions.c.id,
            version_tags.c.key,
            version_tags.c.value,
        ),
        "model_tags": _MODEL_TAGS,
        "alias": Keyed(aliases, aliases.c.version_id, versions.c.id, None, aliases.c.name),
        "dataset": Keyed(
            _named, version_datasets.c.version_id, versions.c.id, None, datasets.c.name
        ),
        "manifest": Keyed(
            _held, version_manifests.c.version_id, versions.c.id, None, manifests.c.digest
        ),
    },
    last=versions.c.id,
    newest_first=True,
    on_models=frozenset({"model", "type", "owner", "model_tags"}),
)

# Of one model the order of registration is the ordinal, which an index has with the model.
VERSIONS_OF_MODEL = replace(VERSIONS, last=versions.c.ordinal)


def visible(grants: Iterable[Grant]) -> ColumnElement[bool]:
    """Give the one predicate of what grants let one see, over `models`."""
    parts = []
    for grant in grants:
        if not grant.pattern.endswith("*"):
            parts.append(models.c.name == grant.pattern)
        else:
            stem = grant.pattern[:-1]
            # The names beginning with a stem are those from it up to its successor.
            parts.append(and_(models.c.name >= stem, models.c.name < stem + "\x7f"))
    return or_(*parts) if parts else false()


def clause(expr: filters.Expr, searched: Searched) -> ColumnElement[bool]:
    """Give what a part of a query asks."""
    match expr:
        case And(parts):
            return and_(*(clause(part, searched) for part in parts))
        case Or(parts):
            return or_(*(clause(part, searched) for part in parts))
        case Not(part):
            # NOT of an unknown is unknown in SQL; here what has no value does not match.
            return not_(func.coalesce(clause(part, searched), false()))
        case Comparison():
            return _compared(expr, searched)


def _compared(one: Comparison, searched: Searched) -> ColumnElement[bool]:
    if one.field not in searched.keyed:
        return tested(searched.columns[one.field], one)
    keyed = searched.keyed[one.field]
    held: list[ColumnElement[bool]] = []
    if keyed.key is not None:
        held.append(keyed.key == one.key)
    if keyed.table is aliases:
        held.append(aliases.c.version_id.is_not(None))
    if one.op in {Op.IS_NULL, Op.IS_NOT_NULL}:
        there = exists().select_from(keyed.table).where(keyed.owner == keyed.of, *held)
        return there if one.op is Op.IS_NOT_NULL else not_(there)
    own = select(keyed.owner).select_from(keyed.table).where(*held, tested(keyed.value, one))
    return keyed.of.in_(own)


_TESTS: dict[Op, Callable[[Any, Any], Any]] = {
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
    Op.IN: lambda column, values: column.in_(values),
    Op.NOT_IN: lambda column, values: column.not_in(values),
    Op.IS_NULL: lambda column, _: column.is_(None),
    Op.IS_NOT_NULL: lambda column, _: column.is_not(None),
}


def tested(column: ColumnElement[Any], one: Comparison) -> ColumnElement[bool]:
    """Give a comparison with a column."""
    value = _bound(one)
    if one.op in _TESTS:
        found: ColumnElement[bool] = _TESTS[one.op](column, value)
        return found
    return _alike(column, one.op, str(value))


_SMALL = {ord(c): ord(c.lower()) for c in string.ascii_uppercase}


def _alike(column: ColumnElement[Any], op: Op, pattern: str) -> ColumnElement[bool]:
    if op in {Op.LIKE, Op.NOT_LIKE}:
        found = column.like(pattern, escape="\\")
    else:
        # Of ASCII alone, as both databases do on these columns; the server's locale has no say.
        found = func.lower(column).like(pattern.translate(_SMALL), escape="\\")
    return found if op in {Op.LIKE, Op.ILIKE} else not_(found)


def _bound(one: Comparison) -> Any:
    if isinstance(one.value, tuple):
        return [_stored(one.field, each) for each in one.value]
    return _stored(one.field, one.value)


def _stored(field: str, value: object) -> object:
    if isinstance(value, datetime):
        return micros(value)
    if field == "number" and isinstance(value, str):
        return Number(value).key
    return _wide(value)


def _wide(value: object) -> object:
    # PostgreSQL would refuse what a column of 32 bits cannot hold, instead of comparing with it.
    return literal(value, BigInteger()) if isinstance(value, int) else value
