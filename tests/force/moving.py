"""Carries migrations out in processes that are to be killed.

    python -m tests.force.moving

Everything is imported once; each line of input, a JSON object, forks a process that goes on with
the migration of a collection. Two lines answer it: the process's id, and how it ended.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from typing import Any

import herdbook as hb
from herdbook.core.migrations import Options
from herdbook.front.moving import moved, proving


def main() -> None:
    """Fork a process for each line."""
    # Loaded before the first fork, so that what is killed is at work at once.
    for name in ("numpy", "pgvector.psycopg", "psycopg", "herdbook.storage.vectors.pgvector"):
        __import__(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(cut(asked) if "point" in asked else carried(asked))
        say(child)
        _, status = os.waitpid(child, 0)
        say(os.waitstatus_to_exitcode(status))


def say(number: int) -> None:
    """Write a line whoever asked reads."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def carried(asked: dict[str, Any]) -> int:
    """Go on with a migration; 0 when it is verified."""
    try:
        with hb.connect() as book:
            found = book.documents.move(
                asked["name"],
                to=asked["to"],
                encoder=asked["encoder"],
                options=Options(shard=asked.get("shard", 25)),
                demands=proving.Demands(accept_set_aside=True, without_queries=True),
                carrying=moved.Carrying(workers=asked.get("workers", 0), lease_seconds=1),
            )
    except hb.HerdbookError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 3
    except Exception:  # noqa: BLE001 - a forked process tells whoever reads its log
        traceback.print_exc()
        return 4
    return 0 if found.phase == "verified" else 5


def cut(asked: dict[str, Any]) -> int:
    """Cut over, and be killed at a point of it."""

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    documents = hb.connect().documents
    if asked["point"] == "before":
        documents._door.call = die  # type: ignore[method-assign, assignment]
    elif asked["point"] == "switched":
        documents._follow = die  # type: ignore[method-assign]
    elif asked["point"] == "followed":
        documents.observe = die  # type: ignore[method-assign, assignment]
    documents.cut_over(asked["migration"])
    return 0


class Zygote:
    """The process that forks those that are killed."""

    def __init__(self, environment: dict[str, str], log: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.force.moving"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | environment,
        )

    def begin(self, **asked: object) -> int:
        """Fork a process; gives its id."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def ended(self) -> int:
        """Wait until the process has ended; gives its status, negative for a signal."""
        return self._answer()

    def _answer(self) -> int:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process that forks has ended"
        return int(line)

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


if __name__ == "__main__":
    main()
