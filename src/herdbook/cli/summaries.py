"""`herdbook compare`, `best`, `cheapest` and `summary`."""

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import command
from herdbook.cli.models import show_version
from herdbook.cli.output import Table, facts, number
from herdbook.cli.session import Session
from herdbook.core.evaluations import Direction
from herdbook.core.summaries import Comparison, Row, Summary

_ARROWS = {Direction.HIGHER: " ↑", Direction.LOWER: " ↓", Direction.UNKNOWN: ""}


@command(
    "compare",
    examples=(
        "compare majora v1 v2",
        "compare majora:v2 oracle:v1 --all",
        "compare majora v1 @champion --json",
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="MODEL VERSION VERSION... | REF REF...")
@click.option("--all", "everything", is_flag=True, help="Show also what is the same.")
@click.pass_obj
def compare(session: Session, words: tuple[str, ...], *, everything: bool) -> None:
    """Set versions side by side: by default only what differs.

    An arrow says which way a metric is better, a star which version is best at it.
    """
    head, *rest = words
    refs = list(words)
    if not take.is_reference(head):
        refs = [w if ":" in w else take.reference(head, w) for w in rest]
    if len(refs) < 2:
        raise click.UsageError("compare takes two versions or more, such as majora v1 v2")
    with session.book() as book:
        found = book.versions.compare(*refs, everything=everything)
    session.answer(found, ids=[row.name for row in found.rows], text=lambda: _table(found))


def _table(found: Comparison) -> Table:
    rows = [[_label(row), *_cells(row, found.refs)] for row in found.rows]
    empty = "They are the same in all that is known."
    return Table(("", *found.refs), rows, empty=empty, as_written=True)


def _label(row: Row) -> str:
    name = row.name if row.group in {"metrics", "training", "about"} else f"{row.group} {row.name}"
    return name + _ARROWS[row.better]


def _cells(row: Row, refs: tuple[str, ...]) -> list[str]:
    return [
        number(value) + (" *" if ref == row.best else "")
        for value, ref in zip(row.values, refs, strict=True)
    ]


@command("best", examples=("best accuracy --model majora", "best perplexity --quiet"))
@click.argument("metric")
@click.option("--model", type=take.MODEL, default="", help="Only of this model.")
@click.option("--filter", "filter_", default="", help="Only among those it finds.")
@click.pass_obj
def best(session: Session, metric: str, model: str, filter_: str) -> None:
    """Show the version that scores best at a metric."""
    with session.book() as book:
        found = book.versions.best(metric, model=model, filter=filter_)
    show_version(session, found)


@command("cheapest", examples=("cheapest --model majora", "cheapest --quiet"))
@click.option("--model", type=take.MODEL, default="", help="Only of this model.")
@click.option("--filter", "filter_", default="", help="Only among those it finds.")
@click.pass_obj
def cheapest(session: Session, model: str, filter_: str) -> None:
    """Show the version that cost least to train."""
    with session.book() as book:
        found = book.versions.cheapest(model=model, filter=filter_)
    show_version(session, found)


@command("summary", examples=("summary", "summary majora --json"))
@take.model_argument(required=False)
@click.pass_obj
def summary(session: Session, model: str | None) -> None:
    """Sum up a model, or the whole register."""
    with session.book() as book:
        found = book.models.summary(model or "")
    session.answer(found, ids=list(found.champions), text=lambda: _summary(found))


def _summary(found: Summary) -> str:
    totals = found.totals
    pairs = [
        ("models", "" if found.model else str(totals.models)),
        ("versions", str(totals.versions)),
        ("by status", ", ".join(f"{n} {s}" for s, n in totals.statuses.items())),
        ("training cost", f"{totals.cost_usd:.2f} USD"),
        ("training time", f"{number(totals.duration_hours)} hours"),
        ("champion", ", ".join(f"{m}:{n}" for m, n in found.champions.items()) or "none"),
        ("cheapest", found.cheapest),
        *((f"best {metric}", ref) for metric, ref in found.best.items()),
    ]
    return "\n".join([found.model or "The register", *facts(pairs)])
