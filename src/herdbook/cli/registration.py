"""`herdbook add`."""

from typing import Any

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import command
from herdbook.cli.session import Session


@command(
    "add",
    examples=(
        'add majora v1 --base-model "Qwen2.5-Coder-7B" --samples 223 --epochs 3 --accuracy 0.85',
        "add majora --parent majora:v1 --training-data oracle,toolbench",
        "add majora --bump minor --metric ndcg@10=0.41 --dry-run",
    ),
)
@take.model_argument()
@click.argument("version", default="", metavar="[VERSION]")
@take.fact_options
@take.metric_options
@take.about_options
@take.status_option
@take.bump_option
@click.option("--type", "model_type", help="The model's type, when it is new.")
@click.option("--owner", help="The model's owner, when it is new.")
@take.dry_run_option
@click.pass_obj
def add(session: Session, /, model: str, version: str, *, dry_run: bool, **given: Any) -> None:
    """Register a version, and its model when that is new.

    Left out, VERSION is the next in the model's own style: v1 goes on with v2.
    """
    if not version and ":" in model:
        model, _, version = model.removeprefix("herdbook:").rpartition(":")
    metrics = take.taken_metrics(given)
    facts = take.taken_tags(take.taken_facts(given))
    said = {name: value for name, value in facts.items() if value not in (None, "")}
    if given.get("git_commit") == "":
        said["git_commit"] = ""
    with session.book(dry_run=dry_run) as book:
        made = book.models.register(model, version, metrics=metrics, **said)
        session.answer(
            made, ids=[made.ref], text=lambda: f"{made.ref} is registered, in {made.status}."
        )
