"""`herdbook documents status`, `pause`, `resume`, `set-aside`, `cutover`, `rollback`, `retire`."""

import time
from datetime import UTC, datetime
from typing import Final

import click

from herdbook.cli import documents_taking as taking
from herdbook.cli import documents_texts
from herdbook.cli import parameters as take
from herdbook.cli.commands import command
from herdbook.cli.output import line
from herdbook.cli.session import Session
from herdbook.core.migrations import CUT, OVER, Migration, MigrationPhase

_RESTING: Final = OVER | CUT | {MigrationPhase.VERIFIED}
_LOOK_SECONDS: Final = 1.0


def _answer(session: Session, found: Migration, told: str) -> None:
    session.answer(found, ids=[found.id], text=lambda: told)
    advice = documents_texts.next_text(found)
    if advice and not session.as_json:
        session.note(advice)


@command(
    "status",
    examples=(
        "documents status handbook",
        "documents status migration-12",
        "documents status handbook --watch",
    ),
)
@taking.which_argument
@click.option("--watch", is_flag=True, help="Until nobody carries it out any more.")
@click.pass_obj
def status(session: Session, name: str, *, watch: bool) -> None:
    """Show how a migration stands: the one under way, or the last one."""
    with session.book() as book:
        found = book.documents.status(name)
        shown: object = None
        while watch and not _rests(found):
            if _figures(found) != shown:
                shown = _figures(found)
                _tell(session, found)
            time.sleep(_LOOK_SECONDS)
            found = book.documents.migration(found.id)
    _answer(session, found, documents_texts.migration_text(session, found))


def _rests(found: Migration) -> bool:
    until = found.lease_until
    carried = found.driver and until is not None and until > datetime.now(UTC)
    return found.phase in _RESTING or not carried


def _figures(found: Migration) -> object:
    """Give what is shown while it is watched; the lease is kept every second."""
    return found.phase, found.progress, found.paused


def _tell(session: Session, found: Migration) -> None:
    progress = found.progress
    told = f"{found.collection}: {found.phase}: {documents_texts.done_text(found)}"
    told += f", cost {documents_texts.money(progress.cost)}" if progress.cost else ""
    told += f", {progress.set_aside:,} set aside" if progress.set_aside else ""
    told += f", paused: {line(found.reason)}" if found.paused else ""
    session.answer(found, ids=[str(found.phase)], text=lambda: told)


@command("pause", examples=('documents pause handbook --reason "incident upstream"',))
@taking.which_argument
@take.reason_option
@click.pass_obj
def pause(session: Session, name: str, reason: str) -> None:
    """Let a migration wait, after the documents that are on their way."""
    with session.book() as book:
        found = book.documents.pause(book.documents.status(name).id, reason=reason)
    _answer(session, found, f"{found.id} of {found.collection} pauses.")


@command(
    "resume",
    examples=("documents resume handbook", "documents resume handbook --budget 25"),
)
@taking.which_argument
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    help="What embedding may cost from now on, in all; 0 for no limit.",
)
@click.pass_obj
def resume(session: Session, name: str, budget: float | None) -> None:
    """Let a migration that waits go on, where it is carried out."""
    with session.book() as book:
        found = book.documents.resume(book.documents.status(name).id, budget=budget)
    _answer(session, found, f"{found.id} of {found.collection} may go on.")


@command("set-aside", examples=("documents set-aside handbook",))
@taking.which_argument
@take.page_options
@click.pass_obj
def set_aside(session: Session, name: str, page_size: int, page: str | None) -> None:
    """List the documents that could not be moved, and why."""
    with session.book() as book:
        found = book.documents.set_aside(book.documents.status(name).id, size=page_size, page=page)
    session.page(
        found,
        ids=[each.id for each in found.items],
        text=lambda: documents_texts.aside_table(found.items),
    )


@command(
    "cutover",
    examples=(
        "documents cutover handbook",
        'documents cutover handbook --force "the queries are of last year"',
    ),
)
@taking.which_argument
@click.option("--force", default="", metavar="REASON", help="Although it is not verified.")
@click.pass_obj
def cutover(session: Session, name: str, force: str) -> None:
    """Let readers search the target from now on; the source is written on, for a way back.

    Collection and query encoder change at once; what was not verified takes a reason, which is
    kept.
    """
    with taking.documents_of(session) as held:
        found = held.cut_over(name, force=force)
    _answer(session, found, f"{found.collection} is searched as {_ref(found)} from now on.")


def _ref(found: Migration) -> str:
    return f"{found.model}:{found.to_version}"


@command(
    "rollback",
    examples=(
        "documents rollback handbook",
        'documents rollback handbook --reason "worse answers in German"',
    ),
)
@taking.which_argument
@take.reason_option
@click.option("--keep", is_flag=True, help="Leave the target in the store.")
@click.pass_obj
def rollback(session: Session, name: str, reason: str, *, keep: bool) -> None:
    """Go back to the source, and remove the target; possible until it is retired."""
    with taking.documents_of(session) as held:
        found = held.roll_back(name, reason=reason, keep=keep)
    told = (
        f"{found.collection} is at {found.model}:{found.from_version}; "
        f"{found.target.place} {'stays in the store' if keep else 'is removed'}."
    )
    _answer(session, found, told)


@command(
    "retire",
    examples=("documents retire handbook --yes", "documents retire handbook --keep --yes"),
)
@taking.which_argument
@click.option("--keep", is_flag=True, help="Leave the source in the store.")
@take.yes_option
@click.pass_obj
def retire(session: Session, name: str, *, keep: bool, yes: bool) -> None:
    """Write the source no more, and remove it: there is no way back."""
    with taking.documents_of(session) as held:
        before = held.status(name)
        gone = "given up" if keep else "removed"
        session.confirm(
            f"{before.source.place} of {before.collection} is {gone}, and there is no way back. "
            "Retire it?",
            yes=yes,
        )
        found = held.retire(before.id, keep=keep)
    told = (
        f"{found.collection} is at {_ref(found)} for good; {found.source.place} "
        f"{'stays in the store' if keep else 'is removed'}."
    )
    _answer(session, found, told)
