"""Statements written once and run on the driver itself.

SQLAlchemy writes the SQL of both databases. What it keeps around each execution - a context,
a result, its events - takes longer than SQLite does to find a row by its key, so a statement
that every registration, promotion or read runs is written at its first use and run without it.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Delete, Dialect, Insert, Select, Update

Given = Mapping[str, Any]
_PLAIN = (str, int, float)


class Prepared:
    """A statement whose values are bound by name.

    It may hold texts, integers and floats alone: what the drivers take and give as it is.

    Args:
        statement: with a `bindparam` for each value that is not known yet; `required=False`
            where it also holds lists, which are written out when it is.
        columns: of an insert or update, the columns that are given; () for what the statement
            itself says.
    """

    def __init__(
        self,
        statement: Select[Any] | Insert | Update | Delete,
        *,
        columns: Sequence[str] = (),
    ) -> None:
        self._statement = statement
        self._columns = list(columns) or None
        self._written: dict[str, tuple[str, Callable[[Given], Any]]] = {}
        given = [str(column.key) for column in statement.exported_columns]
        self._row: Callable[[Any], Any] = namedtuple("Row", given, rename=True)._make  # type: ignore[attr-defined]

    def row(self, connection: Connection, given: Given) -> Any:
        """Run it and give its one row, or None."""
        found = self._run(connection, given).fetchone()
        return None if found is None else self._row(found)

    def rows(self, connection: Connection, given: Given) -> list[Any]:
        """Run it and give every row, as a plain tuple."""
        found: list[Any] = self._run(connection, given).fetchall()
        return found

    def count(self, connection: Connection, given: Given) -> int:
        """Run it and give how many rows it changed."""
        return int(self._run(connection, given).rowcount)

    def each(self, connection: Connection, many: Iterable[Given]) -> None:
        """Run it for each of many."""
        text, bound = self._form(connection.dialect)
        driver: Any = connection.connection.driver_connection
        driver.cursor().executemany(text, [bound(given) for given in many])

    def _run(self, connection: Connection, given: Given) -> Any:
        text, bound = self._form(connection.dialect)
        driver: Any = connection.connection.driver_connection
        return driver.execute(text, bound(given))

    def _form(self, dialect: Dialect) -> tuple[str, Callable[[Given], Any]]:
        return self._written.get(dialect.name) or self._write(dialect)

    def _write(self, dialect: Dialect) -> tuple[str, Callable[[Given], Any]]:
        written = self._statement.compile(
            dialect=dialect,
            column_keys=self._columns,
            compile_kwargs={"render_postcompile": True},
        )
        known = {n: value for n, value in written.params.items() if isinstance(value, _PLAIN)}
        bound: Callable[[Given], Any] = lambda given: {**known, **given}  # noqa: E731
        names = getattr(written, "positiontup", None)
        if names is not None:
            bound = _placed(names, known)
        self._written[dialect.name] = str(written), bound
        return self._written[dialect.name]


def _placed(names: Sequence[str], known: Given) -> Callable[[Given], Any]:
    """Give what puts values in the order of their places."""
    if known or not names:
        return lambda given: [given[n] if n in given else known[n] for n in names]
    if len(names) == 1:
        return lambda given: (given[names[0]],)
    return itemgetter(*names)
