"""Move aliases: promote, roll back, switch; and tell what was where, when and by whom."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from herdbook.core import names
from herdbook.core.access import Action, missing_model
from herdbook.core.deployments import Alias, Holding, Move, MoveKind
from herdbook.core.events import Change
from herdbook.core.models import Model, Status, Version
from herdbook.core.numbers import Number
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.refs import CHAMPION, LATEST, VersionRef, version_ref
from herdbook.core.wire import plain
from herdbook.errors import Conflict, Invalid, NotFound, StaleEpoch
from herdbook.services.gates import check_servable
from herdbook.services.rollback import steps_back


@dataclass(frozen=True, slots=True)
class Place:
    """An alias as a move finds it, its model locked."""

    entry: Model
    alias: str
    epoch: int
    present: Alias | None

    @property
    def model(self) -> str:
        """The model's name."""
        return self.entry.name


SLOTS = ("blue", "green")


def promote(
    work: Work,
    ref: str | VersionRef,
    *,
    alias: str = CHAMPION,
    reason: str = "",
    expected_epoch: int | None = None,
) -> Move:
    """Point an alias at a version; as champion it enters production, its predecessor leaves.

    Args:
        work: the unit of work.
        ref: the version.
        alias: the alias to move.
        reason: why, kept with the move.
        expected_epoch: refuse unless the alias is at this epoch; 0 for one that never moved.

    Raises:
        StaleEpoch: the alias moved since.
        RefusedMove: the version's status does not allow it.
        Refused: it would be the champion, and no key that the model trusts signed it.
        Conflict: the alias already points there.
    """
    wanted = version_ref(ref)
    place = _place(work, wanted.model, alias, expected_epoch)
    version = work.versions.get(wanted)
    _refuse_standstill(place, version, field="ref")
    return _move(work, place, version, kind=MoveKind.PROMOTE, reason=reason)


def rollback(  # noqa: PLR0913 - the three ways to say where to
    work: Work,
    model: str,
    *,
    alias: str = CHAMPION,
    steps: int = 1,
    to: str = "",
    to_time: datetime | None = None,
    reason: str = "",
    expected_epoch: int | None = None,
) -> Move:
    """Move an alias back along its history.

    Args:
        work: the unit of work.
        model: the model's name.
        alias: the alias to move.
        steps: how many versions back, 1 to 1,000; deleted and archived ones are stepped over.
            A second rollback goes further back, not forward again.
        to: the number to go back to; it must have held the alias before.
        to_time: go back to what it pointed at then.
        reason: why, kept with the move.
        expected_epoch: refuse unless the alias is at this epoch.

    Raises:
        NotFound: the history does not reach that far back.
    """
    if (steps != 1) + bool(to) + (to_time is not None) > 1:
        raise Invalid("give steps, a version or a time to roll back to, only one", field="steps")
    place = _place(work, model, alias, expected_epoch)
    target = _target(work, place, steps=steps, to=to, to_time=to_time)
    version = work.versions.get(VersionRef(model, target.to_number))
    _refuse_standstill(place, version, field="to")
    back = target.back_epoch
    return _move(work, place, version, kind=MoveKind.ROLLBACK, reason=reason, back=back)


def _target(work: Work, place: Place, *, steps: int, to: str, to_time: datetime | None) -> Move:
    model, alias = place.model, place.alias
    if to:
        number = work.versions.get(VersionRef(model, Number(to).text)).number
        found = work.deployments.last_to(model, alias, number)
        if found is None:
            raise NotFound(
                f"{model} {number} never was {alias}; promote it instead of rolling back",
                field="to",
            )
        return found
    if to_time is not None:
        held = work.deployments.at(to_time, model=model, alias=alias)
        if not held:
            raise NotFound(f"{model}@{alias} pointed nowhere at {to_time:%Y-%m-%d %H:%M:%S}Z")
        return held[0].since
    present = place.present.number if place.present else ""
    return steps_back(work, model, alias, steps=steps, epoch=place.epoch, present=present)


def set_current(
    work: Work, ref: str | VersionRef, *, reason: str = "", expected_epoch: int | None = None
) -> Alias:
    """Make a version the champion; one that is already stays so."""
    return set_deployed(work, ref, reason=reason, expected_epoch=expected_epoch)


