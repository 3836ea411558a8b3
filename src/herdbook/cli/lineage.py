"""`herdbook tree`, `lineage` and `datasets`."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import command, group
from herdbook.cli.output import Table, clean
from herdbook.cli.session import Session
from herdbook.core.lineage import DataLineage, Dataset, Pedigree, Relative
from herdbook.core.lineage import tree as drawn
from herdbook.core.pages import Page
from herdbook.errors import NotFound

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook

NAMESPACE: Final = "herdbook"
FORMATS: Final = ("text", "json", "dot", "openlineage")


@command("tree", examples=("tree majora",))
@take.model_argument()
@click.pass_obj
def tree(session: Session, model: str) -> None:
    """Draw the versions of a model as a tree, parents above children."""
    with session.book() as book:
        found = book.lineage.pedigree(model)
    _answer(session, found, title=f"{model} version tree:")


def _answer(session: Session, found: Pedigree, *, title: str, more: Sequence[str] = ()) -> None:
    session.answer(
        found,
        ids=[node.ref for node in found.nodes],
        text=lambda: clean("\n".join([drawn(found, title=title), *more])),
    )


@command(
    "lineage",
    examples=(
        "lineage majora",
        "lineage majora:v3 --ancestors",
        "lineage majora:v3 --data",
        "lineage majora --format dot | dot -Tsvg -o majora.svg",
    ),
)
@click.argument("ref", type=take.MODEL, metavar="MODEL|REF")
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True,
    help="How to write it.",
)  # fmt: skip
@click.option("--ancestors", is_flag=True, help="Only what it came from.")
@click.option("--descendants", is_flag=True, help="Only what came from it.")
@click.option("--data", is_flag=True, help="Only the data it learned from.")
@take.page_options
@click.pass_obj
def lineage(
    session: Session, /, ref: str, format_: str, page_size: int, page: str | None, **parts: bool
) -> None:
    """Show where a version, or all of a model, comes from.

    The formats are the tree as text, JSON, Graphviz DOT, and OpenLineage events, one a line.
    --limit and --page are for --ancestors and --descendants.
    """
    asked = _part(parts, format_)
    session.as_json = session.as_json or format_ == "json"
    with session.book() as book:
        if asked == "data":
            _data(session, book.lineage.data(ref))
        elif asked:
            walk = getattr(book.lineage, asked)
            _relatives(session, walk(ref, page_size=page_size, page=page), asked)
        else:
            _whole(session, book, ref, format_)


def _part(parts: dict[str, bool], format_: str) -> str:
    asked = [name for name in ("ancestors", "descendants", "data") if parts[name]]
    if len(asked) > 1:
        raise click.UsageError(f"--{asked[0]} and --{asked[1]} do not go together: give one")
    if asked and format_ in ("dot", "openlineage"):
        raise click.UsageError(
            f"--format {format_} writes the whole lineage: leave --{asked[0]} out, or give "
            "--format json"
        )
    return asked[0] if asked else ""


def _pedigree(book: "Herdbook", ref: str) -> Pedigree:
    return book.lineage.around(ref) if take.is_reference(ref) else book.lineage.pedigree(ref)


def _newest(book: "Herdbook", found: Pedigree) -> datetime:
    # What happened has its own time; asked twice, the events are the same.
    try:
        return book.versions.get(found.nodes[-1].ref).created_at
    except (IndexError, NotFound):
        return datetime.now(UTC)


def _whole(session: Session, book: "Herdbook", ref: str, format_: str) -> None:
    found = _pedigree(book, ref)
    if format_ == "dot":
        from herdbook.protocols.dot import dot

        click.echo(dot(found))
    elif format_ == "openlineage":
        from herdbook.protocols.openlineage import events

        for event in events(found, at=_newest(book, found), namespace=NAMESPACE):
            click.echo(json.dumps(event))
    else:
        _answer(
            session, found, title=f"{ref} version tree:", more=_steps(session, book, found, ref)
        )


def _steps(session: Session, book: "Herdbook", found: Pedigree, ref: str) -> list[str]:
    """Say what changed in the bytes from the parents of the version that was asked for."""
    if session.as_json or session.quiet or not take.is_reference(ref):
        return []
    own = book.versions.get(ref)
    parents = [edge.parent for edge in found.edges if edge.child == own.ref]
    if not own.facts.manifest:
        return []
    with_bytes = [one for one in parents if book.versions.get(one).facts.manifest]
    return [_step(book, parent, own.ref) for parent in with_bytes]


def _step(book: "Herdbook", parent: str, child: str) -> str:
    from herdbook.cli.contents import summary

    changes = book.artifacts.diff(parent, child, quick=True)
    hint = f"; herdbook artifacts diff {parent} {child}" if changes.undecided_tensors else ""
    return f"{parent} → {child}: {summary(changes)}{hint}"


def _relatives(session: Session, found: Page[Relative], asked: str) -> None:
    session.page(
        found,
        ids=[relative.ref for relative in found.items],
        text=lambda: _relatives_table(found.items, asked),
    )


def _relatives_table(found: Sequence[Relative], asked: str) -> Table:
    rows = [[relative.ref, str(relative.distance)] for relative in found]
    return Table(("version", ">steps"), rows, empty=f"It has no {asked}.")


def _data(session: Session, found: DataLineage) -> None:
    rows = [[ref, ", ".join(names)] for ref, names in found.sources.items()]
    names = dict.fromkeys(name for names in found.sources.values() for name in names)
    session.answer(
        found,
        ids=list(names),
        text=lambda: Table(("version", "data sets"), rows, empty="No data sets are known."),
    )


@group("datasets", examples=("datasets list",))
def datasets() -> None:
    """Data sets versions were trained on."""


@datasets.command("list", examples=("datasets list", "datasets list --quiet"))
@take.page_options
@click.pass_obj
def list_(session: Session, page_size: int, page: str | None) -> None:
    """List data sets and how many versions learned from each."""
    with session.book() as book:
        found = book.lineage.datasets(page_size=page_size, page=page)
    session.page(found, ids=[d.name for d in found.items], text=lambda: _table(found.items))


def _table(found: Sequence[Dataset]) -> Table:
    rows = [[dataset.name, str(dataset.versions)] for dataset in found]
    return Table(("data set", ">versions"), rows, empty="No data sets are known.")
