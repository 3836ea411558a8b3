"""A column of two files as it is counted: the reference first, which makes the bins."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from herdbook.core.checking import Apart, Bins, Counted, Form, Pair
from herdbook.errors import Invalid
from herdbook.front.columns import Vectors
from herdbook.stats import embeddings
from herdbook.stats.counting import Categories, Spread, Tally, edges_of

_VECTORS: Final = 2_000


class Counter(Protocol):
    """Counts a column of both files: `look`, `begin`, perhaps `count`, `turn`, `count`, `pair`.

    Args:
        most: values to keep of the reference.
        bins: at most.
    """

    def __init__(self, most: int, bins: int) -> None: ...

    def look(self, values: Any) -> None:
        """Look at a piece of the reference."""

    def begin(self) -> bool:
        """Make bins; whether the reference must be read again to be counted."""
        ...

    def count(self, values: Any) -> None:
        """Count a piece."""

    def turn(self) -> None:
        """Go on with the other file."""

    def pair(self, name: str) -> Pair:
        """Give what was counted of both."""
        ...


class Numbers:
    """Counts a column of numbers of both files."""

    def __init__(self, most: int, bins: int) -> None:
        self._spread, self._bins = Spread(most), bins

    def look(self, values: Any) -> None:
        """Look at a piece of the reference."""
        self._spread.add(values)

    def begin(self) -> bool:
        """Make bins; whether the reference must be read again to be counted."""
        import numpy as np

        sample = self._spread.rows()
        finite = sample[np.isfinite(sample)]
        self._edges = edges_of(finite, bins=self._bins) if len(finite) else ()
        self._now = Tally(self._edges)
        if self._spread.whole:
            self._now.add(sample)
        return not self._spread.whole

    def count(self, values: Any) -> None:
        """Count a piece."""
        self._now.add(values)

    def turn(self) -> None:
        """Go on with the other file."""
        self._reference, self._now = self._now, Tally(self._edges)

    def pair(self, name: str) -> Pair:
        """Give what was counted."""
        bins = Bins(form=Form.NUMERIC, edges=self._edges)
        one, two = (_tallied(tally) for tally in (self._reference, self._now))
        return Pair(column=name, bins=bins, reference=one, current=two)


def _tallied(tally: Tally) -> Counted:
    mean, sd = tally.moments
    return Counted(
        values=tally.values,
        missing=tally.missing,
        counts=tally.counts,
        mean=mean,
        sd=sd,
        low=float(tally.low) if tally.values else None,
        high=float(tally.high) if tally.values else None,
    )


class Names:
    """Counts a column of categories of both files."""

    def __init__(self, most: int, bins: int) -> None:  # noqa: ARG002 - as the others
        self._now = Categories()

    def look(self, values: Any) -> None:
        """Count a piece of the reference."""
        self._now.add(values)

    count = look

    def begin(self) -> bool:
        """Choose the categories that have a bin."""
        return False

    def turn(self) -> None:
        """Go on with the other file."""
        self._reference, self._now = self._now, Categories()

    def pair(self, name: str) -> Pair:
        """Give what was counted."""
        names = self._reference.most_common()
        one, two = (
            Counted(values=side.values, missing=side.missing, counts=side.counts(names))
            for side in (self._reference, self._now)
        )
        bins = Bins(form=Form.CATEGORICAL, categories=names)
        return Pair(column=name, bins=bins, reference=one, current=two)


class Embedding:
    """Keeps a sample of the vectors of both files."""

    def __init__(self, most: int, bins: int) -> None:  # noqa: ARG002 - as the others
        self._now, self._missing = Spread(_VECTORS), 0

    def look(self, values: Vectors) -> None:
        """Look at a piece."""
        import numpy as np

        there = values.rows[np.isfinite(values.rows).all(axis=1)]
        if len(there):
            self._now.add(there)
        self._missing += values.missing + len(values.rows) - len(there)

    count = look

    def begin(self) -> bool:
        """Nothing is counted in bins."""
        return False

    def turn(self) -> None:
        """Go on with the other file."""
        self._reference, self._reference_missing = self._now, self._missing
        self._now, self._missing = Spread(_VECTORS), 0

    def pair(self, name: str) -> Pair:
        """Compare the samples."""
        one, two = self._reference.rows(), self._now.rows()
        sides = ((self._reference, self._reference_missing), (self._now, self._missing))
        counted = [Counted(values=side.seen, missing=gone, counts=()) for side, gone in sides]
        return Pair(
            column=name,
            bins=Bins(form=Form.EMBEDDING),
            reference=counted[0],
            current=counted[1],
            apart=_apart(name, one, two),
        )


def _apart(name: str, one: Any, two: Any) -> Apart | None:
    if min(len(one), len(two)) < embeddings.LEAST:
        return None
    if one.shape[1] != two.shape[1]:
        raise Invalid(
            f"{name} has {one.shape[1]} dimensions in the reference and {two.shape[1]} now: these "
            "are embeddings of different models",
            field="column",
        )
    kernel = embeddings.mmd(one, two)
    classifier = embeddings.domain_classifier(one, two)
    return Apart(
        dimensions=one.shape[1],
        sampled=(len(one), len(two)),
        auc=classifier.auc,
        auc_error=classifier.error,
        auc_p=classifier.p,
        mmd=kernel.squared,
        mmd_p=kernel.p,
    )


COUNTERS: Final[Mapping[Form, type[Counter]]] = {
    Form.NUMERIC: Numbers,
    Form.CATEGORICAL: Names,
    Form.EMBEDDING: Embedding,
}
