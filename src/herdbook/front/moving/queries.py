"""Labelled queries in a file: a line each, such as {"query": "…", "relevant": ["id", …]}."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from herdbook.errors import Invalid
from herdbook.front.moving.proving import Query

_SHAPE = 'write {"query": "…", "relevant": ["id", …]} or "relevant": {"id": 2, …}'


def queries_of(path: Path) -> tuple[Query, ...]:
    """Read a file of labelled queries.

    Raises:
        Invalid: a line is none, or there is none at all; the line is named.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            return read_queries(lines, name=str(path))
    except UnicodeDecodeError as wrong:
        raise Invalid(f"{path} is not UTF-8: {wrong.reason}", field="queries") from None


def read_queries(lines: Iterable[str], *, name: str = "queries") -> tuple[Query, ...]:
    r"""Read labelled queries, one a line; blank lines are passed over.

    Args:
        lines: of JSON; `relevant` lists ids, or gives each id a grade above 0.
        name: of the file, for messages.

    Raises:
        Invalid: a line is none, or there is none at all; the line is named.

    Example:
        >>> read_queries(['{"query": "rain", "relevant": ["d7"]}'])[0].relevant
        {'d7': 1.0}
    """
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(_query(line))
        except Invalid as wrong:
            raise Invalid(f"{name}, line {number}: {wrong.message}", field="queries") from None
    if not found:
        raise Invalid(f"{name} holds no queries; {_SHAPE}, one a line", field="queries")
    return tuple(found)


def _query(line: str) -> Query:
    try:
        said = json.loads(line)
    except ValueError as wrong:
        raise Invalid(f"it is no JSON ({wrong}); {_SHAPE}") from None
    if not isinstance(said, dict) or not isinstance(said.get("query"), str):
        raise Invalid(f"it has no text under query; {_SHAPE}")
    return Query(text=said["query"], relevant=_graded(said.get("relevant")))


def _graded(said: Any) -> dict[str, float]:
    if isinstance(said, list) and all(isinstance(id, str) for id in said):
        return dict.fromkeys(said, 1.0)
    if isinstance(said, dict):
        # true is a number to Python.
        wrong = [id for id, grade in said.items() if type(grade) not in (int, float)]
        if wrong:
            raise Invalid(f"the grade of {wrong[0]!r:.60} is no number; {_SHAPE}")
        return {id: float(grade) for id, grade in said.items()}
    raise Invalid(f"relevant is neither a list of ids nor an object of grades; {_SHAPE}")