def set_deployed(
    work: Work,
    ref: str | VersionRef,
    *,
    deployed: bool = True,
    reason: str = "",
    expected_epoch: int | None = None,
) -> Alias:
    """Put a version into production, or take it out; asked for twice, it is done once.

    Returns:
        The alias champion as it is then; its number is "" when nothing is in production.

    Raises:
        Conflict: another version is in production than the one to take out.
    """
    wanted = version_ref(ref)
    place = _place(work, wanted.model, CHAMPION, expected_epoch)
    number = work.versions.get(wanted).number
    held = place.present.number if place.present else ""
    if not deployed and held not in {number, ""}:
        raise Conflict(f"{wanted.model} {held} is in production, not {number}", field="ref")
    if deployed and held != number:
        promote(work, wanted, reason=reason)
    elif not deployed and held:
        remove(work, wanted.model, CHAMPION, reason=reason)
    return work.deployments.get(wanted.model, CHAMPION) or Alias(
        model=wanted.model,
        name=CHAMPION,
        number="",
        epoch=work.deployments.epoch(wanted.model, CHAMPION),
        moved_at=work.now(),
        moved_by=work.by.name,
    )


def switch(  # noqa: PLR0913 - two slots, an alias and the move's own facts
    work: Work,
    model: str,
    *,
    to: str = "",
    slots: Sequence[str] = SLOTS,
    alias: str = CHAMPION,
    reason: str = "",
    expected_epoch: int | None = None,
) -> Move:
    """Switch the champion to the other of two aliases (blue/green).

    Args:
        work: the unit of work.
        model: the model's name.
        to: the alias to take the version from; "" for the slot that is not live.
        slots: the two aliases.
        alias: the alias to move.
        reason: why, kept with the move.
        expected_epoch: refuse unless the alias is at this epoch.
    """
    if len(slots) != len(SLOTS):
        raise Invalid(f"{len(slots)} slots; give two, such as blue and green", field="slots")
    for name in [to] if to else slots:
        names.alias_name(name, field="to" if to else "slots")
    place = _place(work, model, alias, expected_epoch)
    live = place.present
    held = {name: work.deployments.get(model, name) for name in ([to] if to else slots)}
    others = [a for a in held.values() if a and (live is None or a.number != live.number)]
    if len(others) != 1:
        shown = ", ".join(f"{n} {a.number if a else 'nowhere'}" for n, a in held.items())
        raise Conflict(
            f"cannot tell what to switch {model}@{alias} to: it is "
            f"{live.number if live else 'nowhere'}, {shown}; point one of them at the version "
            f"to come, with `herdbook deploy {model} VERSION --alias {next(iter(held))}`",
            field="to",
        )
    version = work.versions.get(VersionRef(model, others[0].number))
    return _move(work, place, version, kind=MoveKind.SWITCH, reason=reason)


def remove(
    work: Work,
    model: str,
    alias: str,
    *,
    reason: str = "",
    expected_epoch: int | None = None,
) -> Move:
    """Take an alias away; its history stays, a champion leaves production."""
    place = _place(work, model, alias, expected_epoch)
    if place.present is None:
        raise _no_alias(model, alias)
    return _move(work, place, None, kind=MoveKind.REMOVE, reason=reason, back=place.epoch)


def _place(work: Work, model: str, alias: str, expected: int | None) -> Place:
    if alias == LATEST:
        raise Invalid("latest moves by itself; choose another alias", field="alias")
    names.alias_name(alias)
    work.by.allow(Action.DEPLOY, names.model_name(model))
    entry = work.models.lock(model)
    present = work.deployments.get(model, alias)
    epoch = present.epoch if present else work.deployments.epoch(model, alias)
    if expected is not None and expected != epoch:
        raise StaleEpoch(
            f"{model}@{alias} is at epoch {epoch}, not {expected}: it moved since you looked",
            field="expected_epoch",
            details={"epoch": epoch},
        )
    return Place(entry, alias, epoch, present)


def _refuse_standstill(place: Place, version: Version, *, field: str) -> None:
    if place.present is not None and place.present.number == version.number:
        raise Conflict(f"{place.model}@{place.alias} is {version.number} already", field=field)


