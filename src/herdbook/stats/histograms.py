"""A log-histogram: quantiles of positive numbers to 2 %, in at most 600 counters, merged by adding.

Bucket 0 holds 0 to 0.001, bucket i holds what is above `0.001 g^(i-1)` and at most `0.001 g^i` with
g = 1.02 / 0.98; the last also holds all above its lower end, about 24 million. In milliseconds that
is from a microsecond to more than six hours.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Self

from herdbook.errors import Invalid

RELATIVE_ERROR: Final = 0.02
SMALLEST: Final = 0.001
BUCKETS: Final = 600
_GROWTH: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GROWTH: Final = math.log(_GROWTH)


def bucket_of(value: float) -> int:
    """The bucket of a value.

    Raises:
        Invalid: it is negative, NaN or infinite.
    """
    if not 0 <= value < math.inf:
        raise Invalid(f"Only finite numbers of at least 0 go into a histogram, not {value}.")
    if value <= SMALLEST:
        return 0
    return min(math.ceil(math.log(value / SMALLEST) / _LOG_GROWTH), BUCKETS - 1)


def upper_edge(bucket: int) -> float:
    """The largest value of a bucket (of the last one: of those that it holds to 2 %)."""
    return SMALLEST * math.exp(bucket * _LOG_GROWTH)


def buckets_within(ratio: float) -> int:
    """By how many buckets a value moves when it is multiplied by `ratio`, rounded up.

    Args:
        ratio: at least 1, such as 1.1 for ten per cent more.

    Raises:
        Invalid: the ratio is below 1, NaN or infinite.
    """
    if not 1 <= ratio < math.inf:
        raise Invalid(f"A ratio is at least 1, such as 1.1 for 10 % more, not {ratio}.")
    return math.ceil(math.log(ratio) / _LOG_GROWTH)


@dataclass(frozen=True, slots=True)
class LogHistogram:
    """How many values fell into which bucket.

    Attributes:
        counts: by bucket, 0 to 599, how many values, at least 1. Not to be changed.

    Reference: Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
    relative-error guarantees", PVLDB 12 (2019).
    """

    counts: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for bucket, count in self.counts.items():
            if not 0 <= bucket < BUCKETS or count < 1:
                raise Invalid(f"Bucket {bucket} with {count} values is none of this histogram.")

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """The histogram of some values; raises Invalid for a negative, NaN or infinite one."""
        counts: dict[int, int] = {}
        for value in values:
            bucket = bucket_of(value)
            counts[bucket] = counts.get(bucket, 0) + 1
        return cls(counts)

    def __add__(self, other: "LogHistogram") -> "LogHistogram":
        merged = dict(self.counts)
        for bucket, count in other.counts.items():
            merged[bucket] = merged.get(bucket, 0) + count
        return LogHistogram(merged)

    @property
    def total(self) -> int:
        """How many values it holds."""
        return sum(self.counts.values())

    def above(self, bucket: int) -> int:
        """How many values lie above a bucket's upper edge: exact, no interpolation."""
        return sum(count for index, count in self.counts.items() if index > bucket)

    def bucket_at(self, share: float) -> int:
        """The bucket of the value that `share` of all values do not exceed.

        Args:
            share: above 0 and at most 1; of n values the one of rank `ceil(share n)` is meant.

        Raises:
            Invalid: the histogram is empty, or share outside its range.
        """
        if not 0 < share <= 1:
            raise Invalid(f"A quantile is above 0 and at most 1, such as 0.95, not {share}.")
        if not self.counts:
            raise Invalid("An empty histogram has no quantiles: record a value first.")
        ordered = sorted(self.counts)
        ranks = list(accumulate(self.counts[bucket] for bucket in ordered))
        return ordered[bisect_left(ranks, math.ceil(share * ranks[-1]))]

    def quantile(self, share: float) -> float:
        """The value that `share` of all values do not exceed, within 2 % of the true one.

        Exact ranks, no interpolation. Values up to 0.001 are given as 0.001, those above the last
        bucket's edge as if they lay in it. Arguments and errors are those of `bucket_at`.

        Example:
            >>> round(LogHistogram.of([12, 15, 18, 240]).quantile(0.5), 1)
            15.1
        """
        bucket = self.bucket_at(share)
        return upper_edge(bucket) * (2 / (1 + _GROWTH) if bucket else 1)
