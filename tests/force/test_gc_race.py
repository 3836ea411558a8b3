"""Bytes are collected while many push what they share: no version ever lacks any."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from herdbook.core.artifacts import digest_of
from herdbook.errors import NotFound, Unavailable
from herdbook.storage.blobs.folder import FolderBlobs
from herdbook.storage.sql.engine import Database
from tests.force.pushing import CLEAN, Examiner, later, opened

PUSHERS, COLLECTORS = 3, 2
SECONDS = 5.0
PAUSE_SECONDS = 0.05
# So few different files that many push what others push, and what is just being removed.
UNIVERSE = [bytes([number]) * (number + 1) * 50 for number in range(40)]

Task = Callable[[Path, str, int, Any], None]


def push_many(home: Path, url: str, mine: int, results: Any) -> None:
    """Push folders of what everyone pushes; tell what was acknowledged and what was refused."""
    rng, until = random.Random(mine), time.monotonic() + SECONDS  # noqa: S311 - not a secret
    folder, acknowledged, refused = home / f"mine-{mine}", [], []
    with opened(home, url) as book:
        while time.monotonic() < until:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            # Its own too: what nobody pushes again stays lost.
            for data in (*rng.sample(UNIVERSE, 3), rng.randbytes(100), rng.randbytes(200)):
                (folder / f"{digest_of(data)[7:20]}.bin").write_bytes(data)
            try:
                done = book.artifacts.push(f"m{mine}", path=folder, git_commit="")
            except (NotFound, Unavailable) as error:
                refused.append(error.message)
            else:
                assert done.version is not None
                acknowledged.append((done.version.ref, done.manifest))
    results.put(("pushed", acknowledged, refused))


def collect_many(home: Path, url: str, mine: int, results: Any) -> None:
    """Collect again and again, with no grace; the second as if it were two days later."""
    until, removed = time.monotonic() + SECONDS, 0
    with opened(home, url) if mine == 0 else later(home, url) as book:
        while time.monotonic() < until:
            removed += book.artifacts.collect(grace_hours=0).blobs
            time.sleep(PAUSE_SECONDS * mine)
    results.put(("collected", removed, []))


def collect_naively(home: Path, url: str, _mine: int, results: Any) -> None:
    """Remove what nobody needed a moment ago."""
    blobs, database = FolderBlobs(home / "blobs"), Database(url)
    until, removed = time.monotonic() + SECONDS, 0
    asked = text(
        "SELECT b.digest FROM manifest_blobs m JOIN blobs b ON b.id = m.blob_id"
        " JOIN version_manifests v ON v.manifest_id = m.manifest_id"
    )
    while time.monotonic() < until:
        with database.reading() as connection:
            needed = {row[0] for row in connection.execute(asked)}
        loose = [held.digest for held in blobs.each() if held.digest not in needed]
        time.sleep(PAUSE_SECONDS)  # to look through a large store takes longer
        for digest in loose:
            blobs.remove(digest)
        removed += len(loose)
    database.close()
    results.put(("collected", removed, []))


def raced(home: Path, url: str, collector: Task) -> tuple[Examiner, list[Any]]:
    """Let all of them loose at once."""
    with opened(home, url):
        blobs = FolderBlobs(home / "blobs")
        for data in UNIVERSE:
            blobs.write([data])
    results = CLEAN.Manager().Queue()
    tasks: list[tuple[Task, int]] = [(push_many, mine) for mine in range(PUSHERS)]
    tasks += [(collector, mine) for mine in range(COLLECTORS)]
    workers = [CLEAN.Process(target=task, args=(home, url, n, results)) for task, n in tasks]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=100)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    return Examiner(home, url), [results.get() for _ in workers]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty register, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/herdbook.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


def test_no_version_lacks_bytes_that_were_collected_meanwhile(tmp_path: Path, url: str) -> None:
    examiner, results = raced(tmp_path, url, collect_many)

    found = examiner.look()
    pushed = [pair for kind, pairs, _ in results if kind == "pushed" for pair in pairs]
    assert found.is_whole, found
    assert dict(pushed).items() <= found.versions.items()
    assert len(pushed) > 10
    assert sum(count for kind, count, _ in results if kind == "collected") > 10
    with opened(tmp_path, url) as book:
        checked = book.artifacts.verify(read_percent=100)
        assert (checked.damaged, checked.damage) == (0, ())
        assert book.events.verify().ok


def test_the_naive_collector_is_found_out(tmp_path: Path) -> None:
    """The control: what the test above looks for, it does find."""
    examiner, _ = raced(tmp_path, f"sqlite:///{tmp_path}/herdbook.db", collect_naively)

    assert examiner.look().lost != set()


@pytest.mark.parametrize("pinned", [True, False])
def test_what_was_sent_is_kept_for_a_day(tmp_path: Path, *, pinned: bool) -> None:
    home, url = tmp_path, f"sqlite:///{tmp_path}/herdbook.db"
    (home / "sent").mkdir()
    (home / "sent" / "a.bin").write_bytes(b"sent")
    with opened(home, url) as book:
        list(book.artifacts._door.send([home / "sent" / "a.bin"]))

    with opened(home, url) if pinned else later(home, url) as keeper:
        found = keeper.artifacts.collect(grace_hours=0, dry_run=True)
        assert found.blobs == (0 if pinned else 1)
        assert Examiner(home, url).blobs() == {digest_of(b"sent")}
        assert keeper.artifacts.collect(grace_hours=0).size == (0 if pinned else 4)

    assert len(Examiner(home, url).blobs()) == pinned
