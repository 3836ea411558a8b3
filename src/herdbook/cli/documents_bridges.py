"""`herdbook documents bridge`: a newer version's queries on the vectors that are there."""

from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli import documents_taking as taking
from herdbook.cli import parameters as take
from herdbook.cli.commands import command
from herdbook.cli.output import Table
from herdbook.cli.session import DRY, Session
from herdbook.errors import Invalid

if TYPE_CHECKING:
    from herdbook.front.moving.bridging import Built

ANSWER_IS_NO = 1
_TRIED: Final = {"old": "the old version", "identity": "new queries as they are"}


@command(
    "bridge",
    examples=(
        "documents bridge handbook --to v2 --queries queries.jsonl --dry-run",
        "documents bridge handbook --to v2 --queries queries.jsonl --days 7",
        "documents bridge handbook --remove",
    ),
)
@taking.name_argument
@taking.to_option(required=False)
@taking.encoder_options
@taking.query_options
@click.option(
    "--days",
    type=click.FloatRange(0, 90, min_open=True),
    default=14.0,
    show_default=True,
    help="After so many it is used no more.",
)
@click.option(
    "--pairs",
    type=click.IntRange(10, 1_000_000),
    default=2_000,
    show_default=True,
    help="Documents it is fitted on.",
)
@click.option("--remove", is_flag=True, help="Take the bridge away instead.")
@take.dry_run_option
@click.pass_obj
def bridge(
    session: Session, /, name: str, *, remove: bool, dry_run: bool, to: str, **given: Any
) -> None:
    """Let queries of a newer version search the vectors that are there, where that is better.

    Maps are fitted on a sample and measured on the labelled queries. One is used only if it beats
    both the old version and the new queries as they are; often none does: then it ends with 1.
    """
    if remove:
        _remove(session, name)
        return
    if not to or given["queries"] is None:
        raise Invalid("a bridge takes --to VERSION and --queries FILE", field="queries")
    demands = taking.taken_demands(given)
    encoder = taking.taken_encoder(given)
    with taking.documents_of(session) as held:
        found = held.build_bridge(name, to=to, demands=demands, dry_run=True, **given, **encoder)
        if found.bridge is not None and not dry_run:
            held.bridge(name, found.bridge)
    session.answer(
        found,
        ids=[found.bridge.kind if found.bridge else "none"],
        text=lambda: _text(session, found),
    )
    if dry_run:
        session.note(DRY)
    if found.bridge is None:
        raise click.exceptions.Exit(ANSWER_IS_NO)


def _text(session: Session, found: "Built") -> str:
    rows = [
        [_TRIED.get(name, name), f"{score:.4f}"]
        for name, score in sorted(found.scores.items(), key=lambda each: -each[1])
    ]
    table = Table(("tried", ">ndcg"), rows)
    until = f" Used until {found.bridge.expires_at:%Y-%m-%d %H:%M} UTC." if found.bridge else ""
    said = found.says[:1].upper() + found.says[1:]
    told = f"{said}; fitted on {found.pairs:,} documents.{until}"
    return "\n".join([table.text(session.look), "", told])


def _remove(session: Session, name: str) -> None:
    with session.book() as book:
        found = book.documents.unbridge(name)
    told = f"Queries of {found.name} pass no bridge any more."
    session.answer(found, ids=[found.name], text=lambda: told)
