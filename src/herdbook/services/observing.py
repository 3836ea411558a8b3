"""What a server shows of a register to Prometheus: read at once, bounded, alike on every server.

All of it is state that the register holds, so it does not matter which process brought it there,
nor how many servers show it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from herdbook.core.access import Action
from herdbook.core.drift import CONFIDENCE, PREDICTION, Settings, State
from herdbook.core.evaluations import Served
from herdbook.core.migrations import OVER, Migration, MigrationPhase
from herdbook.core.monitors import Monitor
from herdbook.core.ports import Work
from herdbook.core.refs import CHAMPION
from herdbook.services.drifting import LEVELS, ratio

# So many versions, and so many streams of each, have labels of their own.
VERSIONS_LIMIT: Final = 200
STREAMS_LIMIT: Final = 10
# And so many migrations of documents that are under way.
MIGRATIONS_LIMIT: Final = 20
# Beyond this nobody counts how many more there are.
_COUNTED_LIMIT: Final = 1_000
# What is counted of the audit log: the action, and where in its body it says which kind it was.
COUNTED: Final = {
    "alias.moved": "kind",
    "experiment.ended": "outcome",
    "drift.raised": "",
    "drift.retrain": "",
}
# More happened since the last look than this: the rest is counted at the next ones.
_EVENTS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """How a watched version stands.

    Args:
        model: its model.
        number: the version's.
        state: what the register knows.
        evidence: that of the stream with most, as a share of what an alarm takes, or None.
        streams: the names of its streams that are shown.
    """

    model: str
    number: str
    state: State
    evidence: float | None
    streams: tuple[str, ...]

    @property
    def level(self) -> int:
        """The level as a number, 0 to 3."""
        return LEVELS.index(self.state.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What there is to be shown of a register.

    Args:
        watching: the watched versions, those watched last first.
        champions: number by model, by name.
        served: what versions served, those registered last first.
        phases: how many migrations of documents are at each phase.
        migrations: those that are under way, begun last first.
        left_out: what there is beside what is shown: `versions`, `streams`, `champions`, `served`,
            `migrations`.
    """

    watching: Sequence[Watching] = ()
    champions: Mapping[str, str] = field(default_factory=dict)
    served: Sequence[Served] = ()
    phases: Mapping[MigrationPhase, int] = field(default_factory=dict)
    migrations: Sequence[Migration] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Happened:
    """An event that is counted.

    Args:
        action: as in the audit log.
        kind: what its body says it was, or "".
        model: the model it concerns.
        number: the version it concerns, or "".
    """

    action: str
    kind: str
    model: str
    number: str


def observed(work: Work, *, models: bool = True) -> Observed:
    """Give what there is to be shown now.

    Args:
        work: the unit of work.
        models: whether anything may be named; else there are counts of what names nothing.
    """
    work.by.allow(Action.READ)
    phases = work.documents.phases()
    if not models:
        return Observed(phases=phases)
    monitors = work.drift.every(limit=VERSIONS_LIMIT)
    settings = {name: work.drift.settings(name) for name in {each.model for each in monitors}}
    watching = [watching_of(each, settings[each.model] or Settings()) for each in monitors]
    champions = work.deployments.numbers(CHAMPION, limit=_COUNTED_LIMIT)
    served = work.evaluations.served(limit=_COUNTED_LIMIT)
    migrations = work.documents.running(limit=MIGRATIONS_LIMIT)
    under_way = sum(count for phase, count in phases.items() if phase not in OVER)
    full = len(monitors) == VERSIONS_LIMIT
    shown = sum(len(each.streams) for each in watching)
    return Observed(
        watching=watching,
        champions=dict(list(champions.items())[:VERSIONS_LIMIT]),
        served=served[:VERSIONS_LIMIT],
        phases=phases,
        migrations=migrations,
        left_out={
            "versions": max(0, work.drift.total() - VERSIONS_LIMIT) if full else 0,
            "streams": sum(len(each.streams) for each in monitors) - shown,
            "champions": max(0, len(champions) - VERSIONS_LIMIT),
            "served": max(0, len(served) - VERSIONS_LIMIT),
            "migrations": under_way - len(migrations),
        },
    )


def watching_of(monitor: Monitor, settings: Settings) -> Watching:
    """Give how a watched version stands."""
    found = [
        ratio(stream, streams=len(monitor.streams), run_length=settings.run_length)
        for stream in monitor.state.streams.values()
        if stream.logs
    ]
    known = [each for each in found if math.isfinite(each)]
    return Watching(
        model=monitor.model,
        number=monitor.number,
        state=monitor.state,
        evidence=max(known, default=None),
        streams=tuple(sorted(monitor.streams, key=_importance)[:STREAMS_LIMIT]),
    )


def _importance(stream: str) -> tuple[bool, bool, str]:
    return stream != PREDICTION, stream != CONFIDENCE, stream


def head(work: Work) -> int:
    """Give the number of the newest event."""
    work.by.allow(Action.READ)
    return work.events.head().seq


def happened(
    work: Work, *, after: Mapping[str, int]
) -> tuple[Sequence[Happened], Mapping[str, int]]:
    """Give what happened since, and where to go on.

    Args:
        work: the unit of work.
        after: by action, the number of the last event that was counted.
    """
    work.by.allow(Action.READ)
    newest = work.events.head().seq
    found, next_after = [], {}
    for action, kind in COUNTED.items():
        items = work.events.page(
            model=None, action=action, after=after[action], size=_EVENTS_AT_ONCE
        ).items
        found += [
            Happened(action, str(each.body.get(kind, "")), each.model, each.number)
            for each in items
        ]
        last = items[-1].seq if items else 0
        # One that is written meanwhile may be among them already.
        next_after[action] = last if len(items) == _EVENTS_AT_ONCE else max(last, newest)
    return found, next_after
