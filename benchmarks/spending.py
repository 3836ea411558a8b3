"""Runs commands one after the other and tells what they took.

Run as a program it is a small process of its own: the greatest memory of a child is at least that
of the process it was started from. Only the standard library.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def spent(
    commands: Sequence[Sequence[object]], *, cwd: Path, env: Mapping[str, str]
) -> dict[str, Any]:
    """Run commands; give seconds of wall and CPU, MB at the peak, and what the last one said."""
    # What others left to be written is not waited for by these.
    os.sync()
    done = subprocess.run(
        [sys.executable, "-I", "-S", __file__],
        input=json.dumps([[str(word) for word in words] for words in commands]),
        capture_output=True, text=True, check=False, cwd=cwd, env=dict(env),
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"in {cwd}: {done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(commands: list[list[str]]) -> dict[str, Any]:
    """Run commands and measure them together, with all that they started."""
    before, began, said = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), ""
    for words in commands:
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(words)} ended with {done.returncode}: {done.stdout[-500:]}")
        said = done.stdout
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall": wall,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "resident": after.ru_maxrss * 1024 / 1e6,
        "said": said,
    }


if __name__ == "__main__":
    print(json.dumps(run(json.load(sys.stdin))))
