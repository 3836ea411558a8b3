"""Count columns of any length in bounded memory: a spread sample first, then bins. Needs numpy.

A batch is sorted and the edges are looked up in it, not each value among the edges: where numpy
sorts with vector instructions that takes a tenth of the time.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE: Final = 200_000
CATEGORIES: Final = 250
_NAMES: Final = 100_000
# Values to a bin at least, so that small references have wide bins.
_BIN_VALUES: Final = 8
_ODD: Final = 0x9E3779B97F4A7C15
_MIX: Final = 0xBF58476D1CE4E5B9


class Spread:
    """Keeps rows from all over a column whose length is not known: one of each `stride` in turn.

    Which one of them is as good as random, so that no rhythm of the data is met again and again,
    and the same each time. When there are too many, one of two neighbours is kept and the stride
    doubles.

    Args:
        limit: how many to keep at most; at least half as many are kept of a longer column.
    """

    def __init__(self, limit: int = SAMPLE) -> None:
        self._limit = limit
        self._kept: list[NDArray[Any]] = []
        self._count = self._level = self.seen = 0

    @property
    def whole(self) -> bool:
        """Whether every row is kept."""
        return self._level == 0

    def add(self, rows: "NDArray[Any]") -> None:
        """Look at the next rows."""
        import numpy as np

        begin, end = self.seen, self.seen + len(rows)
        strata = np.arange(begin >> self._level, (end - 1 >> self._level) + 1, dtype=np.uint64)
        at = _descended(strata, self._level).astype(np.int64)
        kept = rows[at[(at >= begin) & (at < end)] - begin]
        self._kept.append(kept)
        self._count += len(kept)
        self.seen = end
        while self._count > self._limit:
            self._thin()

    def _thin(self) -> None:
        import numpy as np

        every = self.rows()
        self._level += 1
        strata = np.arange(len(every), dtype=np.uint64)
        one = np.uint64(1)
        self._kept = [every[(strata & one) == _sides(strata >> one, self._level)]]
        self._count = len(self._kept[0])

    def rows(self) -> "NDArray[Any]":
        """Give what was kept, in order."""
        import numpy as np

        return np.concatenate(self._kept) if self._kept else np.empty(0)


def _descended(strata: "NDArray[np.uint64]", level: int) -> "NDArray[np.uint64]":
    """The row that stands for each stratum of 2^level rows."""
    import numpy as np

    for below in range(level, 0, -1):
        strata = (strata << np.uint64(1)) | _sides(strata, below)
    return strata


def _sides(strata: "NDArray[np.uint64]", level: int) -> "NDArray[np.uint64]":
    """Which half of each stratum its row is taken from: a bit of a hash."""
    import numpy as np

    mixed = (strata + np.uint64(level)) * np.uint64(_ODD)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX)
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(63)


def edges_of(sample: "NDArray[np.float64]", *, bins: int) -> tuple[float, ...]:
    """Choose edges at equal shares; a value that is as frequent as a bin has one to itself.

    Args:
        sample: finite numbers, at least one.
        bins: how many at most, at least 4.
    """
    import numpy as np

    ordered, number = np.sort(sample), len(sample)
    most = max(2, min(bins - 2, number // _BIN_VALUES))
    at = ordered[np.arange(1, most) * number // most]
    first = np.searchsorted(ordered, at, side="left")
    heavy = (np.searchsorted(ordered, at, side="right") - first) * most >= number
    before = ordered[first[heavy & (first > 0)] - 1]
    ends = [np.nextafter(ordered[0], -np.inf), ordered[-1]]
    found = np.unique(np.concatenate([at, before, ends]))
    if len(found) >= bins:
        # Ties brought more than there is room for; leaving some out joins two bins each.
        found = found[np.linspace(0, len(found) - 1, bins - 1).astype(np.int64)]
    return tuple(found.tolist())


class Tally:
    """Counts numbers by bin, with their moments.

    Args:
        edges: ascending; bin i holds what is above edges[i - 1] and at most edges[i].
    """

    def __init__(self, edges: Sequence[float]) -> None:
        import numpy as np

        self._edges = np.asarray(edges, dtype=np.float64)
        # Near the middle, so that squares of small differences are not lost.
        self._centre = float(self._edges[len(self._edges) // 2]) if len(self._edges) else 0.0
        self._counts = np.zeros(len(self._edges) + 1, dtype=np.int64)
        self.values = self.missing = 0
        self.low, self.high = math.inf, -math.inf
        self._sum = self._squares = 0.0

    def add(self, values: "NDArray[np.float64]") -> None:
        """Count the next values; NaN and infinite ones are missing."""
        import numpy as np

        there = np.isfinite(values)
        finite = values if there.all() else values[there]
        self.missing += len(values) - len(finite)
        if not len(finite):
            return
        ordered = np.sort(finite)
        ends = np.searchsorted(ordered, self._edges, side="right")
        self._counts += np.diff(ends, prepend=0, append=len(ordered))
        self.values += len(ordered)
        self.low, self.high = min(self.low, ordered[0]), max(self.high, ordered[-1])
        # What overflows is told of as None, not as a warning.
        with np.errstate(over="ignore", invalid="ignore"):
            offs = ordered - self._centre
            self._sum += float(offs.sum())
            self._squares += float(np.square(offs, out=offs).sum())

    @property
    def counts(self) -> tuple[int, ...]:
        """By bin."""
        return tuple(self._counts.tolist())

    @property
    def moments(self) -> tuple[float | None, float | None]:
        """The mean and the standard deviation; None of nothing, and where a sum is infinite."""
        if not self.values or not math.isfinite(self._squares):
            return None, None
        off = self._sum / self.values
        return self._centre + off, math.sqrt(max(0.0, self._squares / self.values - off * off))


class Categories:
    """Counts categories; of more than 100,000 the rare ones are counted together."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.values = self.missing = 0

    def add(self, counted: Iterable[tuple[str | None, int]]) -> None:
        """Add the counts of a batch; None is missing."""
        for name, count in counted:
            if name is None:
                self.missing += count
            else:
                self._counts[name] += count
                self.values += count
        if len(self._counts) > _NAMES:
            self._counts = Counter(dict(self._counts.most_common(_NAMES // 2)))

    def most_common(self) -> tuple[str, ...]:
        """The 250 most frequent, most frequent first, then by name."""
        ranked = sorted(self._counts.items(), key=lambda each: (-each[1], each[0]))
        return tuple(name for name, _ in ranked[:CATEGORIES])

    def counts(self, names: Sequence[str]) -> tuple[int, ...]:
        """The counts of some categories and, last, of all others together."""
        found = [self._counts.get(name, 0) for name in names]
        return (*found, self.values - sum(found))
