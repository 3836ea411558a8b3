"""A query becomes one bound SELECT, and a position in it the next page.

Every field of the allow-lists has its column here, or a table its key is looked up in; every
value is a bound parameter. Pages are found by where the one before ended (keyset), so the
hundredth costs what the first does.
"""

import hashlib
import operator
import string
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
)

from herdbook.core import filters
from herdbook.core.access import Actor
from herdbook.core.filters import And, Comparison, Not, Op, Or, Query
from herdbook.core.numbers import Number
from herdbook.core.pages import Page, page_position, page_token
from herdbook.errors import InvalidFilter
from herdbook.storage.sql.rows import micros
from herdbook.storage.sql.tables import (
    aliases,
    datasets,
    model_tags,
    models,
    scores,
    version_datasets,
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


@dataclass(frozen=True, slots=True)
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
    },
    last=versions.c.id,
    newest_first=True,
    on_models=frozenset({"model", "type", "owner", "model_tags"}),
)

# Of one model the order of registration is the ordinal, which an index has with the model.
VERSIONS_OF_MODEL = replace(VERSIONS, last=versions.c.ordinal)


def visible(by: Actor) -> ColumnElement[bool]:
    """Give the one predicate of what an actor may see, over `models`."""
    parts = []
    for grant in by.grants:
        if not grant.pattern.endswith("*"):
            parts.append(models.c.name == grant.pattern)
        else:
            stem = grant.pattern[:-1]
            # The names beginning with a stem are those from it up to its successor.
            parts.append(and_(models.c.name >= stem, models.c.name < stem + "\x7f"))
    return or_(*parts) if parts else false()


def page(  # noqa: PLR0913 - what is asked, of whom, how much
    connection: Connection,
    asked: Select[Any],
    query: Query,
    *,
    searched: Searched,
    by: Actor,
    size: int,
    page: str | None,
    within: str = "",
    text: Found,
) -> Page[str]:
    """Run a query and give one page of texts."""
    if searched is not MODELS and (_needs_models(query) or not by.sees_all()):
        asked = asked.join(models, models.c.id == versions.c.model_id)
    if not by.sees_all():
        asked = asked.where(visible(by))
    plan = _Plan(asked, query, searched)
    shape = hashlib.sha256(f"{within}\n{filters.render(query)}".encode()).hexdigest()[:16]
    kinds = tuple(_python(column) for column, _ in plan.keys)
    position = page_position(page, shape=shape, kinds=kinds)
    rows = connection.execute(plan.statement(position).limit(size + 1)).all()
    items = tuple(text(row) for row in rows[:size])
    if len(rows) <= size:
        return Page(items)
    return Page(items, page_token(shape, list(rows[size - 1][-len(plan.keys) :])))


class _Plan:
    """How a query is asked, so that an index gives its rows in their order.

    A metric or tag it orders by is joined, and so is the first tag it asks to be equal when it
    orders by nothing; conditions on what is joined are put on the join, and the last key is its
    version. SQLite would otherwise gather everything that fits before it gives a page.
    """

    def __init__(self, asked: Select[Any], query: Query, searched: Searched) -> None:
        self._asked = asked
        self._searched = searched
        self._joined: dict[tuple[str, str], FromClause] = {}
        self._last = searched.last
        self.keys = [(self._order(key), key.descending) for key in query.order]
        conditions = _conditions(query.where)
        if not query.order and searched is VERSIONS:
            self._join_first_equal(conditions)
        for one in conditions:
            self._asked = self._asked.where(self._condition(one))
        down = query.order[-1].descending if query.order else searched.newest_first
        self.keys.append((self._last, down))

    def statement(self, position: list[Any] | None) -> Select[Any]:
        """Give the statement, from a position on."""
        asked = self._asked if position is None else self._asked.where(_after(self.keys, position))
        directions = [c.desc() if down else c.asc() for c, down in self.keys]
        return asked.add_columns(*(column for column, _ in self.keys)).order_by(*directions)

    def _order(self, key: filters.OrderKey) -> ColumnElement[Any]:
        if key.field in self._searched.keyed:
            if not key.key:
                raise InvalidFilter(
                    f"a version may have several of {key.field}: it cannot be ordered by them"
                )
            return self._join(key.field, key.key)
        column = self._searched.columns[key.field]
        if column.nullable:
            self._asked = self._asked.where(column.is_not(None))
        return column

    def _join(self, field: str, key: str) -> ColumnElement[Any]:
        keyed = self._searched.keyed[field]
        assert keyed.key is not None  # noqa: S101 - asked for with a key
        if (field, key) not in self._joined:
            table = self._joined[field, key] = keyed.table.alias()
            owner = table.c[keyed.owner.key]  # type: ignore[index]
            on = and_(owner == keyed.of, table.c[keyed.key.key] == key)  # type: ignore[index]
            self._asked = self._asked.join(table, on)
            if keyed.of is VERSIONS.last and self._last is VERSIONS.last:
                self._last = owner
        return self._joined[field, key].c[keyed.value.key]  # type: ignore[index]

    def _join_first_equal(self, conditions: list[filters.Expr]) -> None:
        for one in conditions:
            if isinstance(one, Comparison) and one.op is Op.EQ and one.field == "tags":
                self._join(one.field, one.key)
                return

    def _condition(self, one: filters.Expr) -> ColumnElement[bool]:
        if isinstance(one, Comparison) and (one.field, one.key) in self._joined:
            value = self._join(one.field, one.key)
            if one.op is Op.IS_NULL:
                return false()
            return true() if one.op is Op.IS_NOT_NULL else _test(value, one)
        return _clause(one, self._searched)


