"""Results arrive over HTTP while the server is killed: afterwards each of them counts once."""

import contextlib
import random
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import herdbook
from herdbook.core.access import everything
from herdbook.errors import HerdbookError
from herdbook.front import recording
from herdbook.front.book import Herdbook
from herdbook.front.delivering import Delivery
from herdbook.settings import Settings
from herdbook.storage.sql.engine import Database
from herdbook.storage.sql.work import writing
from tests.force.between import Between, Server
from tests.force.crowds import CLEAN
from tests.force.ledgers import Ledger, Sums

CLEAN.set_forkserver_preload(["herdbook.bootstrap", __name__])
WORKERS, WRONG = 3, 7
ARMS = ("control", "treatment")


class WithoutNumbers(Delivery):
    """The control: whatever it sends, it sends under a number of its own."""

    def _send(self) -> None:
        if self._waiting is not None:
            found, _ = self._waiting
            self._waiting = found, found.delta(f"w{uuid4().hex}", 1, dropped=0)
        super()._send()


def opened(url: str) -> Herdbook:
    home = Path(tempfile.mkdtemp(prefix="herdbook-sent-"))
    return herdbook.connect(settings=Settings(home=home, url=url, actor="worker"))


def name_of(worker: int) -> str:
    return f"gnn-{worker}_test"


def record(address: str, worker: int, folder: Path, delivery: type[Delivery]) -> None:
    """Record results with the times 1, 2, 3… and keep the ledger, until told to stop."""
    vars(recording)["Delivery"] = delivery
    ledger, done = Ledger(folder / f"ledger-{worker}"), 0
    with opened(address) as book:
        kept = book.experiments.record_result
        while not (folder / "stop").exists():
            for _ in range(20):
                done += 1
                ledger.write(done, done - 1)
                arm = ARMS[done % 2]
                assert kept(name_of(worker), arm, float(done), 0.5, done % WRONG == 0, unit=done)
                ledger.write(done, done)
            time.sleep(0.02)
            # Not only when the thread has waited long enough for a server that was away.
            if done % 500 == 0:
                with contextlib.suppress(HerdbookError):
                    book.experiments.flush()
        _flushed(book)


def _flushed(book: Herdbook) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            book.experiments.flush()
        except HerdbookError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def begun(url: str) -> None:
    """A register with an experiment for each of those who record."""
    with opened(url) as book:
        for worker in range(WORKERS):
            for number in ("v1", "v2"):
                book.models.register(f"gnn-{worker}", number, git_commit="")
            book.deployments.promote(f"gnn-{worker}:v1")
            # Nothing is acted on, so that everything that comes is in time.
            book.experiments.start(name_of(worker), f"gnn-{worker}", "v2", auto_rollback=False)


def sent_to_one_that_is_killed(
    folder: Path, kills: int, delivery: type[Delivery] = Delivery
) -> list[tuple[Sums, Ledger]]:
    """Kill the server again and again while workers send; give what came beside their ledgers."""
    url = f"sqlite:///{folder / 'herdbook.db'}"
    begun(url)
    rng, server = random.Random(7), Server(url, folder / "log")  # noqa: S311 - not a secret
    server.start()
    between = Between(server)
    args = [(between.address, at, folder, delivery) for at in range(WORKERS)]
    recording_ = [CLEAN.Process(target=record, args=each) for each in args]
    try:
        for process in recording_:
            process.start()
        ledgers = _ledgers(folder)
        for turn in range(kills):
            time.sleep(rng.uniform(0.2, 0.8))
            # At any moment; or when it took results in, before whoever sent them knows.
            (between.cut, server.kill)[turn % 2]()
            time.sleep(rng.uniform(0.0, 0.3))
            server.start()
        (folder / "stop").touch()
        for process in recording_:
            process.join(40)
        assert [process.exitcode for process in recording_] == [0] * WORKERS
    finally:
        server.kill()
        between.close()
        for process in recording_:
            process.kill()
    return [(counted(url, at), ledger) for at, ledger in enumerate(ledgers)]


def _ledgers(folder: Path) -> list[Ledger]:
    """Wait until everybody records, and open what they write into."""
    paths = [folder / f"ledger-{at}" for at in range(WORKERS)]
    until = time.monotonic() + 30
    while not all(path.exists() and Ledger(path).recorded for path in paths):
        assert time.monotonic() < until, "nobody records"
        time.sleep(0.02)
    return [Ledger(path) for path in paths]


def counted(url: str, worker: int) -> Sums:
    """Take in what still waits, and add up what the evidence was made from."""
    with opened(url) as book:
        judged = book.experiments.evaluate(name_of(worker))
        assert book.experiments.replay(name_of(worker)) == judged
    with writing(Database(url), everything("reader")) as work:
        found = work.experiments.get(name_of(worker))
        sums = Sums.of(arm for _, batch in work.experiments.batches(found) for arm in batch)
    assert sums.results == sum(arm.results for arm in judged.arms)
    return sums


def test_each_result_counts_once_however_often_the_server_is_killed(tmp_path: Path) -> None:
    found = sent_to_one_that_is_killed(tmp_path, 3)

    for sums, ledger in found:
        assert (sums.results, sums.lost) == (ledger.recorded, 0)
        assert sums.is_each_once(ledger)
        assert sums.errors == ledger.recorded // WRONG
        assert ledger.recorded > 500


def test_a_sender_without_numbers_counts_some_of_them_twice(tmp_path: Path) -> None:
    """The control: what the test above looks for, it does find."""
    found = sent_to_one_that_is_killed(tmp_path, 1, WithoutNumbers)

    assert any(sums.results > ledger.recorded for sums, ledger in found)
