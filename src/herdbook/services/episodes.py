"""What was sampled comes in: counted, judged, and acted on, all in one work.

Whoever is killed in between did nothing; two processes that tell of one version wait for each
other, so an episode begins once however many of them see it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from herdbook.core.access import Action
from herdbook.core.drift import (
    CONFIDENCE,
    PREDICTION,
    Components,
    Episode,
    Level,
    Mode,
    Settings,
    State,
    StreamState,
)
from herdbook.core.events import Change
from herdbook.core.monitors import Monitor
from herdbook.core.ports import Work
from herdbook.core.references import Reference
from herdbook.core.sampling import HOUR_SECONDS, HOURS, Sampled, StreamSums, combined
from herdbook.core.wire import plain
from herdbook.errors import Forbidden, NotFound
from herdbook.services import drifting, windows
from herdbook.services.drifting import Detector
from herdbook.stats import edetectors

# How long a request waits for its true answer.
MARKED: Final = timedelta(days=30)
# Detectors are worked out once for each set of references; those used last are remembered, up to
# so many bins: each takes about a hundred bytes.
_REMEMBERED_BINS: Final = 1 << 20
# How many hours back the literal formula looks.
_LITERAL_HOURS: Final = 24


class _Known:
    """Detectors by the fingerprint of their references, those used last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: OrderedDict[str, dict[str, Detector]] = OrderedDict()
        self._bins = 0

    def of(self, work: Work, monitor: Monitor) -> dict[str, Detector]:
        with self._lock:
            found = self._held.get(monitor.fingerprint)
            if found is not None:
                self._held.move_to_end(monitor.fingerprint)
                return found
        references = work.drift.watched(monitor).references
        found = {name: Detector(reference) for name, reference in references.items()}
        with self._lock:
            if monitor.fingerprint not in self._held:
                self._held[monitor.fingerprint] = found
                self._bins += _bins(found)
            while self._bins > _REMEMBERED_BINS and len(self._held) > 1:
                self._bins -= _bins(self._held.popitem(last=False)[1])
        return found


def _bins(known: Mapping[str, Detector]) -> int:
    """How many bins there are, those of parts of the day too."""
    return sum(
        detector.reference.bins + sum(len(slot.counts) for slot in detector.reference.slots)
        for detector in known.values()
    )


_known: Final = _Known()


def detectors(work: Work, monitor: Monitor) -> Mapping[str, Detector]:
    """Give the detectors of a watched version's streams."""
    return _known.of(work, monitor)


def hour_of(at: datetime) -> int:
    """The hour since 1970, in UTC, that a time lies in."""
    return int(at.timestamp()) // HOUR_SECONDS


def take(work: Work, sampled: Sampled) -> int:
    """Take in what a worker sampled of a version; give how many values could not be counted.

    Raises:
        Invalid: it counts in bins that the references have not.
    """
    try:
        work.by.allow(Action.WRITE, sampled.model)
        monitor = work.drift.lock(sampled.model, sampled.number)
    except (NotFound, Forbidden):
        return sampled.values
    if monitor is None or monitor.fingerprint != sampled.fingerprint:
        return sampled.values
    known = detectors(work, monitor)
    sums, late = _counted(sampled, known, hour_of(work.now()))
    state = replace(monitor.state, late=monitor.state.late + late)
    if sums:
        state = _after(work, monitor, state, sums, known)
    if sampled.marks:
        work.drift.mark(monitor, sampled.marks, at=work.now(), since=work.now() - MARKED)
    work.drift.save(replace(monitor, state=state))
    return 0


def _counted(
    sampled: Sampled, known: Mapping[str, Detector], now: int
) -> tuple[tuple[StreamSums, ...], int]:
    """Give what counts, by stream and hour, and how much is too old or of no known stream."""
    kept, late = [], sum(sampled.unbinned.values())
    for sums in sampled.streams:
        if sums.stream not in known or sums.hour <= now - HOURS:
            late += sums.values + sums.missing
        else:
            kept.append(sums)
    return combined(kept), late


def _after(
    work: Work,
    monitor: Monitor,
    state: State,
    sums: tuple[StreamSums, ...],
    known: Mapping[str, Detector],
) -> State:
    settings = work.drift.settings(monitor.model) or Settings()
    now, oldest = hour_of(work.now()), hour_of(work.now()) - HOURS + 1
    streams = dict(state.streams)
    ceiling = drifting.ceiling(streams=len(known), run_length=settings.run_length)
    for each in sums:
        before = streams.get(each.stream, _NOTHING)
        streams[each.stream] = known[each.stream].after(
            before, each, window=settings.window, ceiling=ceiling
        )
    state = replace(state, streams=streams)
    rows = combined(_moved(each, known[each.stream].reference, now) for each in sums)
    work.drift.count(monitor, rows, oldest=oldest)
    judged = drifting.judged(
        state, _parts(work, monitor, state, known, settings), settings, now=work.now()
    )
    if judged.score is not None:
        work.drift.score(monitor, now, judged.score, oldest=oldest)
    return _acted(work, monitor, judged, settings)