def _conditions(where: filters.Expr | None) -> list[filters.Expr]:
    """Give what must all hold."""
    match where:
        case None:
            return []
        case And(parts):
            return [one for part in parts for one in _conditions(part)]
    return [where]


def _python(column: ColumnElement[Any]) -> type:
    return column.type.python_type


def _needs_models(query: Query) -> bool:
    named = set(_fields(query.where)) | {key.field for key in query.order}
    return bool(named & VERSIONS.on_models)


def _fields(expr: filters.Expr | None) -> list[str]:
    match expr:
        case Comparison(field):
            return [field]
        case And(parts) | Or(parts):
            return [name for part in parts for name in _fields(part)]
        case Not(part):
            return _fields(part)
    return []


def _after(keys: list[tuple[ColumnElement[Any], bool]], position: list[Any]) -> Any:
    if len({down for _, down in keys}) == 1:
        row, place = tuple_(*(c for c, _ in keys)), tuple_(*map(_wide, position))
        return row < place if keys[0][1] else row > place
    parts = []
    for at, (column, down) in enumerate(keys):
        same = [c == _wide(p) for (c, _), p in zip(keys[:at], position[:at], strict=True)]
        bound = _wide(position[at])
        beyond = column < bound if down else column > bound
        parts.append(and_(*same, beyond))
    return or_(*parts)


def _clause(expr: filters.Expr, searched: Searched) -> ColumnElement[bool]:
    match expr:
        case And(parts):
            return and_(*(_clause(part, searched) for part in parts))
        case Or(parts):
            return or_(*(_clause(part, searched) for part in parts))
        case Not(part):
            # NOT of an unknown is unknown in SQL; here what has no value does not match.
            return not_(func.coalesce(_clause(part, searched), false()))
        case Comparison():
            return _compared(expr, searched)


def _compared(one: Comparison, searched: Searched) -> ColumnElement[bool]:
    if one.field not in searched.keyed:
        return _test(searched.columns[one.field], one)
    keyed = searched.keyed[one.field]
    held: list[ColumnElement[bool]] = []
    if keyed.key is not None:
        held.append(keyed.key == one.key)
    if keyed.table is aliases:
        held.append(aliases.c.version_id.is_not(None))
    if one.op in {Op.IS_NULL, Op.IS_NOT_NULL}:
        there = exists().select_from(keyed.table).where(keyed.owner == keyed.of, *held)
        return there if one.op is Op.IS_NOT_NULL else not_(there)
    own = select(keyed.owner).select_from(keyed.table).where(*held, _test(keyed.value, one))
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


def _test(column: ColumnElement[Any], one: Comparison) -> ColumnElement[bool]:
    value = _bound(one)
    if one.op in _TESTS:
        tested: ColumnElement[bool] = _TESTS[one.op](column, value)
        return tested
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
