"""In process: a name answered from memory, an alias read straight from SQLite."""

import functools
import timeit
from collections.abc import Callable, Iterator
from typing import Any, Final

import herdbook as hb
from benchmarks import herd
from benchmarks.mlflow_side import timed
from benchmarks.peer import Peer
from benchmarks.results import Reading, Row, at_most, interleaved, of
from benchmarks.sizes import Sizes

GROUP: Final = "In process, SQLite"
RESOLVE_US: Final = 2
READ_US: Final = 150


def measure(sizes: Sizes, url: str, mlflow: Peer | None) -> Iterator[Row]:
    """Ask Herdbook here and MLflow in its child."""
    names = herd.models(sizes.models)
    with hb.connect(url) as book:
        _check(book, mlflow, names[0], sizes)
        yield _resolve(book, names[0], sizes)
        yield _row(
            "read by alias",
            lambda name: book.get(f"{name}@{herd.CHAMPION}"),
            "get_by_alias", mlflow, sizes, limit=READ_US,
        )  # fmt: skip
        yield _row(
            "search of 100 rows, one model",
            lambda name: book.versions.list(f"model = '{name}'", page_size=100),
            "page_of_100", mlflow, sizes,
        )  # fmt: skip


def _check(book: hb.Herdbook, mlflow: Peer | None, name: str, sizes: Sizes) -> None:
    rows = book.versions.list(f"model = '{name}'", page_size=100).items
    ours = {
        "alias": book.get(f"{name}@{herd.CHAMPION}").ordinal,
        "rows": sorted(row.ordinal for row in rows),
    }
    assert len(rows) == min(100, sizes.versions), len(rows)
    if mlflow is not None:
        theirs = mlflow.ask("answers", model=name)
        assert ours == theirs, f"Herdbook says {ours}, MLflow {theirs}"


def _resolve(book: hb.Herdbook, name: str, sizes: Sizes) -> Row:
    ref = f"{name}@{herd.CHAMPION}"
    number = sizes.calls * 100
    once = functools.partial(timeit.timeit, lambda: book.resolve(ref), number=number)
    assert book.resolve(ref) == book.get(ref)
    found = interleaved([lambda: {"us": once() / number * 1e6}], rounds=max(5, sizes.rounds))[0]
    assert found is not None
    return Row(
        group=GROUP,
        what="`book.resolve`, from memory",
        unit="µs",
        ours=found["us"],
        targets=(at_most(RESOLVE_US, found["us"], "µs"),),
    )


def _row(
    what: str,
    ask: Callable[[str], object],
    command: str,
    mlflow: Peer | None,
    sizes: Sizes,
    *,
    limit: float = 0,
) -> Row:
    names = herd.models(sizes.models)
    calls = sizes.calls if limit else max(10, sizes.calls // 20)
    sides: list[Callable[[], Reading] | None] = [lambda: timed(ask, names, calls), None]
    if mlflow is not None:
        child: Any = mlflow
        sides[1] = lambda: child.ask(command, calls=max(10, calls // 20))
    ours, theirs = interleaved(sides, rounds=sizes.rounds)
    assert ours is not None
    return Row(
        group=GROUP,
        what=what,
        unit="µs CPU",
        ours=ours["cpu"],
        peer=of(theirs, "cpu"),
        targets=(at_most(limit, ours["cpu"], "µs"),) if limit else (),
        detail=f"{ours['wall']:,.0f} µs wall" + (f" / {theirs['wall']:,.0f}" if theirs else ""),
        compared=True,
    )
