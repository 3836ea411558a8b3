"""What `herdbook doctor` looks at: each finding a fact and a judgement, nothing changed."""

import os
import platform
import shutil
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Final

from sqlalchemy import text

from herdbook import __version__
from herdbook.bootstrap import LocalDoor
from herdbook.cli.db import integrity
from herdbook.cli.session import Session
from herdbook.core.access import everything
from herdbook.core.blobs import Blobs
from herdbook.core.events import Verdict
from herdbook.core.wire import time_value
from herdbook.errors import HerdbookError, Owned
from herdbook.settings import Settings
from herdbook.storage import blobs
from herdbook.storage.blobs.folder import FolderBlobs
from herdbook.storage.sql import health, schema
from herdbook.storage.sql.engine import WAL_SAFE, Database

LITTLE_SPACE: Final = 1 << 30
NO_SPACE: Final = 100 << 20
WRONG_SHOWN: Final = 10
SLOW_FSYNC_MS: Final = 50.0
SLOWEST_FSYNC_MS: Final = 1_000.0
RELEASED: Final = datetime(2026, 1, 1, tzinfo=UTC)
SKEW: Final = timedelta(minutes=1)
NETWORK: Final = {
    *("nfs", "nfs4", "cifs", "smb", "smb3", "smbfs", "9p", "fuse.sshfs"),
    *("afs", "ceph", "glusterfs", "lustre", "beegfs"),
}
MOUNTS: Final = Path("/proc/self/mounts")


