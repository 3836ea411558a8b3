"""Moving documents with a real model, a million of them, on Ray, and under live queries."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import herdbook as hb
from benchmarks import machine, moving
from benchmarks.moving import DEMANDS, Side, moved, opened
from benchmarks.moving_sides import BATCH, metadata
from benchmarks.peer import ROOT
from benchmarks.results import Row, Target, at_most
from benchmarks.sizes import Sizes
from herdbook.core.migrations import Options
from herdbook.core.spaces import EncoderSpec
from herdbook.front.moving.moved import Carrying, MovedDocuments
from herdbook.front.moving.telling import News
from herdbook.settings import Settings

OURS: Final = 0.95
RAY: Final = 1.6
LEDGER: Final = 0.01
MEMORY_MB: Final = 400.0
LIVE: Final = 1.3
MODEL: Final = "python:examples.documents.minilm:embed"
SMALL: Final = 32


def measure(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Measure what needs a model, a cluster or a million documents."""
    if sizes.rounds == 1:
        yield from _million(5_000, folder)
        return
    yield from _million(1_000_000, folder)
    yield from _encoding(480, folder)
    yield from _live(folder)
    yield from _on_ray(400, folder)


# --- a real model: the embedding is what takes the time ---


def _encoding(count: int, folder: Path) -> Iterator[Row]:
    from examples.documents import corpus
    from herdbook import encoders

    said = [each.text for each in corpus.documents(count)]
    spec = EncoderSpec(model="embedder", number="2.0.0", source=MODEL)
    encoder = encoders.opened(spec)
    with ExitStack() as closing:
        documents = _filled("lancedb", folder / "real", said, closing)
        bare: list[float] = []
        ours: list[float] = []
        for _ in range(3):
            began = time.process_time()
            for at in range(0, len(said), 120):
                encoder.embed(said[at : at + 120])
            bare.append(len(said) / (time.process_time() - began))
            side = Side(documents, "lancedb", len(said), _nothing)
            ours.append(moved(side, spec, shard=120)["cpu"])
    best, loop = sorted(ours)[1], sorted(bare)[1]
    yield Row(
        group="Moving documents with a real model (all-MiniLM-L6-v2 in numpy, one thread)",
        what=f"{len(said)} docstrings embedded anew into LanceDB (peer: the encoder alone)",
        unit="documents per CPU second",
        ours=best,
        peer=loop,
        targets=(Target(f"≥ {OURS:.0%}", best >= OURS * loop),),
        compared=True,
    )


def _nothing(target: str, embed: Any) -> int:
    raise NotImplementedError(target, embed)


def _filled(kind: str, home: Path, said: list[str], closing: ExitStack) -> MovedDocuments:
    """Open a register and a store with texts in it."""
    home.mkdir()
    book = closing.enter_context(
        hb.connect(settings=Settings.load(url=f"sqlite:///{home / 'herdbook.db'}"))
    )
    for number in ("1.0.0", "1.1.0", "2.0.0"):
        book.models.register("embedder", number)
    collection = book.documents.create(
        "docs",
        ref="embedder:1.0.0",
        store=moving.address_of(kind, home, closing),
        encoder=_Cheap(),
    )
    for at in range(0, len(said), BATCH):
        some = said[at : at + BATCH]
        rows = range(at, at + len(some))
        collection.add(
            some,
            ids=[f"doc-{row:08}" for row in rows],
            metadata=[metadata(row) for row in rows],
        )
    return book.documents


class _Cheap:
    """An encoder nobody waits for."""

    digest = "cheap"

    def __call__(self, given: list[str]) -> Any:
        import numpy as np

        made = np.ones((len(given), SMALL), np.float32)
        made[:, 0] += [len(text) for text in given]
        return made / np.linalg.norm(made, axis=1, keepdims=True)


# --- a million documents whose vectors stay as they are ---


def _million(count: int, folder: Path) -> Iterator[Row]:
    with ExitStack() as closing:
        documents = _filled("pgvector", folder / "million", ["the first"], closing)
        _multiply(documents, count)
        documents.register_strategy("embedder", "1.0.0", "1.1.0", way="identity")
        store = opened(documents)
        # The index of a million vectors takes minutes, on every way of writing them.
        store.index = _unindexed
        spent = _watched(documents)
        at: dict[str, float] = {}

        def said(news: News) -> None:
            full = news.phase == "backfill" and news.done == news.total > 0
            at.setdefault("end" if full else str(news.phase), time.perf_counter())

        began = machine.own_memory()
        documents.move(
            "docs",
            to="1.1.0",
            options=Options(shard=BATCH),
            demands=DEMANDS,
            carrying=Carrying(said=said),
        )
        wall = at["end"] - at["backfill"]
        grown = machine.own_memory("VmHWM") - began
    share = spent["seconds"] / wall
    yield Row(
        group=f"A million documents: metadata only, pgvector, {SMALL} dimensions",
        what=f"{count:,} documents carried",
        unit="documents/s",
        ours=count / wall,
        targets=(
            Target(f"ledger ≤ {LEDGER:.0%} of the time", share <= LEDGER),
            at_most(MEMORY_MB, grown, "MB more than before"),
        ),
        detail=f"{wall:.0f} s, {share:.2%} of it in the register ({spent['calls']:.0f} calls), "
        f"{grown:.0f} MB more at the peak than before; the index is left out",
    )


def _unindexed(_: object) -> None:
    """Make no index."""


