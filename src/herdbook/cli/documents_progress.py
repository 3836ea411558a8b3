"""How far a migration is: a bar for a person, a line now and then for a log."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from herdbook.cli.documents_texts import lasting, money
from herdbook.cli.output import line
from herdbook.cli.progress import LINE_SECONDS
from herdbook.cli.session import Session
from herdbook.core.migrations import MigrationPhase

if TYPE_CHECKING:
    from herdbook.front.moving.telling import News, Said

# Phases that take their time; the others are a moment.
_LONG: Final = frozenset({MigrationPhase.BACKFILL, MigrationPhase.CATCH_UP, MigrationPhase.VERIFY})


@contextmanager
def told_of(session: Session, name: str) -> "Iterator[Said]":
    """Tell on standard error how a migration goes.

    Args:
        session: with `--quiet` or `--json` nothing is told.
        name: the collection.
    """
    if session.quiet or session.as_json:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar(name) as said:
            yield said
    else:
        yield _Lines(name)


def facts_of(news: "News") -> str:
    """Write the figures of a moment in a line."""
    told = [f"{news.done:,} of {news.total:,}" if news.total else ""]
    told.append(f"{news.rate:,.0f}/s" if news.rate else "")
    left = news.seconds_left
    told.append(f"{lasting(left)} left" if math.isfinite(left) and news.done < news.total else "")
    told.append(f"cost {money(news.cost)}" if news.cost else "")
    told.append(f"{news.set_aside:,} set aside" if news.set_aside else "")
    told.append(f"waiting: {line(news.waiting)}" if news.waiting else "")
    return ", ".join(each for each in told if each)


class _Lines:
    """Writes a line at each phase that takes long, and when some seconds have passed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._phase: MigrationPhase | None = None
        self._waiting = ""
        self._told = 0.0

    def __call__(self, news: "News") -> None:
        now = time.monotonic()
        fresh = news.phase is not self._phase and news.phase in _LONG
        waits = news.waiting != self._waiting and bool(news.waiting)
        self._phase, self._waiting = news.phase, news.waiting
        if not (fresh or waits or now - self._told >= LINE_SECONDS):
            return
        self._told = now
        said = facts_of(news)
        click.echo(f"{self._name}: {news.phase}{': ' + said if said else ''}", err=True)


@contextmanager
def _bar(name: str) -> "Iterator[Said]":
    # Rich is slow to import: only where there is a terminal to draw on.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(name, total=None, told="")

        def said(news: "News") -> None:
            total = news.total or None
            description = f"{name}: {news.phase}"
            shown.update(
                task,
                description=description,
                completed=news.done,
                total=total,
                told=facts_of(news),
            )

        yield said


@contextmanager
def counted(session: Session, doing: str) -> Iterator[Callable[[int], None]]:
    """Tell on standard error how many documents are done, where nobody knows of how many.

    Args:
        session: with `--quiet` or `--json` nothing is told.
        doing: such as "Adding to docs".
    """
    done, told = 0, time.monotonic()

    def add(count: int) -> None:
        nonlocal done, told
        done += count
        if time.monotonic() - told >= LINE_SECONDS and not (session.quiet or session.as_json):
            told = time.monotonic()
            click.echo(f"{doing}: {done:,} documents", err=True)

    yield add
