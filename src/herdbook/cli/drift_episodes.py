"""`herdbook drift episodes`, `claim`, `retrained`: alarms, and what came of them."""

import click

from herdbook.cli import drift_texts
from herdbook.cli import parameters as take
from herdbook.cli.commands import command
from herdbook.cli.session import Session
from herdbook.core.drift import Episode
from herdbook.errors import Invalid


@command("episodes", examples=("drift episodes", "drift episodes gnn"))
@take.model_argument(required=False)
@click.option("--number", default="", help="Of this version alone.")
@take.page_options
@click.pass_obj
def episodes(
    session: Session, /, model: str | None, number: str, page_size: int, page: str | None
) -> None:
    """List stretches of drift, newest first, and how far their retraining is."""
    with session.book() as book:
        found = book.drift.episodes(model or "", number=number, page_size=page_size, page=page)
    session.page(
        found,
        ids=[each.id for each in found.items],
        text=lambda: drift_texts.episodes_table(session, found.items),
    )


@command("claim", examples=("drift claim drift-17", "drift claim drift-17 --by night-job --force"))
@click.argument("episode", metavar="EPISODE")
@click.option("--by", default="", help="Who takes it; left out, you.")
@click.option("--force", is_flag=True, help="Take it from whoever has it, who may have died.")
@click.pass_obj
def claim(session: Session, episode: str, by: str, *, force: bool) -> None:
    """Take the retraining an episode asks for: one of those who ask gets it."""
    with session.book() as book:
        found = book.drift.claim(episode, by=by, force=force)
    _answer(
        session,
        found,
        f"{found.claimed_by} has the retraining of {found.model}:{found.number} ({found.id}).",
    )


@command("retrained", examples=("drift retrained drift-17 v2.2.0",))
@click.argument("episode", metavar="EPISODE")
@click.argument("version", metavar="VERSION")
@click.pass_obj
def retrained(session: Session, episode: str, version: str) -> None:
    """Say which version came of a retraining: a child of the one that drifted."""
    if take.is_reference(version):
        raise Invalid(
            f"{version!r:.80} is a whole reference; give the number alone, such as v2.2.0: the "
            "model is that of the episode",
            field="candidate",
        )
    with session.book() as book:
        found = book.drift.retrained(episode, version)
    parent, child = f"{found.model}:{found.number}", f"{found.model}:{found.candidate}"
    _answer(session, found, f"{child} came of the retraining of {parent} ({found.id}).")


def _answer(session: Session, found: Episode, told: str) -> None:
    session.answer(found, ids=[found.id], text=lambda: told)
