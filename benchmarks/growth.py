"""What a read costs in a large register beside a small one, and a lineage of great depth."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import herdbook as hb
from benchmarks import herd
from benchmarks.registers import Bulk, fill
from benchmarks.results import TIMES, Reading, Row, Target, at_most, interleaved
from benchmarks.sizes import Sizes
from herdbook.core.access import everything
from herdbook.core.lineage import DEPTH_LIMIT
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.work import reading
from tests.postgres import fresh_database, running_server

GROUP: Final = "Growth on {database}: {many:,} versions beside {few:,} (the peer column)"
TWICE: Final = 2
LINEAGE_MS: Final = 100

Ask = Callable[[hb.Herdbook, str], object]

QUESTIONS: Final[dict[str, Ask]] = {
    "read by alias": lambda book, name: book.get(f"{name}@{herd.CHAMPION}"),
    "page of 100, newest of all": lambda book, _: book.versions.list(),
    "page of 100, one model": lambda book, name: book.versions.list(model=name),
    "page of 100, by tag": lambda book, _: book.versions.list("tags.stage = 'prod'"),
    "page of 100, best by a metric": lambda book, _: book.versions.list(
        "metrics.accuracy > 0.6 ORDER BY metrics.accuracy DESC"
    ),
}


def measure(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Build the registers on both databases and read them in turn."""
    yield from _database(
        "SQLite",
        f"sqlite:///{folder / 'few.db'}",
        f"sqlite:///{folder / 'many.db'}",
        f"sqlite:///{folder / 'chain.db'}",
        sizes,
    )
    with running_server() as server, ExitStack() as stack:
        urls = [stack.enter_context(fresh_database(server)) for _ in range(3)]
        yield from _database("PostgreSQL", urls[0], urls[1], urls[2], sizes)


def _database(name: str, few: str, many: str, chain: str, sizes: Sizes) -> Iterator[Row]:
    small = Bulk(sizes.models, sizes.few // sizes.models)
    large = Bulk(sizes.many_models, sizes.many // sizes.many_models)
    fill(few, small)
    fill(many, large)
    group = GROUP.format(database=name, many=sizes.many, few=sizes.few)
    with hb.connect(few) as one, hb.connect(many) as other:
        for what, ask in QUESTIONS.items():
            yield _row(group, what, ask, (one, small), (other, large), sizes)
    fill(chain, Bulk(1, sizes.chain, chained=True))
    yield from _lineage(name, chain, sizes)


def _row(
    group: str,
    what: str,
    ask: Ask,
    small: tuple[hb.Herdbook, Bulk],
    large: tuple[hb.Herdbook, Bulk],
    sizes: Sizes,
) -> Row:
    calls = max(10, sizes.calls // (10 if "alias" in what else 100))
    few, many = interleaved(
        [lambda: _timed(ask, *small, calls), lambda: _timed(ask, *large, calls)],
        rounds=sizes.rounds,
    )
    assert few is not None
    assert many is not None
    return Row(
        group=group,
        what=what,
        unit="µs wall",
        ours=many["wall"],
        peer=few["wall"],
        cpu=f"{many['cpu']:,.0f} µs",
        peer_cpu=f"{few['cpu']:,.0f} µs",
        targets=(Target(f"≤ {TWICE}{TIMES}", many["wall"] <= TWICE * few["wall"]),),
        compared=True,
    )


def _timed(ask: Ask, book: hb.Herdbook, bulk: Bulk, calls: int) -> Reading:
    names = random.Random(7).choices(herd.models(bulk.models), k=calls)  # noqa: S311
    ask(book, names[0])
    wall, cpu = time.perf_counter(), time.process_time()
    for name in names:
        ask(book, name)
    return {
        "wall": (time.perf_counter() - wall) / calls * 1e6,
        "cpu": (time.process_time() - cpu) / calls * 1e6,
    }


def _lineage(name: str, url: str, sizes: Sizes) -> Iterator[Row]:
    ref = f"{herd.models(1)[0]}:v{sizes.chain}"
    group = f"Lineage on {name}, a chain of {sizes.chain:,} versions"
    with hb.connect(url) as book:
        nearest = book.lineage.ancestors(ref).items
        assert [one.distance for one in nearest] == list(range(1, len(nearest) + 1))
        page = f"`book.lineage.ancestors` of the deepest, the nearest {len(nearest):,}"
        yield _deep(group, page, lambda: book.lineage.ancestors(ref), sizes)
        near = "`book.lineage.ancestors`, 100 steps"
        yield _deep(group, near, lambda: book.lineage.ancestors(ref, depth=100), sizes)
        version = book.get(ref)
    database = Database(url)
    with reading(database, everything("benchmark")) as work:
        walk = work.lineage.ancestors
        assert len(walk(version, depth=DEPTH_LIMIT)) == sizes.chain - 1
        every = f"all {sizes.chain - 1:,} at once, in the storage; no answer is that long"
        yield _deep(group, every, lambda: walk(version, depth=DEPTH_LIMIT), sizes, target=False)
    database.close()


def _deep(
    group: str, what: str, ask: Callable[[], object], sizes: Sizes, *, target: bool = True
) -> Row:
    def once() -> Reading:
        wall, cpu = time.perf_counter(), time.process_time()
        ask()
        return {
            "wall": (time.perf_counter() - wall) * 1e3,
            "cpu": (time.process_time() - cpu) * 1e3,
        }

    found = interleaved([once], rounds=sizes.rounds)[0]
    assert found is not None
    return Row(
        group=group,
        what=what,
        unit="ms",
        ours=found["wall"],
        cpu=f"{found['cpu']:.3g} ms",
        targets=(at_most(LINEAGE_MS, found["wall"], "ms"),) if target else (),
    )
