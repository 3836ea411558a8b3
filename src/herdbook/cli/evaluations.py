"""`herdbook score` and `metrics …`."""

from typing import Any

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import command, group
from herdbook.cli.output import Table, facts, number
from herdbook.cli.session import Session
from herdbook.core.evaluations import Metric, Operational


@command(
    "score",
    examples=(
        "score majora v1 --accuracy 0.86 --f1-score 0.83 --speed 120",
        "score majora:v1 --metric ndcg@10=0.41 --metrics-dataset toolbench",
    ),
)
@take.model_argument()
@click.argument("version", default="", metavar="[VERSION]")
@take.metric_options
@take.dry_run_option
@click.pass_obj
def score(session: Session, /, model: str, version: str, *, dry_run: bool, **given: Any) -> None:
    """Record scores of a version; each becomes the newest of its name."""
    source, dataset = given.pop("metrics_source"), given.pop("metrics_dataset")
    metrics = take.taken_metrics(given)
    ref = take.reference(model, version)
    with session.book(dry_run=dry_run) as book:
        found = book.evaluations.score(ref, metrics, source=source, dataset=dataset)
        scores = ", ".join(f"{name}={number(value)}" for name, value in found.metrics.items())
        session.answer(found, ids=[found.ref], text=lambda: f"{found.ref}: {scores}")


@group("metrics", examples=("metrics history majora:v1", "metrics show majora@champion"))
def metrics() -> None:
    """Scores and operational averages of versions."""


@metrics.command("history", examples=("metrics history majora:v1 --name accuracy",))
@take.ref_argument()
@click.option("--name", default="", help="Only this metric.")
@take.page_options
@click.pass_obj
def history(session: Session, ref: str, name: str, page_size: int, page: str | None) -> None:
    """Show every score of a version, newest first."""
    with session.book() as book:
        found = book.evaluations.history(ref, name=name, page_size=page_size, page=page)
    session.page(
        found,
        ids=[f"{m.name}={m.value!r}" for m in found.items],
        text=lambda: _table(session, found.items),
    )


def _table(session: Session, found: tuple[Metric, ...]) -> Table:
    rows = [
        [m.name, number(m.value), session.when(m.at), m.source or "-", m.dataset or "-", m.by]
        for m in found
    ]
    titles = ("metric", ">value", "when", "source", "data set", "by")
    return Table(titles, rows, empty="No scores were recorded.")


@metrics.command("show", examples=("metrics show majora@champion",))
@take.ref_argument()
@click.pass_obj
def show(session: Session, ref: str) -> None:
    """Show the averages over what a version served."""
    with session.book() as book:
        found = book.evaluations.operational(ref)
    _averages(session, found)


@metrics.command(
    "observe",
    examples=("metrics observe gnn@champion --inference-time-ms 12.5 --confidence 0.93",),
)
@take.ref_argument()
@click.option("--inference-time-ms", type=float, help="How long it took.")
@click.option("--confidence", type=float, help="0 to 1.")
@click.option("--error", is_flag=True, help="The request failed.")
@click.pass_obj
def observe(session: Session, /, ref: str, *, error: bool, **given: Any) -> None:
    """Fold one served request into a version's averages."""
    with session.book() as book:
        found = book.evaluations.observe(ref, error=error, **given)
    _averages(session, found)


def _averages(session: Session, found: Operational) -> None:
    pairs = [
        ("observations", str(found.count)),
        ("inference time ms", number(found.inference_time_ms)),
        ("confidence", number(found.confidence)),
        ("error rate", number(found.error_rate)),
    ]
    session.answer(found, ids=[str(found.count)], text=lambda: "\n".join(facts(pairs, indent="")))
