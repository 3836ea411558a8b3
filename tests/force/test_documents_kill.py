"""Kill whoever moves documents, its workers and the store, wherever they are just then.

A writer adds, changes and deletes documents all the while. In the end every document is there
exactly once, as it was written last, on both sides of the cut.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

import herdbook as hb
from herdbook.core import stamps
from herdbook.core.vectors import Place, Vectors
from herdbook.front.moving.collections import OpenCollection
from tests import hashed
from tests.force.moving import Zygote
from tests.postgres import PostgresServer, StoppableServer

DOCUMENTS = 600
ENCODERS = {"v1": "python:tests.hashed:one", "v2": "python:tests.hashed:two"}
EMBED: dict[str, Callable[[list[str]], object]] = {"v1": hashed.one, "v2": hashed.two}


class Writer(threading.Thread):
    """Writes and deletes, and remembers what was acknowledged.

    What failed is done again until it is acknowledged, as a service would.
    """

    def __init__(self, collection: OpenCollection, expected: dict[str, str], seed: int) -> None:
        super().__init__(daemon=True)
        self.collection = collection
        self.expected = expected
        self.stopping = threading.Event()
        self.done = 0
        self.failed: BaseException | None = None
        self.rng = random.Random(seed)  # noqa: S311 - not for secrets

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.step()
                time.sleep(0.01)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.failed = error

    def step(self) -> None:
        ids = [f"d{self.rng.randrange(DOCUMENTS + 100):04}" for _ in range(2)]
        ids = sorted(set(ids))
        if self.rng.random() < 0.4:
            self.insist(lambda: self.collection.delete(ids))
            for id in ids:
                self.expected.pop(id, None)
        else:
            texts = [f"{id} written for the {self.done}th time" for id in ids]
            self.insist(lambda: self.collection.add(texts, ids=ids))
            self.expected.update(zip(ids, texts, strict=True))
        self.done += 1

    def insist(self, act: Callable[[], object]) -> None:
        for _ in range(300):
            with suppress(hb.HerdbookError):
                act()
                return
            time.sleep(0.05)
        act()

    def stop(self) -> None:
        self.stopping.set()
        self.join(60)
        assert not self.is_alive()
        if self.failed is not None:
            raise self.failed


class Killed:
    """A register, a store that can be killed, and what moves documents between them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.postgres = StoppableServer(folder)
        self.stack = stack
        self.running = stack.enter_context(ExitStack())
        self.start()
        server = self.postgres.server
        self.address = f"pgvector:///vectors?host={quote(str(server.folder))}&user=postgres"
        with server.connect() as connection:
            connection.execute("CREATE DATABASE vectors")

    def start(self) -> PostgresServer:
        return self.running.enter_context(self.postgres.running())

    def restart(self) -> None:
        self.postgres.stop_hard()
        with suppress(Exception):  # it says that it ended by itself
            self.running.close()
        self.running = self.stack.enter_context(ExitStack())
        self.start()


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Killed]:
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TEST_ENCODER_SECONDS", "0.004")
    folder = tmp_path / "pg"
    folder.mkdir()
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith("/tmp/"):  # noqa: S108
            parent.chmod(0o755)
    with ExitStack() as stack:
        yield Killed(folder, stack)


def filled(book: hb.Herdbook, address: str) -> tuple[OpenCollection, dict[str, str]]:
    for number in ("v1", "v2"):
        book.models.register("gbert", number)
    collection = book.documents.create(
        "docs", ref="gbert:v1", store=address, encoder=ENCODERS["v1"]
    )
    expected = {f"d{at:04}": f"d{at:04} as it was first" for at in range(DOCUMENTS)}
    collection.add(list(expected.values()), ids=list(expected))
    return collection, expected


def check(store: Vectors, place: Place, number: str, expected: dict[str, str]) -> None:
    """Every document once, its text, its vector and its stamp of one version."""
    seen: dict[str, str] = {}
    for within in store.ranges(place, size=200):
        batch = store.read(place, within, vectors=True)
        vectors = EMBED[number]([text or "" for text in batch.texts])
        assert abs(vectors - batch.vectors).max() < 1e-5
        for id, text, metadata in zip(batch.ids, batch.texts, batch.metadata, strict=True):
            assert id not in seen
            seen[id] = text or ""
            stamp = stamps.read(metadata)
            assert stamp.number == number
            ends = [(hop.from_version, hop.to_version) for hop in stamp.history]
            assert all(a[1] == b[0] for a, b in pairwise(ends))
            assert (ends[-1][1] == number) if stamp.write.startswith("migration-") else not ends
    assert seen == expected


def kill_somebody(rng: random.Random, driver: int, killed: Killed) -> str:
    """Kill the driver, one of its workers, or the store."""
    workers = [child.pid for child in psutil.Process(driver).children(recursive=True)]
    whom = rng.choice(["driver", "driver", "worker", "store"])
    if whom == "store":
        killed.restart()
    elif whom == "worker" and workers:
        os.kill(rng.choice(workers), signal.SIGKILL)
    else:
        os.kill(driver, signal.SIGKILL)
        return "driver"
    return whom


class Rounds:
    """Migrations back and forth, whose processes are killed until there were fifty kills."""

    def __init__(self, book: hb.Herdbook, killed: Killed, zygote: Zygote) -> None:
        self.book = book
        self.killed = killed
        self.zygote = zygote
        self.rng = random.Random(7)  # noqa: S311 - not for secrets
        self.kills = 0
        self.begun = 0
        self.number = "v1"

    @property
    def to(self) -> str:
        return "v2" if self.number == "v1" else "v1"

    def run(self) -> None:
        """Go on until a migration was verified and cut over after the last kill."""
        while not self.went_through() or self.kills < 50:
            continue

    def went_through(self) -> bool:
        workers = 2 if self.begun % 4 == 3 else 0
        self.begun += 1
        driver = self.zygote.begin(
            name="docs", to=self.to, encoder=ENCODERS[self.to], workers=workers
        )
        killing = self.kills < 50
        if killing:
            time.sleep(self.rng.uniform(0.02, 2.5 if workers else 0.9))
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                kill_somebody(self.rng, driver, self.killed)
                self.kills += 1
        if self.zygote.ended() != 0:
            return False
        self.book.documents.cut_over("docs")
        if killing and self.rng.random() < 0.3:
            self.book.documents.roll_back("docs", reason="as an exercise")
        elif killing:
            self.book.documents.retire("docs")
            self.number = self.to
        return not killing


@pytest.mark.timeout(300)
def test_killed_at_fifty_points_every_document_is_there_exactly_once(
    killed: Killed, tmp_path: Path
) -> None:
    with hb.connect() as book, (tmp_path / "log").open("w") as log:
        collection, expected = filled(book, killed.address)
        rounds = Rounds(book, killed, Zygote({}, log))
        writer = Writer(collection, expected, seed=7)
        writer.start()

        rounds.run()

        writer.stop()
        rounds.zygote.close()
        found = book.documents.get("docs")
        store = book.documents._opener.store(killed.address)
        assert writer.done > 100
        check(store, found.home.place, rounds.to, expected)
        assert found.beside is not None
        check(store, found.beside.place, rounds.number, expected)
