"""`herdbook drift watch`: each change of level as it comes, and commands at alarms."""

import math
import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli import drift_texts, hooks
from herdbook.cli.commands import command
from herdbook.cli.output import clean, iso, line
from herdbook.cli.parameters import MODEL
from herdbook.cli.session import Session
from herdbook.core.drift import Episode, Report
from herdbook.core.pages import PAGE_LIMIT
from herdbook.core.wire import plain
from herdbook.errors import Conflict, Invalid, Unavailable, Unreachable
from herdbook.front.door import every as every_page

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook

ANSWER_IS_NO: Final = 1
TIMEOUT_SECONDS: Final = 3_600.0
# An alarm that is over is told of all the same for so long: nobody may have looked meanwhile.
_LATELY: Final = timedelta(hours=1)
_EPISODES: Final = 200


@command(
    "watch",
    examples=(
        "drift watch",
        'drift watch gnn:v2.1.0 --on-alarm "python tell.py"',
        'drift watch --on-retrain "python train.py"',
        "drift watch --once --language de",
    ),
)
@click.argument("refs", type=MODEL, metavar="[REF...]", nargs=-1)
@click.option(
    "--every",
    type=click.FloatRange(0.5, 3_600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Between one look and the next.",
)
@click.option("--on-alarm", default="", metavar="COMMAND", help="Run at each alarm.")
@click.option(
    "--on-retrain", default="", metavar="COMMAND", help="Run when a retraining is asked for."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long a command may take.",
)
@click.option("--once", is_flag=True, help="Look once; end with 1 when there is an alarm.")
@click.option(
    "--language",
    type=click.Choice(("en", "ru", "de")),
    default="en",
    show_default=True,
    help="Of the recommendation.",
)
@click.pass_obj
def watch(
    session: Session, /, refs: tuple[str, ...], every: float, *, once: bool, **given: Any
) -> None:
    """Show each change of level until Ctrl-C; without REF, of all versions that are watched.

    A command runs once for each episode, however many look, with the facts in its environment
    as HERDBOOK_DRIFT_EPISODE, _REF, _LEVEL, _PEAK and so on. While it runs nothing else is looked
    at.
    """
    if math.isnan(every):
        raise Invalid("--every is nan; give seconds, such as 2", field="every")
    language = given.pop("language")
    commands = Commands(session, **given)
    with session.book() as book:
        looking = Looking(session, book, refs, language)
        alarms = looking.look()
        commands.run(book, looking.watched)
        while not once:
            time.sleep(every)
            # A server that starts anew is no reason to stop looking.
            with looking.away():
                looking.look()
                commands.run(book, looking.watched)
    if alarms:
        raise click.exceptions.Exit(ANSWER_IS_NO)


class Looking:
    """Tells of each change of level.

    Attributes:
        watched: the versions looked at last, such as `gnn:v2.1.0`.

    Args:
        session: where it is told.
        book: the register.
        refs: the versions; none for all that are watched.
        language: of the advice.
    """

    def __init__(
        self, session: Session, book: "Herdbook", refs: Sequence[str], language: str
    ) -> None:
        self._session = session
        self._book = book
        self._refs = refs
        self._language = language
        self._levels: dict[str, str] = {}
        self._away = False
        self.watched: frozenset[str] = frozenset()

    def look(self) -> int:
        """Tell what changed since the last look; give how many alarms there are."""
        found = list(self._reports())
        for each in found:
            self._compare(each)
        names = frozenset(drift_texts.name_of(each) for each in found)
        for gone in self.watched - names:
            self._levels.pop(gone, None)
            self._session.note(f"{line(gone)} is not looked at any more.")
        if not found and (self.watched or not self._levels) and not self._session.as_json:
            self._say_none()
        self.watched = names
        return sum(each.alert_triggered for each in found)

    def _say_none(self) -> None:
        # Said once, and again when there is none any more.
        self._levels[""] = ""
        self._session.note("No version is watched: `herdbook drift reference REF FILE` begins.")

    def _reports(self) -> Iterator[Report]:
        if self._refs:
            for ref in self._refs:
                yield self._book.drift.report(ref, language=self._language)
        else:
            yield from every_page(
                self._book.drift.list, language=self._language, page_size=PAGE_LIMIT
            )

    def _compare(self, report: Report) -> None:
        name, level = drift_texts.name_of(report), drift_texts.level_of(report)
        before = self._levels.get(name)
        if before == level:
            return
        self._levels[name] = level
        told = plain(report) | {"from": before}
        self._session.answer(
            told, ids=[f"{name} {level}"], text=lambda: self._line(report, before, level)
        )

    def _line(self, report: Report, before: str | None, level: str) -> str:
        colour = drift_texts.COLOURS[report.level]
        change = f"{before} → " if before else ""
        score = report.current_drift_score
        known = f", score {score:.2f}" if score is not None else ""
        alarm = f", {report.episode}" if report.alert_triggered else ""
        return (
            f"{iso(report.at or datetime.now(UTC))}  {drift_texts.name_of(report)}  "
            f"{change}{self._session.style(level, fg=colour)}{known}{alarm}: "
            f"{line(report.recommendation)}"
        )

    def away(self) -> "suppress":
        """Go on where the register is away for a while, saying so once."""
        return _Away(self)

    def told_away(self, error: Exception | None) -> None:
        """Say when the register goes, and when it is back."""
        if error is not None and not self._away:
            self._session.note(f"{line(str(error))}; still looking")
        if error is None and self._away:
            self._session.note("The register is back.")
        self._away = error is not None


class _Away(suppress):
    def __init__(self, looking: Looking) -> None:
        super().__init__(Unavailable, Unreachable)
        self._looking = looking

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        if error is None or isinstance(error, Unavailable | Unreachable):
            self._looking.told_away(error)
        return super().__exit__(kind, error, trace)


@dataclass(kw_only=True)
class _Work:
    """What is to be done for episodes of a kind."""

    name: str
    command: str
    wanted: Callable[[Episode], bool]
    seen: set[str] = field(default_factory=set)


class Commands:
    """Runs commands at alarms, each once for an episode, by claiming it.

    Args:
        session: where it is told.
        on_alarm: a command, or "".
        on_retrain: another.
        timeout: seconds that one may take.

    Raises:
        Invalid: one of them cannot be run.
    """

    def __init__(self, session: Session, *, on_alarm: str, on_retrain: str, timeout: float) -> None:
        self._session = session
        self._timeout = timeout
        # Who claims again under the same name gets it again: each run has a name of its own.
        self.name = f"{platform.node()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        works = (
            _Work(name="on-alarm", command=on_alarm, wanted=_alarm_wanted),
            _Work(name="on-retrain", command=on_retrain, wanted=_retraining_wanted),
        )
        self._works = [work for work in works if work.command]
        for work in self._works:
            hooks.words(work.command, option=work.name)

    def run(self, book: "Herdbook", versions: frozenset[str]) -> None:
        """Run what is to be run for the episodes of some versions."""
        if not self._works:
            return
        for episode in reversed(book.drift.episodes(page_size=_EPISODES).items):
            if f"{episode.model}:{episode.number}" in versions:
                for work in self._works:
                    self._do(book, work, episode)

    def _do(self, book: "Herdbook", work: _Work, episode: Episode) -> None:
        if episode.id in work.seen or not work.wanted(episode):
            return
        try:
            claimed = book.drift.claim(episode.id, by=self.name, alarm=work.name == "on-alarm")
        except Conflict:
            # Another one was first.
            work.seen.add(episode.id)
            return
        work.seen.add(episode.id)
        self._run(work, claimed)

    def _run(self, work: _Work, episode: Episode) -> None:
        self._session.note(f"{episode.id}: {work.name}: {clean(work.command)}")
        words = hooks.words(work.command, option=work.name)
        status = hooks.run(words, facts(episode), self._timeout, _show)
        if status != 0:
            how = "took too long and was ended" if status is None else f"failed, status {status}"
            self._session.note(
                f"{episode.id}: {work.name} {how}; it is not run again, `herdbook drift claim "
                f"{episode.id} --force` takes the retraining over"
                if work.name == "on-retrain"
                else f"{episode.id}: {work.name} {how}; it is not run again"
            )


def _alarm_wanted(episode: Episode) -> bool:
    ended = episode.ended_at
    lately = ended is None or datetime.now(UTC) - ended < _LATELY
    return lately and not episode.told_by


def _retraining_wanted(episode: Episode) -> bool:
    return bool(episode.retrain_at and not episode.claimed_by and not episode.ended_at)


def facts(episode: Episode) -> dict[str, str]:
    """Give what a command is told of an episode, as environment variables."""
    said = {
        "EPISODE": episode.id,
        "MODEL": episode.model,
        "VERSION": episode.number,
        "REF": f"{episode.model}:{episode.number}",
        "LEVEL": str(episode.level),
        "PEAK": f"{episode.peak:.6g}",
        "STREAMS": ",".join(episode.streams),
        "BEGAN_AT": iso(episode.began_at),
        "ENDED_AT": iso(episode.ended_at) if episode.ended_at else "",
        "RETRAIN_AT": iso(episode.retrain_at) if episode.retrain_at else "",
    }
    return {f"HERDBOOK_DRIFT_{name}": value for name, value in said.items()}


def _show(text: str) -> None:
    click.echo(f"  {clean(text)}", err=True)
