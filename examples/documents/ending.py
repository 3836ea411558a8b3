"""What came of it: the ledgers of those who wrote and searched, and the register's view."""

from examples.documents import corpus, live
from examples.documents.facts import heading, say
from examples.documents.live import applied, transitions
from examples.documents.tour import MODEL, NAME, Tour
from herdbook.core.migrations import MigrationPhase


def whole(tour: Tour, writes: list[live.Row]) -> dict[str, str]:
    """Compare what the target holds with what the writer was told is written."""
    heading("Is everything there? The writer's own ledger against the collection")
    begun = {each.id: each.text for each in corpus.documents(tour.documents)}
    done = [row for row in writes if "error" not in row]
    expected, found = applied(begun, done), tour.texts()
    counts = {act: sum(row["act"] == act for row in done) for act in live.ACTS}
    tour.facts.figures["writes"] = counts
    say(", ".join(f"{count} {act}" for act, count in counts.items()))
    tour.facts.hold(
        "no_write_failed",
        holds=bool(done) and len(done) == len(writes),
        says=f"none of {len(writes)} writes failed",
    )
    tour.facts.hold(
        "exactly_once",
        holds=found == expected and tour.open.count() == len(expected),
        says=f"{len(expected):,} documents, each once and as last written: none lost, none revived",
    )
    space = tour.open.now.home.space
    told = tour.book.documents.inspect(NAME).spaces
    tour.facts.hold(
        "one_space",
        holds=space is not None and told == {space.fingerprint: len(expected)},
        says=f"all of them are stamped with one space, {space}",
    )
    stamp = tour.open.get([corpus.documents(1)[0].id]).metadata[0]
    hops = [(hop["from_version"], hop["to_version"]) for hop in stamp["migration_history"]]
    say(f"stamp of one: {stamp['embedding_model_version']}, moved {hops}")
    return expected


def met(tour: Tour, reads: list[live.Row], begun: float, cut: float) -> None:
    """Say what the reader met, and how long it took."""
    heading("What did the reader see?")
    good = [row for row in reads if "error" not in row]
    for error in {row["error"] for row in reads if "error" in row}:
        say(error)
    tour.facts.hold(
        "no_search_failed",
        holds=bool(good) and len(good) == len(reads) and all(row["hits"] == 10 for row in good),
        says=f"none of {len(reads):,} searches failed or found less than ten",
    )
    tour.facts.hold(
        "never_mixed",
        holds=all(row["spaces"] == 1 for row in good)
        and list(transitions(good)) == ["v1", "v2", "v1"],
        says="each met vectors of one space; in their order: v1, then v2, then v1",
    )
    for name, rows in (
        ("before", [row for row in good if row["at"] < begun]),
        ("during", [row for row in good if begun <= row["at"] < cut]),
    ):
        took = sorted(row["seconds"] * 1000 for row in rows)
        p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
        figures = {"searches": len(rows), "p50_ms": p50, "p99_ms": p99}
        tour.facts.figures[name] = figures
        say(f"{name} the migration: {len(rows)} searches, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    for version in ("v1", "v2"):
        rows = [row for row in good if row["versions"] == [version]]
        share = sum(row["found"] for row in rows) / max(1, len(rows))
        say(f"{version} found the docstring that was asked for in {share:.0%} of searches")


def register_says(tour: Tour) -> None:
    """Show what the register keeps of it."""
    heading("What the register keeps of it")
    found, last = tour.book.documents.get(NAME), tour.book.documents.status(NAME)
    say(f"{found.name}: {found.home.space} in {found.home.place}, epoch {found.epoch}")
    say(f"{last.id}: {last.from_version} -> {last.to_version}, {last.phase}: {last.reason}")
    acts = []
    for event in tour.book.events.each(model=MODEL):
        acts.append(event.action)
        say(f"  {event.seq:3}  {event.action:22} {event.body.get('phase', '')}")
    verdict = tour.book.events.verify()
    order = [acts.index(f"documents.{act}") for act in ("planned", "cut_over", "rolled_back")]
    tour.facts.hold(
        "register",
        holds=verdict.ok and order == sorted(order) and last.phase is MigrationPhase.ROLLED_BACK,
        says=f"the chain of {verdict.events} events is whole",
    )
