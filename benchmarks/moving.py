"""Moving documents, against a bare loop of each store's own client with the same batch.

Both sides read every document of one collection and write it to another: once with its vector as
it is, once embedded anew by an encoder that knows every answer. Herdbook's time is that of the
backfill, ledger included; what it compares and verifies afterwards has no counterpart in a loop.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import herdbook as hb
from benchmarks import moving_sides
from benchmarks.moving_sides import BATCH, Precomputed, metadata, texts, timed
from benchmarks.results import Reading, Row, Target, interleaved
from benchmarks.sizes import Sizes
from herdbook.core.migrations import Options, Way
from herdbook.front.moving.moved import Carrying, MovedDocuments
from herdbook.front.moving.proving import Demands
from herdbook.front.moving.telling import News
from herdbook.settings import Settings

LEAST: Final = 0.8
DEMANDS: Final = Demands(without_queries=True)
# Documents of a run, by store: Chroma builds its index while it writes, local Qdrant is a toy.
COUNTS: Final = {"lancedb": 20_000, "pgvector": 10_000, "chroma": 3_000, "qdrant": 2_000}

Loop = Callable[[str, Any], int]


@dataclass(frozen=True, slots=True)
class Side:
    """A store, with the register beside it and a bare loop over its client.

    Args:
        documents: of the register.
        name: of the kind of store.
        count: of documents.
        loop: copies to a collection of a name, with an encoder or without.
    """

    documents: MovedDocuments
    name: str
    count: int
    loop: Loop


def measure(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Measure every store."""
    quick = sizes.rounds == 1
    for name, full in {"lancedb": 2 * BATCH}.items() if quick else COUNTS.items():
        count = max(2 * BATCH, full)
        with ExitStack() as closing:
            side = _side(name, folder, count, closing)
            yield from _rows(side, sizes)


def _rows(side: Side, sizes: Sizes) -> Iterator[Row]:
    numbers = itertools.count()
    for what, embed in (
        ("metadata only, vectors as they are", None),
        ("embedded anew, every answer known", Precomputed(side.count, seed=2)),
    ):
        sides = _sides(side, embed, numbers)
        taken, loop, *others = interleaved(sides, rounds=min(3, sizes.rounds))
        assert taken is not None
        assert loop is not None
        other = others[0]["wall"] if others and others[0] is not None else 0.0
        targets = (Target(f"≥ {LEAST:.0%}", taken["wall"] >= LEAST * loop["wall"]),)
        more, said = _others(side.name, taken["wall"], other)
        yield Row(
            group=f"Moving documents: batches of {BATCH:,}, 384 dimensions, five keys "
            "(peer: a bare loop of the store's client)",
            what=f"{side.name}, {side.count:,} documents, {what}",
            unit="documents/s",
            ours=taken["wall"],
            peer=loop["wall"],
            cpu=f"{1e6 / taken['cpu']:.0f} us",
            peer_cpu=f"{1e6 / loop['cpu']:.0f} us",
            targets=(*targets, *more),
            detail=f"whole migration, compared and verified: {taken['whole']:.1f} s{said}",
            compared=True,
        )


def _sides(side: Side, embed: Any, numbers: Iterator[int]) -> list[Callable[[], Reading]]:
    """Give Herdbook, the bare loop, and where there is one another way to do it by hand."""

    def bare() -> Reading:
        return timed(lambda: side.loop(f"bare{next(numbers)}", embed))

    def by_rows() -> Reading:
        address = side.documents.get("docs").store
        target = f"rows{next(numbers)}"
        return timed(lambda: moving_sides.lancedb_rows_loop(address, "docs", target, embed))

    def chained() -> Reading:
        return langchain(side, f"chain{next(numbers)}", embed)

    found: list[Callable[[], Reading]] = [lambda: moved(side, embed), bare]
    if side.name == "lancedb":
        found.append(by_rows)
    if side.name == "chroma" and embed is not None:
        found.append(chained)
    return found


