"""`herdbook export` and `herdbook import`."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import click

from herdbook.cli.commands import command
from herdbook.cli.output import line
from herdbook.cli.session import Session
from herdbook.core.transfer import Loaded
from herdbook.errors import Corrupt, HerdbookError, Invalid

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook

STANDARD: Final = "-"
OWN: Final = "herdbook"
SOURCES: Final = (OWN, "afs", "coreml", "folder")
_EVERY_SECONDS: Final = 0.5
# Names of open streams; behind one a regular file may stand that is not ours to replace.
_STREAMS: Final = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")
_ONE: Final = {
    "models": "model",
    "manifests": "manifest",
    "signatures": "signature",
    "versions": "version",
    "metrics": "metric",
    "operational": "operational average",
    "aliases": "alias",
    "moves": "move",
    "events": "event",
    "promotions": "promotion",
}
_MANY: Final = {"operational": "operational averages"}


@command("export", examples=("export -o register.jsonl", "export | gzip > register.jsonl.gz"))
@click.option(
    "--output", "-o", default=STANDARD, metavar="FILE", help="Where to; - is standard output."
)
@click.pass_obj
def export(session: Session, output: str) -> None:
    """Write the whole register to a file.

    JSON lines with every model, version, manifest, score, alias, move and event. Bytes, tokens,
    webhooks and their secrets stay where they are. A file is written whole or not at all.
    """
    told = _Progress(session, "lines")
    with session.book() as book:
        lines = told.counting(book.export())
        if output == STANDARD:
            for text in lines:
                click.echo(text)
            return
        _write(Path(output), lines)
    session.note(f"{told.count:,} lines written to {output}")


def _write(target: Path, lines: Iterable[str]) -> None:
    if _is_stream(target):
        with target.open("w", encoding="ascii", newline="\n") as file:
            _pour(file, lines)
        return
    # A link stays a link: what it points at is written.
    place = Path(os.path.realpath(target))
    if place.is_symlink():
        raise Invalid(f"{target} is a link that leads back to itself", field="output")
    partial = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="ascii", newline="\n") as file:
            _pour(file, lines)
            os.fsync(file.fileno())
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(place.parent)


def _is_stream(target: Path) -> bool:
    # A device or a pipe is written to; a new file under its name would take its place for all.
    special = target.exists() and not target.is_file()
    return special or str(target).startswith(_STREAMS)


def _pour(file: TextIO, lines: Iterable[str]) -> None:
    last = ""
    for last in lines:
        file.write(last + "\n")
    if not last.startswith('{"kind":"end"'):
        raise Corrupt("the export was cut off on its way; ask for it again")
    file.flush()


def _sync_folder(folder: Path) -> None:
    # The new name is only safe once the folder that holds it is.
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@command(
    "import",
    examples=(
        "import register.jsonl",
        "import --from afs registry.json --lineage lineage.json --dry-run",
        "import --from coreml model_registry.json",
        "import --from folder artifacts",
    ),
)
@click.argument("file", metavar="FILE")
@click.option(
    "--from",
    "source",
    type=click.Choice(SOURCES),
    default=OWN,
    show_default=True,
    help="What wrote it: an export of Herdbook goes only into an empty register.",
)
@click.option("--lineage", default="", metavar="FILE", help="The lineage.json beside it (afs).")
@click.option("--dry-run", is_flag=True, help="Check everything, tell, and write nothing.")
@click.pass_obj
def import_(session: Session, file: str, source: str, lineage: str, *, dry_run: bool) -> None:
    """Read an export or another tool's files.

    FILE is an export (- is standard input), a registry.json, a model_registry.json or a folder.
    What is there already is skipped, so a stopped import is given again.
    """
    if lineage and source != "afs":
        raise Invalid("--lineage goes with --from afs", field="lineage")
    if source == OWN:
        loaded = _load(session, file, dry_run=dry_run)
    else:
        loaded = _take(session, source, file, lineage, dry_run=dry_run)
    session.answer(loaded, text=lambda: _shown(loaded))


def _load(session: Session, file: str, *, dry_run: bool) -> Loaded:
    told = _Progress(session, "lines")
    with session.book() as book:
        loaded = book.load(told.counting(_read(file)), dry_run=dry_run)
        note = "" if dry_run or not loaded.counts.get("manifests") else _lacking(book)
    return replace(loaded, notes=(*loaded.notes, note)) if note else loaded


def _lacking(book: "Herdbook") -> str:
    """Say which bytes of what was taken are still to come; the register is there either way."""
    try:
        found = book.artifacts.verify()
    except HerdbookError as error:
        return f"whether the store has the bytes could not be seen: {error.message}"
    if not found.damaged:
        return ""
    return (
        f"of {found.blobs:,} blobs {found.damaged:,} are not in the store: an export holds no "
        "bytes. Copy the store it belongs to, or take bundles with `herdbook artifacts import`; "
        "`herdbook artifacts verify` names what is missing"
    )


def _read(file: str) -> Iterator[str]:
    # What is no text becomes a line that is refused by its number.
    if file == STANDARD:
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
        yield from sys.stdin
        return
    with Path(file).open(encoding="utf-8", errors="replace") as lines:
        yield from lines


def _take(session: Session, source: str, file: str, lineage: str, *, dry_run: bool) -> Loaded:
    from herdbook.front import importing

    progress = _Progress(session, "versions").at
    with session.book() as book:
        if source == "afs":
            return importing.import_afs(
                book, file, lineage=lineage, dry_run=dry_run, progress=progress
            )
        read = importing.import_coreml if source == "coreml" else importing.import_folder
        return read(book, file, dry_run=dry_run, progress=progress)


def _shown(loaded: Loaded) -> str:
    counts = dict(loaded.counts)
    skipped = counts.pop("skipped", 0)
    taken = ", ".join(_counted(count, what) for what, count in counts.items() if count)
    did = "Would take" if loaded.dry_run else "Took"
    told = f"{did} {taken or 'nothing'}{f'; {skipped:,} skipped' if skipped else ''}."
    refs = getattr(loaded, "refs", ()) if loaded.dry_run else ()
    lines = [told, *(f"  {line(text)}" for text in (*refs, *loaded.notes))]
    if loaded.dry_run:
        lines.append("Nothing was written: this was a dry run.")
    return "\n".join(lines)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {_ONE.get(what, what) if count == 1 else _MANY.get(what, what)}"


class _Progress:
    """Tells a person at a terminal how far it is, on standard error."""

    def __init__(self, session: Session, what: str) -> None:
        self.count = 0
        self._what = what
        self._shows = sys.stderr.isatty() and not session.quiet
        self._next = time.monotonic() + _EVERY_SECONDS

    def counting(self, lines: Iterable[str]) -> Iterator[str]:
        """Give the lines and count them."""
        for text in lines:
            self.count += 1
            self._tell(lambda: f"{self.count:,} {self._what}")
            yield text
        self._clear()

    def at(self, done: int, of: int) -> None:
        """Note how many of how many are done."""
        self._tell(lambda: f"{done:,} of {of:,} {self._what}")
        if done == of:
            self._clear()

    def _tell(self, text: Callable[[], str]) -> None:
        if self._shows and time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_SECONDS
            click.echo(f"\r\x1b[K{text()}", nl=False, err=True)

    def _clear(self) -> None:
        if self._shows:
            click.echo("\r\x1b[K", nl=False, err=True)
