"""The migration in a process of its own, so that it can be killed; begun again it goes on.

It prints how it goes as JSON lines.

    python -m examples.documents.carry COLLECTION VERSION ENCODER DOCUMENTS WORKERS
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import herdbook
from examples.documents import corpus
from examples.documents.live import labelled
from herdbook.core.migrations import Options
from herdbook.documents import Carrying, Demands, Query
from herdbook.front.moving.telling import News

# What a service would ask for a million tokens, in whatever currency.
PRICE: Final = 0.02


def main() -> None:
    """Carry it out, from where it stands until it is verified."""
    name, version, encoder, count, workers = sys.argv[1:]
    with herdbook.connect() as book:
        found = book.documents.move(
            name,
            to=version,
            encoder=encoder,
            price_per_million_tokens=PRICE,
            options=options(int(count)),
            demands=demands(int(count)),
            carrying=Carrying(workers=int(workers), said=_tell),
        )
        _print(phase=str(found.phase))


def options(count: int) -> Options:
    """How it is carried out: in twenty shards and three seconds or more, to have a middle."""
    return Options(shard=max(8, count // 20), rate=count / 3)


def demands(count: int) -> Demands:
    """Ask that the first sentences of docstrings find their docstrings as well as before."""
    asked = corpus.queries(labelled(count))
    queries = tuple(Query(text=each.text, relevant=each.relevant) for each in asked)
    # Of few queries the interval is wide, whatever the models.
    margin = 0.02 if len(queries) >= 200 else 0.1
    return Demands(queries=queries, margin=margin, sampled=sampled(count))


def sampled(count: int) -> int:
    """How many documents are tried before, and embedded again after."""
    return min(64, count // 5)


def _tell(news: News) -> None:
    _print(phase=str(news.phase), done=news.done, total=news.total, rate=news.rate, cost=news.cost)


def _print(**said: Any) -> None:
    print(json.dumps(said), flush=True)


class Carried:
    """The process that carries a migration."""

    def __init__(self, *words: object) -> None:
        command = [sys.executable, "-m", "examples.documents.carry", *map(str, words)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603

    def news(self) -> Iterator[dict[str, Any]]:
        """Give what it tells, until it ends."""
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self.process.stdout:
            yield json.loads(line)

    def kill(self) -> None:
        """Kill it as `kill -9` does: it gets to do nothing any more."""
        self.process.kill()
        self.process.wait()


@contextmanager
def carried(*words: object) -> Iterator[Carried]:
    """Start it; it is over when this is."""
    made = Carried(*words)
    try:
        yield made
    finally:
        made.kill()


if __name__ == "__main__":
    main()
