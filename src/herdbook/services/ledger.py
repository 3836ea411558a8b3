"""The ledger of a migration: its shards, what could not be moved, and what was deleted."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from herdbook.core import names
from herdbook.core.migrations import Migration, MigrationPhase, Outcome, Progress, SetAside, Shard
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.errors import Conflict, Invalid
from herdbook.services.migrating import checked_key, driven, locked

AT_ONCE: Final = 10_000
# More than a store's ids have: 400 characters.
ID_LIMIT: Final = 1_000


def cut(work: Work, migration: str, *, driver: str, shards: Sequence[Shard]) -> Progress:
    """Add shards to a migration; those that are there stay.

    A first shard begins the cutting anew while nothing was carried yet: whoever was killed at it
    left shards whose ends need not fit those of another try.

    Raises:
        Conflict: somebody else has the lease.
    """
    found = driven(work, migration, driver)
    _bounded(shards, "shards")
    if found.phase is MigrationPhase.TARGET and any(shard.number == 1 for shard in shards):
        work.documents.uncut(found.id)
        found = replace(found, progress=replace(found.progress, shards=0, documents=0))
    check_ids([end for each in shards for end in (each.within.after, each.within.upto)])
    new = {shard.number: shard.within.documents for shard in shards}
    fresh = work.documents.cut(found.id, shards)
    if fresh not in (0, len(new)):
        raise Conflict(f"{found.id} was cut otherwise before", field="shards")
    if not fresh:
        return found.progress
    was = found.progress
    progress = replace(was, shards=was.shards + fresh, documents=was.documents + sum(new.values()))
    work.documents.save_migration(replace(found, progress=progress))
    return progress


def shards(work: Work, migration: str, *, after: int = 0, size: int = PAGE_DEFAULT) -> Page[Shard]:
    """Give shards that are not done, by number from the one after `after` on."""
    found = work.documents.migration(checked_key(migration))
    _check_number(after)
    given = work.documents.shards(found.id, after=after, size=checked_size(size))
    full = len(given) == size
    return Page(items=tuple(given), next=str(given[-1].number) if full else None)


def settle(work: Work, migration: str, *, driver: str, outcomes: Sequence[Outcome]) -> Migration:
    """Note what became of shards, each once, after the store acknowledged them.

    Raises:
        Conflict: somebody else has the lease.
    """
    found = driven(work, migration, driver)
    _bounded(outcomes, "outcomes")
    for said in (each for outcome in outcomes for each in outcome.set_aside):
        check_ids([said.id])
        names.prose(said.reason, field="reason")
    fresh = work.documents.settle(found.id, outcomes, at=work.now())
    aside = [each for outcome in fresh for each in outcome.set_aside]
    listed = work.documents.put_aside(found.id, aside, at=work.now())
    was = found.progress
    price = found.target.encoder.price_per_million_tokens if found.target.encoder else 0.0
    tokens = was.tokens + sum(outcome.tokens for outcome in fresh)
    progress = replace(
        was,
        shards_done=was.shards_done + sum(1 for outcome in fresh if outcome.shard),
        written=was.written + sum(outcome.written for outcome in fresh),
        set_aside=was.set_aside + listed,
        tokens=tokens,
        cost=tokens * price / 1e6,
        seconds=was.seconds + sum(outcome.seconds for outcome in fresh),
    )
    changed = replace(found, progress=progress)
    work.documents.save_migration(changed)
    return changed


def set_aside(
    work: Work, migration: str, *, size: int = PAGE_DEFAULT, page: str | None = None
) -> Page[SetAside]:
    """Give the documents that could not be moved, by id."""
    found = work.documents.migration(checked_key(migration))
    return work.documents.set_aside(found.id, size=checked_size(size), page=page)


def take_back(work: Work, migration: str, *, driver: str, ids: Sequence[str]) -> Migration:
    """Take documents off the list of what could not be moved: they were, or are gone."""
    found = driven(work, migration, driver)
    _bounded(ids, "ids")
    check_ids(ids)
    gone = work.documents.take_back(found.id, ids)
    progress = replace(found.progress, set_aside=found.progress.set_aside - gone)
    changed = replace(found, progress=progress)
    work.documents.save_migration(changed)
    return changed


def bury(work: Work, migration: str, *, ids: Sequence[str]) -> Progress:
    """Note that documents are about to be deleted, so that no shard on its way revives them."""
    found = locked(work, migration)
    _bounded(ids, "ids")
    check_ids(ids)
    was = found.progress
    work.documents.bury(found.id, ids, first=was.buried + 1)
    progress = replace(was, buried=was.buried + len(ids))
    work.documents.save_migration(replace(found, progress=progress))
    return progress


def buried(work: Work, migration: str, *, after: int = 0, size: int = PAGE_DEFAULT) -> Page[str]:
    """Give the documents that were deleted while they were moved, in the order of that.

    Args:
        work: the unit of work.
        migration: its id.
        after: the number of the deletion before; `next` of a page is one.
        size: at most so many.
    """
    found = work.documents.migration(checked_key(migration))
    _check_number(after)
    given = work.documents.buried(found.id, after=after, size=checked_size(size))
    full = len(given) == size
    return Page(items=tuple(id for _, id in given), next=str(given[-1][0]) if full else None)


def check_ids(ids: Sequence[str]) -> None:
    """Refuse ids of documents that no database can hold."""
    for each in ids:
        names.prose(each, field="ids", limit=ID_LIMIT)


def _check_number(after: int) -> None:
    if type(after) is not int or not 0 <= after < 1 << 63:
        raise Invalid(f"after is {after!r:.30}; give the number of the one before", field="after")


def _bounded(given: Sequence[object], field: str) -> None:
    if len(given) > AT_ONCE:
        raise Invalid(f"give at most {AT_ONCE} {field} at once", field=field)
