"""Both servers under load, one worker each, on SQLite, holding the same register."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import herd, peer, servers
from benchmarks.asking import Asker, Herdbook, Mlflow, request
from benchmarks.herd import Entry
from benchmarks.machine import cpu_seconds
from benchmarks.results import Reading, Row, Target, at_most, interleaved, of, part, times
from benchmarks.servers import HOST, Server
from benchmarks.sizes import Sizes

GROUP: Final = "Server, one worker, SQLite, {count:,} versions in {models} models"
CLIENTS: Final = (1, 16)
MANY: Final = 16
P99_MS: Final = 10

Requests = Callable[[int], list[list[str]]]


@dataclass(frozen=True, slots=True)
class Question:
    """What both servers are asked.

    Args:
        what: its name in the table.
        ours: for a number of connections, what each asks in turn.
        theirs: the same of the peer.
        least: how many times the peer's rate ours must reach; 0 for no target.
        fast: whether the 99th percentile of 16 clients has a target.
        cheap: whether a request may cost only one part in `least` of the peer's CPU.
    """

    what: str
    ours: Requests
    theirs: Requests
    least: float = 0
    fast: bool = False
    cheap: bool = False


def _champion(model: str, asker: Asker) -> int:
    return asker.side.ordinal(asker.one(asker.side.get_by_alias(model)))


def _rows_of(model: str, asker: Asker) -> list[tuple[str, int]]:
    return sorted(asker.side.found(asker.one(asker.side.search_model(model)))[0])


@dataclass
class Serving:
    """The two servers, asked and compared."""

    sizes: Sizes
    ours: Asker
    theirs: Asker | None
    # Every run of the alias moves to versions no run before has pointed at.
    moved: int = 0

    def check(self) -> None:
        """See that both hold and answer the same; nothing is timed before.

        Raises:
            AssertionError: they do not.
        """
        for model in herd.models(self.sizes.models)[:4]:
            self._same(partial(_champion, model))
            self._same(partial(_rows_of, model))
        everything = self._same(lambda a: sorted(_listed(a)[0]))
        assert len(everything) == self.sizes.models * self.sizes.versions, len(everything)
        rows = self._same(lambda a: len(a.side.found(a.one(a.side.search_tag()))[0]))
        assert rows, "no version carries the tag"

    def _same(self, answer: Callable[[Asker], Any]) -> Any:
        ours = answer(self.ours)
        if self.theirs is not None:
            theirs = answer(self.theirs)
            assert ours == theirs, f"Herdbook says {str(ours)[:300]}, MLflow {str(theirs)[:300]}"
        return ours

    def rows(self) -> Iterator[Row]:
        """Ask everything; what adds rows comes last."""
        yield self._listing()
        for question in self._questions():
            for clients in CLIENTS:
                yield self._row(question, clients)

    def _questions(self) -> list[Question]:
        ours, theirs = Herdbook(), Mlflow()
        names = herd.models(self.sizes.models)
        return [
            Question(
                "get by alias (`/models/…/versions/@champion`)",
                _each(names, ours.get_by_alias),
                _each(names, theirs.get_by_alias),
                least=40, fast=True, cheap=True,
            ),
            Question(
                "get by alias (`/resolve/…`)",
                _each(names, ours.resolve),
                _each(names, theirs.get_by_alias),
                least=40, fast=True, cheap=True,
            ),
            Question(
                "get by alias (`/resolve/…`), each under an id of its own",
                _each(names, ours.under_an_id),
                _each(names, theirs.get_by_alias),
            ),
            Question(
                "search of 100 rows, one model",
                _each(names, ours.search_model),
                _each(names, theirs.search_model),
                least=12, fast=True,
            ),
            Question(
                "search of 100 rows, one model, each under an id of its own",
                _each(names, ours.search_under_an_id),
                _each(names, theirs.search_model),
                least=12,
            ),
            Question(
                "search of 100 rows, by tag",
                lambda clients: [[ours.search_tag()]] * clients,
                lambda clients: [[theirs.search_tag()]] * clients,
                least=12, fast=True,
            ),
            Question("set alias", self._moves(ours), self._moves(theirs), least=6),
            Question(
                "create version",
                _each(names, lambda name: ours.create(Entry(name, 1))),
                _each(names, lambda name: theirs.create(Entry(name, 1))),
                least=6,
            ),
        ]  # fmt: skip

    def _moves(self, side: Herdbook | Mlflow) -> Requests:
        """Give each connection models of its own, and two versions to move the alias between."""
        names = herd.models(self.sizes.models)

        def given(clients: int) -> list[list[str]]:
            pair = [
                self.moved % self.sizes.versions + 1,
                (self.moved + 1) % self.sizes.versions + 1,
            ]
            self.moved += 2
            own = [names[at::clients] for at in range(min(clients, len(names)))]
            return [[side.set_alias(name, to) for to in pair for name in part] for part in own]

        return given

    def _row(self, question: Question, clients: int) -> Row:
        sides: list[Callable[[], Reading] | None] = [
            lambda: loaded(self.ours.server, question.ours(clients), self.sizes.seconds), None,
        ]  # fmt: skip
        if self.theirs is not None:
            server = self.theirs.server
            sides[1] = lambda: loaded(server, question.theirs(clients), self.sizes.seconds)
        ours, theirs = interleaved(sides, rounds=self.sizes.rounds)
        assert ours is not None
        return Row(
            group=self._group,
            what=f"{question.what}, {clients} client{'s' * (clients > 1)}",
            unit="requests/s",
            ours=ours["rate"],
            peer=of(theirs, "rate"),
            cpu=_cpu(ours),
            peer_cpu=_cpu(theirs) if theirs else "",
            targets=tuple(_targets(question, clients, ours, theirs)),
            detail=_detail(ours, theirs),
            compared=True,
        )

    @property
    def _group(self) -> str:
        count = self.sizes.models * self.sizes.versions
        return GROUP.format(count=count, models=self.sizes.models)

    def _listing(self) -> Row:
        sides: list[Callable[[], Reading] | None] = [lambda: _timed_listing(self.ours), None]
        if self.theirs is not None:
            theirs_too = self.theirs
            sides[1] = lambda: _timed_listing(theirs_too)
        ours, theirs = interleaved(sides, rounds=self.sizes.rounds)
        assert ours is not None
        limit = ours["seconds"] * 20
        reached = None if theirs is None else limit <= theirs["seconds"]
        return Row(
            group=self._group,
            what=f"listing of all {self.sizes.models * self.sizes.versions:,}",
            unit="s",
            ours=ours["seconds"],
            peer=of(theirs, "seconds"),
            cpu=_cpu(ours),
            peer_cpu=_cpu(theirs) if theirs else "",
            targets=(Target("≤ 1/20", reached),),
            detail=f"{ours['pages']:.0f} pages" + (f" / {theirs['pages']:.0f}" if theirs else ""),
            compared=True,
        )


def _targets(
    question: Question, clients: int, ours: Reading, theirs: Reading | None
) -> Iterator[Target]:
    if question.least:
        yield times(question.least, ours["rate"], of(theirs, "rate"))
    if question.cheap:
        yield part(question.least, ours["cpu"], of(theirs, "cpu"), "CPU ")
    if question.fast and clients == MANY:
        limit = at_most(P99_MS, ours["p99"], "ms")
        yield Target(f"p99 {limit.text}", limit.reached)


def _each(names: Sequence[str], ask: Callable[[str], str]) -> Requests:
    texts = [ask(name) for name in names]

    def given(clients: int) -> list[list[str]]:
        step = max(1, len(texts) // clients)
        return [texts[at * step % len(texts) :] + texts[: at * step % len(texts)]
                for at in range(clients)]  # fmt: skip

    return given


def _cpu(reading: Reading) -> str:
    return f"{reading['cpu']:.3g} ms"


def _detail(ours: Reading, theirs: Reading | None) -> str:
    shown = [f"p50 {r['p50']:.3g}, p99 {r['p99']:.3g} ms" for r in (ours, theirs) if r]
    return f"{' / '.join(shown)}; load generator {ours['generator']:.0%} of a core"


def loaded(server: Server, requests: list[list[str]], seconds: float) -> Reading:
    """Load a server from a process of its own.

    Raises:
        RuntimeError: an answer was an error; a figure of refusals is none.
    """
    plan = {
        "host": HOST, "port": server.port, "pid": server.pid,
        "seconds": seconds, "requests": requests,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(plan), capture_output=True, text=True, check=False, cwd=peer.ROOT,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout)
    if found["failed"]:
        raise RuntimeError(f"{found['failed']} answers were errors: {found['problem']}")
    return {name: value for name, value in found.items() if name != "problem"}


def _listed(asker: Asker) -> tuple[list[tuple[str, int]], int, float]:
    """Give every version there is, in how many pages, and the seconds spent waiting for them."""
    rows: list[tuple[str, int]] = []
    token, pages, waited = "", 0, 0.0
    while pages == 0 or token:
        text = asker.side.page(token)
        began = time.perf_counter()
        body = asker.one(text)
        waited += time.perf_counter() - began
        found, token = asker.side.found(body)
        rows += found
        pages += 1
    return rows, pages, waited


def _timed_listing(asker: Asker) -> Reading:
    before = cpu_seconds(asker.server.pid)
    rows, pages, waited = _listed(asker)
    cpu = (cpu_seconds(asker.server.pid) - before) * 1e3
    return {"seconds": waited, "pages": pages, "cpu": cpu, "rows": len(rows)}


def measure(sizes: Sizes, url: str, folder: Path, *, with_peer: bool) -> Iterator[Row]:
    """Start both servers on the registers built before, and ask them."""
    with ExitStack() as running:
        ours = Asker(Herdbook(), running.enter_context(servers.herdbook(url, folder)))
        theirs = None
        if with_peer:
            server = running.enter_context(servers.mlflow(folder, peer.NO_JOBS))
            theirs = Asker(Mlflow(), server)
        serving = Serving(sizes, ours, theirs)
        serving.check()
        yield from serving.rows()


def export_of(server: Server) -> int:
    """Read the whole export of a server; give its bytes."""
    return len(Asker(Herdbook(), server).one(request("GET", "/export")))
