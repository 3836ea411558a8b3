"""Recording: a write into memory that never raises, never waits, and needs no lock.

Room is given out in runs of places. A run is a C iterator over them, and taking the next place from
one is a single step for all threads together, as is packing a record; only whoever finds a run used
up asks for the next one, under a lock that is held for a moment.
"""

import math
import threading
import time as clock
from collections.abc import Callable
from itertools import islice
from operator import length_hint
from typing import Any, Final, NamedTuple

from herdbook.core.sampling import HOUR_SECONDS
from herdbook.services import columns
from herdbook.services.columns import RECORD, SIZE
from herdbook.services.folding import (
    BEGAN,
    CONFIDENT,
    ERROR,
    FINISHED,
    MEASURED,
    NO_NUMBER,
    SAMPLED,
    STARTED,
    TIME,
    UNIT,
    VOID,
)
from herdbook.storage.journal.journal import Journal

_pack: Final = RECORD.pack_into
_BOTH: Final = TIME | CONFIDENT
_SAMPLED_BOTH: Final = SAMPLED | CONFIDENT
_WITHOUT_TIME: Final = ~TIME
_WITHOUT_CONFIDENCE: Final = ~CONFIDENT
# The ring is given out in so many runs, of which the last one may be unused when it is full.
_RUNS: Final = 16


class _Run(NamedTuple):
    take: Callable[[], int]
    ring: Any
    lap: int
    places: Any


_EMPTY: Final = iter(range(0))
_NONE: Final = _Run(_EMPTY.__next__, None, 0, _EMPTY)


