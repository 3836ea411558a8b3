"""One process of Herdbook's: opens a register in a home folder, pushes or pulls, says what it took.

Run as a program it is the child that is measured.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import herdbook as hb

REF = "majora@champion"


def push(home: Path, number: str, folder: Path) -> dict[str, Any]:
    """Push a folder; give seconds of wall and CPU of that call alone."""
    with _opened(home) as book:
        wall, cpu = time.perf_counter(), _cpu()
        pushed = book.artifacts.push("majora", number, path=folder)
        taken = {"wall": time.perf_counter() - wall, "cpu": _cpu() - cpu}
    return {**taken, "files": pushed.files, "new_bytes": pushed.new_bytes}


def pull(home: Path, times: int) -> dict[str, Any]:
    """Pull by alias into the cache: first when nothing is there, then again and again."""
    with _opened(home) as book:
        wall, cpu = time.perf_counter(), _cpu()
        first = book.artifacts.pulled(REF)
        taken = {"first": time.perf_counter() - wall, "first_cpu": _cpu() - cpu}
        again = []
        for _ in range(times):
            wall = time.perf_counter()
            book.artifacts.pull(REF)
            again.append(time.perf_counter() - wall)
    return {**taken, "again": sorted(again), "path": str(first.path), "how": dict(first.how)}


def _opened(home: Path) -> hb.Herdbook:
    return hb.connect(f"sqlite:///{home / 'herdbook.db'}")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    do, where, *rest = sys.argv[1:]
    if do == "push":
        answer = push(Path(where), rest[0], Path(rest[1]))
    else:
        answer = pull(Path(where), int(rest[0]))
    print(json.dumps(answer))
