"""PostgreSQL is stopped hard in the middle of work: what was acknowledged is there, once."""

import multiprocessing
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import herdbook
from herdbook import errors
from tests.postgres import StoppableServer

WRITERS = 4
STOPS = 5
WORK_SECONDS = 1.0
MODEL = "majora"


def write_until_it_ends(url: str, acknowledged: Path, seed: int) -> None:
    """Register versions and write down each that was acknowledged, until the server is gone."""
    try:
        with herdbook.connect(url) as book, acknowledged.open("a") as log:
            while True:
                mark = f"{seed}-{time.monotonic_ns()}"
                version = book.models.register(MODEL, git_commit="", tags={"mark": mark})
                log.write(f"{version.number} {mark}\n")
                log.flush()
    except (errors.Unavailable, errors.SchemaMismatch):
        return  # a clear error and no traceback is what a writer may see


def test_what_postgresql_acknowledged_survives_a_hard_stop() -> None:
    with TemporaryDirectory(prefix="herdbook-pg-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        data, log = folder / "server", folder / "acknowledged"
        data.mkdir()
        server = StoppableServer(data)

        for _ in range(STOPS):
            _work_and_stop(server, log)

        with server.running() as running, herdbook.connect(running.url()) as book:
            versions = list(book.versions.each(model=MODEL))
            acknowledged = dict(line.split() for line in log.read_text().splitlines())
            found = {version.number: version.tags["mark"] for version in versions}
            assert len(acknowledged) > WRITERS * STOPS
            assert acknowledged.items() <= found.items()
            assert [v.ordinal for v in versions] == list(range(len(versions), 0, -1))
            registered = [e.number for e in book.events.each(action="version.registered")]
            assert sorted(registered) == sorted(found)
            assert book.events.verify().ok


def _work_and_stop(server: StoppableServer, log: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with server.running() as running:
        herdbook.connect(running.url()).close()
        writers = [
            spawn.Process(target=write_until_it_ends, args=(running.url(), log, seed))
            for seed in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        time.sleep(WORK_SECONDS + 1.0)
        server.stop_hard()
        for writer in writers:
            writer.join(60)
            assert writer.exitcode == 0
