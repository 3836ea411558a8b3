"""The memory of a check does not depend on how many rows there are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

COLUMNS = 4
CHECKED = """
from herdbook.front.checking import check_files
check_files(sys.argv[1], sys.argv[1])
"""
READ_WHOLE = """
from pyarrow import csv, parquet
path = sys.argv[1]
held = csv.read_csv(path) if path.endswith(".csv") else parquet.read_table(path)
"""
# Not what `resource` says: a child's is at least that of the process it was started from.
PEAK = """
status = open("/proc/self/status").read()
print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def written(path: Path, rows: int) -> Path:
    numbers = np.random.default_rng(1).normal(size=rows).round(2)
    table = pa.table({f"c{at}": numbers for at in range(COLUMNS)})
    if path.suffix == ".csv":
        csv.write_csv(table, path)
    else:
        # One row group, without a dictionary: nothing but reading by pages keeps it small.
        parquet.write_table(table, path, row_group_size=rows, use_dictionary=False)
    return path


def peak(program: str, path: Path) -> float:
    words = [sys.executable, "-c", f"import sys{program}{PEAK}", str(path)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(("ending", "few", "many"), [("parquet", 4, 20), ("csv", 12, 30)])
def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, ending: str, few: int, many: int
) -> None:
    short = written(tmp_path / f"short.{ending}", few * 100_000)
    long = written(tmp_path / f"long.{ending}", many * 100_000)
    more_rows_megabytes = (many - few) * 100_000 * COLUMNS * 8 / 2**20

    grown = peak(CHECKED, long) - peak(CHECKED, short)
    naively = peak(READ_WHOLE, long) - peak(READ_WHOLE, short)

    assert grown < more_rows_megabytes / 2
    # The control: what holds all rows fails the same test.
    assert naively > more_rows_megabytes / 2
