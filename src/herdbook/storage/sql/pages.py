"""A query becomes one bound SELECT, and a position in it the next page.

Pages are found by where the one before ended (keyset), so the hundredth costs what the first
does. The statement of a question is kept: the same one is asked again for every page, and by
every dashboard.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    false,
    or_,
    true,
    tuple_,
)

from herdbook.core import filters
from herdbook.core.access import Grant
from herdbook.core.filters import And, Comparison, Not, Op, Or, Query
from herdbook.core.pages import Page, page_position, page_token
from herdbook.errors import InvalidFilter
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.search import (
    MODELS,
    VERSIONS,
    VERSIONS_OF_MODEL,
    Searched,
    clause,
    tested,
    visible,
)
from herdbook.storage.sql.tables import models, versions

KEPT: Final = 256

Text = Callable[[Sequence[Any]], str]
Keys = list[tuple[ColumnElement[Any], bool]]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, whatever the page.

    Args:
        asked: the rows it is about, selected as their text needs them; one object a place.
        searched: what its fields are.
        query: the conditions and the order.
        grants: what the asker may see, or None for everything.
    """

    asked: Select[Any]
    searched: Searched
    query: Query
    grants: tuple[Grant, ...] | None


def page(
    connection: Connection,
    question: Question,
    given: Mapping[str, Any],
    *,
    size: int,
    page: str | None,
    text: Text,
) -> Page[str]:
    """Give one page of texts.

    Args:
        connection: a transaction.
        question: what is asked.
        given: the values `question.asked` binds by name.
        size: how many rows at most.
        page: the token of the page before, or None for the first.
        text: gives the text of a row, which is a tuple.
    """
    plan = _planned(question, begun=page is not None)
    bound = {**given, "size": size + 1}
    if page is not None:
        position = page_position(page, shape=plan.shape(given), kinds=plan.kinds)
        bound |= {_place(at): value for at, value in enumerate(position or ())}
    rows = plan.statement.rows(connection, bound)
    items = tuple(map(text, rows[:size]))
    if len(rows) <= size:
        return Page(items)
    return Page(items, page_token(plan.shape(given), list(rows[size - 1][-len(plan.kinds) :])))


@dataclass(frozen=True, slots=True)
class Planned:
    """A question as it is asked, and what the positions in its answer are made of."""

    statement: Prepared
    kinds: tuple[type, ...]
    rendered: str

    def shape(self, given: Mapping[str, Any]) -> str:
        """Give what marks the tokens of this question's pages."""
        asked = f"{sorted(given.items())}\n{self.rendered}"
        return hashlib.sha256(asked.encode()).hexdigest()[:16]


@lru_cache(maxsize=KEPT)
def _planned(question: Question, *, begun: bool) -> Planned:
    plan = _Plan(question)
    kinds = tuple(column.type.python_type for column, _ in plan.keys)
    return Planned(Prepared(plan.statement(begun=begun)), kinds, filters.render(question.query))


def _place(at: int) -> str:
    return f"place_{at}"


class _Plan:
    """How a query is asked, so that an index gives its rows in their order.

    A metric or tag it orders by is joined, and so is the first tag it asks to be equal when it
    orders by nothing; conditions on what is joined are put on the join, and the last key is its
    version. The versions of one model come by their ordinals. SQLite would otherwise gather
    everything that fits before it gives a page.
    """

    def __init__(self, question: Question) -> None:
        query, searched = question.query, question.searched
        conditions = list(_conditions(query.where))
        if searched is VERSIONS and not query.order and any(map(_names_model, conditions)):
            searched = VERSIONS_OF_MODEL
        self._asked = question.asked
        if searched is not MODELS and (_needs_models(query) or question.grants is not None):
            self._asked = self._asked.join(models, models.c.id == versions.c.model_id)
        if question.grants is not None:
            self._asked = self._asked.where(visible(question.grants))
        self._searched = searched
        self._joined: dict[tuple[str, str], FromClause] = {}
        self._last = searched.last
        self.keys: Keys = [(self._order(key), key.descending) for key in query.order]
        if not query.order and searched is VERSIONS:
            self._join_first_equal(conditions)
        for one in conditions:
            self._asked = self._asked.where(self._condition(one))
        down = query.order[-1].descending if query.order else searched.newest_first
        self.keys.append((self._last, down))

    def statement(self, *, begun: bool) -> Select[Any]:
        """Give the statement; once begun, from a position on."""
        asked = self._asked.where(_after(self.keys)) if begun else self._asked
        directions = [c.desc() if down else c.asc() for c, down in self.keys]
        return (
            asked.add_columns(*(column for column, _ in self.keys))
            .order_by(*directions)
            .limit(bindparam("size", type_=Integer(), required=False))
        )

    def _order(self, key: filters.OrderKey) -> ColumnElement[Any]:
        if key.field in self._searched.keyed:
            if not key.key:
                raise InvalidFilter(
                    f"versions have no order by {key.field}: one may have several, or it tells "
                    "none; order by created_at or another field with one value",
                    field="filter",
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
            return true() if one.op is Op.IS_NOT_NULL else tested(value, one)
        return clause(one, self._searched)


def _conditions(where: filters.Expr | None) -> Iterator[filters.Expr]:
    """Give what must all hold."""
    match where:
        case None:
            return
        case And(parts):
            for one in parts:
                yield from _conditions(one)
        case _:
            yield where


def _names_model(one: filters.Expr) -> bool:
    return isinstance(one, Comparison) and one.field == "model" and one.op is Op.EQ


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


def _after(keys: Keys) -> Any:
    bounds = [_bound(at, column) for at, (column, _) in enumerate(keys)]
    if len({down for _, down in keys}) == 1:
        row, place = tuple_(*(c for c, _ in keys)), tuple_(*bounds)
        return row < place if keys[0][1] else row > place
    parts = []
    for at, (column, down) in enumerate(keys):
        same = [c == bound for (c, _), bound in zip(keys[:at], bounds[:at], strict=True)]
        parts.append(and_(*same, column < bounds[at] if down else column > bounds[at]))
    return or_(*parts)


def _bound(at: int, column: ColumnElement[Any]) -> BindParameter[Any]:
    # PostgreSQL would refuse what a column of 32 bits cannot hold, instead of comparing with it.
    whole = column.type.python_type is int
    return bindparam(_place(at), type_=BigInteger() if whole else column.type, required=False)
