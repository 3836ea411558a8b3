"""One run of the command line: the global options, the register they name, where answers go."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli import output
from herdbook.cli.output import Look, Table
from herdbook.core.pages import Page
from herdbook.core.wire import dumps, plain
from herdbook.errors import HerdbookError, Invalid, NotFound

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook
    from herdbook.settings import Settings

Text = str | Table
NAMES_LOOKED_AT: Final = 1_000
_NO_MODEL: Final = re.compile(r"there is no model '([^']+)'")
DRY = "Nothing was changed: this was a dry run."


@dataclass
class Session:
    """What was asked for on the command line, and the ways to answer.

    Args:
        url: `--url`, or None.
        as_json: `--json`.
        quiet: `--quiet`.
        no_color: `--no-color`.
        verbose: `--verbose`.
    """

    url: str | None = None
    as_json: bool = False
    quiet: bool = False
    no_color: bool = False
    verbose: bool = False

    def settings(self) -> "Settings":
        """Read the settings, `--url` before all others."""
        from herdbook.settings import Settings

        return Settings.load(url=self.url)

    @contextmanager
    def book(self, *, dry_run: bool = False) -> "Iterator[Herdbook]":
        """Open the register.

        Args:
            dry_run: do all in one transaction that is taken back at the end.
        """
        # SQLAlchemy and the HTTP client wait behind this import, so help stays fast.
        from herdbook.bootstrap import connect

        if dry_run:
            from herdbook.cli.rehearsal import rehearsed

            with rehearsed(self.settings()) as book, _near(book):
                yield book
            self.note(DRY)
            return
        with connect(settings=self.settings()) as book, _near(book):
            yield book

    @property
    def look(self) -> Look:
        """How to write to standard output."""
        return output.look(sys.stdout, no_color=self.no_color)

    def answer(self, value: object, *, text: Callable[[], Text], ids: Sequence[str] = ()) -> None:
        """Write an answer to standard output.

        Args:
            value: for `--json`.
            text: makes what a person reads.
            ids: for `--quiet`, a line each.
        """
        if self.as_json:
            self.write_json(value)
        elif self.quiet:
            for name in ids:
                click.echo(output.line(name))
        else:
            made = text()
            shown = made.text(self.look) if isinstance(made, Table) else made
            if shown:
                click.echo(shown, color=self.look.color)

    def page(self, page: Page[Any], *, text: Callable[[], Text], ids: Sequence[str] = ()) -> None:
        """Write a page of a collection, and how to get the next on standard error."""
        self.answer(page, text=text, ids=ids)
        if page.next and not self.as_json:
            self.note(f"There is more: repeat the command with --page {page.next}")

    def write_json(self, value: object) -> None:
        """Write a value as JSON: one line, or for a person indented and harmless."""
        if not self.look.terminal:
            click.echo(dumps(value))
            return
        pretty = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
        click.echo(output.escaped_json(pretty))

    def note(self, text: str) -> None:
        """Tell something beside the answer, on standard error."""
        if not self.quiet:
            click.echo(text, err=True)

    def when(self, at: datetime | None) -> str:
        """Write a time: how long ago for a person, ISO 8601 for a program."""
        if at is None:
            return ""
        return output.ago(at, now=datetime.now(UTC)) if self.look.terminal else output.iso(at)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before what cannot be undone easily.

        Raises:
            Invalid: nobody can be asked and `--yes` was not given.
            click.Abort: the answer was no.
        """
        if yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise Invalid(f"{question} Nobody can be asked here: give --yes to do it", field="yes")
        if not click.confirm(question, err=True):
            raise click.exceptions.Exit(1)

    def style(self, text: str, **how: Any) -> str:
        """Colour a text where colour is wanted."""
        return click.style(text, **how) if self.look.color else text


def nearest(book: "Herdbook", model: str, *, likeness: float = 0.6) -> str:
    """Give the name of a model most like a word, or ""; only so many names are looked at.

    Args:
        book: the register.
        model: the word.
        likeness: from 0 to 1, for the same.
    """
    import difflib

    try:
        names = [known.name for known in book.models.list(page_size=NAMES_LOOKED_AT).items]
    except HerdbookError:  # a hint is no reason to fail
        return ""
    found = difflib.get_close_matches(model, names, n=1, cutoff=likeness)
    return found[0] if found else ""


@contextmanager
def _near(book: "Herdbook") -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        unknown = _NO_MODEL.match(error.message)
        near = nearest(book, unknown[1]) if unknown else ""
        if near:
            error.message = f"{error.message}; did you mean {near}?"
        raise
