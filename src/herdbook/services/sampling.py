"""Fold samples of watched versions into counts by the bins of their references, and by hour.

Counts are exact. Sums are of what values are off their centre by, and what is further off than
`furthest` counts as that far: one mistake of 1e300 would drown all others.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from herdbook.core.drift import CONFIDENCE, Watched
from herdbook.core.references import VALUE_LIMIT, Kind, Reference
from herdbook.core.sampling import Mark, Sampled, StreamSums
from herdbook.services import columns
from herdbook.services.folding import OTHER, Meaning, SampleLabel

FURTHEST: Final = 1e9
_SPREADS: Final = 1e6

# Gives what a version's production is compared with; None for one that is not watched.
References = Callable[[str, str], Watched | None]
Version = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Samples:
    """What samples come to.

    Args:
        sampled: sums, one for each watched version.
        unknown: records whose label nobody knows.
        left_out: versions that are not watched, to the samples of detectors left out.
    """

    sampled: tuple[Sampled, ...] = ()
    unknown: int = 0
    left_out: Mapping[Version, int] = field(default_factory=dict)


def folded(
    samples: bytes,
    labels: Sequence[Meaning],
    references: References,
    *,
    marks: Iterable[tuple[Version, Mark]] = (),
) -> Samples:
    """Fold samples.

    Args:
        samples: records as they lie in a journal, each of them of a sample.
        labels: what their labels mean.
        references: gives what versions are compared with.
        marks: predictions for requests; those of versions that are not watched are left out.

    Raises:
        HerdbookError: the references cannot be had now; nothing is counted then.
    """
    sums = _Sums(references)
    for label, hour, values, confidences in columns.groups(samples) if samples else ():
        meant = labels[label] if 0 < label < len(labels) else None
        if isinstance(meant, SampleLabel):
            sums.take(meant, hour, values, confidences)
        else:
            sums.unknown += len(values)
    for version, mark in marks:
        sums.mark(version, mark)
    return Samples(sums.sampled(), sums.unknown, sums.left_out)


def furthest(reference: Reference) -> float:
    """How far off its centre a value counts at most: 1e9, or a million standard deviations."""
    return min(max(FURTHEST, _SPREADS * reference.sd), VALUE_LIMIT)


class _Stream:
    """What one stream comes to in one hour."""

    __slots__ = ("counts", "levels", "missing", "squares", "total")

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.levels: Counter[int] = Counter()
        self.missing = 0
        self.total = self.squares = 0.0

    def numbers(self, values: Any, reference: Reference, hour: int) -> None:
        """Count numbers: an array or a list."""
        slot = reference.slot_of(hour)
        levels = reference.slots[slot].edges if reference.slots else None
        count = _count_list if isinstance(values, list) else _count_array
        found = count(values, (reference.edges, levels), reference.centre(slot), reference)
        self.counts.update(found[0])
        self.levels.update(found[1])
        self.missing += len(values) - sum(found[0].values())
        self.total += found[2]
        self.squares += found[3]

    def categories(self, values: Any, reference: Reference, category: str | None) -> None:
        """Count what is of one category, or numbers where the reference has categories."""
        if category is not None:
            self.counts[_bin_of(category, reference)] += len(values)
            return
        every = values if isinstance(values, list) else values.tolist()
        for value, count in Counter(every).items():
            if math.isfinite(value):
                self.counts[_bin_of(as_text(value), reference)] += count
            else:
                self.missing += count

    def sums(self, stream: str, hour: int) -> StreamSums:
        return StreamSums(
            stream=stream,
            hour=hour,
            counts=_texts(self.counts),
            levels=_texts(self.levels),
            missing=self.missing,
            total=self.total,
            squares=self.squares,
        )


class _Version:
    """What one version comes to."""

    __slots__ = ("marks", "streams", "unbinned", "watched")

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.streams: dict[tuple[str, int], _Stream] = {}
        self.unbinned: Counter[str] = Counter()
        self.marks: list[Mark] = []

    def take(self, label: SampleLabel, stream: str, hour: int, values: Any) -> None:
        reference = self.watched.references.get(stream)
        if reference is None:
            if not label.served:
                self.unbinned[stream] += len(values)
            return
        held = self.streams.get((stream, hour))
        if held is None:
            held = self.streams[stream, hour] = _Stream()
        category = label.category if stream == label.stream else None
        if reference.kind is Kind.CATEGORICAL:
            held.categories(values, reference, category)
        elif category is None:
            held.numbers(values, reference, hour)
        else:
            # A text is no number.
            held.missing += len(values)

    def sampled(self) -> Sampled:
        return Sampled(
            model=self.watched.model,
            number=self.watched.number,
            fingerprint=self.watched.fingerprint,
            streams=tuple(self.streams[key].sums(*key) for key in sorted(self.streams)),
            unbinned=dict(self.unbinned),
            marks=tuple(self.marks),
        )


class _Sums:
    """Everything of one fold."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._versions: dict[Version, _Version | None] = {}
        self.unknown = 0
        self.left_out: Counter[Version] = Counter()

    def take(self, label: SampleLabel, hour: int, values: Any, confidences: Any) -> None:
        version = self._version((label.model, label.number))
        if version is not None:
            version.take(label, label.stream, hour, values)
            if len(confidences):
                version.take(label, CONFIDENCE, hour, confidences)
        elif not label.served:
            self.left_out[label.model, label.number] += len(values)

    def mark(self, of: Version, mark: Mark) -> None:
        version = self._version(of)
        if version is not None:
            version.marks.append(mark)

    def _version(self, of: Version) -> _Version | None:
        if of not in self._versions:
            watched = self._references(*of)
            self._versions[of] = None if watched is None else _Version(watched)
        return self._versions[of]

    def sampled(self) -> tuple[Sampled, ...]:
        found = (self._versions[of] for of in sorted(self._versions))
        every = [version.sampled() for version in found if version is not None]
        return tuple(each for each in every if each.streams or each.unbinned or each.marks)


