"""`herdbook documents …`."""

from typing import Any

import click

from herdbook.cli import (
    documents_bridges,
    documents_contents,
    documents_moving,
    documents_switching,
    documents_texts,
)
from herdbook.cli import documents_taking as taking
from herdbook.cli import parameters as take
from herdbook.cli.commands import group
from herdbook.cli.session import Session


@group(
    "documents",
    examples=(
        "documents create handbook --ref gbert:v1 --store lancedb:vectors",
        "documents plan handbook --to v2",
        "documents migrate handbook --to v2 --queries queries.jsonl",
    ),
)
def documents() -> None:
    """Vector stores: what embedded each document, and moving them to the next version."""


@documents.command("list", examples=("documents list", "documents list --migrations"))
@click.option("--model", type=take.MODEL, help="Only those its versions embed.")
@click.option("--migrations", is_flag=True, help="The migrations instead, newest first.")
@take.page_options
@click.pass_obj
def list_(
    session: Session, model: str | None, *, migrations: bool, page_size: int, page: str | None
) -> None:
    """List collections by name, or the migrations there were."""
    with session.book() as book:
        asked: dict[str, Any] = {"model": model, "size": page_size, "page": page}
        if migrations:
            moved = book.documents.migrations(**asked)
            session.page(
                moved,
                ids=[each.id for each in moved.items],
                text=lambda: documents_texts.migration_table(session, moved.items),
            )
            return
        found = book.documents.page(**asked)
    session.page(
        found,
        ids=[each.name for each in found.items],
        text=lambda: documents_texts.collection_table(found.items),
    )


@documents.command("show", examples=("documents show handbook",))
@taking.name_argument
@click.pass_obj
def show(session: Session, name: str) -> None:
    """Show where a collection lies and what embeds it; the store is not asked."""
    with session.book() as book:
        found = book.documents.get(name)
    session.answer(
        found, ids=[found.name], text=lambda: documents_texts.collection_text(session, found)
    )


@documents.command(
    "create",
    examples=(
        "documents create handbook --ref gbert:v1 --store lancedb:vectors",
        "documents create handbook --ref gbert:v1 --store chroma:vectors "
        "--encoder python:my_encoders:embed",
        "documents create faq --ref oracle:v1 --store pgvector://me@host/docs "
        '--encoder https://host/v1 --price 0.02 --query-prefix "query: "',
    ),
)
@taking.name_argument
@click.option("--ref", required=True, metavar="REF", help="The version that embeds, as gbert:v1.")
@click.option("--store", required=True, metavar="ADDRESS", help="Of the store, as lancedb:vectors.")
@click.option("--collection", default="", help="Its name in the store; left out, NAME.")
@taking.encoder_options
@click.pass_obj
def create(session: Session, /, name: str, **given: Any) -> None:
    """Make a collection in a store and register it."""
    encoder = taking.taken_encoder(given)
    with taking.documents_of(session) as held:
        made = held.create(name, **given, **encoder).now
    told = f"{made.name} is made: {made.home.place} in {made.store}, {made.home.space}."
    session.answer(made, ids=[made.name], text=lambda: told)


@documents.command(
    "adopt",
    examples=(
        "documents adopt faq --model gbert --store chroma:vectors",
        "documents adopt faq --model gbert --store pgvector://me@host/docs --collection faq_2024",
    ),
)
@taking.name_argument
@click.option("--model", required=True, type=take.MODEL, help="Whose versions embed it.")
@click.option("--store", required=True, metavar="ADDRESS", help="Of the store, as chroma:vectors.")
@click.option("--collection", default="", help="Its name in the store; left out, NAME.")
@click.option("--field", default="", help="Which of its vector fields; left out, the first.")
@click.pass_obj
def adopt(session: Session, /, name: str, **given: Any) -> None:
    """Register a collection that is in a store; nothing in it is changed.

    What embedded it is unknown until `stamp` has proven it.
    """
    with session.book() as book:
        made = book.documents.adopt(name, **given)
    told = (
        f"{made.name} is registered: {made.home.place} in {made.store}. What embedded it is "
        f"unknown: `herdbook documents stamp {made.name} --ref {made.model}:VERSION` proves it."
    )
    session.answer(made, ids=[made.name], text=lambda: told)


@documents.command("remove", examples=("documents remove handbook --yes",))
@taking.name_argument
@take.yes_option
@click.pass_obj
def remove(session: Session, name: str, *, yes: bool) -> None:
    """Take a collection out of the register; what is in the store stays as it is."""
    session.confirm(f"Take {name} out of the register?", yes=yes)
    with session.book() as book:
        gone = book.documents.remove(name)
    told = f"{gone.name} is registered no more; {gone.home.place} stays in {gone.store}."
    session.answer(gone, ids=[gone.name], text=lambda: told)


for known in (
    documents_contents.inspect,
    documents_contents.stamp,
    documents_contents.add,
    documents_contents.search,
    documents_moving.path,
    documents_moving.plan,
    documents_moving.migrate,
    documents_switching.status,
    documents_switching.pause,
    documents_switching.resume,
    documents_switching.set_aside,
    documents_moving.verify,
    documents_switching.cutover,
    documents_switching.rollback,
    documents_switching.retire,
    documents_bridges.bridge,
):
    documents.add_command(known)
