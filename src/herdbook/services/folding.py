"""Fold what a process recorded, one record for each call, into the sums that the register takes.

A record is `(unit, time, confidence, label, flags, lap)`: a unit's 64-bit hash, two numbers, what
it belongs to, what of it counts, and a number that only the journal needs. Nothing is trusted: a
value that cannot be one is counted under `refused`, and its result still counts as a result.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from herdbook.core.experiments import CONFIDENCE, TIME_METRIC
from herdbook.core.recording import CELLS, POSITION_BITS, ArmSums, CellSums, Delta, Recorded
from herdbook.core.sampling import Sampled
from herdbook.stats.histograms import BUCKETS, upper_edge

# What a record's flags say.
ERROR: Final = 1
UNIT: Final = 2
TIME: Final = 4
CONFIDENT: Final = 8
BEGAN: Final = 16
NO_NUMBER: Final = 32
# Kinds of records that are no results.
STARTED: Final = 64
FINISHED: Final = 128
MEASURED: Final = 256
VOID: Final = 512
# What is sampled of versions that are watched: see `services.sampling`.
SAMPLED: Final = 1024

# Beyond this a number is a mistake, and its square would drown all others.
LARGEST: Final = 1e12
# Experiments whose first-seen units are remembered: half a megabyte each.
REMEMBERED: Final = 32

_BOTH: Final = TIME | CONFIDENT
_BELOW_POSITION: Final = 64 - POSITION_BITS
# `bucket_of` for one value after another: the first edge that is not below it.
_bucket: Final = partial(bisect_left, [upper_edge(bucket) for bucket in range(BUCKETS - 1)])

Record = tuple[int, float, float, int, int, int]
# The category of all those that have no label of their own.
OTHER: Final = "\0"


@dataclass(frozen=True, slots=True)
class Label:
    """What a record belongs to: an arm in a phase, or one metric of it."""

    experiment: str
    phase: int
    arm: str
    metric: str = ""


@dataclass(frozen=True, slots=True)
class SampleLabel:
    """What a sample belongs to: a stream of a version.

    Args:
        model: its model.
        number: its number.
        stream: the stream's name; a confidence beside a value is one of `confidence`.
        category: what was seen, where that is no number; `OTHER` for one of many.
        served: whether it came of serving: then nobody misses it where the version is not watched.
    """

    model: str
    number: str
    stream: str
    category: str | None = None
    served: bool = False


Meaning = Label | SampleLabel


@dataclass(frozen=True, slots=True)
class Fold:
    """What records come to.

    Args:
        recorded: sums, one for each experiment.
        opened: label to calls that began and have not ended.
        unknown: records whose label nobody knows; they belong to no experiment.
        sampled: sums of samples, one for each version.
    """

    recorded: tuple[Recorded, ...] = ()
    opened: Mapping[int, int] = field(default_factory=dict)
    unknown: int = 0
    sampled: tuple[Sampled, ...] = ()

    def delta(self, worker: str, sequence: int, *, dropped: int) -> Delta:
        """Make it a worker's next delta, which also tells of results that found no room."""
        return Delta(
            worker=worker,
            sequence=sequence,
            recorded=self.recorded,
            dropped=dropped + self.unknown,
            sampled=self.sampled,
        )


class Seen:
    """Which units a worker has told of already; forgotten when there are too many experiments."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits: dict[str, bytearray] = {}

    def of(self, experiment: str) -> bytearray:
        """Give the bitmap of an experiment's units, by position."""
        bits = self._bits.pop(experiment, None)
        if bits is None:
            bits = bytearray(1 << (POSITION_BITS - 3))
        # The experiment that was looked at longest ago is first.
        self._bits[experiment] = bits
        if len(self._bits) > REMEMBERED:
            del self._bits[next(iter(self._bits))]
        return bits


def fold(
    records: Iterable[Record],
    labels: Sequence[Meaning],
    *,
    start: int = 0,
    opened: Mapping[int, int] | None = None,
    seen: Seen | None = None,
    died: bool = False,
) -> Fold:
    """Fold records.

    Args:
        records: in the order in which they were written.
        labels: what their labels mean; 0 means nothing.
        start: where in the journal the first lies, for the cells of results without a unit.
        opened: label to calls that had begun before and not ended.
        seen: units that were told of already; told of more is added.
        died: whether the worker is dead: calls it has not ended are lost.
    """
    sums = _Sums(labels, start, dict(opened or {}), seen or Seen())
    sums.take(records)
    if died:
        for label, count in sums.opened.items():
            arm = sums.arm(label)
            if arm is not None:
                arm.lost += count
        sums.opened.clear()
    return Fold(sums.recorded(), sums.opened, sums.unknown)


