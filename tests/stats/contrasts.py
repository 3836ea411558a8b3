"""The formula of `herdbook.stats.cells.contrast`, walked cell by cell: its oracle.

A thousand users with twenty requests each are a thousand observations, not twenty thousand: what
counts is the sum of each unit, or of a cell of units (1,024 cells by hash). Those are all that is
kept, they merge by addition, and their number does not grow with the requests.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from herdbook.errors import Invalid
from herdbook.stats.cells import Contrast

# A variance takes at least two units.
_LEAST_UNITS: Final = 2
# What a sum of floats may be off by: a unit this near its arm's mean is at it.
_ROUNDING: Final = 1e-12
# The square of a sum is still a float.
_LARGEST: Final = 1e150


@dataclass(frozen=True, slots=True)
class UnitSums:
    """What the units (or cells of units) of one arm add up to; merged by addition.

    Attributes:
        cells: by unit or cell, the number of values, at least 1, and their sum, from -1e150 to
            1e150. Not to be changed.
    """

    cells: Mapping[int, tuple[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for count, total in self.cells.values():
            if count < 1 or not abs(total) <= _LARGEST:
                raise Invalid(
                    f"A unit has at least 1 value and a sum of at most 1e150, not {count}, {total}."
                )

    def __add__(self, other: "UnitSums") -> "UnitSums":
        merged = dict(self.cells)
        for cell, (count, total) in other.cells.items():
            before = merged.get(cell, (0, 0.0))
            merged[cell] = (before[0] + count, before[1] + total)
        return UnitSums(merged)

    @property
    def values(self) -> int:
        """How many values were recorded."""
        return sum([count for count, _ in self.cells.values()])

    @property
    def mean(self) -> float:
        """The mean of all values; NaN of none."""
        values = self.values
        return (
            math.fsum([total for _, total in self.cells.values()]) / values if values else math.nan
        )

    @property
    def effective_units(self) -> float:
        """How many equally busy units would do the same: `(sum n)^2 / sum n^2`; 0 of none.

        Reference: Kish, "Survey sampling" (1965).
        """
        squares = sum([count * count for count, _ in self.cells.values()])
        return self.values**2 / squares if squares else 0.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Both arms of one stratum; merged by addition."""

    control: UnitSums = field(default_factory=UnitSums)
    treatment: UnitSums = field(default_factory=UnitSums)

    def __add__(self, other: "Pair") -> "Pair":
        return Pair(self.control + other.control, self.treatment + other.treatment)

    @property
    def weight(self) -> float:
        """Its weight among the strata: `nC nT / (nC + nT)`, 0 where a variance cannot be told.

        It depends on how many values there are, never on what they are.
        """
        if min(len(self.control.cells), len(self.treatment.cells)) < _LEAST_UNITS:
            return 0.0
        one, two = self.control.values, self.treatment.values
        return one * two / (one + two)


def merged(one: Mapping[str, Pair], two: Mapping[str, Pair]) -> dict[str, Pair]:
    """The sums by stratum of two shares of the same experiment, in any order."""
    strata = dict(one)
    for name, pair in two.items():
        strata[name] = strata.get(name, Pair()) + pair
    return strata


# One arm: by stratum, its share of the weight and its sums.
_Arm = dict[str, tuple[float, UnitSums]]


def contrast(strata: Mapping[str, Pair]) -> Contrast:
    """Compare the arms, by the formula as `herdbook.stats.cells.contrast` gives it.

    Args:
        strata: sums by stratum, such as the stages of a ramp; none or empty ones give no evidence.

    Example:
        >>> low, high = {1: (1, 0.2), 2: (2, 0.6)}, {3: (1, 0.5), 4: (1, 0.7)}
        >>> round(contrast({"10 %": Pair(UnitSums(low), UnitSums(high))}).difference, 3)
        0.333
    """
    weights = {name: pair.weight for name, pair in strata.items() if pair.weight}
    whole = math.fsum(weights.values())
    if not whole:
        return Contrast(math.nan, math.inf, math.nan, math.nan, 0.0)
    shares = {name: weight / whole for name, weight in weights.items()}
    control = {name: (share, strata[name].control) for name, share in shares.items()}
    treatment = {name: (share, strata[name].treatment) for name, share in shares.items()}
    means = _mean(control), _mean(treatment)
    units = min(_units(control), _units(treatment))
    error = _error(_residuals(control), _residuals(treatment))
    return Contrast(means[1] - means[0], error, *means, units)


def _mean(arm: _Arm) -> float:
    return math.fsum(share * sums.mean for share, sums in arm.values())


def _units(arm: _Arm) -> float:
    return sum((sums for _, sums in arm.values()), start=UnitSums()).effective_units


def _residuals(arm: _Arm) -> dict[int, float]:
    residuals: dict[int, float] = {}
    for share, sums in arm.values():
        mean, units = sums.mean, len(sums.cells)
        scale = share / sums.values * math.sqrt(units / (units - 1))
        for cell, (count, total) in sums.cells.items():
            off = total - count * mean
            if abs(off) > _ROUNDING * (abs(total) + abs(count * mean)):
                residuals[cell] = residuals.get(cell, 0.0) + scale * off
    return residuals


def _error(control: dict[int, float], treatment: dict[int, float]) -> float:
    one, two = (math.fsum([off * off for off in arm.values()]) for arm in (control, treatment))
    if not one or not two:
        return math.inf
    both = math.fsum([off * treatment.get(cell, 0.0) for cell, off in control.items()])
    return math.sqrt(one + two - 2 * min(0.0, both))
