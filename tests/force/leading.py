"""Leaders in processes of their own, and a feeder that keeps a ledger of what it delivered."""

import contextlib
import json
import multiprocessing
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import herdbook
from herdbook.core import wire
from herdbook.core.experiments import Experiment
from herdbook.core.recording import ArmSums, CellSums, Delta, Folded, Recorded, added
from herdbook.core.trials import Kept
from herdbook.errors import HerdbookError
from herdbook.front.book import Herdbook
from herdbook.services import evidence, leading
from herdbook.services.sightings import first_ones
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database
from tests.registers import Register

CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["herdbook.bootstrap", "herdbook.services.leading", __name__])
NAME = "gnn_test"


def opened(url: str, actor: str) -> Herdbook:
    """Open a register as somebody."""
    home = Path(tempfile.mkdtemp(prefix="herdbook-led-"))
    return herdbook.connect(settings=Settings(home=home, url=url, actor=actor))


def begun(url: str) -> Experiment:
    """A register with an experiment."""
    with opened(url, "starter") as book:
        book.models.register("gnn", "v1")
        book.models.register("gnn", "v2")
        book.deployments.promote("gnn:v1")
        # Nothing is acted on: the evidence is to go on until the end.
        return book.experiments.start(NAME, "gnn", "v2", auto_rollback=False)


def feed(url: str, worker: str, deltas: int, results: Any) -> None:
    """Deliver deltas, every third of them twice; tell how many results were in them."""
    rng, told = random.Random(worker), 0  # noqa: S311 - not a secret
    with opened(url, worker) as book:
        for sequence in range(1, deltas + 1):
            delta = a_delta(rng, worker, sequence)
            told += sum(arm.results for each in delta.recorded for arm in each.arms)
            for _ in range(1 if sequence % 3 else 2):
                _delivered(book, delta)
    results.put(told)


def _delivered(book: Herdbook, delta: Delta) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            book._door.call(Folded, "experiments.fold", delta=delta)
        except HerdbookError:
            if time.monotonic() > until:
                raise
        else:
            return


def a_delta(rng: random.Random, worker: str, sequence: int) -> Delta:
    """Some results of both arms."""
    return Delta(
        worker=worker,
        sequence=sequence,
        recorded=(
            Recorded(
                experiment=NAME, arms=tuple(_arm(rng, arm) for arm in ("control", "treatment"))
            ),
        ),
    )


def _arm(rng: random.Random, arm: str) -> ArmSums:
    values = [rng.betavariate(4, 1) for _ in range(rng.randrange(1, 30))]
    errors = sum(rng.random() < 0.1 for _ in values)
    cells: dict[str, tuple[float, ...]] = {}
    for value in values:
        cell = str(rng.randrange(1024))
        old = cells.get(cell, (0, 0.0, 0.0))
        cells[cell] = (old[0] + 1, old[1] + value, old[2] + value * value)
    places = [rng.randrange(1 << 22) for _ in values]
    return ArmSums(
        phase=1,
        arm=arm,
        results=len(values),
        errors=errors,
        firsts=tuple(places[errors:]),
        first_errors=tuple(places[:errors]),
        means={"confidence": CellSums(cells=cells)},
    )


def lead(url: str, ready: Any) -> None:
    """Look again and again."""
    _leading(url, ready, lambda register: register.write(leading.advance))


def lead_naively(url: str, ready: Any) -> None:
    """Do the same in two transactions: what waits is taken out, then the evidence is written."""
    _leading(url, ready, _look_naively)


def _leading(url: str, ready: Any, look: Any) -> None:
    # For all leaders alike time passes an hour a second, so that a look is due at any moment.
    def clock() -> datetime:
        now = datetime.now(UTC)
        return now + (now - now.replace(hour=0, minute=0, second=0)) * 3600

    register = Register(Database(url), clock=clock)  # type: ignore[arg-type]
    ready.release()
    while True:
        with contextlib.suppress(HerdbookError):
            look(register)


def _look_naively(register: Register) -> None:
    def taken(work: Any) -> Any:
        found = work.experiments.lock(NAME)
        return found, work.experiments.kept(found), work.experiments.consume(found, limit=50)

    experiment, kept, waits = register.write(taken)
    if not waits:
        return
    state = evidence.started(experiment.plan)
    if kept is not None:
        state = wire.value(evidence.State, json.loads(kept.state))
    seen, firsts = first_ones(kept.seen if kept else b"", waits)
    batch = added(firsts)
    state = evidence.folded(experiment.plan, state, batch, at=datetime.now(UTC))
    time.sleep(0.05)  # as long as folding takes where there is much to fold
    register.write(
        lambda work: work.experiments.keep(
            experiment,
            Kept(
                batches=state.batches,
                at=work.now(),
                seen=seen,
                state=wire.dumps(state),
                evaluation="{}",
            ),
            batch=batch,
        )
    )
