"""What goes on while documents move: a process that searches, and one that writes.

Each keeps a log of JSON lines, `Log`, of what it did once that was acknowledged. They end when
their standard input does, so never after the process that began them.

    python -m examples.documents.live search COLLECTION FILE DOCUMENTS
    python -m examples.documents.live write COLLECTION FILE DOCUMENTS
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any, Final, NamedTuple

import herdbook
from examples.documents import corpus
from herdbook.errors import HerdbookError
from herdbook.front.moving.collections import OpenCollection

PAUSES: Final = {"search": 0.1, "write": 0.5}
ACTS: Final = ("add", "change", "delete")
WEIGHTS: Final = (5, 3, 2)
NEW: Final = 200

Row = dict[str, Any]


def main() -> None:
    """Run one of them."""
    what, name, file, count = sys.argv[1:]
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(stopped,), daemon=True).start()
    with herdbook.connect() as book, Path(file).open("a", encoding="utf-8") as log:
        collection = book.documents.open(name)
        act = (_searching if what == "search" else _writing)(collection, int(count))
        while not stopped.wait(PAUSES[what]):
            log.write(json.dumps(_told(act)) + "\n")
            log.flush()


def labelled(count: int) -> int:
    """How many of the first documents answer the labelled queries.

    The writer leaves these alone: who changes or deletes the answer changes the question.
    """
    return min(count // 2, 300)


def applied(texts: Mapping[str, str], rows: list[Row]) -> dict[str, str]:
    """Give what a collection has to hold after what a writer did to it."""
    left = dict(texts)
    for row in rows:
        if row["act"] == "delete":
            left.pop(row["id"], None)
        else:
            left[row["id"]] = row["text"]
    return left


def _listen(stopped: threading.Event) -> None:
    sys.stdin.read()
    stopped.set()


def _told(act: Callable[[], Row]) -> Row:
    """Do it once; what is refused is told, too."""
    at, began = time.time(), time.perf_counter()
    try:
        done = act()
    except HerdbookError as error:
        done = {"error": f"{type(error).__name__}: {error}"}
    return {"at": at, "seconds": time.perf_counter() - began, **done}


def _searching(collection: OpenCollection, count: int) -> Callable[[], Row]:
    questions = cycle(corpus.queries(labelled(count)))
    threading.Thread(target=_get_ready, args=(collection,), daemon=True).start()
    # What is opened and loaded once is no part of what searches take.
    collection.search(next(questions).text)

    def search() -> Row:
        query = next(questions)
        hits = collection.search(query.text)
        return {
            "hits": len(hits),
            "versions": sorted({hit.metadata["embedding_model_version"] for hit in hits}),
            "spaces": len({hit.metadata["embedding_space"] for hit in hits}),
            "found": any(hit.id in query.relevant for hit in hits),
        }

    return search


def _get_ready(collection: OpenCollection) -> None:
    """Load the next model while the other still serves: the first search must not wait for it."""
    while True:
        beside = collection.known.beside
        if beside is not None and beside.space is not None:
            collection.encoder(beside).embed_queries(["Is it there?"])
            return
        time.sleep(1)


def _writing(collection: OpenCollection, count: int) -> Callable[[], Row]:
    every = corpus.documents(count + NEW)
    mine = {each.id: each.text for each in every[labelled(count) : count]}
    fresh = iter(every[count:])
    rng = random.Random(0)  # noqa: S311 - an example, not a secret

    def write() -> Row:
        act = rng.choices(ACTS, WEIGHTS)[0]
        new = next(fresh, None) if act == "add" else None
        id = new.id if new else rng.choice(sorted(mine))
        if act == "delete":
            collection.delete([id])
            del mine[id]
            return {"act": act, "id": id}
        text = new.text if new else f"{mine[id]}\n\nChanged at {time.time()}."
        collection.add([text], ids=[id])
        mine[id] = text
        return {"act": "add" if new else "change", "id": id, "text": text}

    return write


class Log(NamedTuple):
    """A process at work, and the file of what it did."""

    file: Path
    process: subprocess.Popen[str]

    def rows(self) -> list[Row]:
        """Read what was done so far."""
        said = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        whole = said[: said.rfind("\n") + 1]
        return [json.loads(line) for line in whole.splitlines()]

    def wait(self, until: Callable[[list[Row]], bool], *, seconds: float = 60) -> bool:
        """Wait until its rows say so; False when they do not."""
        deadline = time.monotonic() + seconds
        while not until(self.rows()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                return False
            time.sleep(0.1)
        return True

    def stop(self) -> list[Row]:
        """End it after what it is at; gives all it did."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.rows()


def started(what: str, name: str, folder: Path, count: int) -> Log:
    """Start one of them; it shares this one's environment."""
    file = folder / f"{what}.jsonl"
    words = [sys.executable, "-m", "examples.documents.live", what, name, str(file), str(count)]
    return Log(file, subprocess.Popen(words, stdin=subprocess.PIPE, text=True))  # noqa: S603


def transitions(rows: list[Row]) -> Iterator[str]:
    """Give the versions that searches met, each as often as it came anew."""
    last = ""
    for row in rows:
        for version in row.get("versions", ()):
            if version != last:
                yield version
                last = version


if __name__ == "__main__":
    main()
