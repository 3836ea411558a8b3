"""A ledger kept outside: what a process tried to record and what it was told was recorded.

And a register small enough to be believed at a glance, which a process may die at.
"""

import json
import mmap
import os
import signal
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from herdbook.core import wire
from herdbook.core.recording import ArmSums, Delta, Folded
from herdbook.errors import Unavailable

_NUMBERS: Final = struct.Struct("@QQ")
TIME: Final = "inference_time_ms"


class Ledger:
    """Two numbers that outlive whoever writes them: results tried and results recorded."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            begun = path.with_suffix(".begun")
            begun.write_bytes(bytes(_NUMBERS.size))
            begun.rename(path)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def write(self, tried: int, recorded: int) -> None:
        """Keep both."""
        _NUMBERS.pack_into(self._memory, 0, tried, recorded)

    @property
    def tried(self) -> int:
        """How many were tried."""
        return int(_NUMBERS.unpack_from(self._memory)[0])

    @property
    def recorded(self) -> int:
        """How many were recorded."""
        return int(_NUMBERS.unpack_from(self._memory)[1])


@dataclass
class Shelf:
    """A register in a file that takes each (worker, sequence) once.

    Args:
        path: the file.
        die_at: kill this process when it has taken so many deltas, before it says so.
        twice: deliver everything again, at once and at the end.
        away: a file; while it is there the register cannot be reached.
        forgetful: take a delta as often as it comes: the control of everything else.
    """

    path: Path
    die_at: int = 0
    twice: bool = False
    away: Path | None = None
    forgetful: bool = False

    def __post_init__(self) -> None:
        with self._open() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS known (worker PRIMARY KEY, sequence)")
            connection.execute("CREATE TABLE IF NOT EXISTS deltas (doc)")
        self._calls = 0
        self._sent: list[Delta] = []

    @property
    def address(self) -> str:
        """Where it is."""
        return f"shelf:{self.path}"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def call(self, kind: type[Any], verb: str, /, **arguments: Any) -> Any:
        """Take a delta in."""
        assert (kind, verb) == (Folded, "experiments.fold")
        if self.away is not None and self.away.exists():
            raise Unavailable("the register is away")
        delta = arguments["delta"].checked()
        found = self._take(delta)
        self._calls += 1
        if self._calls == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.twice:
            self._sent.append(delta)
            found = replace(self._take(delta), new=True)
            self._take(self._sent[len(self._sent) // 2])
        return found

    def _take(self, delta: Delta) -> Folded:
        with self._open() as connection:
            asked = connection.execute(
                "SELECT sequence FROM known WHERE worker = ?", (delta.worker,)
            ).fetchone()
            known = asked[0] if asked else 0
            if delta.sequence <= known and not self.forgetful:
                return Folded(sequence=known, new=False)
            connection.execute("REPLACE INTO known VALUES (?, ?)", (delta.worker, delta.sequence))
            connection.execute("INSERT INTO deltas VALUES (?)", (wire.dumps(delta),))
            return Folded(sequence=delta.sequence, new=True)

    def deltas(self) -> list[Delta]:
        """Give all that was taken."""
        with self._open() as connection:
            found = connection.execute("SELECT doc FROM deltas ORDER BY rowid").fetchall()
        return [wire.value(Delta, json.loads(doc)) for (doc,) in found]

    def sums(self, experiment: str) -> "Sums":
        """Give what was recorded of an experiment."""
        return self.all_sums().get(experiment, Sums(0, 0, 0, 0.0))

    def all_sums(self) -> "dict[str, Sums]":
        """Give what was recorded, by experiment."""
        found: dict[str, list[ArmSums]] = {}
        for delta in self.deltas():
            for recorded in delta.recorded:
                found.setdefault(recorded.experiment, []).extend(recorded.arms)
        return {name: Sums.of(arms) for name, arms in found.items()}

    @property
    def dropped(self) -> int:
        """How many results found no room."""
        return sum(delta.dropped for delta in self.deltas())


@dataclass(frozen=True, slots=True)
class Sums:
    """What results come to whose times are 1, 2, 3…: each one's presence shows in the sums."""

    results: int
    errors: int
    lost: int
    times: float

    @classmethod
    def of(cls, arms: "Iterable[ArmSums]") -> "Sums":
        """Add sums of arms."""
        results = errors = lost = 0
        times = 0.0
        for arm in arms:
            results, errors, lost = results + arm.results, errors + arm.errors, lost + arm.lost
            cells = arm.means[TIME].cells.values() if TIME in arm.means else ()
            times += sum(cell[1] for cell in cells)
        return cls(results, errors, lost, times)

    def is_each_once(self, ledger: Ledger) -> bool:
        """Whether it is the results 1 to n, each once, of which the ledger knows."""
        whole = self.times == self.results * (self.results + 1) / 2
        return whole and ledger.recorded <= self.results <= ledger.tried
