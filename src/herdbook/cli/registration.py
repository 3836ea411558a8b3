"""`herdbook add`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli import parameters as take
from herdbook.cli import pushing
from herdbook.cli.commands import command
from herdbook.cli.output import line
from herdbook.cli.session import Session, nearest
from herdbook.errors import Invalid, NotFound

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook

# A name so like another is a slip of the hand; gnn-a and gnn-b are two models.
_TYPING_SLIP: Final = 0.85


@command(
    "add",
    examples=(
        'add majora v1 --base-model "Qwen2.5-Coder-7B" --samples 223 --epochs 3 --accuracy 0.85',
        "add majora --path out/majora --parent majora:v1 --training-data oracle,toolbench",
        "add majora --bump minor --metric ndcg@10=0.41 --dry-run",
    ),
)
@take.model_argument()
@click.argument("version", default="", metavar="[VERSION]")
@click.option(
    "--path", type=click.Path(path_type=Path), help="Its folder: the files are stored with it."
)
@pushing.push_options
@take.fact_options
@take.metric_options
@take.about_options
@take.status_option
@take.bump_option
@click.option("--type", "model_type", help="The model's type, when it is new.")
@click.option("--owner", help="The model's owner, when it is new.")
@take.dry_run_option
@click.pass_obj
def add(
    session: Session,
    /,
    model: str,
    version: str,
    *,
    path: Path | None,
    dry_run: bool,
    **given: Any,
) -> None:
    """Register a version, and its model when that is new.

    Left out, VERSION is the next in the model's own style: v1 goes on with v2.
    """
    if not version and ":" in model:
        model, _, version = model.removeprefix("herdbook:").rpartition(":")
    how = pushing.taken_push(given)
    metrics = take.taken_metrics(given)
    facts = take.taken_tags(take.taken_facts(given))
    said = {name: value for name, value in facts.items() if value not in (None, "")}
    if given.get("git_commit") == "":
        said["git_commit"] = ""
    if path is None and (how["roles"] or how["sign"]):
        raise Invalid("--role and --sign-key are about files: give --path FOLDER", field="path")
    with session.book(dry_run=dry_run) as book:
        is_new = _is_new(book, model)
        near = nearest(book, model, likeness=_TYPING_SLIP) if is_new else ""
        of = f", of the new model {model}" if is_new else ""
        if path is None or dry_run:
            made = book.models.register(model, version, metrics=metrics, **said)
            stored = ""
        else:
            told = {"metrics": metrics, **said}
            done = pushing.push(session, book, model, version, path=path, how=how, facts=told)
            made, stored = done.version or book.get(model), f" {pushing.told(done)}"
        session.answer(
            made,
            ids=[made.ref],
            text=lambda: f"{made.ref} is registered, in {made.status}{of}.{stored}",
        )
    if path is not None and dry_run:
        pushing.plan(session, path, how["roles"])
    if near:
        session.note(f"{line(model)} is new; did you mean {line(near)}?")


def _is_new(book: "Herdbook", model: str) -> bool:
    try:
        book.models.get(model)
    except NotFound:
        return True
    except Invalid:  # registering says it better
        return False
    return False