def _behind(work: Work, place: Place) -> int:
    """Give the epoch a rollback of the coming move restores: a removal is stepped over."""
    if place.present is not None or not place.epoch:
        return place.epoch
    removal = work.deployments.at_epoch(place.model, place.alias, place.epoch)
    return removal.back_epoch if removal else 0


def _move(
    work: Work,
    place: Place,
    version: Version | None,
    *,
    kind: MoveKind,
    reason: str,
    back: int | None = None,
) -> Move:
    present = place.present
    if version is not None:
        check_servable(work, place.entry, version, alias=place.alias)
    ends = [version] if version else []
    if present is not None:
        ends.append(work.versions.get(VersionRef(place.model, present.number)))
    move = Move(
        model=place.model,
        alias=place.alias,
        epoch=place.epoch + 1,
        kind=kind,
        from_number=present.number if present else "",
        to_number=version.number if version else "",
        back_epoch=_behind(work, place) if back is None else back,
        at=work.now(),
        by=work.by.name,
        reason=names.prose(reason, field="reason"),
        statuses=_statuses(version, present, place.alias),
    )
    work.deployments.move(move)
    if place.alias == CHAMPION:
        work.experiments.hurry(place.model)
    _repoint(work, place, move, ends)
    work.record(
        Change(action="alias.moved", model=place.model, number=move.to_number, body=plain(move))
    )
    return move


def _statuses(version: Version | None, present: Alias | None, alias: str) -> dict[str, str]:
    if alias != CHAMPION:
        return {}
    changes: dict[str, str] = {}
    if present is not None:
        changes[present.number] = str(Status.DEPRECATED)
    if version is not None:
        changes[version.number] = str(Status.PRODUCTION)
    return changes


def _repoint(work: Work, place: Place, move: Move, ends: Sequence[Version]) -> None:
    """Bring the versions' and the model's own account of their aliases up to date."""
    for version in ends:
        aliases = set(version.aliases) - {move.alias}
        if version.number == move.to_number:
            aliases.add(move.alias)
        status = Status(move.statuses.get(version.number, version.status))
        work.versions.save(
            replace(
                version,
                aliases=tuple(sorted(aliases)),
                status=status,
                updated_at=work.now(),
            )
        )
    model = place.entry
    aliases_now = {k: v for k, v in model.aliases.items() if k != move.alias}
    if move.to_number:
        aliases_now[move.alias] = move.to_number
    work.models.save(
        replace(model, aliases=dict(sorted(aliases_now.items())), updated_at=work.now())
    )


def alias(work: Work, model: str, alias: str = CHAMPION) -> Alias:
    """Give an alias and its epoch."""
    ref = VersionRef(model, alias=alias)
    work.by.allow(Action.READ, ref.model)
    work.models.get(model)
    found = work.deployments.get(model, alias)
    if found is None:
        raise _no_alias(model, alias)
    return found


def _no_alias(model: str, alias: str) -> NotFound:
    return NotFound(
        f"{model}@{alias} points nowhere; point it with `herdbook deploy {model} VERSION"
        f"{'' if alias == CHAMPION else ' --alias ' + alias}`",
        field="alias",
    )


def history(
    work: Work,
    *,
    model: str = "",
    alias: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[Move]:
    """Give moves, newest first: of one alias, one model or all; of deleted models too."""
    if model:
        _check_ever(work, model)
    return work.deployments.moves(
        model=model or None, alias=alias or None, size=checked_size(page_size), page=page
    )


def at(
    work: Work, *, time: datetime | None = None, model: str = "", alias: str = CHAMPION
) -> Page[Holding]:
    """Tell what an alias pointed at at a time, and who put it there; of deleted models too.

    Args:
        work: the unit of work.
        time: when; None for now.
        model: one model, or "" for all.
        alias: the alias.
    """
    if model:
        _check_ever(work, model)
    held = work.deployments.at(time or work.now(), model=model or None, alias=alias)
    return Page(items=tuple(held))


def _check_ever(work: Work, model: str) -> None:
    """Refuse a model that never was: history outlives what it is of."""
    work.by.allow(Action.READ, names.model_name(model))
    if not work.models.exists(model):
        raise missing_model(model)
