"""A drift check of files against a bare read of one of them by pyarrow.

Run as a program it is one of both, so that nothing else is in its memory.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.peer import ROOT
from benchmarks.results import Reading, Row, Target, at_most, interleaved
from benchmarks.sizes import Sizes
from benchmarks.spending import spent

COLUMNS: Final = 20
# Of the 20, so many hold categories and so many whole numbers.
NAMED, WHOLE = 2, 4
TIMES_A_READ: Final = 10.0
MEMORY_MB: Final = 500.0
_ROWS: Final = 1_000_000


def measure(sizes: Sizes, folder: Path) -> Iterator[Row]:
    """Write both files, check one against the other, and read one."""
    rows = sizes.many * 10
    reference, current = folder / "reference.parquet", folder / "current.parquet"
    write(reference, rows, seed=1)
    write(current, rows, seed=2)

    def ours() -> Reading:
        return _taken(folder, reference, current)

    def peer() -> Reading:
        return _taken(folder, current)

    taken, read = interleaved([ours, peer], rounds=min(3, sizes.rounds))
    assert taken is not None
    assert read is not None
    for path in (reference, current):
        path.unlink()
    yield Row(
        group=f"Checking files: {rows:,} rows x {COLUMNS} columns of Parquet against as many",
        what="both files checked (peer: pyarrow reads one of them whole)",
        unit="s",
        ours=taken["wall"],
        peer=read["wall"],
        cpu=f"{taken['cpu']:.1f} s",
        peer_cpu=f"{read['cpu']:.1f} s",
        targets=(
            Target(f"≤ {TIMES_A_READ:g}x", taken["wall"] <= TIMES_A_READ * read["wall"]),
            at_most(MEMORY_MB, taken["resident"], "MB at the peak"),
        ),
        detail=f"{taken['resident']:,.0f} MB at the peak (peer {read['resident']:,.0f}); the "
        "reference is read twice, interpreters and imports included",
        compared=True,
    )


def _taken(folder: Path, *files: Path) -> Reading:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "benchmarks.checking", *files]
    found = spent([words], cwd=folder, env=env)
    return {name: float(found[name]) for name in ("wall", "cpu", "resident")}


def write(path: Path, rows: int, *, seed: int) -> None:
    """Write a file of which no column drifts: normal and whole numbers, and names."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(seed)
    names = np.array([f"country-{at}" for at in range(40)])
    writer = None
    for begin in range(0, rows, _ROWS):
        number = min(_ROWS, rows - begin)
        plain = range(COLUMNS - NAMED - WHOLE)
        columns: dict[str, Any] = {f"feature_{at}": rng.normal(size=number) for at in plain}
        columns |= {f"count_{at}": rng.poisson(50, number) for at in range(WHOLE)}
        columns |= {f"name_{at}": names[rng.integers(0, 40, number)] for at in range(NAMED)}
        table = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def read(path: str) -> int:
    """Read a whole file, as pyarrow does it when nothing is said."""
    from pyarrow import parquet

    return int(parquet.read_table(path).num_rows)


def check(reference: str, current: str) -> int:
    """Check two files against each other, of which nothing drifts."""
    from herdbook.front.checking import check_files

    found = check_files(reference, current)
    assert len(found.columns) == COLUMNS
    assert not found.drifted
    return sum(each.current.values for each in found.columns)


if __name__ == "__main__":
    print(check(*sys.argv[1:]) if len(sys.argv) > 2 else read(sys.argv[1]))
