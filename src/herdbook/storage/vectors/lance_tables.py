"""LanceDB's tables: opened, written by one at a time, kept tidy."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import lancedb
import pyarrow as pa

from herdbook.core.vectors import Place
from herdbook.errors import Invalid, NotFound, Unavailable

LOCK_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.005
# Readers that began before this still find their version.
_KEPT: Final = timedelta(minutes=10)
# Every write leaves a fragment and a version. Putting fragments together writes all their rows
# again, so it waits until there are many, the more the larger the table is.
_LOOK_EVERY: Final = 50
_FRAGMENTS: Final = 500
_ROWS_A_FRAGMENT: Final = 2_000
_WRITES: Final = 1_000


class Tables:
    """The tables in a folder.

    Writers of a table, threads and processes alike, take turns by a lock file beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Every call sees what others wrote meanwhile.
        self.database: Any = lancedb.connect(folder, read_consistency_interval=timedelta(0))
        self._opened: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._writes: dict[str, int] = {}

    def names(self) -> list[str]:
        """Name the tables."""
        found: list[str] = []
        token = None
        while True:
            page = self.database.list_tables(page_token=token, limit=1_000)
            found += page.tables
            token = page.page_token
            if not token:
                return found

    def table(self, place: Place) -> tuple[Any, Any] | None:
        """Give a collection's table and what columns it has now, or None."""
        name = place.collection
        try:
            kept = self._opened.get(name)
            if kept is None:
                kept = self._opened[name] = self.database.open_table(name)
            schema = kept.schema
        except (ValueError, RuntimeError) as error:
            self._opened.pop(name, None)
            if "not found" in str(error).lower():
                return None
            raise
        return kept, schema

    def forget(self, name: str) -> None:
        """Open a table anew next time."""
        self._opened.pop(name, None)
        self._writes.pop(name, None)

    @contextmanager
    def alone(self, place: Place) -> Iterator[None]:
        """Keep all other writers of a collection out.

        Raises:
            Unavailable: another process did not come to an end.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock, (self.folder / f".{place.collection}.lock").open("ab") as file:
            _take(file.fileno(), place)
            yield

    def tidy(self, place: Place, table: Any) -> None:
        """Count a write; now and then put small files together and forget old versions."""
        name = place.collection
        writes = self._writes[name] = self._writes.get(name, 0) + 1
        if writes % _LOOK_EVERY:
            return
        stats = table.stats()
        many = _FRAGMENTS + stats["num_rows"] // _ROWS_A_FRAGMENT
        if writes >= _WRITES or stats["fragment_stats"]["num_fragments"] >= many:
            self.optimize(place, table)

    def optimize(self, place: Place, table: Any) -> None:
        """Put small files together, take new rows into the indexes, forget old versions."""
        table.optimize(cleanup_older_than=_KEPT)
        self._writes[place.collection] = 0

    def close(self) -> None:
        """Let go of the tables."""
        self._opened.clear()


def _take(fd: int, place: Place) -> None:
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Unavailable(
                    f"another process has been writing {place.collection} for "
                    f"{LOCK_SECONDS:.0f} seconds; try again, or end it"
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return


@contextmanager
def translated(place: object = "") -> Iterator[None]:
    """Raise LanceDB's errors as ours.

    Raises:
        NotFound: a table went away meanwhile.
        Invalid: it refused what it was given.
        Unavailable: the disk, or a writer that is not Herdbook's, was in the way.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise Invalid(f"a text is no Unicode: {error.reason}") from error
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise Invalid(f"LanceDB refuses it: {_said(error)}") from error
    except (OSError, RuntimeError) as error:
        said = _said(error)
        # A table that is being dropped loses one file after the other; versions outlive any read.
        if "Not found" in said and ".lance/" in said:
            raise NotFound(f"there is no {place} any more") from error
        if "LanceError(Arrow)" in said or "invalid" in said.lower():
            raise Invalid(f"LanceDB refuses it: {said}") from error
        raise Unavailable(f"LanceDB could not do it: {said}; try again") from error


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def folder_of(address: str) -> Path:
    """Give the folder of `lancedb:folder`.

    Raises:
        Invalid: it is no folder of this machine's.
    """
    path = address.partition(":")[2]
    if "://" in path or path.startswith("//"):
        raise Invalid(
            f"{address!r:.120} is no folder; Herdbook writes LanceDB's tables in folders only, "
            "where a lock file keeps writers apart",
            field="store",
        )
    return Path(os.path.expanduser(path))  # noqa: PTH111 - one that does not exist stays as it is