class Judgement(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    judgement: Judgement
    told: str


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; what cannot be looked at is a finding too."""
    found = [
        Finding("herdbook", Judgement.GOOD, __version__),
        Finding("python", Judgement.GOOD, f"{platform.python_version()} on {sys.platform}"),
    ]
    address = settings.database_url
    if address.startswith(("http://", "https://")):
        return [*found, *_guarded("server", lambda: _server(settings))]
    found += _guarded("store", lambda: _store(settings.blobs_address))
    path = Path(address.removeprefix("sqlite:///")) if address.startswith("sqlite") else None
    if path is not None:
        found += [_sqlite_version(), *_guarded("folder", lambda: _folder(path.parent))]
        if not path.exists():
            told = f"{path} is not there yet; the first command makes it"
            return [*found, Finding("database", Judgement.WARNING, told)]
        found.append(_file(path))
    return [*found, *_guarded("database", lambda: _database(settings))]


def _guarded(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except Owned as owned:
        told = f"{owned.message}; stop the server to examine the file itself"
        yield Finding(name, Judgement.WARNING, told)
    except HerdbookError as error:
        yield Finding(name, Judgement.BAD, error.message)
    except OSError as error:
        told = f"{error.strerror or error}; look at the disk and its permissions"
        yield Finding(name, Judgement.BAD, told)


def _server(settings: Settings) -> Iterator[Finding]:
    with Session(url=settings.url).book() as book:
        book.models.list(page_size=1)
        yield Finding("server", Judgement.GOOD, f"{book.address} answers")


def _store(address: str) -> Iterator[Finding]:
    opened = blobs.opened(address)
    try:
        if not isinstance(opened, FolderBlobs):
            told = f"{opened.address}; `herdbook artifacts verify` looks for what is in it"
            yield Finding("store", Judgement.GOOD, told)
            return
        folder = Path(opened.address)
        if not os.path.lexists(folder):
            told = f"{folder} is not there yet; the first push makes it"
            yield Finding("store", Judgement.GOOD, told)
            return
        yield _store_folder(folder, opened)
    finally:
        opened.close()


def _store_folder(folder: Path, opened: Blobs) -> Finding:
    if not folder.is_dir():
        told = f"{folder} is no folder: move it away, or set HERDBOOK_BLOBS to one"
        return Finding("store", Judgement.BAD, told)
    count = size = 0
    for held in opened.each():
        count, size = count + 1, size + held.size
    kind = file_system(folder.resolve(), MOUNTS.read_text() if MOUNTS.exists() else "")
    free = shutil.disk_usage(folder).free
    told = (
        f"{folder} on {kind or 'a file system of unknown kind'}: {count:,} blobs, "
        f"{size / (1 << 30):.1f} GiB, {free / (1 << 30):.1f} GiB free"
    )
    try:
        # Asked of the disk itself: a permission says nothing of one that is mounted read-only.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        told += f"; it cannot be written: {error.strerror or error}"
        return Finding("store", Judgement.BAD, told)
    return Finding("store", _judged(bad=free < NO_SPACE, warn=free < LITTLE_SPACE), told)


def _sqlite_version() -> Finding:
    version = sqlite3.sqlite_version
    if WAL_SAFE:
        return Finding("sqlite", Judgement.GOOD, version)
    told = (
        f"{version} has the WAL-reset bug (3.7.0 to 3.51.2): the write-ahead log is used only "
        "while one process owns the file, else journal mode delete; SQLite 3.51.3 mends it"
    )
    return Finding("sqlite", Judgement.WARNING, told)


def _folder(folder: Path) -> Iterator[Finding]:
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    judged = _judged(bad=free < NO_SPACE, warn=free < LITTLE_SPACE)
    yield Finding("free space", judged, f"{free / (1 << 30):.1f} GiB at {there}")
    yield _permissions(there)
    yield _file_system(there)
    if os.access(there, os.W_OK):  # else that was said already
        yield _fsync(there)


def _judged(*, bad: bool, warn: bool) -> Judgement:
    return Judgement.BAD if bad else Judgement.WARNING if warn else Judgement.GOOD


def _permissions(folder: Path) -> Finding:
    if not os.access(folder, os.W_OK):
        return Finding("permissions", Judgement.BAD, f"{folder} is not writable")
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH:
        told = f"anybody on this machine may write to {folder}: chmod o-w"
        return Finding("permissions", Judgement.WARNING, told)
    return Finding("permissions", Judgement.GOOD, stat.filemode(mode))


def _file_system(folder: Path) -> Finding:
    kind = file_system(folder, MOUNTS.read_text() if MOUNTS.exists() else "")
    if kind in NETWORK:
        told = f"{kind}: SQLite's locks do not hold over a network; use a local disk or PostgreSQL"
        return Finding("file system", Judgement.BAD, told)
    return Finding("file system", Judgement.GOOD, kind or "unknown")


def file_system(folder: Path, mounts: str) -> str:
    r"""Give the kind of file system a folder is on, from the text of the mount table.

    Example:
        >>> file_system(Path("/data/models"), "a / ext4 rw\nb /data nfs4 rw")
        'nfs4'
    """
    rows = [line.split() for line in mounts.splitlines()]
    found = [(Path(row[1].replace("\\040", " ")), row[2]) for row in rows if len(row) > 2]
    parents = {folder.absolute(), *folder.absolute().parents}
    holding = [(len(place.parts), kind) for place, kind in found if place in parents]
    return max(holding, default=(0, ""))[1]


def _file(path: Path) -> Finding:
    if not os.access(path, os.R_OK):
        return Finding("file", Judgement.BAD, f"{path} cannot be read: chmod u+r")
    if not os.access(path, os.W_OK):
        told = f"{path} cannot be written: nothing can be registered or deployed; chmod u+w"
        return Finding("file", Judgement.BAD, told)
    return Finding("file", Judgement.GOOD, stat.filemode(path.stat().st_mode))


def _fsync(folder: Path) -> Finding:
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(5):
            file.write(b"herdbook")
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1_000)
    middle = sorted(times)[2]
    judged = _judged(bad=middle > SLOWEST_FSYNC_MS, warn=middle > SLOW_FSYNC_MS)
    return Finding("fsync", judged, f"{middle:.2f} ms, which every change waits for")


def _database(settings: Settings) -> Iterator[Finding]:
    database = Database(settings.database_url, busy_timeout_ms=settings.busy_timeout_ms)
    try:
        yield from _inside(database)
    finally:
        database.close()


def _inside(database: Database) -> Iterator[Finding]:
    if database.path is not None:
        state = integrity(database.path)
        judged = Judgement.GOOD if state == "ok" else Judgement.BAD
        yield Finding("integrity", judged, state)
        if judged is Judgement.BAD:
            return
    with database.reading() as connection:
        asked = "PRAGMA journal_mode" if database.is_sqlite else "SHOW server_version"
        name = "journal mode" if database.is_sqlite else "postgresql"
        yield Finding(name, Judgement.GOOD, str(connection.execute(text(asked)).scalar_one()))
    at = schema.check(database)
    if at != schema.HEAD:
        told = f"at {at or 'none'}, this program needs {schema.HEAD}; run `herdbook db upgrade`"
        yield Finding("schema revision", Judgement.BAD, told)
        return
    yield Finding("schema revision", Judgement.GOOD, schema.HEAD)
    yield _contents(database)
    yield from _log(database)


def _contents(database: Database) -> Finding:
    with database.reading() as connection:
        wrong = list(islice(health.inconsistencies(connection), WRONG_SHOWN + 1))
    if not wrong:
        return Finding("contents", Judgement.GOOD, "what is stored agrees with itself")
    more = "; and more" if len(wrong) > WRONG_SHOWN else ""
    return Finding("contents", Judgement.BAD, "; ".join(wrong[:WRONG_SHOWN]) + more)


def _log(database: Database) -> Iterator[Finding]:
    verdict = LocalDoor(database, everything("doctor")).call(Verdict, "events.verify")
    judged = Judgement.GOOD if verdict.ok else Judgement.BAD
    told = verdict.problem or f"intact, {verdict.events} events"
    yield Finding("audit log", judged, told)
    with database.reading() as connection:
        newest = connection.execute(text("SELECT max(at) FROM events")).scalar_one()
    yield clock(datetime.now(UTC), newest=time_value(newest) if newest else None)


def clock(now: datetime, *, newest: datetime | None) -> Finding:
    """Judge the clock against this program's release and the newest event."""
    if now < RELEASED:
        return Finding("clock", Judgement.BAD, f"it says {now:%Y-%m-%d}, before this program was")
    if newest is not None and newest > now + SKEW:
        told = f"it says {now:%Y-%m-%d %H:%M}, the newest event is of {newest:%Y-%m-%d %H:%M}"
        return Finding("clock", Judgement.WARNING, told)
    return Finding("clock", Judgement.GOOD, f"{now:%Y-%m-%dT%H:%M:%SZ}")
