"""`herdbook audit …`."""

import json
from pathlib import Path
from typing import TextIO

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import group
from herdbook.cli.output import Table, line
from herdbook.cli.session import Session
from herdbook.core.events import Checkpoint, Event, Verdict
from herdbook.core.wire import dumps, value
from herdbook.errors import Invalid


@group(
    "audit",
    examples=(
        "audit list --model majora",
        "audit checkpoint -o checkpoint.json",
        "audit verify --against checkpoint.json",
    ),
)
def audit() -> None:
    """Read and verify the append-only audit log."""


@audit.command("list", examples=("audit list --model majora", "audit list --action alias.moved"))
@click.option("--model", type=take.MODEL, default="", help="Only this model.")
@click.option("--action", default="", help="Only this action, such as alias.moved.")
@take.page_options
@click.pass_obj
def list_(session: Session, model: str, action: str, page_size: int, page: str | None) -> None:
    """List events in the order they happened."""
    with session.book() as book:
        found = book.events.list(model=model, action=action, page_size=page_size, page=page)
    session.page(
        found,
        ids=[str(event.seq) for event in found.items],
        text=lambda: _table(session, found.items),
    )


def _table(session: Session, found: tuple[Event, ...]) -> Table:
    rows = [
        [
            str(e.seq),
            session.when(e.at),
            e.by,
            e.action,
            ":".join(part for part in (e.model, e.number) if part) or "-",
            line(str(e.body.get("reason") or "")),
        ]
        for e in found
    ]
    titles = (">seq", "when", "by", "action", "about", "reason")
    return Table(titles, rows, empty="There are no such events.")


@audit.command("verify", examples=("audit verify", "audit verify --against checkpoint.json --json"))
@click.option(
    "--against",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="A checkpoint kept elsewhere; finds a tail that was cut off.",
)
@click.pass_context
def verify(context: click.Context, against: TextIO | None) -> None:
    """Check the whole log; ends with 1 when it does not verify."""
    session: Session = context.obj
    kept = read_checkpoint(against.read()) if against else None
    with session.book() as book:
        found = book.events.verify(against=kept)
    session.answer(found, ids=[str(found.head.seq)], text=lambda: verdict_text(found))
    if not found.ok:
        context.exit(1)


def verdict_text(found: Verdict) -> str:
    """Say in a sentence what a verification found."""
    if not found.ok:
        return f"NOT INTACT: {line(found.problem)}."
    head = found.head
    return f"The log is intact: {found.events} events, the last is {head.seq} {head.hash[:12]}…"


def read_checkpoint(text: str) -> Checkpoint:
    """Read what `herdbook audit checkpoint` wrote."""
    try:
        return value(Checkpoint, json.loads(text))
    except (ValueError, Invalid):
        raise Invalid(
            "this is no checkpoint: give the file that `herdbook audit checkpoint -o` wrote",
            field="against",
        ) from None


@audit.command("checkpoint", examples=("audit checkpoint -o checkpoint.json",))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="A file, best on another machine; else standard output.",
)
@click.pass_obj
def checkpoint(session: Session, output: Path | None) -> None:
    """Tell where the log stands, to be kept outside the database."""
    with session.book() as book:
        found = book.events.checkpoint()
    if output is None:
        session.answer(found, ids=[str(found.seq)], text=lambda: dumps(found))
        return
    output.write_text(dumps(found) + "\n", encoding="utf-8")
    session.note(f"Written to {output}: event {found.seq}. Keep it outside the database.")