Counts = tuple[Mapping[int, int], Mapping[int, int], float, float]
Edges = tuple[Sequence[float], Sequence[float] | None]


def _count_list(values: list[float], edges: Edges, centre: float, reference: Reference) -> Counts:
    most, (bins, levels) = furthest(reference), edges
    finite = [value for value in values if math.isfinite(value)]
    offs = [min(max(value - centre, -most), most) for value in finite]
    return (
        Counter(bisect_left(bins, value) for value in finite),
        {} if levels is None else Counter(bisect_left(levels, value) for value in finite),
        math.fsum(offs),
        math.fsum(off * off for off in offs),
    )


def _count_array(values: Any, edges: Edges, centre: float, reference: Reference) -> Counts:
    np, most = columns.numpy(), furthest(reference)
    finite = values[np.isfinite(values)]
    # Edges are looked up among values in order: sooner done than each value among the edges.
    finite.sort()
    with np.errstate(over="ignore"):
        offs = np.clip(finite - centre, -most, most)
        # Not the dot product: that is one of BLAS, whose threads wait for each other.
        squares = float(np.square(offs).sum())
    levels = {} if edges[1] is None else _between(np, finite, edges[1])
    return (
        _between(np, finite, edges[0]),
        levels,
        float(offs.sum()),
        squares,
    )


def _between(np: Any, ordered: Any, edges: Sequence[float]) -> dict[int, int]:
    ends = np.searchsorted(ordered, np.asarray(edges, "f8"), side="right")
    counts = np.diff(ends, prepend=0, append=len(ordered))
    some = np.flatnonzero(counts)
    return dict(zip(some.tolist(), counts[some].tolist(), strict=True))


def as_text(value: float) -> str:
    """Give a number as the category it is: 3.0 is 3."""
    return str(int(value)) if value.is_integer() else repr(value)


def _bin_of(category: str, reference: Reference) -> int:
    """The bin of a category; the last one is of those the reference does not name."""
    names = reference.categories
    at = bisect_left(names, category) if category != OTHER else len(names)
    return at if at < len(names) and names[at] == category else len(names)


def _texts(counts: Mapping[int, int]) -> dict[str, int]:
    return {str(at): counts[at] for at in sorted(counts)}
