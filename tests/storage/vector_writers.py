"""Processes that write to a vector store and are killed while they do."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITING = """
import sys
from tests.conformance.vectors.documents import DIMENSION, FIRST, documents, numbered
from herdbook.storage.vectors import opened

store = opened(sys.argv[1])
store.create(FIRST, dimension=DIMENSION)
late = []
for start in range(0, 100_000, 5):
    batch = documents(numbered(5, start=start), store.traits)
    if sys.argv[2] == "naive":
        late.append(batch)  # acknowledged before it is written
        if len(late) == 20:
            for each in late:
                store.insert(FIRST, each)
            late.clear()
    else:
        store.insert(FIRST, batch)
    print(start + 5, flush=True)
"""

HOLDING = """
import sys, time
from herdbook.storage.vectors import opened

store = opened(sys.argv[1])
print("open", flush=True)
time.sleep(60)
"""

ROOT = Path(__file__).parents[2]


@contextmanager
def process(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script; it is killed at the end, if not before."""
    command = [sys.executable, "-c", script, *arguments]
    found = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield found
    finally:
        found.kill()
        found.wait()
        assert found.stdout is not None
        found.stdout.close()


def acknowledged(address: str, *, manner: str = "", lines: int = 27) -> int:
    """Kill a writer after so many acknowledgements; gives how many documents it was told of."""
    with process(WRITING, address, manner) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(lines)]
        writer.kill()
        told += [int(line) for line in writer.stdout]
    return told[-1]
