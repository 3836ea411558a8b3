"""Carry migrations of documents through their phases, and keep the ledger of their shards."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.documents import Collection, Home
from herdbook.core.migrations import (
    CUT,
    Estimate,
    Migration,
    MigrationPhase,
    Options,
    Step,
    Verification,
    Way,
    allowed,
)
from herdbook.core.numbers import Number
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef
from herdbook.core.spaces import EncoderSpec, Space
from herdbook.core.vectors import NAME_LIMIT, Place
from herdbook.core.wire import plain
from herdbook.errors import Conflict, Invalid, Refused
from herdbook.services.documents import check_free, check_source, tell

LEASE_LIMIT: Final = 3_600.0


def start(  # noqa: PLR0913 - what a migration is
    work: Work,
    collection: str,
    *,
    to_version: str,
    steps: Sequence[Step] = (),
    encoder: EncoderSpec | None = None,
    options: Options | None = None,
    place: Place | None = None,
    dry_run: bool = False,
) -> Migration:
    """Begin a migration: it is planned, nothing is moved yet.

    Args:
        work: the unit of work.
        collection: whose documents are moved.
        to_version: the version that is to embed them: a number or an alias as `@champion`.
        steps: the path to it; left out, one step that embeds anew.
        encoder: how what embeds is opened; left out, the version's own files.
        options: how it is carried out.
        place: where the documents go; left out, named after the version.
        dry_run: check everything and write nothing.

    Raises:
        Conflict: another migration of the collection is under way, or it is there already.
        NotFound: there is no such version.
    """
    found = work.documents.get(names.key(collection, field="collection"))
    work.by.allow(Action.WRITE, found.model)
    work.models.lock(found.model)
    found = work.documents.lock(found.name)
    made = _planned(work, found, to_version, tuple(steps), options or Options())
    made = replace(made, target=_target(found, made, encoder, place))
    check_free(work, found.store, made.target.place)
    if dry_run:
        return made
    made = work.documents.begin(made)
    work.documents.save(replace(found, migration=made.id))
    body: dict[str, object] = {
        "migration": made.id,
        "from": made.from_version,
        "to": made.to_version,
    }
    body["steps"] = plain(made.steps)
    tell(work, found, action="documents.planned", body=body)
    return made


def _planned(
    work: Work, found: Collection, to_version: str, steps: tuple[Step, ...], options: Options
) -> Migration:
    if found.migration:
        raise Conflict(
            f"{found.migration} of {found.name} is under way; see `herdbook documents status "
            f"{found.name}`, finish it or roll it back first",
            field="collection",
        )
    home = found.home.space
    if home is None:
        raise Conflict(
            f"nobody knows what embedded {found.name}; prove it first: `herdbook documents stamp "
            f"{found.name} --encoder …`",
            field="collection",
        )
    alias = to_version.removeprefix("@") if to_version.startswith("@") else ""
    ref = VersionRef(found.model, alias=alias) if alias else VersionRef(found.model, to_version)
    wanted = work.versions.get(ref)
    if wanted.number == home.number:
        raise Conflict(f"{found.name} is at {wanted.ref} already", field="to_version")
    only = Step(from_version=home.number, to_version=wanted.number, way=Way.REEMBED)
    return Migration(
        id="",
        collection=found.name,
        model=found.model,
        from_version=home.number,
        to_version=wanted.number,
        steps=steps or (only,),
        source=found.home,
        target=found.home,
        options=options,
        started_at=work.now(),
        started_by=work.by.name,
    )


def _target(
    found: Collection, made: Migration, encoder: EncoderSpec | None, place: Place | None
) -> Home:
    number = made.to_version
    spec = encoder or EncoderSpec(
        model=found.model, number=number, source=f"herdbook:{found.model}:{number}"
    )
    check_source(spec)
    if spec.model != found.model or Number(spec.number) != Number(number):
        raise Invalid(
            f"the encoder is of {spec.model}:{spec.number}, the documents go to "
            f"{found.model}:{number}",
            field="encoder",
        )
    spec = replace(spec, number=number)
    place = place or _named(found.home.place, number, as_field=made.options.field)
    if place == found.home.place or (place.collection == found.home.place.collection) != bool(
        made.options.field
    ):
        raise Invalid(
            f"{place} is no target beside {found.home.place}: give another collection, or with "
            "`field` another vector field of the same",
            field="place",
        )
    return Home(place=place, encoder=spec)


def _named(home: Place, number: str, *, as_field: bool) -> Place:
    end = re.sub(r"[^A-Za-z0-9]+", "_", number).strip("_")
    if as_field:
        return Place(collection=home.collection, field=f"embedding_{end}"[:NAME_LIMIT])
    stem = home.collection.partition("--")[0]
    return Place(collection=f"{stem[: NAME_LIMIT - len(end) - 2]}--{end}")


def get(work: Work, migration: str) -> Migration:
    """Give a migration as it stands."""
    return work.documents.migration(checked_key(migration))


def page(
    work: Work,
    *,
    collection: str | None = None,
    model: str | None = None,
    size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[Migration]:
    """Give migrations, newest first.

    Args:
        work: the unit of work.
        collection: only of that one.
        model: only of collections its versions embed.
        size: at most so many.
        page: `next` of the page before.
    """
    if model is not None:
        work.models.get(names.model_name(model))
    return work.documents.migrations(
        collection=collection, model=model, size=checked_size(size), page=page
    )


def claim(
    work: Work, migration: str, *, driver: str, lease_seconds: float = 30.0, dead: str = ""
) -> Migration:
    """Take, or keep, the lease of a migration: only who has it carries it out.

    Args:
        work: the unit of work.
        migration: its id.
        driver: names the process; the same name keeps the lease.
        lease_seconds: how long it is believed without being kept, 1 to 3600.
        dead: a driver the caller knows to have ended; its lease is not waited for.

    Raises:
        Conflict: somebody else has it, or the migration is over.
    """
    found = locked(work, migration)
    found.check_open()
    names.line(driver, field="driver", limit=names.KEY_LIMIT)
    if not 1 <= lease_seconds <= LEASE_LIMIT:
        raise Invalid("a lease lasts 1 to 3600 seconds", field="lease_seconds")
    until = found.lease_until
    if found.driver not in ("", driver, dead) and until is not None and until > work.now():
        raise Conflict(
            f"{found.id} is being carried out by {found.driver} until {until:%H:%M:%S} UTC at "
            "least; wait for it, or end that process",
            field="driver",
        )
    changed = replace(
        found, driver=driver, lease_until=work.now() + timedelta(seconds=lease_seconds)
    )
    work.documents.save_migration(changed)
    return changed


def leave(work: Work, migration: str, *, driver: str) -> Migration:
    """Give the lease back."""
    found = locked(work, migration)
    if found.driver != driver:
        return found
    changed = replace(found, driver="", lease_until=None)
    work.documents.save_migration(changed)
    return changed


def advance(  # noqa: PLR0913 - what each phase brings with it
    work: Work,
    migration: str,
    *,
    driver: str,
    to: MigrationPhase,
    space: Space | None = None,
    estimate: Estimate | None = None,
    verification: Verification | None = None,
) -> Migration:
    """Take a migration to its next phase; what it was taken to already stays.

    Args:
        work: the unit of work.
        migration: its id.
        driver: who has its lease.
        to: the phase.
        space: of the target, measured from its encoder; with `target`.
        estimate: what the dry run said; with `rehearsed`.
        verification: what was found; with `verified`.

    Raises:
        Conflict: somebody else has the lease, the phase cannot follow, or there are shards that
            were not carried.
        Refused: vectors cannot be copied between the two spaces.
    """
    found = driven(work, migration, driver)
    if to in (*CUT, MigrationPhase.RETIRED, MigrationPhase.ROLLED_BACK):
        raise Invalid(f"{to} is not come to by advancing", field="to")
    if to is MigrationPhase.VERIFIED:
        return _verified(work, found, verification)
    if found.phase is to:
        return found
    _check_follows(found, to)
    if to is MigrationPhase.CATCH_UP and not found.progress.done:
        raise Conflict(
            f"{found.id} carried {found.progress.shards_done} of {found.progress.shards} shards; "
            "carry the rest first",
            field="to",
        )
    changed = replace(found, phase=to, estimate=estimate or found.estimate)
    if to is MigrationPhase.TARGET:
        changed = replace(changed, target=_spaced(changed, space))
    work.documents.save_migration(changed)
    held = work.documents.lock(found.collection)
    if to is MigrationPhase.DUAL_WRITE:
        work.documents.save(replace(held, beside=changed.target, epoch=held.epoch + 1))
    tell(work, held, action="documents.advanced", body={"migration": found.id, "phase": str(to)})
    return changed


def _check_follows(found: Migration, to: MigrationPhase) -> None:
    if to not in allowed(found.phase):
        raise Conflict(
            f"{found.id} is at {found.phase}; {to} does not follow it, "
            f"{' or '.join(map(str, allowed(found.phase))) or 'nothing'} does",
            field="to",
        )


def _spaced(found: Migration, space: Space | None) -> Home:
    source = found.source.space
    if space is None or source is None:
        raise Invalid("the target's space is measured before it is made", field="space")
    if not found.embeds and space.fingerprint != source.fingerprint:
        raise Refused(
            f"vectors cannot be copied from {source} to {space}: they are not one space; let the "
            "path embed anew",
            field="space",
        )
    return replace(found.target, space=space)


def _verified(work: Work, found: Migration, verification: Verification | None) -> Migration:
    if verification is None:
        raise Invalid("say what the verification found", field="verification")
    if found.phase is not MigrationPhase.VERIFIED:  # what was verified may be looked at once more
        _check_follows(found, MigrationPhase.VERIFIED)
    passed = verification.passed
    phase = MigrationPhase.VERIFIED if passed else MigrationPhase.VERIFY
    changed = replace(found, phase=phase, verification=verification)
    work.documents.save_migration(changed)
    held = work.documents.get(found.collection)
    body = {"migration": found.id, "passed": passed, "failed": list(verification.failed)}
    tell(work, held, action="documents.verified", body=body)
    return changed


def pause(work: Work, migration: str, *, reason: str = "") -> Migration:
    """Let the carrying of a migration wait, after the shards that are on their way."""
    return _set_paused(work, migration, reason, paused=True)


def resume(work: Work, migration: str, *, budget: float | None = None) -> Migration:
    """Let the carrying of a migration go on.

    Args:
        work: the unit of work.
        migration: its id.
        budget: what embedding may cost at most from now on, what was spent included; None for
            as before.
    """
    found = locked(work, migration)
    if budget is None or budget == found.options.budget:
        return _set_paused(work, migration, "", paused=False)
    found.check_open()
    options = replace(found.options, budget=budget)
    changed = replace(found, options=options, paused=False, reason="")
    work.documents.save_migration(changed)
    held = work.documents.get(found.collection)
    body: dict[str, object] = {"migration": found.id, "reason": "", "budget": budget}
    tell(work, held, action="documents.resumed", body=body)
    return changed


def _set_paused(work: Work, migration: str, reason: str, *, paused: bool) -> Migration:
    found = locked(work, migration)
    found.check_open()
    if found.paused is paused:
        return found
    said = names.optional_line(reason, field="reason")
    changed = replace(found, paused=paused, reason=said)
    work.documents.save_migration(changed)
    held = work.documents.get(found.collection)
    body: dict[str, object] = {"migration": found.id, "reason": said}
    if paused:
        tell(work, held, action="documents.paused", body=body)
    else:
        tell(work, held, action="documents.resumed", body=body)
    return changed


def locked(work: Work, migration: str, action: Action = Action.WRITE) -> Migration:
    """Give a migration the actor may change, locked."""
    found = work.documents.migration(checked_key(migration))
    work.by.allow(action, found.model)
    return work.documents.lock_migration(found.id)


def driven(work: Work, migration: str, driver: str) -> Migration:
    """Give a migration to who has its lease, locked; Conflict to others."""
    found = locked(work, migration)
    found.check_open()
    if found.driver != driver:
        raise Conflict(
            f"{found.id} is carried out by {found.driver or 'nobody'}, no longer by {driver}",
            field="driver",
        )
    return found


def checked_key(migration: str) -> str:
    """Check the id of a migration."""
    return names.line(migration, field="migration", limit=names.KEY_LIMIT)