class Writer:
    """Writes into a journal that comes and goes.

    Args:
        begin: called when something is recorded and there is no journal yet; gives one or None.
        wake: called when half the room is used, and when there is none.
    """

    def __init__(self, begin: Callable[[], Journal | None], wake: Callable[[], None]) -> None:
        self._begin = begin
        self._wake = wake
        self._lock = threading.RLock()
        self._run = _NONE
        self._journal: Journal | None = None
        self._limit = 0
        self._owed: dict[int, int] = {}
        self._full = _NONE, -1
        self.unheld = 0
        self.hour = 0
        self.look_at_the_clock()

    def result(
        self,
        label: int,
        unit: int | None = None,
        time: float | None = None,
        confidence: float | None = None,
        error: object = False,  # noqa: FBT002 - names cost a third more
        began: object = False,  # noqa: FBT002
    ) -> bool:
        """Record a result; gives whether there was room.

        Args:
            label: whose.
            unit: the hash of the unit, 64 bits; None when it has none.
            time: how long it took, in milliseconds.
            confidence: 0 to 1.
            error: whether it failed.
            began: what `started` gave, when it was called before.
        """
        flags = _BOTH
        if unit is None:
            unit = 0
        else:
            flags |= UNIT
        if time is None:
            time = 0.0
            flags &= _WITHOUT_TIME
        if confidence is None:
            confidence = 0.0
            flags &= _WITHOUT_CONFIDENCE
        run = self._run
        at = -1
        try:
            if error:
                flags |= ERROR
            if began:
                flags |= BEGAN
            at = run[0]()
            _pack(run[1], at, unit, time, confidence, label, flags, run[2])
        except Exception:  # noqa: BLE001 - a caller's own value may raise anything
            return self._again(run, at, (unit, time, confidence, label, flags))
        return True

    def measured(self, label: int, value: float, unit: int | None = None) -> bool:
        """Record a number beside a result."""
        flags = MEASURED if unit is None else MEASURED | UNIT
        return self._put(unit or 0, value, label, flags)

    def started(self, label: int) -> bool:
        """Say that a call begins; gives what `result` and `finished` want to know."""
        return self._put(0, 0.0, label, STARTED)

    def finished(self, label: int, *, began: object = True) -> None:
        """Say that a call that began ends without a result."""
        if began and not self._put(0, 0.0, label, FINISHED):
            self._owe(label)

    def sample(
        self,
        label: int,
        value: float | None,
        confidence: float | None = None,
        hour: int | None = None,
    ) -> bool:
        """Record a sample of a version that is watched; gives whether there was room.

        Args:
            label: of its stream.
            value: any number; one that is NaN, infinite or none counts as missing.
            confidence: beside it, recorded with it.
            hour: when it came, since 1970 in UTC; now when left out.
        """
        run = self._run
        at = -1
        try:
            if hour is None:
                hour = self.hour
            at = run[0]()
            if confidence is None:
                _pack(run[1], at, hour, value, 0.0, label, SAMPLED, run[2])
            else:
                _pack(run[1], at, hour, value, confidence, label, _SAMPLED_BOTH, run[2])
        except Exception:  # noqa: BLE001 - as above
            flags = SAMPLED if confidence is None else _SAMPLED_BOTH
            sure = 0.0 if confidence is None else confidence
            return self._again(run, at, (hour, value, sure, label, flags))
        return True

    def samples(
        self,
        labels: Any,
        values: Any,
        confidences: Any = None,
        hours: Any = None,
    ) -> int:
        """Record many samples; gives how many found room: the first so many.

        Args:
            labels: one for all, or an array.
            values: as those of `sample`, in an array, which is the quickest, or any sequence.
            confidences: one for each value, or None.
            hours: one for all, or an array; now when left out.
        """
        held = columns.numbers(values)
        sure = None if confidences is None else columns.numbers(confidences)
        hours = self.hour if hours is None else hours
        if held is None or (confidences is not None and (sure is None or len(sure) != len(held))):
            return self._one_by_one(labels, values, confidences, hours)
        flags = SAMPLED if sure is None else _SAMPLED_BOTH
        every = {"hour": hours, "value": held, "label": labels, "flags": flags}
        every["confidence"] = 0.0 if sure is None else sure
        done, count = 0, len(held)
        while done < count:
            run = self._run
            # In one step for all threads, and side by side.
            places = list(islice(run.places, count - done))
            if places:
                end = done + len(places)
                cut = [(name, _cut(part, done, end)) for name, part in every.items()]
                columns.write(run.ring, places[0], run.lap, count=len(places), columns=cut)
                done = end
            elif self._more(run) is None:
                break
        return done

    def _one_by_one(self, labels: Any, values: Any, confidences: Any, hours: Any) -> int:
        for done, value in enumerate(values):
            # Asked before: what finds no room is tried again by whoever asked, and no drop.
            if not length_hint(self._run.places) and self._more(self._run) is None:
                return done
            sure = None if confidences is None else confidences[done]
            self.sample(_cut_one(labels, done), value, sure, _cut_one(hours, done))
        return len(values)

    def look_at_the_clock(self) -> None:
        """Note the hour in which samples come from now on."""
        self.hour = int(clock.time()) // HOUR_SECONDS

    def _put(self, unit: int, value: float, label: int, flags: int) -> bool:
        run = self._run
        at = -1
        try:
            at = run[0]()
            _pack(run[1], at, unit, value, 0.0, label, flags, run[2])
        except Exception:  # noqa: BLE001 - as above
            return self._again(run, at, (unit, value, 0.0, label, flags))
        return True

    def _again(self, run: _Run, at: int, values: tuple[Any, ...]) -> bool:
        """Record what could not be at once: there was no room, or a value is no number."""
        try:
            while at < 0:
                more = None if self._is_full(run) else self._more(run)
                if more is None:
                    return self._no_room(values)
                run = more
                at = next(run.places, -1)
            _pack_plain(run, at, values)
        except Exception:  # noqa: BLE001 - recording never raises into the caller's work
            return False
        return True

    def _is_full(self, used: _Run) -> bool:
        """Whether there was no room a moment ago, and nothing was sent since."""
        journal, full = self._journal, self._full
        return full[0] is used and journal is not None and journal.state.tail == full[1]

    def _more(self, used: _Run) -> _Run | None:
        """Give the next run when one is used up; None when there is no room."""
        with self._lock:
            if self._run is not used or length_hint(used.places):
                return self._run
            if self._journal is None:
                found = self._begin()
                if found is None:
                    return None
                self.attach(found)
            journal = self._journal
            if journal is None:
                return None
            length = journal.sizes.records // _RUNS
            waiting = self._limit + length - journal.state.tail
            if waiting > journal.sizes.records // 2:
                self._wake()
            if waiting > journal.sizes.records:
                self._full = used, journal.state.tail
                return None
            # Asked once more, for a signal's handler may have recorded meanwhile.
            if self._run is used:
                self._run = self._next_run(journal, length)
            return self._run

    def _next_run(self, journal: Journal, length: int) -> _Run:
        first = self._limit
        self._limit = first + length
        at = journal.offset(first)
        places = iter(range(at, at + length * SIZE, SIZE))
        return _Run(places.__next__, journal.ring, journal.lap(first), places)

    def _no_room(self, values: tuple[Any, ...]) -> bool:
        label, flags = values[3], values[4]
        if flags & BEGAN:
            self._owe(label)
        if not flags & (STARTED | FINISHED):
            self.drop(1)
        return False

    def _owe(self, label: int) -> None:
        """Remember a call that ended and whose end found no room: it is not lost."""
        with self._lock:
            self._owed[label] = self._owed.get(label, 0) + 1

    # --- for whoever sends what is recorded ---

    def settle(self) -> None:
        """Write the ends of calls that found no room."""
        with self._lock:
            owed, self._owed = self._owed, {}
        for label, count in owed.items():
            for _ in range(count):
                self.finished(label)

    def drop(self, count: int) -> None:
        """Count results that will not be sent."""
        journal = self._journal
        if journal is not None:
            journal.drop(count)
            return
        with self._lock:
            self.unheld += count

    def prepare(self) -> None:
        """Begin a journal now if there is none."""
        with self._lock:
            found = self._begin() if self._journal is None else None
            if found is not None:
                self.attach(found)

    def attach(self, journal: Journal) -> None:
        """Write into a journal from now on."""
        with self._lock:
            self.look_at_the_clock()
            self._full = _NONE, -1
            self._journal = journal
            self._limit = journal.state.tail
            self._run = self._next_run(journal, journal.sizes.records // _RUNS)
            if self.unheld:
                journal.drop(self.unheld)
                self.unheld = 0

    def exchange(self, journal: Journal) -> int:
        """Write into another journal from now on, and give where the records of the old one end."""
        with self._lock:
            end = self.detach()
            self.attach(journal)
            return end

    def detach(self) -> int:
        """Write no more, and give where the records end."""
        with self._lock:
            end = self._limit - _used_up(self._run)
            self._run, self._journal = _NONE, None
            self._limit = 0
            return end

    def head(self) -> int:
        """Give where the records end: places from there on nobody has taken yet."""
        with self._lock:
            return self._limit - length_hint(self._run.places)

    def void(self, place: int) -> None:
        """Write over a place that was taken and that nobody wrote to."""
        with self._lock:
            journal = self._journal
            if journal is not None:
                at, lap = journal.offset(place), journal.lap(place)
                _pack(journal.ring, at, 0, 0.0, 0.0, 0, VOID, lap)
                journal.drop()

    def forget(self) -> None:
        """Let go, in the child of a fork, of what is the parent's."""
        self._lock = threading.RLock()  # a thread of the parent's may have held it
        self._run, self._journal, self._limit = _NONE, None, 0
        self._owed, self.unheld = {}, 0
        self._full = _NONE, -1


def _cut(part: Any, start: int, end: int) -> Any:
    """Give some of a column; what is one for all stays."""
    return part[start:end] if hasattr(part, "__len__") else part


def _cut_one(part: Any, at: int) -> int:
    return int(part[at]) if hasattr(part, "__len__") else part


def _used_up(run: _Run) -> int:
    """Take what is left of a run, in one step for all threads; give how many places it was."""
    return len(list(run.places))


def _pack_plain(run: _Run, at: int, values: tuple[Any, ...]) -> None:
    """Pack what are no numbers as such; a place that is taken is always written."""
    unit, time, confidence, label, flags = values
    numbers = [_number(time), _number(confidence)]
    if None in numbers:
        flags |= NO_NUMBER
    time, confidence = (math.nan if number is None else number for number in numbers)
    whole, known = isinstance(unit, int), isinstance(label, int) and 0 <= label < 1 << 16
    unit = unit & (1 << 64) - 1 if whole else 0
    flags = flags if whole else flags & ~UNIT
    _pack(run.ring, at, unit, time, confidence, label if known else 0, flags, run.lap)


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a caller's own number may raise anything
        return None
