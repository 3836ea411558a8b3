"""`herdbook webhooks …`."""

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import group
from herdbook.cli.output import Table
from herdbook.cli.session import Session
from herdbook.core.webhooks import Delivery, Webhook


@group("webhooks", examples=("webhooks create https://example.org/hook", "webhooks list"))
def webhooks() -> None:
    """Addresses that are told of changes."""


@webhooks.command(
    "create",
    examples=(
        "webhooks create https://example.org/hook --action alias.moved",
        "webhooks create https://example.org/hook --model 'search/*'",
    ),
)
@click.argument("address", metavar="URL")
@click.option("--action", "actions", multiple=True, help="Only this action. (repeat)")
@click.option("--model", default="*", show_default=True, help="Only models of this pattern.")
@click.pass_obj
def create(session: Session, address: str, actions: tuple[str, ...], model: str) -> None:
    """Tell an address of changes; the signing secret is shown this once."""
    with session.book() as book:
        made = book.webhooks.create(address, actions=actions, model=model)
    session.answer(made, ids=[made.secret], text=lambda: made.secret)
    if not session.as_json:
        session.note(f"Webhook {made.webhook.id}. Keep the secret now: it is not shown again.")


@webhooks.command("list", examples=("webhooks list",))
@take.page_options
@click.pass_obj
def list_(session: Session, page_size: int, page: str | None) -> None:
    """List webhooks."""
    with session.book() as book:
        found = book.webhooks.list(page_size=page_size, page=page)
    session.page(
        found, ids=[str(w.id) for w in found.items], text=lambda: _table(session, found.items)
    )


def _table(session: Session, found: tuple[Webhook, ...]) -> Table:
    rows = [
        [
            str(w.id),
            w.url,
            ", ".join(w.actions) or "all",
            w.model,
            "yes" if w.active else "no",
            session.when(w.created_at),
        ]
        for w in found
    ]
    titles = (">id", "url", "actions", "models", "active", "made")
    return Table(titles, rows, empty="There are no webhooks.")


@webhooks.command("remove", examples=("webhooks remove 1 --yes",))
@click.argument("id_", type=int, metavar="ID")
@take.yes_option
@click.pass_obj
def remove(session: Session, id_: int, *, yes: bool) -> None:
    """Tell an address nothing more."""
    session.confirm(f"Remove webhook {id_}?", yes=yes)
    with session.book() as book:
        gone = book.webhooks.remove(id_)
    session.answer(gone, ids=[str(gone.id)], text=lambda: f"Webhook {gone.id} is removed.")


@webhooks.command("deliveries", examples=("webhooks deliveries 1",))
@click.argument("id_", type=int, metavar="ID")
@take.page_options
@click.pass_obj
def deliveries(session: Session, id_: int, page_size: int, page: str | None) -> None:
    """List what was sent to a webhook and how it went, newest first."""
    with session.book() as book:
        found = book.webhooks.deliveries(id_, page_size=page_size, page=page)
    session.page(
        found,
        ids=[str(d.id) for d in found.items],
        text=lambda: _deliveries(session, found.items),
    )


def _deliveries(session: Session, found: tuple[Delivery, ...]) -> Table:
    rows = [
        [
            str(d.id),
            str(d.seq),
            str(d.attempts),
            session.when(d.delivered_at) or "-",
            session.when(d.next_at) or "-",
            d.problem or "-",
        ]
        for d in found
    ]
    titles = (">id", ">event", ">tries", "taken", "next try", "problem")
    return Table(titles, rows, empty="Nothing was sent yet.")
