"""`herdbook tokens …`."""

from datetime import UTC, datetime

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import group
from herdbook.cli.output import Table
from herdbook.cli.session import Session
from herdbook.core.access import Token


@group("tokens", examples=("tokens create ci --role contributor", "tokens list"))
def tokens() -> None:
    """Make, list and revoke access tokens of a server."""


@tokens.command(
    "create",
    examples=(
        "tokens create ci --role contributor",
        "tokens create search-deployer --role viewer --role 'deployer:search/*' --days 30",
    ),
)
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    metavar="ROLE[:PATTERN]",
    help="viewer, contributor, deployer or admin; for some models as deployer:search/*. (repeat)",
)
@click.option("--days", type=int, default=90, show_default=True, help="How long it counts.")
@click.option("--forever", is_flag=True, help="It never expires.")
@click.pass_obj
def create(
    session: Session, name: str, roles: tuple[str, ...], days: int, *, forever: bool
) -> None:
    """Make a token; its text is shown this once.

    Give it to a client as HERDBOOK_TOKEN.
    """
    with session.book() as book:
        made = book.tokens.create(name, roles=roles, days=None if forever else days)
    session.answer(made, ids=[made.secret], text=lambda: made.secret)
    if not session.as_json:
        session.note("Keep it now: it is not shown again. Clients read it from HERDBOOK_TOKEN.")


@tokens.command("list", examples=("tokens list",))
@take.page_options
@click.pass_obj
def list_(session: Session, page_size: int, page: str | None) -> None:
    """List tokens, newest first; their texts are not kept."""
    with session.book() as book:
        found = book.tokens.list(page_size=page_size, page=page)
    session.page(
        found,
        ids=[token.id for token in found.items],
        text=lambda: _table(session, found.items),
    )


def _table(session: Session, found: tuple[Token, ...]) -> Table:
    rows = [
        [
            t.id,
            t.name,
            ", ".join(f"{g.role}:{g.pattern}" if g.pattern != "*" else g.role for g in t.grants),
            standing(t),
            session.when(t.created_at),
            session.when(t.last_used_at) or "never",
        ]
        for t in found
    ]
    titles = ("id", "name", "roles", "state", "made", "last used")
    return Table(titles, rows, empty="There are no tokens.")


def standing(token: Token) -> str:
    """Say how a token stands."""
    if token.revoked_at is not None:
        return "revoked"
    if not token.counts(datetime.now(UTC)):
        return "expired"
    return f"until {token.expires_at:%Y-%m-%d}" if token.expires_at else "for ever"


@tokens.command("revoke", examples=("tokens revoke 8fKq2LmZ",))
@click.argument("id_", metavar="ID")
@click.pass_obj
def revoke(session: Session, id_: str) -> None:
    """Make a token count no more, at once."""
    with session.book() as book:
        gone = book.tokens.revoke(id_)
    session.answer(gone, ids=[gone.id], text=lambda: f"The token {gone.name} counts no more.")
