"""What `serve` adds to a request: assigned, timed and recorded in one place, and around ASGI."""

import asyncio
import time
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, Final

import herdbook as hb
from benchmarks.results import Reading, Row, at_most, interleaved
from benchmarks.sizes import Sizes
from herdbook.asgi import ServingMiddleware, header
from herdbook.settings import Settings

GROUP: Final = "Serving: what a call adds to a request"
LIMIT_US: Final = 4
USERS: Final = tuple(f"user{number}" for number in range(500))
_ONCE: Final = 20_000

Work = Callable[[int], None]


def measure(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Serve calls of a model that an experiment tries, from one thread of one process."""
    once = min(_ONCE, sizes.calls * 10)
    with hb.connect(settings=Settings.load(home=folder, folder=folder, environ={})) as book:
        _experiment(book)
        works = (_serve(book), *_around(book))
        sides = [_side(book, work, once) for work in works]
        found = interleaved(sides, rounds=max(5, sizes.rounds))
    serve, bare, untouched, asked = (each or {} for each in found)
    yield _row("with book.serve(…) and observe(confidence=…)", serve, {}, limited=True)
    yield _row("ServingMiddleware, a request that asks for its call", asked, bare)
    yield _row("ServingMiddleware, a request that does not", untouched, bare)


def _experiment(book: hb.Herdbook) -> None:
    book.models.register("gnn", "v1")
    book.models.register("gnn", "v2")
    book.deployments.promote("gnn:v1")
    # It must not end while it is measured.
    book.experiments.start("gnn_test", "gnn", "v2", auto_rollback=False)


def _serve(book: hb.Herdbook) -> Work:
    def run(count: int) -> None:
        for number in range(count):
            with book.serve("gnn", unit=USERS[number % 500]) as call:
                call.observe(confidence=0.9)

    return run


def _around(book: hb.Herdbook) -> tuple[Work, Work, Work]:
    """An application as it is, in the middleware, and in it and asking for its call."""

    async def bare(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def asking(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["herdbook"]["gnn"].observe(confidence=0.9)
        await bare(scope, receive, send)

    unit = header("X-User-Id")
    around = [ServingMiddleware(app, book=book, model="gnn", unit=unit) for app in (bare, asking)]
    return _requests(bare), _requests(around[0]), _requests(around[1])


def _requests(app: Any) -> Work:
    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(_: MutableMapping[str, Any]) -> None:
        return None

    async def ask(count: int) -> None:
        for number in range(count):
            user = USERS[number % 500].encode()
            headers = [(b"host", b"diagnosis"), (b"accept", b"*/*"), (b"x-user-id", user)]
            await app({"type": "http", "headers": headers}, receive, send)

    return lambda count: asyncio.run(ask(count))


def _side(book: hb.Herdbook, work: Work, once: int) -> Callable[[], Reading]:
    def run() -> Reading:
        # What waits is sent before, or the thread that sends takes its share of the time.
        book.experiments.flush()
        began, cpu = time.perf_counter(), time.thread_time()
        work(once)
        wall, cpu = time.perf_counter() - began, time.thread_time() - cpu
        return {"wall": wall / once * 1e6, "cpu": cpu / once * 1e6}

    return run


def _row(what: str, found: Reading, bare: Reading, *, limited: bool = False) -> Row:
    wall = found["wall"] - bare.get("wall", 0.0)
    cpu = found["cpu"] - bare.get("cpu", 0.0)
    targets = (at_most(LIMIT_US, wall, "µs"), at_most(LIMIT_US, cpu, "µs of CPU"))
    return Row(
        group=GROUP,
        what=what,
        unit="µs of wall time a request",
        ours=wall,
        cpu=f"{cpu:.2f} µs",
        targets=targets if limited else (),
        detail="CPU of the thread that serves"
        + (f"; the application alone takes {bare['wall']:.2f} µs" if bare else ""),
    )
