"""`herdbook versions …` and `search`."""

from typing import Any

import click

from herdbook.cli import parameters as take
from herdbook.cli import views
from herdbook.cli.commands import command, group
from herdbook.cli.models import show_version
from herdbook.cli.session import Session
from herdbook.core.models import Version


@group(
    "versions",
    default="list",
    examples=(
        "versions majora",
        "versions show majora@champion",
        "versions status majora:v2 staging",
    ),
)
def versions() -> None:
    """List, show and change versions.

    `herdbook versions MODEL` lists the versions of a model.
    """


@versions.command(
    "list", examples=("versions majora", 'versions majora --filter "metrics.accuracy > 0.8"')
)
@take.model_argument()
@click.option("--filter", "filter_", default="", help="Only those it finds; docs/filters.md.")
@take.page_options
@click.pass_obj
def list_(session: Session, model: str, filter_: str, page_size: int, page: str | None) -> None:
    """List the versions of a model, newest first."""
    with session.book() as book:
        found = book.versions.list(filter_, model=model, page_size=page_size, page=page)
    session.page(
        found,
        ids=[v.ref for v in found.items],
        text=lambda: views.versions_table(session, found.items, whole=False),
    )


_SEARCH_EXAMPLES = (
    "search \"metrics.accuracy > 0.8 AND status = 'production'\"",
    "search \"training.framework = 'unsloth' ORDER BY metrics.f1 DESC\" --limit 5",
)


def _search(session: Session, filter_: str, model: str, page_size: int, page: str | None) -> None:
    with session.book() as book:
        found = book.versions.list(filter_, model=model, page_size=page_size, page=page)
    session.page(
        found,
        ids=[v.ref for v in found.items],
        text=lambda: views.versions_table(session, found.items, whole=True),
    )


@command("search", examples=_SEARCH_EXAMPLES)
@click.argument("filter_", metavar="FILTER")
@click.option("--model", type=take.MODEL, default="", help="Only of this model.")
@take.page_options
@click.pass_obj
def search(session: Session, filter_: str, model: str, page_size: int, page: str | None) -> None:
    """Find versions of all models; `docs/filters.md` explains FILTER."""
    _search(session, filter_, model, page_size, page)


@versions.command("search", examples=_SEARCH_EXAMPLES[:1])
@click.argument("filter_", metavar="FILTER")
@click.option("--model", type=take.MODEL, default="", help="Only of this model.")
@take.page_options
@click.pass_obj
def search_versions(
    session: Session, filter_: str, model: str, page_size: int, page: str | None
) -> None:
    """Find versions of all models, as `herdbook search` does."""
    _search(session, filter_, model, page_size, page)


@versions.command("show", examples=("versions show majora:v2",))
@take.ref_argument()
@click.pass_obj
def show(session: Session, ref: str) -> None:
    """Show all that is known about a version."""
    with session.book() as book:
        found = book.versions.get(ref)
    show_version(session, found)


def _answer(session: Session, version: Version, told: str) -> None:
    session.answer(version, ids=[version.ref], text=lambda: told)


@versions.command("status", examples=("versions status majora:v2 staging --reason evaluated",))
@take.ref_argument()
@click.argument("status", type=click.Choice(take.STATUSES), metavar="STATUS")
@take.reason_option
@take.dry_run_option
@click.pass_obj
def status(session: Session, ref: str, status: str, reason: str, *, dry_run: bool) -> None:
    """Move a version along its life; into production makes it the champion.

    STATUS is draft, training, development, validation, staging, production, deprecated or
    archived.
    """
    with session.book(dry_run=dry_run) as book:
        changed = book.versions.set_status(ref, status, reason=reason)
        _answer(session, changed, f"{changed.ref} is now {changed.status}.")


@versions.command("note", examples=("versions note majora:v2 --tag stable --notes 'good'",))
@take.ref_argument()
@take.about_options
@take.untag_option
@click.pass_obj
def note(session: Session, /, ref: str, **given: Any) -> None:
    """Change the description, notes and tags of a version."""
    about = take.something(take.taken_tags(given))
    with session.book() as book:
        before = book.versions.get(ref)
        changed = book.versions.update(ref, **about)
    _answer(session, changed, take.told_change(changed.ref, before, changed))


@versions.command("revise", examples=("versions revise majora:v3 --samples 223 --epochs 3",))
@take.ref_argument()
@take.fact_options
@click.pass_obj
def revise(session: Session, /, ref: str, **given: Any) -> None:
    """Complete the facts of a version in draft or training."""
    facts = take.something(take.taken_facts(given))
    with session.book() as book:
        before = book.versions.get(ref)
        changed = book.versions.revise(ref, **facts)
    _answer(session, changed, take.told_change(changed.ref, before, changed))


@versions.command("delete", examples=("versions delete majora:v1 --reason mislabelled --yes",))
@take.ref_argument()
@take.reason_option
@take.yes_option
@take.dry_run_option
@click.pass_obj
def delete(session: Session, ref: str, reason: str, *, yes: bool, dry_run: bool) -> None:
    """Delete a version: hidden, its number never given again."""
    session.confirm(f"Delete {ref}?", yes=yes or dry_run)
    with session.book(dry_run=dry_run) as book:
        gone = book.versions.delete(ref, reason=reason)
        told = f"{gone.ref} is deleted; `herdbook versions restore {gone.ref}` takes it back."
        _answer(session, gone, told)


@versions.command("restore", examples=("versions restore majora:v1",))
@take.ref_argument()
@click.pass_obj
def restore(session: Session, ref: str) -> None:
    """Take a deleted version back."""
    with session.book() as book:
        back = book.versions.restore(ref)
    _answer(session, back, f"{back.ref} is back.")
