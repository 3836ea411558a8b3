"""What was recorded of an experiment, as sums that are added in any order.

A worker (a process that serves) folds what it recorded into a delta now and then. Deltas of one
worker are numbered without a gap and taken in once each, however often they are delivered.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from herdbook.core import names
from herdbook.core.sampling import WATCHED_LIMIT, Sampled
from herdbook.core.wire import LATER
from herdbook.errors import Invalid

EXPERIMENTS_LIMIT: Final = 1_000
ARMS_LIMIT: Final = 1_000
METRICS_LIMIT: Final = 100
REFUSED_LIMIT: Final = 1_000
# No worker has as much to tell; sums of such counts fit into what a database holds.
COUNT_LIMIT: Final = 1 << 40
# As in `services.folding`: beyond it a value is a mistake, and its square would drown all others.
VALUE_LIMIT: Final = 1e12
# As in `stats.histograms`.
BUCKETS: Final = 600
_CELL_SUMS: Final = 3
_WORKER: Final = re.compile(r"[A-Za-z0-9._-]+\Z")
_BUCKET: Final = re.compile(r"[0-9]{1,3}\Z")
# What sums of floats may be off by.
_ROUNDING: Final = 1e-6
# Units are spread over so many cells; what a cell holds is what one unit would be.
CELLS: Final = 1024
# A unit that comes the first time is known by this many bits of its hash.
POSITION_BITS: Final = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSums:
    """The values of one metric, by cell of the unit's hash.

    Args:
        cells: cell, 0 to 1023 as text, to (number of values, their sum, sum of their squares).
    """

    cells: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSums:
    """What one arm did in one phase of an experiment.

    Args:
        phase: the number of the phase.
        arm: its name.
        results: how many were recorded.
        errors: how many of them were errors.
        lost: calls that a worker began and died with; each counts as a result and an error.
        alone: results that came without a unit.
        alone_errors: how many of those were errors.
        firsts: where units that come the first time lie, 0 to 2**22 - 1, no error.
        first_errors: the same for those whose first result was an error.
        means: metric to its values by cell.
        histograms: metric to bucket (see `stats.histograms`) to count.
        refused: why a value was left out (`confidence is NaN`), to how often.
    """

    phase: int
    arm: str
    results: int = 0
    errors: int = 0
    lost: int = 0
    alone: int = 0
    alone_errors: int = 0
    firsts: tuple[int, ...] = ()
    first_errors: tuple[int, ...] = ()
    means: Mapping[str, CellSums] = field(default_factory=dict)
    histograms: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was recorded of one experiment.

    Args:
        experiment: its name.
        arms: sums, one for each arm and phase.
    """

    experiment: str
    arms: tuple[ArmSums, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What a worker recorded since its last delta.

    Args:
        worker: its name, unique for ever.
        sequence: 1, 2, 3… without a gap.
        recorded: one for each experiment.
        dropped: results that found no room in the journal.
        sampled: one for each watched version.
    """

    worker: str
    sequence: int
    recorded: tuple[Recorded, ...]
    dropped: int = 0
    sampled: tuple[Sampled, ...] = field(default=(), metadata=LATER)

    def checked(self) -> "Delta":
        """Give it when all of it can be.

        Raises:
            Invalid: naming what cannot.
        """
        worker_name(self.worker)
        _count(self.sequence, "sequence", least=1, most=1 << 53)
        _count(self.dropped, "dropped")
        if len(self.recorded) > EXPERIMENTS_LIMIT:
            raise Invalid(f"more than {EXPERIMENTS_LIMIT} experiments at once", field="recorded")
        for recorded in self.recorded:
            names.line(recorded.experiment, field="recorded.experiment", limit=names.KEY_LIMIT)
            if len(recorded.arms) > ARMS_LIMIT:
                raise Invalid(f"more than {ARMS_LIMIT} arms at once", field="recorded.arms")
            for arm in recorded.arms:
                _check_arm(arm)
        if len(self.sampled) > WATCHED_LIMIT:
            raise Invalid(f"more than {WATCHED_LIMIT:,} versions at once", field="sampled")
        for sampled in self.sampled:
            sampled.checked()
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What became of a delta.

    Args:
        sequence: the worker's last delta that counts now.
        new: whether this one was not there yet.
        late: experiments that had ended, or that there are none of, to the results left out.
        stale: watched versions, such as `gnn:v2.1.0`, whose references are others than those that
            were counted in, or that are watched no more, to the values left out.
    """

    sequence: int
    new: bool
    late: Mapping[str, int] = field(default_factory=dict)
    stale: Mapping[str, int] = field(default_factory=dict, metadata=LATER)


def worker_name(text: str, *, field: str = "worker") -> str:
    """Check the name of a worker: ASCII letters, digits and `. _ -`, up to 100; Invalid."""
    if not _WORKER.match(names.line(text, field=field, limit=100)):
        raise Invalid(
            "a worker's name is ASCII letters, digits and . _ -, such as a UUID", field=field
        )
    return text


def added(sums: Iterable[ArmSums]) -> tuple[ArmSums, ...]:
    """Add sums of the same phase and arm; in order of phase, then arm's name."""
    found: dict[tuple[int, str], list[ArmSums]] = {}
    for each in sums:
        found.setdefault((each.phase, each.arm), []).append(each)
    return tuple(_added(found[key]) for key in sorted(found))


def _added(sums: list[ArmSums]) -> ArmSums:
    if len(sums) == 1:
        return sums[0]
    means: dict[str, dict[str, tuple[float, ...]]] = {}
    histograms: dict[str, dict[str, int]] = {}
    refused: dict[str, int] = {}
    for each in sums:
        for metric, cells in each.means.items():
            held = means.setdefault(metric, {})
            for cell, values in cells.cells.items():
                old = held.get(cell)
                held[cell] = (
                    tuple(values)
                    if old is None
                    else tuple(a + b for a, b in zip(old, values, strict=True))
                )
        for metric, buckets in each.histograms.items():
            counts = histograms.setdefault(metric, {})
            for bucket, count in buckets.items():
                counts[bucket] = counts.get(bucket, 0) + count
        for why, count in each.refused.items():
            refused[why] = refused.get(why, 0) + count
    return ArmSums(
        phase=sums[0].phase,
        arm=sums[0].arm,
        results=sum(each.results for each in sums),
        errors=sum(each.errors for each in sums),
        lost=sum(each.lost for each in sums),
        alone=sum(each.alone for each in sums),
        alone_errors=sum(each.alone_errors for each in sums),
        firsts=tuple(at for each in sums for at in each.firsts),
        first_errors=tuple(at for each in sums for at in each.first_errors),
        means={metric: CellSums(cells=cells) for metric, cells in means.items()},
        histograms=histograms,
        refused=refused,
    )


def _check_arm(arm: ArmSums) -> None:
    _count(arm.phase, "phase", least=1)
    names.line(arm.arm, field="arm", limit=names.KEY_LIMIT)
    for name in ("results", "errors", "lost", "alone", "alone_errors"):
        _count(getattr(arm, name), name)
    _check_firsts(arm)
    if len(arm.means) > METRICS_LIMIT or len(arm.histograms) > METRICS_LIMIT:
        raise Invalid(f"more than {METRICS_LIMIT} metrics at once", field="means")
    for metric, sums in arm.means.items():
        _check_cells(names.key(metric, field="means"), sums)
    for metric, buckets in arm.histograms.items():
        _check_buckets(names.key(metric, field="histograms"), buckets)
    if len(arm.refused) > REFUSED_LIMIT:
        raise Invalid(f"more than {REFUSED_LIMIT:,} kinds of refusal at once", field="refused")
    for why, count in arm.refused.items():
        _count(count, names.line(why, field="refused", limit=200))


def _check_firsts(arm: ArmSums) -> None:
    if arm.errors > arm.results or arm.alone_errors > arm.alone:
        raise Invalid("there are more errors than results", field="errors")
    firsts = len(arm.firsts) + len(arm.first_errors)
    if arm.alone + firsts > arm.results or len(arm.first_errors) > arm.errors:
        raise Invalid("there are more first results than results", field="firsts")
    for place in (*arm.firsts, *arm.first_errors):
        _count(place, "firsts", most=(1 << POSITION_BITS) - 1)


def _check_cells(metric: str, sums: CellSums) -> None:
    for cell, found in sums.cells.items():
        if not (cell.isascii() and cell.isdecimal() and int(cell) < CELLS):
            raise Invalid(f"{cell!r:.20} is no cell of {metric}", field="means")
        if len(found) != _CELL_SUMS or not all(map(_is_finite, found)):
            raise Invalid(f"a cell of {metric} has other than three numbers", field="means")
        count, total, squares = found
        if not 1 <= count <= COUNT_LIMIT or count != int(count) or squares < 0:
            raise Invalid(f"a cell of {metric} holds no values", field="means")
        if abs(total) > count * VALUE_LIMIT or squares > count * VALUE_LIMIT**2:
            raise Invalid(
                f"a cell of {metric} sums values beyond {VALUE_LIMIT:g}; leave them out",
                field="means",
            )
        if total * total > count * squares * (1 + _ROUNDING):
            raise Invalid(
                f"no {count:.0f} values have the sum {total} and the sum of squares {squares}, as "
                f"a cell of {metric} says",
                field="means",
            )


def _is_finite(value: object) -> bool:
    # A whole number may be larger than any float.
    return isinstance(value, int | float) and -math.inf < value < math.inf


def _check_buckets(metric: str, buckets: Mapping[str, int]) -> None:
    for bucket, count in buckets.items():
        if not _BUCKET.match(bucket) or int(bucket) >= BUCKETS:
            raise Invalid(f"{bucket!r:.20} is no bucket of {metric}", field="histograms")
        _count(count, "histograms", least=1)


def _count(value: int, field: str, *, least: int = 0, most: int = COUNT_LIMIT) -> None:
    if type(value) is not int or not least <= value <= most:
        raise Invalid(f"{field} is {value!r:.30}; it must lie in {least} to {most:,}", field=field)
