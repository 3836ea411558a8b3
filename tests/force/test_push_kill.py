"""Whoever pushes, and the server pushed to, is killed at any moment: all of a version, or none."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from herdbook.core.artifacts import Artifact, digest_of
from herdbook.errors import HerdbookError
from herdbook.services import artifacts, versions
from herdbook.services.versions import Draft
from herdbook.storage.blobs.folder import FolderBlobs
from herdbook.storage.sql.engine import Database
from tests.force.pushing import CLEAN, Examiner, Found, digests_below, filled, later, opened
from tests.registers import Register
from tests.running import free_port

WAIT_SECONDS = 30
TURNS = 18
SERVED_TURNS = 12


def push_until_killed(home: Path, url: str, seed: str) -> None:
    """Push one folder after another, and write down what was acknowledged."""
    with (home / "acknowledged").open("ab", buffering=0) as log:
        for turn in range(1_000):
            folder = filled(home / "folders" / seed, f"{seed}-{turn}")
            with contextlib.suppress(HerdbookError), opened(home, url) as book:
                done = book.artifacts.push("majora", path=folder, git_commit="")
                assert done.version is not None
                log.write(f"{done.version.ref} {done.manifest}\n".encode())


def push_naively(home: Path, url: str, seed: str) -> None:
    """Push as one would who never thought of it: the version first, then its bytes."""
    blobs = FolderBlobs(home / "blobs")
    register = Register(Database(url))
    for turn in range(1_000):
        folder = filled(home / "folders" / seed, f"{seed}-{turn}")
        found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        files = tuple(
            Artifact(path=path.name, size=len(data), digest=digest_of(data), role="weights")
            for path, data in found.items()
        )

        def job(work: Any, files: tuple[Artifact, ...] = files) -> None:
            artifacts.stored(work, sizes={file.digest: file.size for file in files})
            versions.register(work, "majora", draft=Draft(artifacts=files))

        register.write(job)
        list(blobs.take_all(found))


def files_in(folder: Path) -> int:
    """How many files are written, or half written."""
    return sum(1 for path in folder.rglob("*") if path.is_file())


def killed_at(process: Any, home: Path, step: int, rng: random.Random) -> None:
    """Kill a process when it has written so many files, or some time after."""
    before, until = files_in(home / "blobs"), time.monotonic() + 3
    while time.monotonic() < until and files_in(home / "blobs") - before < step % 8:
        pass
    time.sleep(rng.uniform(0, rng.choice([0.0, 0.01, 0.06, 0.3])))
    os.kill(process.pid, signal.SIGKILL)
    process.wait() if isinstance(process, subprocess.Popen) else process.join()


def acknowledged(home: Path) -> dict[str, str]:
    lines = (home / "acknowledged").read_text().splitlines()
    return dict(line.split(" ") for line in lines)


def made(home: Path) -> tuple[Examiner, str]:
    """An empty register."""
    (home / "acknowledged").touch()
    url = f"sqlite:///{home}/herdbook.db"
    with opened(home, url):
        return Examiner(home, url), url


def assert_in_order(examiner: Examiner, home: Path) -> None:
    """What was left is no obstacle, and goes away: the end of each story here."""
    url, folder = examiner.url, filled(home / "again", "once more")
    files = digests_below(folder)
    some = sorted(folder.rglob("*.json"))[0]
    with opened(home, url) as book:
        # As if a push had died after its first file: bytes that nobody noted.
        list(FolderBlobs(home / "blobs").take_all([some]))
        missing = files.keys() - examiner.blobs()
        assert 0 < len(missing) < len(files)

        planned = book.artifacts.plan(folder)
        done = book.artifacts.push("majora", path=folder, git_commit="")

        assert done.new_files == len(missing)
        assert done.new_bytes == sum(files[digest] for digest in missing)
        assert planned.new_files >= done.new_files
        assert book.artifacts.push("majora", path=folder, git_commit="").new_files == 0
        checked = book.artifacts.verify(read_percent=100)
        assert (checked.damaged, checked.damage) == (0, ())
        assert book.events.verify().ok
    assert examiner.look().is_whole
    with later(home, url) as keeper:
        keeper.artifacts.collect(grace_hours=0)
        checked = keeper.artifacts.verify(read_percent=100)
        assert (checked.damaged, checked.damage) == (0, ())
    assert examiner.drafts() == set()
    held = {layer for _, doc in examiner.manifests() for layer in _digests(doc)}
    assert examiner.blobs() == held


def _digests(doc: str) -> set[str]:
    return {layer["digest"] for layer in json.loads(doc)["layers"]}


def test_a_push_that_is_killed_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    examiner, url = made(tmp_path)
    rng, left, found = random.Random(5), 0, Found()  # noqa: S311 - not a secret

    for turn in range(TURNS):
        pusher = CLEAN.Process(target=push_until_killed, args=(tmp_path, url, f"{turn}"))
        pusher.start()
        killed_at(pusher, tmp_path, turn, rng)
        found = examiner.look()
        assert found.is_whole, found
        assert acknowledged(tmp_path).items() <= found.versions.items()
        left += len(examiner.drafts())

    assert left > 0, "nobody died in the middle: the test shows nothing"
    assert found.versions != {}
    assert_in_order(examiner, tmp_path)


def test_the_naive_push_is_found_out(tmp_path: Path) -> None:
    """The control: what the test above looks for, it does find."""
    examiner, url = made(tmp_path)
    rng, found = random.Random(5), Found()  # noqa: S311 - not a secret

    for turn in range(3 * TURNS):
        pusher = CLEAN.Process(target=push_naively, args=(tmp_path, url, f"{turn}"))
        pusher.start()
        killed_at(pusher, tmp_path, turn, rng)
        found = examiner.look()
        if found.lost:
            break

    assert found.lost != set()
    with opened(tmp_path, url) as book:
        damaged = book.artifacts.verify().damage
    assert {ref.split(" ")[0] for ref in found.lost} <= {
        ref for damage in damaged for ref in damage.versions
    }


# --- over HTTP ---


class Server:
    """A server that is killed and started again at the same address."""

    def __init__(self, home: Path, url: str) -> None:
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self._home, self._url = home, url
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-m", "herdbook", "server", "start", "--port", str(self._port)]
        settings = {"HERDBOOK_URL": self._url, "HERDBOOK_HOME": str(self._home)}
        with (self._home / "server.log").open("ab") as log:
            return subprocess.Popen(
                words, env=os.environ | settings, stdout=subprocess.DEVNULL, stderr=log
            )

    def again(self) -> None:
        """Start it again, and wait until it answers."""
        if self.process.poll() is not None:
            self.process = self._start()
        self.ready()

    def ready(self) -> None:
        """Wait until it answers."""
        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                with opened(self._home, self.address) as book:
                    book.models.list()
            except HerdbookError:
                assert time.monotonic() < until, (self._home / "server.log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it as one should."""
        self.process.terminate()
        self.process.wait(timeout=WAIT_SECONDS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the register in the folder of the test."""
    _, url = made(tmp_path)
    running = Server(tmp_path, url)
    running.ready()
    yield running
    running.stop()


def test_clients_and_servers_that_are_killed_leave_whole_versions(
    server: Server, tmp_path: Path
) -> None:
    examiner = Examiner(tmp_path, f"sqlite:///{tmp_path}/herdbook.db")
    rng, found = random.Random(7), Found()  # noqa: S311 - not a secret
    kills = {"client": 0, "server": 0}

    for turn in range(SERVED_TURNS):
        client = CLEAN.Process(target=push_until_killed, args=(tmp_path, server.address, f"{turn}"))
        client.start()
        if turn % 3 == 2:
            killed_at(server.process, tmp_path, turn, rng)
            kills["server"] += 1
        killed_at(client, tmp_path, 0 if turn % 3 == 2 else turn, rng)
        kills["client"] += 1
        found = examiner.look()
        assert found.is_whole, found
        assert acknowledged(tmp_path).items() <= found.versions.items()
        server.again()

    assert kills == {"client": SERVED_TURNS, "server": SERVED_TURNS // 3}
    assert found.versions != {}
    server.stop()
    assert_in_order(examiner, tmp_path)
