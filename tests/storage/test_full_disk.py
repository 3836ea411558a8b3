"""A disk that is full: clear refusals, nothing half done, and on again when there is room."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from herdbook.errors import Unavailable
from herdbook.services import events
from tests.disks import small
from tests.registers import Register
from tests.storage.test_engine import FORK, URL, opened, path, pragma

__all__ = ["path"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte."""
    with small(tmp_path / "small", "1m") as folder:
        yield folder


@pytest.mark.parametrize("owner_url", ["", URL])
def test_a_full_disk_leaves_nothing_half_done(
    small_disk: Path, sqlite_template: Path, owner_url: str
) -> None:
    path = Path(shutil.copy(sqlite_template, small_disk / "herdbook.db"))
    with opened(path, owner_url=owner_url) as database:
        register, done = Register(database), 0
        with pytest.raises(Unavailable, match="free some space"):  # noqa: PT012
            for _ in range(1_000):
                register.add("majora", notes="x" * 10_000)
                done += 1

        assert register.count("versions") == done > 5
        assert register.read(events.verify).ok
        assert pragma(database, "integrity_check") == "ok"
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        assert register.add("majora").ordinal == done + 1


def _write_within(path: Path, limit: int, found: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    done = 0
    try:
        with opened(path) as database:
            for _ in range(1_000):
                Register(database).add("majora", notes="x" * 10_000)
                done += 1
    except Unavailable:
        found.put(done)
    except BaseException as error:
        found.put(repr(error))
        raise


def test_a_file_that_may_not_grow_loses_nothing(path: Path) -> None:
    found = FORK.Queue()
    worker = FORK.Process(target=_write_within, args=(path, path.stat().st_size + 400_000, found))
    worker.start()
    done = found.get(timeout=60)
    worker.join()

    with opened(path) as database:
        assert Register(database).count("versions") == done > 5
        assert Register(database).read(events.verify).ok