def _others(name: str, ours: float, other: float) -> tuple[tuple[Target, ...], str]:
    """Judge against the other way, where there is one."""
    if not other:
        return (), ""
    if name == "chroma":
        target = Target("faster than LangChain", ours > other)
        return (target,), f"; LangChain's loop {other:,.0f} documents/s"
    target = Target(f"≥ {LEAST:.0%} of a loop over rows", ours >= LEAST * other)
    said = (
        f"; a loop over rows {other:,.0f} documents/s; the peer hands on whole Arrow tables it "
        "never looks into"
    )
    return (target,), said


def moved(side: Side, embed: Any, *, shard: int = BATCH) -> Reading:
    """Migrate, measure the backfill, and go back."""
    at: dict[str, tuple[float, float]] = {}

    def said(news: News) -> None:
        full = news.phase == "backfill" and news.done == news.total > 0
        name = "end" if full else str(news.phase)
        at.setdefault(name, (time.perf_counter(), time.process_time()))

    began = time.perf_counter()
    side.documents.move(
        "docs",
        to="2.0.0" if embed is not None else "1.1.0",
        encoder=embed,
        options=Options(shard=shard),
        demands=DEMANDS,
        carrying=Carrying(said=said),
    )
    whole = time.perf_counter() - began
    side.documents.roll_back("docs")
    wall, cpu = (end - start for end, start in zip(at["end"], at["backfill"], strict=True))
    return {"wall": side.count / wall, "cpu": side.count / max(cpu, 1e-9), "whole": whole}


def langchain(side: Side, target: str, embed: Any) -> Reading:
    """Time LangChain's loop over the same client."""
    client: Any = opened(side.documents)._made
    return timed(lambda: moving_sides.langchain_loop(client, "docs", target, embed))


def opened(documents: MovedDocuments) -> Any:
    """Give the store that is open."""
    return documents._opener.store(documents.get("docs").store)


def _side(name: str, folder: Path, count: int, closing: ExitStack) -> Side:
    """Fill a store."""
    home = folder / f"moving-{name}"
    home.mkdir()
    book = closing.enter_context(
        hb.connect(settings=Settings.load(url=f"sqlite:///{home / 'herdbook.db'}"))
    )
    for number in ("1.0.0", "1.1.0", "2.0.0"):
        book.models.register("embedder", number)
    documents = book.documents
    documents.register_strategy("embedder", "1.0.0", "1.1.0", way=Way.IDENTITY)
    documents.register_strategy("embedder", "1.0.0", "2.0.0", way=Way.REEMBED)
    address = address_of(name, home, closing)
    collection = documents.create(
        "docs", ref="embedder:1.0.0", store=address, encoder=Precomputed(count, seed=1)
    )
    said = texts(count)
    for at in range(0, count, BATCH):
        rows = range(at, min(count, at + BATCH))
        collection.add(
            [said[row] for row in rows],
            ids=[f"doc-{row:08}" for row in rows],
            metadata=[metadata(row) for row in rows],
        )
    return Side(documents, name, count, _loop(name, address, documents))


def address_of(name: str, home: Path, closing: ExitStack) -> str:
    """Give the address of a store nothing was written to."""
    if name != "pgvector":
        return f"{name}:{home / 'vectors'}"
    from tests.postgres import fresh_database, running_server

    server = closing.enter_context(running_server())
    url = closing.enter_context(fresh_database(server))
    database = urlsplit(url).path.strip("/")
    return f"pgvector:///{database}?host={quote(str(server.folder))}&user=postgres"


def _loop(name: str, address: str, documents: MovedDocuments) -> Loop:
    if name == "pgvector":
        parts = urlsplit(address)
        host = parse_qs(parts.query)["host"][0]
        conninfo = f"dbname={parts.path.strip('/')} host={host} user=postgres"
        return lambda target, embed: moving_sides.pgvector_loop(conninfo, "docs", target, embed)
    if name == "lancedb":
        return lambda target, embed: moving_sides.lancedb_loop(address, "docs", target, embed)
    if name == "chroma":
        return lambda target, embed: moving_sides.chroma_loop(address, "docs", target, embed)
    client: Any = opened(documents)._engine._client
    return lambda target, embed: moving_sides.qdrant_loop(client, "docs", target, embed)
