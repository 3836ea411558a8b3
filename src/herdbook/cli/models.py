"""`herdbook list`, `info` and `models …`."""

from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from herdbook.cli import parameters as take
from herdbook.cli import signatures, views
from herdbook.cli.commands import command, group
from herdbook.cli.output import Table, headline
from herdbook.cli.session import Session
from herdbook.core.models import FilePolicy, Model, Version
from herdbook.core.pages import Page
from herdbook.core.wire import plain
from herdbook.errors import Corrupt

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook

NEWEST = 10


@command("list", examples=("list", "list \"type = 'embedding'\"", "list --json"))
@click.argument("filter_", metavar="[FILTER]", default="")
@click.option("--type", "model_type", default="", help="Only models of this type.")
@take.page_options
@click.pass_obj
def list_(
    session: Session, filter_: str, model_type: str, page_size: int, page: str | None
) -> None:
    """List models and their versions.

    A filled mark is a version an alias points at. `docs/filters.md` explains FILTER.
    """
    with session.book() as book:
        found = book.models.list(filter_, model_type=model_type, page_size=page_size, page=page)
        session.page(
            found,
            ids=[model.name for model in found.items],
            text=lambda: _listing(session, book, found),
        )


def _nothing(book: "Herdbook") -> str:
    if book.models.list(page_size=1).items:
        return "No model matches."
    return (
        f"No models yet in {book.address}. Register the first: herdbook add majora v1 "
        "--accuracy 0.85"
    )


def _listing(session: Session, book: "Herdbook", found: Page[Model]) -> str:
    if not found.items:
        return _nothing(book)
    return "\n".join(
        ["Registered Models:", views.RULE, *chain(*(_entry(session, book, m) for m in found.items))]
    )


def _entry(session: Session, book: "Herdbook", model: Model) -> list[str]:
    versions = list(book.versions.list(model=model.name, page_size=NEWEST).items)
    deployed = len(set(model.aliases.values()))
    head = f"  Versions: {model.versions} ({deployed} deployed)"
    return ["", session.style(model.name, bold=True), head, *views.newest(session, model, versions)]


@command("info", examples=("info majora", "info majora:v2", "info majora@champion --json"))
@click.argument("ref", type=take.MODEL, metavar="MODEL|REF")
@click.pass_obj
def info(session: Session, ref: str) -> None:
    """Show a model, or with a reference such as majora:v2 a version."""
    with session.book() as book:
        if take.is_reference(ref):
            found = book.versions.get(ref)
            show_version(session, found, held=_held(session, book, found))
            return
        model = book.models.get(ref)
        newest = book.versions.list(model=ref, page_size=NEWEST).items
        champion = book.versions.get(f"{ref}:{model.champion}") if model.champion else None
        value = {
            **plain(model),
            "champion": model.champion,
            "champion_version": plain(champion),
        }
        session.answer(
            value, ids=[model.name], text=lambda: views.model_text(session, model, newest)
        )


def _held(session: Session, book: "Herdbook", version: Version) -> str:
    """Say to a person how much a version holds; that it cannot be told is no reason to stop."""
    if not version.facts.manifest or session.as_json or session.quiet:
        return ""
    try:
        return views.held_text(book.artifacts.files(version.ref))
    except Corrupt as error:
        return f"not known: {error.message}"


def show_version(session: Session, version: Version, *, held: str = "") -> None:
    """Answer with a version, and with what is said of its bytes."""
    session.answer(
        version, ids=[version.ref], text=lambda: views.version_text(session, version, held)
    )


@group("models", examples=("models list", "models update majora --owner search-team"))
def models() -> None:
    """Models: list, create, change, delete."""


