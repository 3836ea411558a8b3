"""Move a whole register out and in, as JSON lines."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

from herdbook.core.access import Action
from herdbook.core.ports import Work
from herdbook.core.transfer import KINDS, LONG, Loaded, Record, framed, records
from herdbook.errors import Conflict

BATCH = 500


def dump(work: Work) -> Iterator[str]:
    """Give the whole register as JSON lines without line feeds, in constant memory.

    Exporting the same register twice gives the same bytes. Tokens, webhooks, kept answers and
    secrets are no part of it. The work must not have read anything before.
    """
    work.by.allow(Action.ADMIN)
    work.transfer.hold_still()
    return framed(work.transfer.dump(), head=work.events.head())


def load(work: Work, lines: Iterable[str], *, dry_run: bool = False) -> Loaded:
    """Take an export into an empty register, its history and events included.

    Nothing is added to the audit log: after it the register is the one that was exported.

    Args:
        work: the unit of work; an error must roll it back.
        lines: of the export, with or without line feeds.
        dry_run: check everything, the database's own rules included, and write nothing.

    Raises:
        Conflict: the register is not empty.
        Invalid, Corrupt: naming the line.
    """
    work.by.allow(Action.ADMIN)
    if not work.transfer.empty():
        raise Conflict(
            "this register is not empty; an export is taken only into a new one. Give another "
            "with --url, or take single versions with `herdbook add`"
        )
    counts = dict.fromkeys(KINDS.values(), 0)
    with work.transfer.attempt(keep=not dry_run):
        for batch in _batches(records(lines)):
            work.transfer.add(batch)
            counts[KINDS[batch[0].kind]] += len(batch)
        work.transfer.finish()
    return Loaded(counts=counts, dry_run=dry_run)


def _batches(found: Iterator[Record]) -> Iterator[list[Record]]:
    for kind, same in groupby(found, key=lambda record: record.kind):
        while batch := list(islice(same, LONG.get(kind, BATCH))):
            yield batch