class _Metric:
    """The values of one metric: by cell, and those that a histogram can hold."""

    __slots__ = ("cells", "values")

    def __init__(self) -> None:
        self.cells: dict[int, list[float]] = {}
        self.values: list[float] = []

    def add(self, cell: int, value: float) -> None:
        self.add_sums(cell, 1, value, value * value)

    def add_sums(self, cell: int, count: float, total: float, squares: float) -> None:
        sums = self.cells.setdefault(cell, [0, 0.0, 0.0])
        sums[0] += count
        sums[1] += total
        sums[2] += squares

    def means(self) -> CellSums:
        return CellSums(cells={str(cell): tuple(held) for cell, held in self.cells.items()})

    def histogram(self) -> dict[str, int]:
        return {str(at): count for at, count in Counter(map(_bucket, self.values)).items()}


class _Arm:
    """What one label comes to."""

    __slots__ = (
        *("label", "results", "errors", "lost", "alone", "alone_errors", "firsts", "first_errors"),
        *("metrics", "refused", "seen", "time", "confidence", "error", "both"),
    )

    def __init__(self, label: Label, seen: bytearray) -> None:
        self.label = label
        self.results = self.errors = self.lost = self.alone = self.alone_errors = 0
        self.firsts: list[int] = []
        self.first_errors: list[int] = []
        self.refused: dict[str, int] = {}
        self.seen = seen
        self.time = _Metric()
        self.confidence = _Metric()
        self.both: dict[int, list[float]] = {}
        self.error = _Metric()
        self.metrics = {TIME_METRIC: self.time, CONFIDENCE: self.confidence, "error": self.error}

    def refuse(self, name: str, value: float, flags: int, *, most: float) -> None:
        why = f"{name} {_wrong(value, flags, most)}"
        self.refused[why] = self.refused.get(why, 0) + 1

    def result(self, unit: int, cell: int, values: tuple[float, float], flags: int) -> None:
        """Add a result; it counts whatever its values are."""
        error = flags & ERROR
        self.results += 1
        self.errors += error
        if flags & UNIT:
            at = unit >> _BELOW_POSITION
            if not self.seen[at >> 3] & 1 << (at & 7):
                self.seen[at >> 3] |= 1 << (at & 7)
                (self.first_errors if error else self.firsts).append(at)
        else:
            self.alone += 1
            self.alone_errors += error
        time, confidence = values
        if flags & _BOTH == _BOTH and 0 <= time <= LARGEST and 0 <= confidence <= 1:
            # Nearly every result is such: one look-up instead of two.
            self.time.values.append(time)
            sums = self.both.get(cell)
            if sums is None:
                square = confidence * confidence
                self.both[cell] = [1, time, time * time, confidence, square, error]
            else:
                sums[0] += 1
                sums[1] += time
                sums[2] += time * time
                sums[3] += confidence
                sums[4] += confidence * confidence
                sums[5] += error
        else:
            self.error.add(cell, error)
            self._apart(cell, time, confidence, flags)

    def _apart(self, cell: int, time: float, confidence: float, flags: int) -> None:
        """Add those of a result's values that there are and that can be."""
        if flags & TIME:
            if 0 <= time <= LARGEST:
                self.time.add(cell, time)
                self.time.values.append(time)
            else:
                self.refuse(TIME_METRIC, time, flags, most=LARGEST)
        if flags & CONFIDENT:
            if 0 <= confidence <= 1:
                self.confidence.add(cell, confidence)
            else:
                self.refuse(CONFIDENCE, confidence, flags, most=1)

    def sums(self) -> ArmSums:
        for cell, (count, time, times, confidence, squares, errors) in self.both.items():
            self.time.add_sums(cell, count, time, times)
            self.confidence.add_sums(cell, count, confidence, squares)
            self.error.add_sums(cell, count, errors, errors)
        self.both = {}
        held = {name: metric for name, metric in self.metrics.items() if metric.cells}
        histograms = {name: metric.histogram() for name, metric in held.items() if metric.values}
        return ArmSums(
            phase=self.label.phase,
            arm=self.label.arm,
            results=self.results,
            errors=self.errors,
            lost=self.lost,
            alone=self.alone,
            alone_errors=self.alone_errors,
            firsts=tuple(self.firsts),
            first_errors=tuple(self.first_errors),
            means={name: metric.means() for name, metric in held.items()},
            histograms=histograms,
            refused=self.refused,
        )