_NOTHING: Final = StreamState()


def _moved(sums: StreamSums, reference: Reference, now: int) -> StreamSums:
    """Count in this hour what comes from a clock that is ahead."""
    if sums.hour <= now:
        return sums
    by = reference.centre(reference.slot_of(sums.hour)) - reference.centre(reference.slot_of(now))
    squares = sums.squares + 2 * by * sums.total + sums.values * by * by
    return replace(
        sums,
        hour=now,
        levels={},
        total=sums.total + sums.values * by,
        squares=max(0.0, squares),
    )


def _parts(
    work: Work,
    monitor: Monitor,
    state: State,
    known: Mapping[str, Detector],
    settings: Settings,
) -> Components | None:
    if settings.mode is not Mode.LITERAL:
        return drifting.components(known, state.streams, settings)
    since = hour_of(work.now()) - _LITERAL_HOURS + 1
    names = [name for name in (PREDICTION, CONFIDENCE) if name in known]
    hours = {name: work.drift.hours(monitor, name, since=since) for name in names}
    return windows.literal({name: known[name].reference for name in names}, hours, settings)


# --- acting ---


def _acted(work: Work, monitor: Monitor, state: State, settings: Settings) -> State:
    """Begin, raise or end the episode, and ask for a retraining."""
    if not state.episode:
        if not state.alarm:
            return state
        episode = work.drift.begin(_begun(work, monitor, state))
        state = replace(state, episode=episode.id)
        _tell(work, monitor, state, action="drift.raised", body={"streams": list(episode.streams)})
    else:
        episode = work.drift.lock_episode(state.episode)
    changed = _risen(work, monitor, state, episode)
    if drifting.wants_retraining(
        state, settings, asked=changed.retrain_at is not None, now=work.now()
    ):
        changed = replace(changed, retrain_at=work.now())
        parent = f"{monitor.model}:{monitor.number}"
        state = replace(state, retrained_at=work.now())
        _tell(work, monitor, state, action="drift.retrain", body={"parent": parent})
    if not state.alarm:
        changed = replace(changed, ended_at=work.now())
        _tell(work, monitor, state, action="drift.ended", body={"peak": changed.peak})
        state = replace(state, episode="")
    if changed != episode:
        work.drift.save_episode(changed)
    return state


def close(work: Work, monitor: Monitor) -> None:
    """End the episode of a version whose references go: no score would end it any more."""
    if monitor.state.episode:
        episode = work.drift.lock_episode(monitor.state.episode)
        work.drift.save_episode(replace(episode, ended_at=work.now()))
        _tell(work, monitor, monitor.state, action="drift.ended", body={"peak": episode.peak})


def _begun(work: Work, monitor: Monitor, state: State) -> Episode:
    return Episode(
        id="",
        model=monitor.model,
        number=monitor.number,
        began_at=work.now(),
        level=state.level,
        peak=state.score or 0.0,
        streams=strongest(state),
    )


def strongest(state: State) -> tuple[str, ...]:
    """Name the streams that there is evidence about, the most first; at most five."""
    found = {name: edetectors.evidence(each.logs) for name, each in state.streams.items()}
    # Half of what the strongest has is evidence too.
    least = max(found.values(), default=0.0) / 2
    ordered = sorted(found, key=lambda name: (-found[name], name))
    return tuple(name for name in ordered if found[name] >= least)[:5]


def _risen(work: Work, monitor: Monitor, state: State, episode: Episode) -> Episode:
    higher = drifting.LEVELS.index(state.level) > drifting.LEVELS.index(episode.level)
    if higher:
        _tell(work, monitor, state, action="drift.risen", body={"from": str(episode.level)})
    level: Level = state.level if higher else episode.level
    return replace(episode, level=level, peak=max(episode.peak, state.score or 0.0))


def _tell(
    work: Work, monitor: Monitor, state: State, *, action: str, body: Mapping[str, object]
) -> None:
    said = {
        "episode": state.episode,
        "score": state.score,
        "level": str(state.level),
        "components": plain(state.components),
    }
    work.record(
        Change(action=action, model=monitor.model, number=monitor.number, body=said | dict(body))
    )
