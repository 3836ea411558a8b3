"""Cut a collection over to where its documents were moved, or go back; the switch is one row."""

from dataclasses import replace
from datetime import datetime

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.documents import Collection
from herdbook.core.migrations import CUT, OVER, Migration, MigrationPhase
from herdbook.core.ports import Work
from herdbook.errors import Conflict, Refused
from herdbook.services.documents import tell


def cut_over(work: Work, migration: str, *, force: str = "") -> Migration:
    """Let readers search the target from now on, with its own encoder; the source is written on.

    Args:
        work: the unit of work.
        migration: its id; it is verified.
        force: why it is cut over although it is not; recorded.

    Raises:
        Refused: it is not verified, and no reason to force it was given.
        Conflict: not everything was carried; that cannot be forced.
    """
    found, held = _locked(work, migration)
    if found.phase in CUT:
        return found
    found.check_open()
    reason = names.optional_line(force, field="force")
    _check_ready(found, reason)
    changed = replace(
        found,
        phase=MigrationPhase.CUT_OVER,
        reason=reason,
        driver="",
        lease_until=None,
        paused=False,
    )
    _move(work, held, replace(held, home=found.target, beside=found.source, bridge=""))
    work.documents.save_migration(changed)
    body: dict[str, object] = {"migration": found.id, "from": found.from_version}
    body |= {"to": found.to_version, "forced": reason}
    tell(work, held, action="documents.cut_over", body=body)
    return changed


def _check_ready(found: Migration, reason: str) -> None:
    ready = (MigrationPhase.CATCH_UP, MigrationPhase.VERIFY, MigrationPhase.VERIFIED)
    if found.phase not in ready or not found.progress.done:
        raise Conflict(
            f"{found.id} is at {found.phase}: not every document was carried to the target; run "
            f"`herdbook documents migrate {found.collection}` first",
            field="migration",
        )
    if found.phase is not MigrationPhase.VERIFIED and not reason:
        failed = found.verification.failed if found.verification else ()
        said = f"failed: {', '.join(failed)}" if failed else "was not verified"
        raise Refused(
            f"{found.id} {said}; `herdbook documents verify {found.collection}` says more. To cut "
            'over all the same give a reason: --force "…"',
            field="force",
        )


def observe(work: Work, migration: str) -> Migration:
    """Say that the store's alias follows the cut; readers were switched before.

    Raises:
        Conflict: it was not cut over.
    """
    found, _ = _locked(work, migration)
    if found.phase in (MigrationPhase.OBSERVE, MigrationPhase.RETIRED):
        return found
    found.check_open()
    if found.phase is not MigrationPhase.CUT_OVER:
        raise Conflict(f"{found.id} is at {found.phase}; cut it over first", field="migration")
    changed = replace(found, phase=MigrationPhase.OBSERVE)
    work.documents.save_migration(changed)
    return changed


def roll_back(work: Work, migration: str, *, reason: str = "") -> Migration:
    """Go back: before the cut the target is given up, after it readers search the source again.

    Raises:
        Conflict: it was retired, so that there is nothing to go back to.
    """
    found, held = _locked(work, migration)
    if found.phase is MigrationPhase.ROLLED_BACK:
        return found
    found.check_open()
    said = names.optional_line(reason, field="reason")
    # After the cut a bridge leads to the target, which is searched no more.
    bridge = "" if found.phase in CUT else held.bridge
    _move(work, held, replace(held, home=found.source, beside=None, migration="", bridge=bridge))
    changed = _ended(found, MigrationPhase.ROLLED_BACK, said, work.now())
    work.documents.save_migration(changed)
    body: dict[str, object] = {"migration": found.id, "phase": str(found.phase), "reason": said}
    tell(work, held, action="documents.rolled_back", body=body)
    return changed


def retire(work: Work, migration: str) -> Migration:
    """Write the source no more; there is no way back after it.

    Raises:
        Conflict: it was not cut over, or the store's alias does not follow yet.
    """
    found, held = _locked(work, migration)
    if found.phase is MigrationPhase.RETIRED:
        return found
    if found.phase is not MigrationPhase.OBSERVE:
        raise Conflict(
            f"{found.id} is at {found.phase}; only what was cut over is retired", field="migration"
        )
    _move(work, held, replace(held, beside=None, migration=""))
    changed = _ended(found, MigrationPhase.RETIRED, found.reason, work.now())
    work.documents.save_migration(changed)
    tell(work, held, action="documents.retired", body={"migration": found.id})
    return changed


def fault(held: Collection, migration: Migration | None) -> str:
    """Say what of a collection is not as the migration that is under way puts it, or "".

    Args:
        held: the collection.
        migration: the one it names; None when it names none, or one that is not there.
    """
    if not held.migration:
        return "" if held.beside is None else "is written beside, but not migrated"
    if migration is None or migration.collection != held.name or migration.model != held.model:
        return f"is said to be in {held.migration}, which is no migration of it"
    if migration.phase in OVER:
        return f"is said to be in {held.migration}, which is over"
    source, target = migration.source, migration.target
    expected = {
        **dict.fromkeys(
            (MigrationPhase.PLANNED, MigrationPhase.REHEARSED, MigrationPhase.TARGET),
            (source, None),
        ),
        **dict.fromkeys(CUT, (target, source)),
    }.get(migration.phase, (source, target))
    if (held.home, held.beside) != expected:
        return f"is not searched and written as {held.migration} at {migration.phase} has it"
    return ""


def _ended(found: Migration, phase: MigrationPhase, reason: str, at: datetime) -> Migration:
    return replace(
        found,
        phase=phase,
        reason=reason,
        ended_at=at,
        driver="",
        lease_until=None,
        paused=False,
    )


def _move(work: Work, held: Collection, changed: Collection) -> None:
    work.documents.save(replace(changed, epoch=held.epoch + 1))
    if held.bridge and not changed.bridge:
        work.documents.set_bridge(held.name, None)


def _locked(work: Work, migration: str) -> tuple[Migration, Collection]:
    key = names.line(migration, field="migration", limit=names.KEY_LIMIT)
    found = work.documents.migration(key)
    work.by.allow(Action.DEPLOY, found.model)
    found = work.documents.lock_migration(found.id)
    return found, work.documents.lock(found.collection)
