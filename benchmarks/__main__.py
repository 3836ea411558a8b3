"""`python -m benchmarks`: measure everything and write one table."""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import herdbook
from benchmarks import (
    artifacts,
    assigning,
    checking,
    embedded,
    evaluating,
    footprint,
    growth,
    machine,
    memory,
    moving,
    moving_real,
    peer,
    recording,
    registers,
    sampling,
    serving,
    serving_calls,
)
from benchmarks.results import Row, table, verdicts
from benchmarks.sizes import FULL, QUICK, Sizes

RESULTS: Final = Path(__file__).parent / "RESULTS.md"
PARTS: Final = (
    *("footprint", "embedded", "serving", "growth", "memory", "artifacts"),
    *("assigning", "recording", "calls", "evaluating", "checking", "sampling"),
    *("moving", "moving_real"),
)
# Those that read the register both sides hold.
READERS: Final = frozenset({"footprint", "embedded", "serving"})

NOTES: Final = """\
Written by `make bench`; the median of {rounds} interleaved runs (ours, peer, ours, peer …).
Compare ratios: the same run on another machine gives other figures.

- Both sides hold the same register, built through each one's own verbs: names, ordinals, two
  tags, a source, a description. That both give the same rows and the same version for the alias
  is asserted before anything is timed.
- Both servers run with one worker on SQLite as they come, which is `synchronous=FULL` on both
  sides, and both are up throughout. MLflow's job runner is off while it is loaded.
- Load comes from one process with raw keep-alive sockets, the same for both; the detail says how
  much of a core it took. CPU is that of the server's whole process tree.
- Each connection asks the same questions in turn, in the same bytes each time: Herdbook answers a
  repeated question from memory while nothing was committed. Under an id of its own none is.
- The large registers are written straight into the tables by `benchmarks/registers.py`, then
  `ANALYZE` is run; PostgreSQL comes with 32 MB of shared buffers.
- Files: each side begins with an empty store whose tables are there, takes the same folder and has
  to give the same bytes out to whoever has none of them; that is checked each time, untimed. Wall,
  CPU and memory are those of whole processes, interpreters and imports included. Herdbook alone
  waits until what it took is on the disk, which none of the others nor `cp` does. SHA-256 is
  hashed by the fastest of `hashlib`, `openssl` and `sha256sum`.
- nginx has one worker and `sendfile on`, as Debian ships it; the client is the same for both, a
  process that reads into a buffer of 1 MiB and keeps nothing.
- Assigning: every side gives each of the same units its version of an even split, in a loop of one
  thread of its own process, by the cheapest way its pages show: for GrowthBook the cheaper of a
  feature's value and an experiment in the code. OpenFeature's provider splits by CRC-32. The loop
  is in every figure.
- Documents: the bare loop is what the store's own client does at its quickest, without stamps, a
  ledger or a way back; Herdbook's figure is that of its backfill. The model is all-MiniLM-L6-v2
  run in numpy on one thread.
- How often a decision is wrong takes an hour to measure and is not part of this:
  `python -m benchmarks.simulation --runs 2000`; the table is in docs/decisions.md. How often drift
  is cried for nothing: `python -m benchmarks.drifting --runs 200`, in docs/drift_simulation.md.
- *missing* is a peer that could not be installed, or was not asked for.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of some parts.

    Args:
        sizes: how much.
        parts: which.
        peer_version: MLflow's, or "" when it is missing.
        folder: where registers and logs are.
    """

    sizes: Sizes
    parts: tuple[str, ...]
    peer_version: str
    folder: Path

    def rows(self) -> Iterator[Row]:
        """Measure part after part."""
        url = f"sqlite:///{self.folder / 'herdbook.db'}"
        with ExitStack() as running:
            child = None
            held = READERS.intersection(self.parts)
            if held and self.peer_version:
                child = running.enter_context(peer.in_process(self.folder))
                child.tell("build", models=self.sizes.models, versions=self.sizes.versions)
            if held:
                registers.build(url, models=self.sizes.models, versions=self.sizes.versions)
            if child is not None:
                child.answer()
            for part in self.parts:
                began = time.monotonic()
                yield from self._part(part, url, child)
                print(f"# {part}: {time.monotonic() - began:.0f} s", flush=True)

    def _part(self, part: str, url: str, child: peer.Peer | None) -> Iterator[Row]:
        with_peer = bool(self.peer_version)
        made: dict[str, Callable[[], Iterator[Row]]] = {
            "footprint": lambda: footprint.measure(
                self.sizes, url, self.folder, with_peer=with_peer
            ),
            "embedded": lambda: embedded.measure(self.sizes, url, child),
            "serving": lambda: serving.measure(self.sizes, url, self.folder, with_peer=with_peer),
            "growth": lambda: growth.measure(self.sizes, self.folder),
            "memory": lambda: memory.measure(self.sizes, self.folder),
            "artifacts": lambda: artifacts.measure(self.sizes, self.folder, with_peer=with_peer),
            "assigning": lambda: assigning.measure(self.sizes, self.folder, with_peer=with_peer),
            "recording": lambda: recording.measure(self.sizes, self.folder),
            "calls": lambda: serving_calls.measure(self.sizes, self.folder),
            "evaluating": lambda: evaluating.measure(self.sizes, self.folder),
            "sampling": lambda: sampling.measure(self.sizes, self.folder, with_peer=with_peer),
            "checking": lambda: checking.measure(self.sizes, self.folder),
            "moving": lambda: moving.measure(self.sizes, self.folder),
            "moving_real": lambda: moving_real.measure(self.sizes, self.folder),
        }
        return made[part]()


def main() -> None:
    """Read the command line, measure, write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="see that it runs; figures mean little"
    )
    parser.add_argument("--no-peers", action="store_true", help="measure Herdbook alone")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be repeated")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the file to write")
    given = parser.parse_args()
    sizes = QUICK if given.quick else FULL
    version, problem = ("", "not asked for") if given.no_peers else peer.installed()
    header = _header(version, problem)
    rows = []
    with TemporaryDirectory(prefix="herdbook-bench-") as folder:
        run = Run(sizes, tuple(given.only or PARTS), version, Path(folder))
        for row in run.rows():
            rows.append(row)
            print(" | ".join(row.cells()), flush=True)
    notes = NOTES.format(rounds=sizes.rounds)
    text = f"# Benchmarks\n\n{header}\n\n{verdicts(rows)}.\n\n{notes}\n{table(rows)}\n"
    given.output.write_text(text, encoding="utf-8")
    print(f"{verdicts(rows)}; written to {given.output}")


def _header(version: str, problem: str) -> str:
    shown = f"MLflow {version}" if version else f"MLflow missing ({problem})"
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, on {machine.description()}.\n"
        f"Herdbook {herdbook.__version__}, {shown}, {machine.versions()}."
    )


if __name__ == "__main__":
    main()
