"""`herdbook drift …`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from herdbook.cli import drift_episodes, drift_texts
from herdbook.cli import parameters as take
from herdbook.cli.commands import group
from herdbook.cli.drift_check import check
from herdbook.cli.drift_curves import Scores, distribution_lines, score_lines
from herdbook.cli.drift_labels import labels
from herdbook.cli.drift_references import reference
from herdbook.cli.drift_settings import configure
from herdbook.cli.drift_watching import watch
from herdbook.cli.session import Session
from herdbook.core.drift import PREDICTION, Report
from herdbook.core.sampling import HOUR_SECONDS, HOURS

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook

_LANGUAGE = click.option(
    "--language",
    type=click.Choice(("en", "ru", "de")),
    default="en",
    show_default=True,
    help="Of the recommendation.",
)
_HOURS = click.option(
    "--hours",
    type=click.IntRange(1, HOURS),
    default=HOURS,
    show_default=True,
    help="How many back.",
)


@group(
    "drift",
    examples=(
        "drift reference gnn:v2.1.0 reference.csv",
        "drift list",
        "drift show gnn:v2.1.0 --plot",
    ),
)
def drift() -> None:
    """Whether what versions predict is still what it was when all was well."""


drift.add_command(reference)


@drift.command("unwatch", examples=("drift unwatch gnn:v2.1.0 --yes",))
@take.ref_argument()
@take.yes_option
@click.pass_obj
def unwatch(session: Session, ref: str, *, yes: bool) -> None:
    """Watch a version no more: its references and all that was counted are removed."""
    session.confirm(f"Remove the references of {ref} and all that was counted?", yes=yes)
    with session.book() as book:
        gone = book.drift.unwatch(ref)
    name = f"{gone.model}:{gone.number}"
    session.answer(gone, ids=[name], text=lambda: f"{name} is watched no more.")


@drift.command("list", examples=("drift list", "drift list gnn --language de"))
@take.model_argument(required=False)
@_LANGUAGE
@take.page_options
@click.pass_obj
def list_(
    session: Session, model: str | None, language: str, page_size: int, page: str | None
) -> None:
    """List the versions that are watched and how they stand, newest first."""
    with session.book() as book:
        found = book.drift.list(model or "", language=language, page_size=page_size, page=page)
    session.page(
        found,
        ids=[drift_texts.name_of(each) for each in found.items],
        text=lambda: drift_texts.table(found.items),
    )


@drift.command(
    "show",
    examples=(
        "drift show gnn:v2.1.0",
        "drift show gnn:v2.1.0 --plot --stream confidence",
        "drift show gnn:v2.1.0 --output drift.svg",
    ),
)
@take.ref_argument()
@_LANGUAGE
@click.option("--plot", is_flag=True, help="Draw the last 7 days, and a stream then and now.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw that into a file instead, .png or .svg.",
)
@click.option("--stream", default="", help="Which is drawn; left out, the predictions.")
@click.pass_obj
def show(
    session: Session, ref: str, language: str, output: Path | None, stream: str, *, plot: bool
) -> None:
    """Show how a version stands: its score and level, what moved in the last 24 hours, by how much.

    Evidence is a share of what an alarm takes: at 100 % there is enough.
    """
    with session.book() as book:
        found = book.drift.report(ref, language=language)
        if output is not None:
            _draw(book, found, stream, output)
            session.answer(
                {"plot": str(output)}, ids=[str(output)], text=lambda: f"{output} is drawn."
            )
            return
        drawn = (
            _plots(session, book, found, stream) if (plot or stream) and not session.as_json else []
        )
    session.answer(
        found,
        ids=[drift_texts.level_of(found)],
        text=lambda: "\n".join([drift_texts.text(session, found), *drawn]),
    )


def _stream(found: Report, stream: str) -> str:
    """Choose what is drawn: the predictions, or else what there is most evidence about."""
    names = [each.stream for each in found.streams]
    return stream or (PREDICTION if PREDICTION in names or not names else names[0])


def _plots(session: Session, book: "Herdbook", found: Report, stream: str) -> list[str]:
    name = drift_texts.name_of(found)
    distribution = book.drift.distribution(name, _stream(found, stream))
    return [
        "",
        "score",
        *score_lines(_scores(book, name), room=session.look.width),
        "",
        *distribution_lines(distribution, room=session.look.width),
    ]


def _scores(book: "Herdbook", name: str, hours: int = HOURS) -> Scores:
    return Scores(
        points=book.drift.history(name, hours=hours).items,
        hours=hours,
        now=int(datetime.now(UTC).timestamp()) // HOUR_SECONDS,
        thresholds=book.drift.settings(name.rpartition(":")[0]).thresholds,
    )


def _draw(book: "Herdbook", found: Report, stream: str, output: Path) -> None:
    from herdbook.cli.drift_pictures import drawn_to

    name = drift_texts.name_of(found)
    distribution = book.drift.distribution(name, _stream(found, stream))
    drawn_to(output, name, _scores(book, name), distribution)


@drift.command(
    "history", examples=("drift history gnn:v2.1.0", "drift history gnn:v2.1.0 --hours 24 --json")
)
@take.ref_argument()
@_HOURS
@click.option("--plot", is_flag=True, help="Draw the score instead.")
@click.pass_obj
def history(session: Session, ref: str, hours: int, *, plot: bool) -> None:
    """Show a version's drift hour by hour, in UTC, oldest first."""
    with session.book() as book:
        found = book.drift.history(ref, hours=hours)
        scores = _scores(book, book.get(ref).ref, hours) if plot else None
        drawn = score_lines(scores, room=session.look.width) if scores else []
    session.answer(
        found,
        ids=[drift_texts.hour_text(point.hour) for point in found.items],
        text=lambda: "\n".join(drawn) if plot else drift_texts.history_table(found.items),
    )


for known in (
    watch,
    drift_episodes.episodes,
    drift_episodes.claim,
    drift_episodes.retrained,
    labels,
    configure,
    check,
):
    drift.add_command(known)
