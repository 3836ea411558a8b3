"""Documents move to the next embedding model while they are read and written, and back again.

    python -m examples.documents.migrate [--documents N] [--store ADDRESS] [--workers N]
        [--json FILE]

It is run from the root of a clone, takes two to three minutes on two cores, and ends with status 0
only if every fact it states was true when it was checked. Everything it makes is in a temporary
folder; with HERDBOOK_HOME set the register stays there.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import herdbook
from examples.documents import crossing, ending, live
from examples.documents.carry import carried
from examples.documents.facts import Facts, heading, say
from examples.documents.live import Log, started
from examples.documents.lsa import FOLDER
from examples.documents.tour import MINILM_SOURCE, NAME, Tour, begin, rehearse, searched
from herdbook.core.migrations import Migration, MigrationPhase
from herdbook.core.vectors import Place, Vectors
from herdbook.front.moving.choosing import absolute
from herdbook.storage import vectors

BEFORE_SECONDS: Final = 3.0
# A reader looks at the register once a second; two busy cores may be late.
FOLLOWS_SECONDS: Final = 30.0


def move(tour: Tour, reader: Log) -> Migration:
    """Carry the migration in a process that is killed, then in another one."""
    heading("v1 -> v2, while a reader searches and a writer writes")
    words = (NAME, "v2", MINILM_SOURCE, tour.documents, tour.workers)
    with carried(*words) as first:
        for news in first.news():
            if news["phase"] == MigrationPhase.BACKFILL and news["done"] * 3 >= news["total"] > 0:
                first.kill()
                break
    left = tour.book.documents.status(NAME)
    at = left.progress
    say(f"kill -9 at {at.written:,} of {at.documents:,} documents; the register says {left.phase}")
    tour.facts.hold(
        "killed",
        holds=left.phase is MigrationPhase.BACKFILL
        and 0 < at.written < at.documents
        and first.process.returncode == -9,
        says="the process that carried it is dead in the middle of it",
    )
    seen = len(reader.rows())
    tour.facts.hold(
        "alive",
        holds=reader.wait(lambda rows: len(rows) > seen + 5),
        says="the reader searches on",
    )
    _resumed(tour, words, at.written)
    return tour.book.documents.status(NAME)


def _resumed(tour: Tour, words: tuple[object, ...], written: int) -> None:
    began, begun_at, told = time.monotonic(), None, 0.0
    with carried(*words) as second:
        for news in second.news():
            if news["phase"] != MigrationPhase.BACKFILL or not news.get("done"):
                continue
            begun_at = begun_at or news["done"]
            if time.monotonic() - told > 5:
                told = time.monotonic()
                say(f"{news['done']:,} of {news['total']:,}, {news['rate']:.0f} documents a second")
        ended = second.process.wait()
    found = tour.book.documents.status(NAME)
    progress = found.progress
    say(
        f"{found.phase} {time.monotonic() - began:.0f} s later; {progress.written:,} documents, "
        f"{progress.tokens:,} tokens, {progress.cost:.4f}, {progress.buried} deleted meanwhile"
    )
    tour.facts.hold(
        "resumed",
        holds=ended == 0 and begun_at is not None and begun_at > written and progress.done,
        says=f"begun again it went on after the {written:,} that were done",
    )


def verified(tour: Tour, found: Migration) -> None:
    """Show what the verification found."""
    heading("Is v2 as good? Labelled queries on both, and what is in the target")
    checks = found.verification.checks if found.verification else ()
    for check in checks:
        say(f"{check.name:10} {check.says}")
        tour.facts.figures[check.name] = dict(check.numbers)
    passed = {check.name for check in checks if check.passed}
    needed = {"ids", "content", "spaces", "sample", "ndcg", "recall", "overlap"}
    tour.facts.hold(
        "verified",
        holds=found.phase is MigrationPhase.VERIFIED and needed <= passed,
        says="every gate is passed; overlap is shown and judges nothing",
    )


def cut_over(tour: Tour, reader: Log) -> None:
    """Move the pointer, and see that the reader follows."""
    heading("The cut: one pointer in the register")
    was = tour.open.now.epoch
    tour.book.documents.cut_over(NAME)
    tour.facts.hold(
        "cut_over",
        holds=tour.open.now.epoch > was and searched(tour) == {"v2"},
        says="a search here meets v2's vectors, embedded by v2",
    )
    _follows(tour, reader, "v2")


def roll_back(tour: Tour, reader: Log, expected: dict[str, str], late: str) -> None:
    """Go back to the first version; what was written since must be there."""
    heading("Back to v1: the old vectors were written all along")
    done = tour.book.documents.roll_back(NAME, reason="shown in the example")
    _follows(tour, reader, "v1")
    tour.facts.hold(
        "rolled_back",
        holds=done.phase is MigrationPhase.ROLLED_BACK and tour.texts() == expected,
        says=f"v1 holds the same {len(expected):,} documents, with what was written since the cut",
    )
    tour.facts.hold(
        "late",
        holds=late in expected and late in tour.open.get([late]).ids,
        says=f"{late} was written after the cut, and is there",
    )


def _follows(tour: Tour, reader: Log, version: str) -> None:
    at = time.time()

    def there(rows: list[live.Row]) -> bool:
        last = [row for row in rows if row["at"] > at][-5:]
        return len(last) == 5 and all(row.get("versions") == [version] for row in last)

    came = reader.wait(there, seconds=FOLLOWS_SECONDS)
    first = next(
        (r["at"] for r in reader.rows() if r["at"] > at and r.get("versions") == [version]), at
    )
    tour.facts.figures[f"followed_{version}_seconds"] = first - at
    tour.facts.hold(
        f"reader_at_{version}",
        holds=came,
        says=f"the reader, another process, is at {version} {first - at:.1f} s later",
    )


def story(tour: Tour) -> None:
    """Tell it."""
    begin(tour)
    rehearse(tour)
    with _at_work("search", tour) as reader, _at_work("write", tour) as writer:
        for log in (reader, writer):
            if not log.wait(lambda rows: bool(rows)):
                raise SystemExit(f"{log.file.stem}: the process did not begin")
        time.sleep(BEFORE_SECONDS)
        begun = time.time()
        found = move(tour, reader)
        verified(tour, found)
        if found.phase is not MigrationPhase.VERIFIED:
            raise SystemExit(f"{found.id} is at {found.phase}; nothing is cut over")
        cut = time.time()
        cut_over(tour, reader)
        # The writer's next ones go to both versions' vectors.
        since = time.time()
        writer.wait(lambda rows: bool(_added(rows, since)))
        writes = writer.stop()
        expected = ending.whole(tour, writes)
        late = next(reversed([id for id in _added(writes, since) if id in expected]), "")
        crossing.same_dimension(tour)
        crossing.bridge(tour)
        roll_back(tour, reader, expected, late)
        reads = reader.stop()
    ending.met(tour, reads, begun, cut)
    ending.register_says(tour)


def _added(rows: list[live.Row], since: float) -> list[str]:
    """Give the ids of what was written anew since then."""
    return [row["id"] for row in rows if row["at"] > since and row.get("act") == "add"]


@contextmanager
def _at_work(what: str, tour: Tour) -> Iterator[Log]:
    made = started(what, NAME, tour.folder, tour.documents)
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def _opened(address: str) -> Iterator[Vectors]:
    """Open the store beside the register; what the story put there is dropped in the end."""
    store = vectors.opened(absolute(address))
    before = set(store.collections())
    try:
        yield store
        for name in set(store.collections()) - before:
            store.drop(Place(collection=name))
    finally:
        store.close()


def main() -> int:
    """Run the story; gives the exit status."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--documents", type=int, default=1_500, help="how many, 100 or more")
    words.add_argument("--store", default="", help="its address; left out, a LanceDB folder")
    words.add_argument("--workers", type=int, default=2, help="processes that embed; 0 for none")
    words.add_argument("--json", type=Path, help="write facts and figures to this file")
    given = words.parse_args()
    if given.documents < 100:
        words.error("--documents: with fewer than 100 the queries prove nothing")
    facts = Facts()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ.setdefault("HERDBOOK_HOME", f"{folder}/home")
        os.environ.setdefault(FOLDER, f"{folder}/lsa")
        address = given.store or f"lancedb:{folder}/vectors"
        # It is asked for here; what it holds is dropped in the end.
        store = stack.enter_context(_opened(address))
        if not store.traits.shared:
            words.error(f"--store: {address} may be open in one process only, and four are here")
        book = stack.enter_context(herdbook.connect())
        story(
            Tour(
                book=book,
                facts=facts,
                folder=folder,
                documents=given.documents,
                workers=given.workers,
                store=address,
            )
        )
    if given.json:
        facts.save(given.json)
    heading(f"{sum(facts.held.values())} of {len(facts.held)} facts were checked and hold")
    return 0 if facts.all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
