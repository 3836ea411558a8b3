"""References: what streams of a version looked like when all was well, in bins of their own."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from herdbook.core import names
from herdbook.errors import Invalid

# No stream has more bins.
BINS: Final = 1024
CATEGORIES_LIMIT: Final = 250
# The parts of a day that a seasonal reference tells apart at most.
SLOTS: Final = 24
TENTHS: Final = 10
# Nobody counts further; sums of as many still are exact.
COUNT_LIMIT: Final = 1 << 53
# What is further off counts as this far: the squares of many still are finite.
VALUE_LIMIT: Final = 1e130
_LARGEST: Final = sys.float_info.max


class Kind(StrEnum):
    """What a stream is made of."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The reference of one part of the day.

    Args:
        edges: as those of `Reference`, of this part alone and coarser.
        counts: by its bins.
        mean: of its values.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a stream looked like when all was well; it never changes.

    Args:
        kind: numbers or categories.
        count: how many values it was made of; missing ones are beside it.
        missing: how many were NaN, infinite or nothing.
        edges: of numbers, ascending: bin i holds what is above edges[i - 1] and at most edges[i];
            the first bin holds what is below all that was seen, the last what is above.
        categories: of categories: bin i is the i-th one's, the last bin that of all others.
        counts: how many values each bin held, one more than there are edges or categories.
        mean: of the values; 0 of categories.
        sd: their standard deviation, divided by n.
        low: the smallest value.
        high: the largest.
        tau: how many values in a row are worth one independent value, at least 1.
        slots: by part of the day, where the reference spans at least two days; else none.
        accuracy: of confidences, where it was known which predictions were right: the share of
            right ones by tenth of the confidence (0 to 0.1 first), smoothed so as never to fall.
    """

    kind: Kind = Kind.NUMERIC
    count: int
    missing: int = 0
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...]
    mean: float = 0.0
    sd: float = 0.0
    low: float = 0.0
    high: float = 0.0
    tau: float = 1.0
    slots: tuple[Slot, ...] = ()
    accuracy: tuple[float, ...] = ()

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.counts)

    def centre(self, slot: int) -> float:
        """What values of a part of the day are counted from: their mean."""
        return self.slots[slot].mean if self.slots else self.mean

    def slot_of(self, hour: int) -> int:
        """The part of the day that an hour (since 1970, UTC) lies in; 0 where there are none."""
        return hour % SLOTS * len(self.slots) // SLOTS if self.slots else 0

    def checked(self, stream: str) -> "Reference":
        """Give it when it can be.

        Args:
            stream: whose it is, for the message.

        Raises:
            Invalid: naming what cannot.
        """
        where = f"references.{stream}"
        if self.kind is Kind.CATEGORICAL:
            _check_categories(self.categories, where)
            _check_counts(self.counts, len(self.categories), where, self.count)
            if self.edges or self.slots:
                raise Invalid("a reference of categories has no edges and no slots", field=where)
        else:
            _check_bins(self.edges, self.counts, where, self.count)
            if self.categories or len(self.slots) not in {0, 1, 2, 3, 4, 6, 8, 12, 24}:
                raise Invalid(
                    "a reference of numbers has no categories, and slots that divide a day",
                    field=where,
                )
        for slot in self.slots:
            _check_bins(slot.edges, slot.counts, where, sum(slot.counts))
        self._check_figures(stream, where)
        if not 1 <= self.tau <= max(1, self.count):
            raise Invalid(f"tau is {self.tau}; it lies in 1 to the number of values", field=where)
        if self.accuracy and (
            len(self.accuracy) != TENTHS or not all(0 <= share <= 1 for share in self.accuracy)
        ):
            raise Invalid(f"accuracy is {TENTHS} shares, one for each tenth", field=where)
        return self

    def _check_figures(self, stream: str, where: str) -> None:
        means = [self.mean, *(slot.mean for slot in self.slots)]
        if not all(map(_is_finite, (self.sd, self.low, self.high, *means))) or self.sd < 0:
            raise Invalid(f"a figure of {stream} is not finite, or negative", field=where)
        if type(self.missing) is not int or not 0 <= self.missing <= COUNT_LIMIT:
            raise Invalid(f"{self.missing!r:.30} values cannot be missing", field=where)
        # Sums are moved from the mean of one part of the day to that of another.
        if self.slots and max(map(abs, means)) > VALUE_LIMIT:
            raise Invalid(
                f"values beyond {VALUE_LIMIT:g} cannot be told apart by the part of the day: "
                "leave them out",
                field=where,
            )


def _is_finite(value: float) -> bool:
    # A whole number may be larger than any float.
    return -_LARGEST <= value <= _LARGEST


def _check_bins(edges: Sequence[float], counts: Sequence[int], where: str, number: int) -> None:
    if not all(map(_is_finite, edges)) or any(low >= high for low, high in pairwise(edges)):
        raise Invalid("edges are finite and ascend", field=where)
    _check_counts(counts, len(edges), where, number)


def _check_counts(counts: Sequence[int], bins: int, where: str, number: int) -> None:
    if len(counts) != bins + 1 or len(counts) > BINS or not bins:
        raise Invalid(
            f"there are {len(counts)} counts beside {bins} edges or categories; one more than of "
            f"those is needed, and at most {BINS:,}",
            field=where,
        )
    if any(type(count) is not int or count < 0 for count in counts) or sum(counts) != number:
        raise Invalid(f"the counts do not add up to {number:,}", field=where)
    if not 0 < number <= COUNT_LIMIT:
        raise Invalid(f"a reference is made of 1 to {COUNT_LIMIT:,} values", field=where)


def _check_categories(categories: Sequence[str], where: str) -> None:
    if len(set(categories)) != len(categories) or len(categories) > CATEGORIES_LIMIT:
        raise Invalid(f"categories are at most {CATEGORIES_LIMIT}, no two the same", field=where)
    for category in categories:
        names.line(category, field=where, limit=names.KEY_LIMIT)
