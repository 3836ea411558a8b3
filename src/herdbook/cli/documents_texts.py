"""What people read of collections of documents and of their migrations."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from herdbook.cli.cache import count_text, size_text
from herdbook.cli.output import NONE, Table, facts, line
from herdbook.cli.session import Session
from herdbook.core import stamps
from herdbook.core.documents import Collection, Home
from herdbook.core.migrations import (
    CUT,
    OVER,
    Check,
    Estimate,
    Migration,
    MigrationPhase,
    SetAside,
    Step,
)

if TYPE_CHECKING:
    from herdbook.front.moving.stamping import Inspected, Stamped

_SHORT: Final = 12
_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3_600, 86_400


def lasting(seconds: float) -> str:
    """Say how long something takes, in the unit a person would use.

    Example:
        >>> lasting(0.2), lasting(75), lasting(9_000), lasting(400_000)
        ('under a second', '75 s', '2.5 h', '4.6 days')
    """
    if seconds < _SECOND:
        return "under a second"
    for size, unit in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def money(amount: float) -> str:
    """Write money; the currency is that of the encoder's price.

    Example:
        >>> money(0), money(0.000046), money(1234.5), money(1e-9)
        ('0', '0.000046', '1,234.50', 'under 0.000001')
    """
    if amount == 0 or amount >= 0.1:
        return f"{amount:,.2f}" if amount else "0"
    if amount < 1e-6:
        return "under 0.000001"
    return f"{amount:.{1 - math.floor(math.log10(amount))}f}".rstrip("0")


# --- collections ---


def collection_table(found: Sequence[Collection]) -> Table:
    """Write collections in rows."""
    rows = [
        [each.name, _version(each), each.migration or NONE, str(each.home.place), each.store]
        for each in found
    ]
    return Table(
        ("name", "version", "migration", "place", "store"),
        rows,
        empty="No collection is registered: `herdbook documents create` makes one, "
        "`herdbook documents adopt` takes one that is there.",
    )


def _version(found: Collection) -> str:
    space = found.home.space
    return f"{space.model}:{space.number}" if space else f"{found.model}, unknown"


def collection_text(session: Session, found: Collection) -> str:
    """Write all that is known of a collection."""
    pairs = [
        ("version", _version(found)),
        ("store", found.store),
        *_home(found.home),
        ("written too", _beside(found.beside)),
        ("migration", found.migration),
        ("bridge", found.bridge),
        ("moved", f"{found.epoch - 1} times" if found.epoch > 1 else ""),
        ("registered", f"{session.when(found.created_at)} by {line(found.created_by)}"),
    ]
    return "\n".join([session.style(found.name, bold=True), *facts(pairs)])


def _home(home: Home) -> list[tuple[str, str]]:
    space, spec = home.space, home.encoder
    said = f"{space.dimension} dimensions, {space.fingerprint[:_SHORT]}" if space else ""
    return [
        ("place", str(home.place)),
        ("space", said or "unknown; `herdbook documents stamp` proves it"),
        ("encoder", spec.source if spec else ""),
    ]


def _beside(home: Home | None) -> str:
    if home is None:
        return ""
    said = f" ({home.space.model}:{home.space.number})" if home.space else ""
    return f"{home.place}{said}"


def inspected_text(found: "Inspected") -> str:
    """Write what is in a place."""
    of = f"of {found.sampled:,} looked at"
    pairs = [
        ("documents", f"{found.documents:,}"),
        ("vectors", f"{found.dimension} dimensions, compared by {found.metric}"),
        ("spaces", spaces_text(found.spaces)),
        ("without text", f"{found.missing_texts:,} {of}" if found.missing_texts else ""),
        ("migrated before", f"{found.histories:,} {of}" if found.histories else ""),
    ]
    odd = [("not embeddable", f"{count:,} {of}: {why}") for why, count in found.odd.items()]
    return "\n".join([found.place, *facts([*pairs, *odd])])


def spaces_text(spaces: Mapping[str, int]) -> str:
    """Write how many documents are in each space.

    Example:
        >>> spaces_text({"ab" * 16: 3, "": 1})
        'mixed: abababababab 3, unknown 1'
    """
    held = {key: count for key, count in spaces.items() if count}
    told = [
        f"{key[:_SHORT] or 'unknown'} {held[key]:,}"
        for key in sorted(held, key=lambda key: -held[key])
    ]
    return f"mixed: {', '.join(told)}" if len(told) > 1 else "".join(told)


def stamped_text(name: str, done: "Stamped") -> str:
    """Say what was stamped, and on what proof."""
    proof = done.proof
    would = "would be stamped" if done.dry_run else "are stamped"
    told = [
        f"{name}: {proof.same} of {proof.sampled} embedded again are as they are stored; the "
        f"worst cosine is {proof.worst:.5f}.",
        f"{count_text(done.stamped, 'document')} {would}, {done.known:,} had been before.",
    ]
    if done.unknown:
        told.append(f"{count_text(done.unknown, 'document')} are of another space, and left alone.")
    return "\n".join(told)


# --- migrations ---


def migration_table(session: Session, found: Sequence[Migration]) -> Table:
    """Write migrations in rows."""
    rows = [
        [
            each.id,
            each.collection,
            f"{each.model}:{each.from_version}",
            each.to_version,
            str(each.phase) + (" (paused)" if each.paused else ""),
            done_text(each),
            session.when(each.started_at),
        ]
        for each in found
    ]
    titles = ("migration", "collection", "from", "to", "phase", "done", "started")
    return Table(titles, rows, empty="Nothing was migrated yet.")


def done_text(found: Migration) -> str:
    """Say how many documents are done."""
    progress = found.progress
    done = progress.written + progress.set_aside
    # What was written while it ran is caught up on beside the shards.
    return f"{done:,} of {max(done, progress.documents):,}" if progress.shards else NONE


def migration_text(session: Session, found: Migration) -> str:
    """Write how a migration stands, and what comes next."""
    progress, reason = found.progress, line(found.reason)
    phase = str(found.phase)
    if found.paused:
        phase += f", paused{': ' + reason if reason else ''}"
    pairs = [
        ("phase", phase),
        ("path", path_text(found.steps)),
        ("from", str(found.source.place)),
        ("into", str(found.target.place)),
        ("done", "" if done_text(found) == NONE else f"{done_text(found)} documents"),
        ("set aside", f"{progress.set_aside:,}" if progress.set_aside else ""),
        ("tokens", f"{progress.tokens:,}" if progress.tokens else ""),
        ("cost so far", money(progress.cost) if progress.cost else ""),
        ("budget", money(found.options.budget) if found.options.budget else ""),
        ("carried out by", found.driver),
        ("reason", reason if not found.paused else ""),
        ("started", f"{session.when(found.started_at)} by {line(found.started_by)}"),
    ]
    name = f"{found.id} of {found.collection}: {found.model}:{found.from_version} → "
    told = [session.style(f"{name}{found.to_version}", bold=True), *facts(pairs)]
    if found.verification:
        told += ["", checks_table(found.verification.checks).text(session.look)]
    return "\n".join(told)


def path_text(steps: Sequence[Step]) -> str:
    """Write a path in a line."""
    told = [f"{step.way} → {step.to_version}" for step in steps]
    return " ".join([steps[0].from_version, *told]) if steps else ""


def path_table(steps: Sequence[Step]) -> Table:
    """Write a path in rows."""
    rows = [[s.from_version, s.to_version, str(s.way), s.function or NONE] for s in steps]
    return Table(("from", "to", "way", "function"), rows, empty="They are one version.")


def checks_table(checks: Sequence[Check]) -> Table:
    """Write what a verification found."""
    rows = [[check.name, _result(check), check.says] for check in checks]
    return Table(("check", "holds", "found"), rows)


def _result(check: Check) -> str:
    if not check.gate:
        return "shown"
    return "yes" if check.passed else "NO"


def next_text(found: Migration) -> str:
    """Say what can be done with a migration now; "" once it is over."""
    name = found.collection
    if found.phase in OVER:
        return ""
    if found.paused and is_spent(found):
        return f"`herdbook documents migrate {name} --budget MORE` goes on."
    if found.paused:
        return f"`herdbook documents resume {name}` lets it go on."
    return _judged(found) or f"`herdbook documents migrate {name}` goes on where it is."


def is_spent(found: Migration) -> bool:
    """Whether the budget of a migration is spent."""
    return 0 < found.options.budget <= found.progress.cost


def _judged(found: Migration) -> str:
    name, verification = found.collection, found.verification
    if found.phase in CUT:
        return (
            f"Readers search {found.to_version}. `herdbook documents rollback {name}` goes back, "
            f"`herdbook documents retire {name}` gives {found.from_version} up."
        )
    if found.phase is MigrationPhase.VERIFIED:
        return f"`herdbook documents cutover {name}` lets readers search {found.to_version}."
    if (
        found.phase is MigrationPhase.VERIFY
        and verification is not None
        and not verification.passed
    ):
        return (
            f"Not good enough: {', '.join(verification.failed)}. `herdbook documents verify {name}`"
            f" looks again, `herdbook documents rollback {name}` gives {found.to_version} up."
        )
    return ""


def aside_table(found: Sequence[SetAside]) -> Table:
    """Write documents that could not be moved."""
    return Table(
        ("document", "reason"), [[e.id, e.reason] for e in found], empty="Nothing was set aside."
    )


# --- a dry run ---


def estimate_text(session: Session, planned: Migration, found: Estimate) -> str:
    """Write what a migration would be, and take."""
    of = f"of {found.sampled:,} tried"
    spec = planned.target.encoder
    priced = spec is not None and spec.price_per_million_tokens > 0
    pairs = [
        ("path", path_text(planned.steps)),
        ("into", str(planned.target.place)),
        ("encoder", spec.source if spec and planned.embeds else ""),
        ("documents", f"{found.documents:,}"),
        ("tokens", f"about {found.tokens:,}" if planned.embeds else ""),
        ("takes", f"{lasting(found.seconds)}, embedding" if planned.embeds else "no embedding"),
        ("costs", f"about {money(found.cost)}" if priced else ""),
        ("space", f"{size_text(found.space_bytes)} of vectors more, until the old are retired"),
        ("spaces", spaces_text(found.spaces)),
        ("without text", f"{found.missing_texts:,} {of}" if found.missing_texts else ""),
    ]
    aside = [("set aside", f"{count:,} {of}: {why}") for why, count in found.set_aside.items()]
    head = f"{planned.collection}: {planned.model}:{planned.from_version} → {planned.to_version}"
    told = [session.style(head, bold=True), *facts([*pairs, *aside])]
    return "\n".join([*told, "", examples_table(found.examples).text(session.look)])


def examples_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Write what documents would become."""
    rows = [[str(each["id"]), _changes(each["before"], each["after"])] for each in found]
    return Table(("document", "becomes"), rows, empty="There is no document.")


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    skipped = {*stamps.KEYS} - {stamps.VERSION}
    told = [
        f"{key} {_shown(before, key)} → {_shown(after, key)}"
        for key in dict.fromkeys([*before, *after])
        if key not in skipped and before.get(key) != after.get(key)
    ]
    hops = len(stamps.history_of(after)) - len(stamps.history_of(before))
    return ", ".join([*told, f"{stamps.HISTORY} +{hops}"])


def _shown(metadata: Mapping[str, Any], key: str) -> str:
    return f"{metadata[key]!s:.40}" if key in metadata else NONE
