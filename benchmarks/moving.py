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
    for name, full in COUNTS.items():
        count = max(2 * BATCH, full) if sizes.rounds > 1 else 2 * BATCH
        with ExitStack() as closing:
            side = _side(name, folder, count, closing)
            yield from _rows(side, sizes)


def _rows(side: Side, sizes: Sizes) -> Iterator[Row]:
    numbers = itertools.count()
    for what, embed in (
        ("metadata only, vectors as they are", None),
        ("embedded anew, every answer known", Precomputed(side.count, seed=2)),
    ):

        def bare(embed: Any = embed) -> Reading:
            return timed(lambda: side.loop(f"bare{next(numbers)}", embed))

        def ours(embed: Any = embed) -> Reading:
            return moved(side, embed)

        def chained(embed: Any = embed) -> Reading:
            return langchain(side, f"chain{next(numbers)}", embed)

        sides = [ours, bare]
        if embed is not None and side.name == "chroma":
            sides.append(chained)
        found = interleaved(sides, rounds=min(3, sizes.rounds))
        taken, loop = found[0], found[1]
        assert taken is not None
        assert loop is not None
        targets = [Target(f"≥ {LEAST:.0%}", taken["wall"] >= LEAST * loop["wall"])]
        detail = f"whole migration, compared and verified: {taken['whole']:.1f} s"
        if len(found) == 3 and found[2] is not None:
            chain = found[2]["wall"]
            targets.append(Target("faster than LangChain", taken["wall"] > chain))
            detail += f"; LangChain's loop {chain:,.0f} documents/s"
        yield Row(
            group=f"Moving documents: batches of {BATCH:,}, 384 dimensions, five keys "
            "(peer: a bare loop of the store's client)",
            what=f"{side.name}, {side.count:,} documents, {what}",
            unit="documents/s",
            ours=taken["wall"],
            peer=loop["wall"],
            cpu=f"{1e6 / taken['cpu']:.0f} us",
            peer_cpu=f"{1e6 / loop['cpu']:.0f} us",
            targets=tuple(targets),
            detail=detail,
            compared=True,
        )


def moved(side: Side, embed: Any, *, shard: int = BATCH) -> Reading:
    """Migrate, measure the backfill, and go back."""
    at: dict[str, tuple[float, float]] = {}

    def said(news: News) -> None:
        full = news.phase == "backfill" and news.done == news.total > 0
        at["end" if full else str(news.phase)] = (time.perf_counter(), time.process_time())

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
    client: Any = opened(documents)._made
    return lambda target, embed: moving_sides.qdrant_loop(client, "docs", target, embed)
