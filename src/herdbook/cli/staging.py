"""`herdbook artifacts stage`, `switch`, `back` and `slots`: blue/green on a machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from herdbook.cli import hooks as run
from herdbook.cli import parameters as take
from herdbook.cli.cache import count_text, size_text
from herdbook.cli.commands import command
from herdbook.cli.hooks import Hooks
from herdbook.cli.output import Table, line
from herdbook.cli.session import DRY, Session
from herdbook.cli.switching import Done, Switching, sourced, stands
from herdbook.errors import NotFound
from herdbook.storage.slots import Held, Slots, Standing, Switched

MOVES_SHOWN: Final = 5
Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def folder_option() -> Decorator:
    """Take --to."""
    return click.option(
        "--to",
        "folder",
        type=click.Path(path_type=Path),
        required=True,
        metavar="FOLDER",
        help="The folder of the slots, such as /srv/models.",
    )


def _slot_option() -> Decorator:
    return click.option("--slot", required=True, help="Such as green.")


@command(
    "stage",
    examples=(
        "artifacts stage majora:v2 --slot green --to /srv/models",
        'artifacts stage majora:v2 --slot green --to /srv/models --health "check-model" '
        '--switch --restart "systemctl restart bu-processor" --verify "curl -f localhost/health"',
        "artifacts stage local:artifacts/model-v2 --slot green --to /srv/models",
    ),
)
@click.argument("ref", type=take.MODEL, metavar="REF")
@_slot_option()
@folder_option()
@click.option("--switch", "switching", is_flag=True, help="Make it current when it is healthy.")
@run.options("health", "restart", "verify")
@take.dry_run_option
@click.pass_obj
def stage(
    session: Session,
    /,
    ref: str,
    slot: str,
    folder: Path,
    *,
    switching: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Put a version into a slot beside the one services read.

    REF is a version of the register, or local:FOLDER. A slot is filled whole or not at all, with
    read-only copies; the one that is current is never touched.
    """
    if not switching and (given["restart"] or given["verify"]):
        raise click.UsageError("--restart and --verify come after a switch: add --switch")
    slots, hooks = Slots(folder), Hooks(**given)
    before = slots.stageable(slot)
    with sourced(session, ref) as source:
        if dry_run:
            _tell_plan(session, slots, f"stage {source.version} into {slot}", before)
            return
        staged = slots.stage(slot, source.fill, version=source.version, digest=source.digest)
    turn = Switching(session, slots, hooks)
    turn.check_health(staged.held)
    switched = turn.switch(staged.held) if switching else None
    _answer(session, turn.done(staged=staged, switched=switched))


@command(
    "switch",
    examples=(
        "artifacts switch --slot green --to /srv/models",
        'artifacts switch --slot green --to /srv/models --restart "systemctl restart bu-processor"',
    ),
)
@_slot_option()
@folder_option()
@run.options("health", "restart", "verify")
@take.dry_run_option
@click.pass_obj
def switch(session: Session, /, slot: str, folder: Path, *, dry_run: bool, **given: Any) -> None:
    """Make a staged slot the one services read, in one step.

    When --restart or --verify fails after it, the slot before is current again, and restarted.
    """
    slots, hooks = Slots(folder), Hooks(**given)
    held = _held(slots.status(), slot)
    if dry_run:
        _tell_plan(session, slots, f"switch to {slot}", held)
        return
    turn = Switching(session, slots, hooks)
    turn.check_health(held)
    _answer(session, turn.done(switched=turn.switch(held)))


@command(
    "back",
    examples=(
        "artifacts back --to /srv/models",
        'artifacts back --to /srv/models --restart "systemctl restart bu-processor"',
    ),
)
@folder_option()
@run.options("restart", "verify")
@take.dry_run_option
@click.pass_obj
def back(session: Session, /, folder: Path, *, dry_run: bool, **given: Any) -> None:
    """Make the slot before current again, if it still holds what it held then."""
    slots, hooks = Slots(folder), Hooks(**given)
    if dry_run:
        target = slots.before()
        _tell_plan(session, slots, f"go back to {target.slot}", target)
        return
    turn = Switching(session, slots, hooks)
    switched = slots.back()
    failed = turn.settle(_held(slots.status(), switched.slot))
    if failed:
        forward = f"herdbook artifacts switch --slot {switched.was} --to {slots.folder}"
        raise turn.refused(
            f"{failed.told}: {stands(slots.status())}, it was {switched.was}, and stays so; mend "
            f"what failed and run it again, or `{forward}` takes the newer one again"
        )
    _answer(session, turn.done(switched=switched))


@command("slots", examples=("artifacts slots --to /srv/models",))
@folder_option()
@click.pass_obj
def slots_(session: Session, folder: Path) -> None:
    """Show what each slot holds, which is current, and the last moves."""
    standing = Slots(folder).status()
    if not session.as_json:
        session.note(f"{stands(standing)}.")
        for move in standing.history[:MOVES_SHOWN]:
            session.note(f"  {session.when(move.at)}  {_moved(move)}")
    session.answer(
        standing,
        ids=[held.slot for held in standing.slots],
        text=lambda: _table(session, standing),
    )


def _held(standing: Standing, slot: str) -> Held:
    found = next((held for held in standing.slots if held.slot == slot), None)
    if found is None:
        there = ", ".join(held.slot for held in standing.slots) or "none"
        raise NotFound(
            f"nothing is staged as {slot!r:.80} in {standing.folder}; staged there: {there}",
            field="slot",
        )
    return found


def _table(session: Session, standing: Standing) -> Table:
    rows = [
        [
            "●" if held.slot == standing.current else "○",
            held.slot,
            held.version,
            str(held.files),
            size_text(held.size),
            session.when(held.at),
            held.digest.removeprefix("sha256:")[:12],
        ]
        for held in standing.slots
    ]
    titles = ("", "slot", "version", ">files", ">size", "staged", "digest")
    return Table(titles, rows, empty="Nothing is staged there.")


def _answer(session: Session, done: Done) -> None:
    session.answer(done, ids=[done.current or "-"], text=lambda: "\n".join(_lines(done)))


def _lines(done: Done) -> list[str]:
    told = []
    if done.staged:
        held, before = done.staged.held, done.staged.before
        instead = f", instead of {line(before)}" if before else ""
        what = f"{count_text(held.files, 'file')}, {size_text(held.size)}"
        told.append(f"{held.slot} holds {line(held.version)} ({what}){instead}.")
    told += [f"{ran.told}." for ran in done.commands]
    if done.switched:
        told.append(f"{done.folder}/current is {_moved(done.switched)}.")
    elif done.current:
        told.append(f"{done.folder}/current is still {done.current} ({line(done.version)}).")
    else:
        told.append(f"{done.folder} has no current slot yet; --switch makes one current.")
    return told


def _moved(move: Switched) -> str:
    was = f"; it was {move.was}" if move.was else ""
    already = "" if move.changed else ", as it was"
    return f"{move.slot} ({line(move.version)}){was if move.changed else already}"


def _tell_plan(session: Session, slots: Slots, what: str, held: Held | None) -> None:
    holds = f", which holds {line(held.version)}" if held else ""
    plan = {"folder": str(slots.folder), "plan": what, "slot": held}
    session.answer(plan, text=lambda: f"Would {line(what)}{holds}, in {slots.folder}.")
    session.note(DRY)
