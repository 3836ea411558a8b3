"""`herdbook drift labels`: what would have been right, told later."""

import csv
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, TextIO

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import command
from herdbook.cli.drift_texts import percent
from herdbook.cli.session import Session
from herdbook.core.monitors import Answers
from herdbook.errors import Invalid

CHUNK: Final = 10_000
STANDARD: Final = "-"
_HEADS: Final = ("request", "label")


@command(
    "labels", examples=("drift labels gnn:v2.1.0 labels.csv", "drift labels gnn:v2.1.0 - --json")
)
@take.ref_argument()
@click.argument("file", metavar="FILE")
@click.pass_obj
def labels(session: Session, ref: str, file: str) -> None:
    """Tell the true answers of requests, so that the true accuracy is known.

    FILE is a CSV with the columns request and label, or - for standard input. A request counts
    that was sampled with its id; told again, its last answer counts.
    """
    name = "standard input" if file == STANDARD else Path(file).name
    rows = known = right = 0
    with _opened(file) as source, session.book() as book, _bar(session, source) as seen:
        for chunk in chunks(source, name):
            found = book.drift.label(ref, chunk)
            rows, known, right = rows + len(chunk), known + found.labels, right + found.right
            seen()
    if not rows:
        raise Invalid(f"{name} holds no label", field="labels")
    counted = Answers(labels=known, right=right)
    session.answer(counted, ids=[str(known)], text=lambda: _told(counted, rows))
    if not known and not session.as_json:
        session.note(
            "A prediction waits for its answer when it was sampled with the id of its request."
        )


def _told(found: Answers, rows: int) -> str:
    told = f"{found.labels:,} of {rows:,} labels are of known requests"
    return f"{told}: {percent(found.right / found.labels)} right." if found.labels else f"{told}."


def chunks(source: IO[str], name: str) -> Iterator[dict[str, str]]:
    """Give the labels of a CSV by request, 10,000 at a time.

    Raises:
        Invalid: it is no CSV with those two columns; what was given before is given.
    """
    rows = csv.reader(source)
    found: dict[str, str] = {}
    try:
        heads = [head.strip("\ufeff ").lower() for head in next(rows, [])]
        if any(head not in heads for head in _HEADS):
            raise Invalid(
                f"{name} has the columns {', '.join(heads)[:200] or 'none'}; it needs request and "
                "label",
                field="labels",
            )
        request, label = (heads.index(head) for head in _HEADS)
        for row in rows:
            if not any(row):
                continue
            if len(row) <= max(request, label) or not row[request] or not row[label]:
                raise Invalid(f"{name}: line {rows.line_num} lacks its request or its label",
                              field="labels")  # fmt: skip
            found[row[request]] = row[label]
            if len(found) >= CHUNK:
                yield found
                found = {}
    except (csv.Error, UnicodeDecodeError) as error:
        raise Invalid(f"{name} cannot be read as CSV: {error}", field="labels") from None
    if found:
        yield found


@contextmanager
def _opened(file: str) -> Iterator[TextIO]:
    if file == STANDARD:
        yield sys.stdin
        return
    with Path(file).open(encoding="utf-8", newline="") as source:
        yield source


@contextmanager
def _bar(session: Session, source: TextIO) -> Iterator[Callable[[], None]]:
    unseen = session.quiet or session.as_json or not sys.stderr.isatty() or not source.seekable()
    size = 0 if unseen else os.fstat(source.fileno()).st_size
    with click.progressbar(length=size, file=sys.stderr, label="Labels", hidden=unseen) as bar:
        yield lambda: None if unseen else bar.update(source.buffer.tell() - bar.pos)