def _multiply(documents: MovedDocuments, count: int) -> None:
    """Let the database make the other documents of the first."""
    with opened(documents)._link.using() as connection:
        connection.execute(
            "INSERT INTO docs (id, document, metadata, embedding) SELECT 'more-' || "
            "lpad(n::text, 8, '0'), document || n, metadata || jsonb_build_object('n', n), "
            "embedding FROM docs, generate_series(1, %s) AS n",
            (count - 1,),
        )
        connection.execute("ANALYZE docs")


def _watched(documents: MovedDocuments) -> dict[str, float]:
    """Add up the time that calls of the register take, those of the lease's thread left out."""
    import threading

    door: Any = documents._door
    spent = {"seconds": 0.0, "calls": 0.0}
    mine = threading.get_ident()

    def timing(name: str) -> Callable[..., Any]:
        inner = getattr(door, name)

        def call(*args: Any, **given: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*args, **given)
            finally:
                if threading.get_ident() == mine:
                    spent["seconds"] += time.perf_counter() - began
                    spent["calls"] += 1

        return call

    door.call, door.page = timing("call"), timing("page")
    return spent


# --- live queries ---


def _live(folder: Path) -> Iterator[Row]:
    from examples.documents import corpus

    count, seconds = 3_000, 20.0
    # PostgreSQL holds no NUL.
    said = [each.text.replace("\0", " ") for each in corpus.documents(count)]
    with ExitStack() as closing:
        documents = _filled("pgvector", folder / "live", said, closing)
        store = opened(documents)
        found = documents.get("docs")
        store.index(found.home.place)
        before = _reader(found, seconds)()
        reading = _reader(found, seconds)
        spec = EncoderSpec(model="embedder", number="2.0.0", source=MODEL)
        began = documents.start("docs", to_version="2.0.0", encoder=spec)
        mover = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.moving_real", documents._door.address],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        while documents.migration(began.id).progress.shards_done == 0:
            time.sleep(0.2)
        during = reading()
        left = documents.migration(began.id)
        mover.kill()
        mover.wait()
    assert str(left.phase) == "backfill", left.phase
    yield Row(
        group="A live query while documents are embedded anew",
        what=f"p99 of a search in pgvector ({count:,} documents, HNSW) in a process of its own",
        unit="ms",
        ours=during["p99"],
        peer=before["p99"],
        targets=(Target(f"≤ {LIVE}x before", during["p99"] <= LIVE * before["p99"]),),
        detail=f"median {during['p50']:.2f}, before {before['p50']:.2f} ms; 50 searches a second, "
        f"{during['count']:.0f} of them; the migration embeds on the other core",
        compared=True,
    )


def _reader(found: Any, seconds: float) -> Callable[[], dict[str, float]]:
    """Start a process that searches; gives what waits for what it measured."""

    def run() -> dict[str, float]:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.moving_reader", found.store, str(seconds)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        read: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return read

    return run


# --- Ray ---


def _on_ray(count: int, folder: Path) -> Iterator[Row]:
    from examples.documents import corpus

    said = [each.text for each in corpus.documents(count)]
    spec = EncoderSpec(model="embedder", number="2.0.0", source=MODEL)
    with ExitStack() as closing:
        documents = _filled("lancedb", folder / "ray", said, closing)
        ones: list[float] = []
        twos: list[float] = []
        with _two_nodes() as address:
            for _ in range(3):
                ones.append(_rate(documents, spec, Carrying(workers=1)))
                twos.append(_rate(documents, spec, Carrying(engine=address, workers=2)))
    one, two = sorted(ones)[len(ones) // 2], sorted(twos)[len(twos) // 2]
    yield Row(
        group="Moving documents on Ray: two local nodes of one CPU each",
        what=f"{count} docstrings, all-MiniLM-L6-v2 in numpy (peer: one worker process)",
        unit="documents/s",
        ours=two,
        peer=one,
        targets=(Target(f"≥ {RAY}x", two >= RAY * one),),
        detail="from the first shard that was done to the last: the start of workers is left out",
        compared=True,
    )


def _rate(documents: MovedDocuments, spec: EncoderSpec, carrying: Carrying) -> float:
    """Give documents a second between the first shard that was done and the last."""
    seen: list[tuple[float, int]] = []

    def said(news: News) -> None:
        if news.phase == "backfill" and news.done:
            seen.append((time.perf_counter(), news.done))

    documents.move(
        "docs",
        to="2.0.0",
        encoder=spec,
        options=Options(shard=10),
        demands=DEMANDS,
        carrying=replace(carrying, said=said),
    )
    documents.roll_back("docs")
    (first, few), (last, all_) = seen[0], seen[-1]
    return (all_ - few) / (last - first)


@contextlib.contextmanager
def _two_nodes() -> Iterator[str]:
    """Run two nodes of Ray on the loopback interface."""
    os.environ |= {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": str(ROOT),
    }
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="hb-ray-", dir="/tmp")
    each = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**each, "temp_dir": folder})
    try:
        cluster.add_node(num_cpus=1)
        yield f"ray:{cluster.address}"
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]
        shutil.rmtree(folder, ignore_errors=True)


def main(address: str) -> None:
    """Carry the migration of `docs` out, at a process's usual priority."""
    with hb.connect(address) as book:
        book.documents.move("docs", options=Options(shard=20), demands=DEMANDS)


if __name__ == "__main__":
    main(sys.argv[1])
