"""`herdbook deploy`, `rollback` and `deployments …`."""

from datetime import UTC, datetime
from typing import Any

import click

from herdbook.cli import parameters as take
from herdbook.cli import recovery, views
from herdbook.cli.commands import command, group
from herdbook.cli.output import Table, facts, iso, line
from herdbook.cli.session import Session
from herdbook.core.deployments import Holding, Move
from herdbook.core.refs import CHAMPION
from herdbook.core.wire import time_value


def _answer(session: Session, move: Move) -> None:
    session.answer(
        move,
        ids=[f"{move.model}:{move.to_number}" if move.to_number else move.model],
        text=lambda: views.moved(move),
    )


@command(
    "deploy",
    examples=(
        "deploy majora v1",
        'deploy majora:v2 --reason "better on toolbench"',
        "deploy majora v2 --alias challenger",
    ),
)
@take.model_argument()
@click.argument("version", default="", metavar="[VERSION]")
@take.alias_option
@take.reason_option
@take.epoch_option
@take.dry_run_option
@click.pass_obj
def deploy(
    session: Session, /, model: str, version: str, alias: str, *, dry_run: bool, **given: Any
) -> None:
    """Point an alias at a version; as champion it enters production."""
    if not version and not take.is_reference(model):
        raise click.UsageError(
            f"which version of {model}? Write `herdbook deploy {model} v1`; `herdbook versions "
            f"{model}` lists them"
        )
    with session.book(dry_run=dry_run) as book:
        ref = take.reference(model, version)
        _answer(session, book.deployments.promote(ref, alias=alias, **given))


@command(
    "rollback",
    examples=(
        "rollback majora",
        "rollback majora v1 --reason regression",
        "rollback majora --to-time 2026-01-14T12:00:00Z --dry-run",
        'rollback majora --to /srv/models --restart "systemctl restart bu-processor" '
        '--verify "curl -f localhost/health"',
    ),
)
@take.model_argument()
@click.argument("version", default="", metavar="[VERSION]")
@click.option("--steps", type=int, default=1, show_default=True, help="How many versions back.")
@click.option("--to-time", metavar="TIME", help="Back to what it was then.")
@take.alias_option
@take.reason_option
@take.epoch_option
@recovery.options
@take.dry_run_option
@click.pass_obj
def rollback(session: Session, /, model: str, version: str, *, dry_run: bool, **given: Any) -> None:
    """Move an alias back: by steps, to a version that held it, or to a time.

    With --to, --restart and --verify the machine follows: its bytes are restored, the service is
    restarted, and the command that verifies it decides (exit status 1 when it says no).
    """
    if not version and ":" in model:
        model, _, version = model.rpartition(":")
    wanted = recovery.Recovery.taken(session, given)
    with session.book(dry_run=dry_run) as book:
        move = book.deployments.rollback(model, to=version, **given)
        if wanted is None or dry_run:
            _answer(session, move)
            if wanted:
                session.note(wanted.plan(move))
            return
        done = wanted.follow(book, move)
    session.answer(done, ids=[f"{move.model}:{move.to_number}"], text=lambda: wanted.text(done))


@group(
    "deployments",
    examples=("deployments history majora", "deployments at 2026-01-14 --model majora"),
)
def deployments() -> None:
    """Aliases, and what was where, when, and who put it there."""


@deployments.command("history", examples=("deployments history majora", "deployments history"))
@take.model_argument(required=False)
@click.option("--alias", default="", help="Only this alias.")
@take.page_options
@click.pass_obj
def history(
    session: Session, model: str | None, alias: str, page_size: int, page: str | None
) -> None:
    """List moves of aliases, newest first."""
    with session.book() as book:
        found = book.deployments.history(model or "", alias=alias, page_size=page_size, page=page)
    session.page(
        found,
        ids=[f"{m.model}:{m.to_number}" for m in found.items],
        text=lambda: views.moves_table(session, found.items),
    )


@deployments.command(
    "at",
    examples=("deployments at", 'deployments at "2026-01-14T12:00:00Z" --model majora'),
)
@click.argument("time", default="", metavar="[TIME]")
@click.option("--model", type=take.MODEL, default="", help="Only this model.")
@click.option("--alias", default="champion", show_default=True, help="Which alias.")
@click.pass_obj
def at(session: Session, time: str, model: str, alias: str) -> None:
    """Tell what was in production at a time, now by default, and who put it there."""
    asked = time_value(time) if time else datetime.now(UTC)
    with session.book() as book:
        found = book.deployments.at(asked if time else None, model=model, alias=alias)
    if not session.as_json:
        session.note(_instant(asked, alias))
    session.page(
        found,
        ids=[f"{h.since.model}:{h.since.to_number}" for h in found.items],
        text=lambda: _holdings(session, found.items, alias),
    )


def _instant(asked: datetime, alias: str) -> str:
    place = "In production" if alias == CHAMPION else f"At the alias {line(alias)}"
    ahead = asked > datetime.now(UTC)
    return f"{place} at {iso(asked)}{', which is still to come: as it is now' if ahead else ''}:"


def _holdings(session: Session, found: tuple[Holding, ...], alias: str) -> Table:
    rows = [
        [
            f"{h.since.model}:{h.since.to_number}",
            h.since.alias,
            session.when(h.since.at),
            session.when(h.until) or "so far",
            h.since.by,
            line(h.since.reason),
        ]
        for h in found
    ]
    titles = ("version", "alias", "since", "until", "by", "reason")
    place = "in production" if alias == CHAMPION else f"at the alias {line(alias)}"
    return Table(titles, rows, empty=f"Nothing was {place} then.")


@deployments.command(
    "switch", examples=("deployments switch majora", "deployments switch majora --to green")
)
@take.model_argument()
@click.option("--to", default="", help="The alias to take the version from.")
@click.option(
    "--slots",
    nargs=2,
    default=("blue", "green"),
    show_default=True,
    help="The two aliases between which to switch.",
)
@take.alias_option
@take.reason_option
@take.epoch_option
@take.dry_run_option
@click.pass_obj
def switch(session: Session, /, model: str, *, dry_run: bool, **given: Any) -> None:
    """Switch the champion to the other of two aliases (blue/green)."""
    with session.book(dry_run=dry_run) as book:
        _answer(session, book.deployments.switch(model, **given))


@deployments.command("alias", examples=("deployments alias majora", "deployments alias gnn blue"))
@take.model_argument()
@click.argument("alias", default="champion", metavar="[ALIAS]")
@click.pass_obj
def alias_(session: Session, model: str, alias: str) -> None:
    """Show an alias and its epoch."""
    with session.book() as book:
        found = book.deployments.alias(model, alias)
    pairs = [
        ("version", f"{found.model}:{found.number}"),
        ("epoch", str(found.epoch)),
        ("moved", f"{session.when(found.moved_at)} by {line(found.moved_by)}"),
    ]
    session.answer(
        found,
        ids=[f"{found.model}:{found.number}"],
        text=lambda: "\n".join([f"{found.model}@{found.name}", *facts(pairs)]),
    )


@deployments.command("remove", examples=("deployments remove majora challenger --yes",))
@take.model_argument()
@click.argument("alias")
@take.reason_option
@take.epoch_option
@take.yes_option
@take.dry_run_option
@click.pass_obj
def remove(
    session: Session, /, model: str, alias: str, *, yes: bool, dry_run: bool, **given: Any
) -> None:
    """Take an alias away; its history stays."""
    session.confirm(f"Remove {model}@{alias}?", yes=yes or dry_run)
    with session.book(dry_run=dry_run) as book:
        _answer(session, book.deployments.remove(model, alias, **given))
