"""What was sampled of watched versions, as counts that are added in any order."""

import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from herdbook.core import names
from herdbook.core.references import VALUE_LIMIT
from herdbook.core.wire import LATER
from herdbook.errors import Invalid

# No version has more streams.
STREAMS_LIMIT: Final = 200
# Hours that are kept of each stream: seven days.
HOURS: Final = 168
HOUR_SECONDS: Final = 3600
WATCHED_LIMIT: Final = 1_000
MARKS_LIMIT: Final = 100_000
_COUNT_LIMIT: Final = 1 << 40
_UNBINNED_LIMIT: Final = 1_000
# What sums of floats may be off by.
_ROUNDING: Final = 1e-6
_TINY: Final = 1e-300
_LARGEST: Final = sys.float_info.max
_NUMBER: Final = re.compile(r"[0-9]{1,4}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSums:
    """What came of one stream in one hour.

    Args:
        stream: its name.
        hour: since 1970, in UTC.
        counts: bin of the reference, as text, to how many values.
        levels: the same by the bins of the hour's slot, where the reference has slots.
        missing: values that were NaN, infinite or nothing.
        total: the sum of the values less their centre, see `Reference.centre`.
        squares: the sum of the squares of those.
    """

    stream: str
    hour: int
    counts: Mapping[str, int] = field(default_factory=dict)
    levels: Mapping[str, int] = field(default_factory=dict)
    missing: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def values(self) -> int:
        """How many values there are, missing ones left out."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What was predicted for a request whose true answer will be known later.

    Args:
        request: its id.
        prediction: what was predicted, as text.
        confidence: how sure the version was, or None.
    """

    request: str
    prediction: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What a worker sampled of one version.

    Args:
        model: its model.
        number: its number.
        fingerprint: of the references whose bins are counted in.
        streams: sums, one for each stream and hour.
        unbinned: streams the references know nothing of, to the values left out.
        marks: what was predicted for requests whose true answer will be known later.
    """

    model: str
    number: str
    fingerprint: str
    streams: tuple[StreamSums, ...] = ()
    unbinned: Mapping[str, int] = field(default_factory=dict, metadata=LATER)
    marks: tuple[Mark, ...] = field(default=(), metadata=LATER)

    @property
    def values(self) -> int:
        """How many values there are, missing ones included."""
        return sum(each.values + each.missing for each in self.streams)

    def checked(self) -> "Sampled":
        """Give it when all of it can be.

        Raises:
            Invalid: naming what cannot.
        """
        names.line(self.model, field="model", limit=names.MODEL_NAME_LIMIT)
        names.line(self.number, field="number", limit=names.KEY_LIMIT)
        names.line(self.fingerprint, field="fingerprint", limit=64)
        if len(self.streams) > STREAMS_LIMIT * HOURS:
            raise Invalid("more streams and hours than there can be", field="streams")
        for sums in self.streams:
            _check_sums(sums)
        for mark in self.marks:
            names.line(mark.request, field="request", limit=names.KEY_LIMIT)
            names.line(mark.prediction, field="prediction", limit=names.KEY_LIMIT)
            if mark.confidence is not None and not abs(mark.confidence) <= _LARGEST:
                raise Invalid(
                    f"confidence is {mark.confidence!r:.30}, no number", field="confidence"
                )
        if len(self.marks) > MARKS_LIMIT:
            raise Invalid(f"more than {MARKS_LIMIT:,} marks at once", field="marks")
        if len(self.unbinned) > _UNBINNED_LIMIT:
            raise Invalid(f"more than {_UNBINNED_LIMIT:,} unknown streams", field="unbinned")
        for count in self.unbinned.values():
            _count(count, "unbinned")
        return self


def _check_sums(sums: StreamSums) -> None:
    names.key(sums.stream, field="stream")
    _count(sums.hour, "hour", most=1 << 32)
    _count(sums.missing, "missing")
    for name, counts in (("counts", sums.counts), ("levels", sums.levels)):
        for at, count in counts.items():
            if not _NUMBER.match(at):
                raise Invalid(f"{at!r:.20} is no bin of {sums.stream}", field=name)
            _count(count, name, least=1)
    number = sums.values
    if not (
        abs(sums.total) <= number * VALUE_LIMIT and 0 <= sums.squares <= number * VALUE_LIMIT**2
    ):
        raise Invalid(f"the sums of {sums.stream} are no numbers, or beyond any", field="total")
    if sums.total * sums.total > number * sums.squares * (1 + _ROUNDING) + _TINY:
        raise Invalid(
            f"no {number} values of {sums.stream} have the sum {sums.total} and the sum of squares "
            f"{sums.squares}",
            field="total",
        )


def _count(value: int, field: str, *, least: int = 0, most: int = _COUNT_LIMIT) -> None:
    if type(value) is not int or not least <= value <= most:
        raise Invalid(f"{field} is {value!r:.30}; it must lie in {least} to {most:,}", field=field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One stream in one hour.

    Args:
        hour: since 1970, in UTC.
        counts: by bin.
        missing: how many were missing.
        total: as of `StreamSums`.
        squares: as of `StreamSums`.
    """

    hour: int
    counts: tuple[int, ...]
    missing: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def values(self) -> int:
        """How many values there are."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A stream's reference beside what came of late, to be drawn.

    Args:
        stream: its name.
        edges: between the bins of numbers, see `Reference`.
        low: the smallest value of the reference.
        high: the largest.
        categories: of the bins of categories.
        reference: counts of the reference.
        current: counts of the last hours, in the same bins.
        hours: how many those are.
    """

    stream: str
    edges: tuple[float, ...]
    low: float
    high: float
    categories: tuple[str, ...]
    reference: tuple[int, ...]
    current: tuple[int, ...]
    hours: int


def combined(sums: Iterable[StreamSums]) -> tuple[StreamSums, ...]:
    """Add sums of the same stream and hour; in order of hours, then streams."""
    found: dict[tuple[int, str], list[StreamSums]] = {}
    for each in sums:
        found.setdefault((each.hour, each.stream), []).append(each)
    return tuple(_combined(found[key]) for key in sorted(found))


def _combined(sums: list[StreamSums]) -> StreamSums:
    if len(sums) == 1:
        return sums[0]
    return StreamSums(
        stream=sums[0].stream,
        hour=sums[0].hour,
        counts=_added(each.counts for each in sums),
        levels=_added(each.levels for each in sums),
        missing=sum(each.missing for each in sums),
        total=math.fsum(each.total for each in sums),
        squares=math.fsum(each.squares for each in sums),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for each in counts:
        found.update(each)
    return dict(found)
