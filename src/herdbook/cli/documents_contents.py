"""`herdbook documents inspect`, `stamp`, `add`, `search`: what is in a collection."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli import documents_taking as taking
from herdbook.cli import documents_texts
from herdbook.cli.cache import count_text
from herdbook.cli.commands import command
from herdbook.cli.documents_progress import counted
from herdbook.cli.output import Table
from herdbook.cli.session import DRY, Session
from herdbook.core.pages import Page
from herdbook.core.vectors import Hit, Place
from herdbook.errors import HerdbookError, Invalid

if TYPE_CHECKING:
    from herdbook.front.moving.collections import OpenCollection
    from herdbook.front.moving.stamping import Inspected

AT_ONCE: Final = 256
_SHAPE: Final = 'write {"id": "…", "text": "…", "metadata": {…}}'


@command(
    "inspect",
    examples=(
        "documents inspect handbook",
        "documents inspect --store chroma:vectors --collection faq",
    ),
)
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--store", metavar="ADDRESS", help="Of a store, for what is not registered.")
@click.option("--collection", help="Its name in that store.")
@click.option("--field", default="", help="Which of its vector fields; left out, the first.")
@click.pass_obj
def inspect(
    session: Session, name: str | None, store: str | None, collection: str | None, field: str
) -> None:
    """Show what is in a collection: spaces, texts that cannot be embedded, histories."""
    if bool(name) == bool(store) or bool(store) != bool(collection):
        raise click.UsageError("say NAME, or --store and --collection of what is not registered")
    if name:
        with session.book() as book:
            found = book.documents.inspect(name)
    else:
        found = _elsewhere(str(store), Place(collection=str(collection), field=field))
    session.answer(found, ids=[found.place], text=lambda: documents_texts.inspected_text(found))


def _elsewhere(address: str, place: Place) -> "Inspected":
    # The libraries of stores wait behind these imports.
    from herdbook.front.moving.choosing import absolute
    from herdbook.front.moving.stamping import inspected
    from herdbook.storage import vectors

    store = vectors.opened(absolute(address))
    try:
        return inspected(store, place)
    finally:
        store.close()


@command(
    "stamp",
    examples=(
        "documents stamp faq --ref gbert:v1",
        "documents stamp faq --ref gbert:v1 --encoder python:my_encoders:embed --dry-run",
    ),
)
@taking.name_argument
@click.option("--ref", default="", help="The version that is said to have embedded it.")
@taking.encoder_options
@click.option(
    "--sampled",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="Documents embedded again, as the proof.",
)
@click.option("--every", is_flag=True, help="Embed every one again; stamp those that match.")
@click.option("--dry-run", is_flag=True, help="Show what would happen.")
@click.pass_obj
def stamp(session: Session, /, name: str, **given: Any) -> None:
    """Prove what embedded a collection, and stamp the documents that carry no stamp.

    Nothing else may write to it meanwhile. Where the sample comes out otherwise, nothing is
    written.
    """
    encoder = taking.taken_encoder(given)
    with taking.documents_of(session) as held, counted(session, f"Stamping {name}") as said:
        done = held.stamp(name, said=said, **given, **encoder)
    session.answer(done, ids=[name], text=lambda: documents_texts.stamped_text(name, done))
    if done.dry_run:
        session.note(DRY)


@command(
    "add",
    examples=(
        "documents add handbook pages.jsonl",
        "documents add handbook - < pages.jsonl",
    ),
)
@taking.name_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.pass_obj
def add(session: Session, name: str, file: Path) -> None:
    """Embed and write documents, over those of the same ids.

    Each line is {"id": "…", "text": "…", "metadata": {…}}; id and metadata may be left out.
    """
    with taking.documents_of(session) as held, counted(session, f"Adding to {name}") as said:
        opened = held.open(name)
        count = 0
        with _lines(file) as lines:
            for batch in _batches(lines, _name_of(file)):
                _write(opened, batch, count)
                count += len(batch.texts)
                said(len(batch.texts))
    told = f"{count_text(count, 'document')} written to {name}."
    session.answer({"collection": name, "written": count}, ids=[name], text=lambda: told)


@dataclass
class _Lines:
    """Documents of lines that follow one another."""

    file: str
    first: int
    texts: list[str] = field(default_factory=list)
    ids: dict[str, None] = field(default_factory=dict)
    metadata: list[dict[str, Any]] = field(default_factory=list)


def _name_of(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


@contextmanager
def _lines(file: Path) -> Iterator[Iterable[str]]:
    if str(file) == "-":
        yield sys.stdin
        return
    with file.open(encoding="utf-8") as lines:
        yield lines


def _batches(lines: Iterable[str], file: str) -> Iterator[_Lines]:
    """Read documents; one whose id is in the batch already begins another: the last one counts."""
    from uuid import uuid4

    batch = _Lines(file, 1)
    wrong: Invalid | None = None
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            said = _document(text)
        except Invalid as found:
            wrong = Invalid(f"{file}, line {number}: {found.message}", field="file")
            break
        id = said.get("id", "") or uuid4().hex
        if id in batch.ids or len(batch.texts) == AT_ONCE:
            yield batch
            batch = _Lines(file, number)
        batch.ids[id] = None
        batch.texts.append(said["text"])
        batch.metadata.append(said.get("metadata") or {})
    if batch.texts:
        yield batch
    if wrong:
        raise wrong


def _document(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError as wrong:
        raise Invalid(f"it is no JSON ({wrong}); {_SHAPE}") from None
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        raise Invalid(f"it has no text; {_SHAPE}")
    if not isinstance(said.get("id", ""), str):
        raise Invalid(f"its id is no text; {_SHAPE}")
    if not isinstance(said.get("metadata") or {}, dict):
        raise Invalid(f"its metadata is no object; {_SHAPE}")
    return said


def _write(opened: "OpenCollection", batch: _Lines, before: int) -> None:
    try:
        opened.add(batch.texts, ids=list(batch.ids), metadata=batch.metadata)
    except HerdbookError as wrong:
        wrong.message = (
            f"{batch.file}, from line {batch.first} on: {wrong.message}; "
            f"{count_text(before, 'document')} before were written, to add again is safe"
        )
        raise


@command(
    "search",
    examples=(
        'documents search handbook "who pays for rain damage?"',
        'documents search handbook "rain" -k 3 --json',
    ),
)
@taking.name_argument
@click.argument("text", metavar="TEXT")
@click.option("-k", "--k", "k", type=click.IntRange(1, 10_000), default=10, show_default=True)
@click.pass_obj
def search(session: Session, name: str, text: str, k: int) -> None:
    """Show the documents nearest to a query, embedded as they were."""
    with taking.documents_of(session) as held:
        found = held.open(name).search(text, k=k)
    session.answer(
        Page(items=tuple(found)), ids=[hit.id for hit in found], text=lambda: _hits(found)
    )


def _hits(found: list[Hit]) -> Table:
    rows = [[f"{hit.score:.4f}", hit.id, (hit.text or "")[:200]] for hit in found]
    return Table((">score", "document", "text"), rows, empty="Nothing was found.")