class _Sums:
    """Everything of one fold."""

    def __init__(
        self, labels: Sequence[Meaning], start: int, opened: dict[int, int], seen: Seen
    ) -> None:
        self._labels = labels
        self._alone = start
        self._seen = seen
        self._arms: dict[tuple[str, int, str], _Arm] = {}
        self._known: dict[int, _Arm] = {}
        self.opened = opened
        self.unknown = 0

    def arm(self, label: int) -> _Arm | None:
        """Give the arm of a label; None for one that nobody knows."""
        found = self._known.get(label)
        if found is None and 0 < label < len(self._labels):
            meant = self._labels[label]
            if not isinstance(meant, Label):
                return None
            key = (meant.experiment, meant.phase, meant.arm)
            found = self._arms.get(key)
            if found is None:
                found = self._arms[key] = _Arm(meant, self._seen.of(meant.experiment))
            self._known[label] = found
        return found

    def take(self, records: Iterable[Record]) -> None:
        """Add records; the loop that has to be fast."""
        known, look = self._known, self.arm
        for record in records:
            unit, time, confidence, label, flags, _ = record
            arm = known.get(label) or look(label)
            if flags >= STARTED or arm is None:
                self._other(arm, record)
                continue
            if flags & BEGAN:
                self._ended(label)
            cell = unit & (CELLS - 1) if flags & UNIT else self._scattered()
            arm.result(unit, cell, (time, confidence), flags)

    def _scattered(self) -> int:
        """Give a cell to what has no unit: spread evenly, whatever stride the journal has."""
        self._alone += 1
        return (self._alone * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 54

    def _ended(self, label: int) -> None:
        count = self.opened.get(label, 0)
        if count > 1:
            self.opened[label] = count - 1
        else:
            # What began before a fork ends in a journal that has not seen it begin.
            self.opened.pop(label, None)

    def _other(self, arm: _Arm | None, record: Record) -> None:
        unit, value, _, label, flags, _ = record
        if flags & VOID:
            return
        if arm is None or (flags & MEASURED and not self._metric(label)):
            self.unknown += 1
        elif flags & STARTED:
            self.opened[label] = self.opened.get(label, 0) + 1
        elif flags & FINISHED:
            self._ended(label)
        elif flags & MEASURED:
            cell = unit & (CELLS - 1) if flags & UNIT else self._scattered()
            self._measured(arm, self._metric(label), cell, value, flags)

    def _metric(self, label: int) -> str:
        meant = self._labels[label]
        return meant.metric if isinstance(meant, Label) else ""

    def _measured(self, arm: _Arm, name: str, cell: int, value: float, flags: int) -> None:
        if not -LARGEST <= value <= LARGEST:
            arm.refuse(name, value, flags, most=LARGEST)
            return
        metric = arm.metrics.get(name)
        if metric is None:
            metric = arm.metrics[name] = _Metric()
        metric.add(cell, value)
        if value >= 0:
            metric.values.append(value)

    def recorded(self) -> tuple[Recorded, ...]:
        """Give what there is, in order of experiments, phases and arms."""
        found: dict[str, list[ArmSums]] = {}
        for experiment, phase, arm in sorted(self._arms):
            sums = self._arms[experiment, phase, arm].sums()
            if _says_something(sums):
                found.setdefault(experiment, []).append(sums)
        return tuple(Recorded(experiment=name, arms=tuple(arms)) for name, arms in found.items())


def _says_something(sums: ArmSums) -> bool:
    return bool(sums.results or sums.lost or sums.means or sums.refused)


def _wrong(value: float, flags: int, most: float) -> str:
    """Say in a few words, of which there are few, what is wrong with a value."""
    if math.isnan(value):
        return "is not a number" if flags & NO_NUMBER else "is NaN"
    if math.isinf(value):
        return "is infinite"
    if value > most:
        return f"is above {most:g}"
    return f"is below {-LARGEST:g}" if value < -LARGEST else "is negative"