@models.command("list", examples=("models list --type embedding",))
@click.argument("filter_", metavar="[FILTER]", default="")
@click.option("--type", "model_type", default="", help="Only models of this type.")
@take.page_options
@click.pass_obj
def list_models(
    session: Session, filter_: str, model_type: str, page_size: int, page: str | None
) -> None:
    """List models in a table."""
    with session.book() as book:
        found = book.models.list(filter_, model_type=model_type, page_size=page_size, page=page)
        empty = "" if found.items else _nothing(book)
    session.page(
        found, ids=[m.name for m in found.items], text=lambda: _table(session, found.items, empty)
    )


def _table(session: Session, found: tuple[Model, ...], empty: str) -> Table:
    rows = [
        [
            m.name,
            m.type or "-",
            m.owner or "-",
            str(m.versions),
            m.champion or "-",
            m.latest or "-",
            session.when(m.updated_at),
            headline(m.description),
        ]
        for m in found
    ]
    titles = ("name", "type", "owner", ">versions", "champion", "latest", "changed", "description")
    return Table(titles, rows, empty=empty)


@models.command("show", examples=("models show majora",))
@take.model_argument()
@click.pass_context
def show(context: click.Context, model: str) -> None:
    """Show a model, as `herdbook info` does."""
    context.invoke(info, ref=model)


def _options(command_: Any) -> Any:
    command_ = click.option("--metadata", help="A JSON object, @FILE, or - for standard input.")(
        command_
    )
    command_ = click.option(
        "--file-policy",
        type=click.Choice([str(policy) for policy in FilePolicy]),
        help="What to do about files that can execute when they are loaded.",
    )(command_)
    command_ = signatures.trust_key_option(command_)
    command_ = click.option("--owner", help="Who answers for it.")(command_)
    command_ = click.option("--type", "type", help="Such as embedding, llm, classifier.")(command_)
    return take.about_options(command_)


def _about(given: dict[str, Any]) -> dict[str, Any]:
    metadata = given.pop("metadata")
    given |= {"metadata": take.json_object(metadata)} if metadata else {}
    return take.taken_tags(signatures.taken_keys(given))


def _answer(session: Session, model: Model, told: str) -> None:
    session.answer(model, ids=[model.name], text=lambda: told)


@models.command("create", examples=("models create gnn --type embedding --owner search-team",))
@take.model_argument()
@_options
@click.pass_obj
def create(session: Session, /, model: str, **given: Any) -> None:
    """Register a model that has no version yet."""
    with session.book() as book:
        made = book.models.create(model, **_about(given))
    _answer(session, made, f"{made.name} is registered.")


@models.command(
    "update",
    examples=(
        "models update majora --tag team=search --untag old",
        "models update majora --file-policy refuse",
        "models update majora --trust-key majora.pub",
    ),
)
@take.model_argument()
@_options
@signatures.trust_nobody_option
@take.untag_option
@click.pass_obj
def update(session: Session, /, model: str, **given: Any) -> None:
    """Change what is known about a model."""
    about = take.something(_about(given))
    with session.book() as book:
        before = book.models.get(model)
        changed = book.models.update(model, **about)
    _answer(session, changed, take.told_change(changed.name, before, changed))


@models.command("delete", examples=("models delete gnn --reason retired --yes",))
@take.model_argument()
@take.reason_option
@take.yes_option
@take.dry_run_option
@click.pass_obj
def delete(session: Session, model: str, reason: str, *, yes: bool, dry_run: bool) -> None:
    """Delete a model: hidden, its name and numbers never given again."""
    session.confirm(f"Delete the model {model} and its versions?", yes=yes or dry_run)
    with session.book(dry_run=dry_run) as book:
        gone = book.models.delete(model, reason=reason)
        told = f"{gone.name} is deleted; `herdbook models restore {gone.name}` takes it back."
        _answer(session, gone, told)


@models.command("restore", examples=("models restore gnn",))
@take.model_argument()
@click.pass_obj
def restore(session: Session, model: str) -> None:
    """Take a deleted model back."""
    with session.book() as book:
        back = book.models.restore(model)
    _answer(
        session,
        back,
        f"{back.name} is back, with {back.versions} version{'' if back.versions == 1 else 's'}.",
    )
