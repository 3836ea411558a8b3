"""How far something long is: a bar for a person, a line now and then for a log."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from herdbook.cli.cache import size_text
from herdbook.cli.session import Session
from herdbook.core.blobs import Said, silent

LINE_SECONDS: Final = 5.0


@contextmanager
def progress(session: Session, doing: str, total: int) -> Iterator[Said]:
    """Tell on standard error how many bytes of how many are done, how fast, how long it takes.

    Args:
        session: with `--quiet` nothing is told.
        doing: such as "Pushing majora".
        total: the bytes of all of it.
    """
    if session.quiet or session.as_json:
        yield silent
    elif sys.stderr.isatty():
        with _bar(doing, total) as said:
            yield said
    else:
        yield _Lines(doing, total).add


@contextmanager
def _bar(doing: str, total: int) -> Iterator[Said]:
    # Rich is slow to import: only where there is a terminal to draw on.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(doing, total=total)
        yield lambda count: shown.advance(task, count)


class _Lines:
    """Writes a line when some seconds have passed since the last."""

    def __init__(self, doing: str, total: int) -> None:
        self._doing, self._total = doing, total
        self._began = self._told = time.monotonic()
        self._done = 0
        self._turn = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes, from any thread."""
        with self._turn:
            self._done += count
            now = time.monotonic()
            if now - self._told < LINE_SECONDS:
                return
            self._told = now
            click.echo(self._line(now), err=True)

    def _line(self, now: float) -> str:
        rate = self._done / (now - self._began)
        left = max(self._total - self._done, 0) / rate if rate else 0.0
        return (
            f"{self._doing}: {size_text(self._done)} of {size_text(self._total)}, "
            f"{size_text(int(rate))}/s, {left:.0f} s left"
        )
