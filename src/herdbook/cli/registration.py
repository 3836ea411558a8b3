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
@pushing.version_options
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
    how, said = pushing.taken_version(given)
    if path is None and (how["roles"] or how["sign"]):
        raise Invalid("--role and --sign-key are about files: give --path FOLDER", field="path")
    planned = pushing.planned(session, path, how["roles"]) if path and dry_run else None
    with session.book(dry_run=dry_run) as book:
        is_new = _is_new(book, model)
        near = nearest(book, model, likeness=_TYPING_SLIP) if is_new else ""
        of = f", of the new model {model}" if is_new else ""
        if path is None or dry_run:
            made = book.models.register(model, version, **said)
            stored = f" {pushing.told(planned)}" if planned else ""
        else:
            done = pushing.push(session, book, model, version, path=path, how=how, facts=said)
            made, stored = done.version or book.get(model), f" {pushing.told(done)}"
        session.answer(
            made,
            ids=[made.ref],
            text=lambda: f"{made.ref} is registered, in {made.status}{of}.{stored}",
        )
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
