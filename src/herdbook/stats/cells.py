"""The difference of two arms' means, with an error that survives sticky units and a ramp.

A thousand users with twenty requests each are a thousand observations, not twenty thousand: what
counts is the sum of each unit, or of a cell of units (1,024 cells by hash). The variance of the
difference is bilinear in the cells' counts and sums. So the sums of their products are kept beside
the cells and brought up to date by what was added; to compare takes a few of them, not a walk over
every cell of every stratum, whatever was added before.

Values are counted from a `centre` that is fixed by the first ones, lest the difference of two huge
products leave no digits: a cell with a million values near 0.8 sums to some hundreds, not 800,000.
"""

import math
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import mul
from typing import Final

from herdbook.errors import Invalid

CELLS: Final = 1024
CONTROL: Final = "control"
# What sums of floats may be off by: a variance below it is none.
_ROUNDING: Final = 1e-12
_LARGEST: Final = 1e150

# What came by cell: the number of values, their sum, the sum of their squares.
Added = Mapping[int, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Treatment's mean minus control's, over all strata.

    Attributes:
        difference: NaN where no stratum has two units in both arms.
        standard_error: cluster-robust; infinite where `difference` is NaN, and also where all units
            of an arm agree: no variance seen is no proof of none.
        control: control's mean, its strata weighted like the difference.
        treatment: the same of the treatment.
        units: the effective number of units of the arm that has fewer, over all strata.
    """

    difference: float
    standard_error: float
    control: float
    treatment: float
    units: float


_NOTHING: Final = Contrast(math.nan, math.inf, math.nan, math.nan, 0.0)


@dataclass(frozen=True, slots=True)
class Column:
    """One arm in one stratum.

    Attributes:
        stratum: such as the stage of a ramp.
        arm: whose values these are.
        packed: base64 of 2,048 little-endian doubles: each cell's count, then each cell's sum of
            values less the centre.
        used: cells that hold a value.
        count: values in all.
        total: their sum, less the centre each.
        squares: the sum of their squares, less the centre each.
    """

    stratum: str
    arm: str
    packed: str
    used: int = 0
    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def variance(self) -> float:
        """The variance of single values, 0 of fewer than two."""
        if self.count < 2:
            return 0.0
        return max(0.0, self.squares / self.count - (self.total / self.count) ** 2)


@dataclass(frozen=True, slots=True)
class Products:
    """Sums over the cells of products of two columns' counts n and sums x."""

    nn: float = 0.0
    nx: float = 0.0
    xn: float = 0.0
    xx: float = 0.0

    def turned(self) -> "Products":
        """The same with the columns in the other order."""
        return Products(self.nn, self.xn, self.nx, self.xx)

    def residual(self, one: float, two: float) -> float:
        """The sum of products of what is left of x after n times the column's mean."""
        return self.xx - two * self.xn - one * self.nx + one * two * self.nn


@dataclass(frozen=True, slots=True)
class Running:
    """One metric of all arms in all strata; the value is to be kept between two looks.

    Attributes:
        centre: what values are counted from.
        columns: in the order in which they first came.
        products: of column j with each column up to itself, at j (j + 1) / 2 and after; zeros of
            two arms neither of which is the control, as nobody compares them.
    """

    centre: float
    columns: tuple[Column, ...] = ()
    products: tuple[Products, ...] = ()

    def of(self, arm: str) -> tuple[Column, ...]:
        """An arm's columns."""
        return tuple(column for column in self.columns if column.arm == arm)

    def values(self, arm: str) -> float:
        """How many values an arm has."""
        return sum(column.count for column in self.of(arm))

    def mean(self, arm: str) -> float:
        """An arm's mean over all strata; NaN of no value."""
        count = self.values(arm)
        total = math.fsum(column.total for column in self.of(arm))
        return self.centre + total / count if count else math.nan

    def deviation(self, arm: str) -> float:
        """Standard deviation of an arm's single values over all strata; NaN of no value."""
        count = self.values(arm)
        if not count:
            return math.nan
        mean = math.fsum(column.total for column in self.of(arm)) / count
        squares = math.fsum(column.squares for column in self.of(arm))
        return math.sqrt(max(0.0, squares / count - mean * mean))

    def between(self, one: int, two: int) -> Products:
        """The products of two columns by their places."""
        if one > two:
            return self.products[one * (one + 1) // 2 + two]
        return self.products[two * (two + 1) // 2 + one].turned()


def added(running: Running | None, stratum: str, arm: str, cells: Added) -> Running:
    """Add what came of one arm in one stratum: a pure function.

    Cells are taken in the order of their numbers, so that equal sums give equal results.

    Args:
        running: what there is, or None for nothing.
        stratum: where it came, such as the stage of a ramp.
        arm: whose values they are.
        cells: by cell, 0 to 1,023, the number of values, at least 0, their sum and the sum of
            their squares; finite, and at most 1e150.

    Raises:
        Invalid: a cell or number is outside its range.
    """
    places = sorted(cell for cell, values in cells.items() if values[0])
    rows = [cells[cell] for cell in places]
    _check(places, rows)
    counts = [float(row[0]) for row in rows]
    sums = [row[1] for row in rows]
    number, whole = math.fsum(counts), math.fsum(sums)
    if not number:
        return running or Running(0.0)
    running = running or Running(whole / number)
    at, running = _placed(running, stratum, arm)
    centre = running.centre
    offs = [total - centre * count for total, count in zip(sums, counts, strict=True)]
    vectors = _unpacked(running.columns[at].packed)
    products = _products(running, at, vectors, (places, counts, offs))
    before = running.columns[at]
    used = sum(1 for place in places if not vectors[place])
    for place, count, off in zip(places, counts, offs, strict=True):
        vectors[place] += count
        vectors[CELLS + place] += off
    squares = math.fsum(row[2] for row in rows) - centre * (2 * whole - centre * number)
    column = replace(
        before,
        packed=_packed(vectors),
        used=before.used + used,
        count=before.count + number,
        total=before.total + math.fsum(offs),
        squares=before.squares + max(0.0, squares),
    )
    columns = (*running.columns[:at], column, *running.columns[at + 1 :])
    return Running(centre, columns, products)


def contrast(running: Running, treatment: str) -> Contrast:
    """Compare an arm with the control within each stratum and pool the differences.

    With stratum weights `w[s]` proportional to `nC nT / (nC + nT)` and summing to 1, and sums
    `(n, x)` of unit (or cell) u, stratum s and arm a:

        difference   d = sum over s of w[s] (mean[s, T] - mean[s, C])
        residual     r[u, a] = sum over s of w[s] (x - n mean[s, a]) / N[s, a] sqrt(G / (G - 1))
        variance     V = sum over u of r[u, T]^2 + r[u, C]^2 - 2 min(0, sum of r[u, T] r[u, C])

    with G units in stratum s and arm a. A unit that comes in several strata counts once, so its
    values may depend on one another in any way. That a unit was in both arms is allowed for where
    it makes the difference less certain, and never where more. With one stratum and one value a
    unit, V is Welch's `var(C) / nC + var(T) / nT`. Pooling strata before comparing would let a ramp
    that meets a drift in the base rate pass for an effect. Strata in which an arm has fewer than
    two cells count for nothing.

    Reference: Liang and Zeger, "Longitudinal data analysis using generalized linear models",
    Biometrika 73 (1986), for the clusters; Mantel and Haenszel (1959) for the weights.
    """
    pairs = _pairs(running, treatment)
    whole = math.fsum(weight for weight, _, _ in pairs)
    if not whole:
        return _NOTHING
    one = [(weight / whole, place) for weight, place, _ in pairs]
    two = [(weight / whole, place) for weight, _, place in pairs]
    means = _mean(running, one), _mean(running, two)
    units = min(_units(running, one), _units(running, two))
    variances = _residual(running, one, one), _residual(running, two, two)
    error = math.inf
    if min(variances) > 0:
        error = math.sqrt(math.fsum(variances) - 2 * min(0.0, _residual(running, one, two)))
    return Contrast(means[1] - means[0], error, *means, units)


def design_effect(running: Running, arm: str) -> float:
    """How many of an arm's values are worth one independent value, at least 1.

    The cluster-robust variance of the mean divided by the one of independent values, the strata
    weighted by their values. 1 where nothing can be told.
    """
    robust = alone = 0.0
    for at, column in enumerate(running.columns):
        if column.arm == arm and column.used > 1:
            mean = column.total / column.count
            sums = running.between(at, at).residual(mean, mean)
            robust += sums * column.used / (column.used - 1)
            alone += column.count * column.variance()
    return max(1.0, robust / alone) if alone > 0 else 1.0


def _check(places: list[int], rows: list[Sequence[float]]) -> None:
    if places and (places[0] < 0 or places[-1] >= CELLS):
        raise Invalid(f"There are cells 0 to {CELLS - 1}, not {places[0]} to {places[-1]}.")
    for count, total, squares in rows:
        if not (0 < count < math.inf and abs(total) <= _LARGEST and 0 <= squares < math.inf):
            raise Invalid(
                f"A cell has at least 1 value, a sum of at most 1e150 and a sum of squares of at "
                f"least 0, not {count}, {total}, {squares}."
            )


def _placed(running: Running, stratum: str, arm: str) -> tuple[int, Running]:
    """Where a column is, and the sums with it."""
    for at, column in enumerate(running.columns):
        if column.stratum == stratum and column.arm == arm:
            return at, running
    at = len(running.columns)
    empty = Column(stratum, arm, _packed(array("d", bytes(16 * CELLS))))
    products = (*running.products, *(Products() for _ in range(at + 1)))
    return at, Running(running.centre, (*running.columns, empty), products)


def _products(
    running: Running,
    at: int,
    own: "array[float]",
    came: tuple[list[int], list[float], list[float]],
) -> tuple[Products, ...]:
    """The products after something came to a column that still holds `own`."""
    places, counts, offs = came
    products = list(running.products)
    arm = running.columns[at].arm
    for other, column in enumerate(running.columns):
        if arm != column.arm and CONTROL not in (arm, column.arm):
            continue
        held = own if other == at else _unpacked(column.packed)
        n = [held[place] for place in places]
        x = [held[CELLS + place] for place in places]
        more = Products(_sum(counts, n), _sum(counts, x), _sum(offs, n), _sum(offs, x))
        old = running.between(at, other)
        if other == at:
            crossed = old.nx + more.nx + more.xn + _sum(counts, offs)
            new = Products(
                old.nn + 2 * more.nn + _sum(counts, counts),
                crossed,
                crossed,
                old.xx + 2 * more.xx + _sum(offs, offs),
            )
        else:
            new = Products(old.nn + more.nn, old.nx + more.nx, old.xn + more.xn, old.xx + more.xx)
        high, low = max(at, other), min(at, other)
        products[high * (high + 1) // 2 + low] = new if at == high else new.turned()
    return tuple(products)


def _sum(one: list[float], two: list[float]) -> float:
    return float(sum(map(mul, one, two)))


def _pairs(running: Running, treatment: str) -> list[tuple[float, int, int]]:
    """By stratum that has both arms: its weight, and where their columns are."""
    places = {(column.stratum, column.arm): at for at, column in enumerate(running.columns)}
    found = []
    for (stratum, arm), one in sorted(places.items()):
        two = places.get((stratum, treatment))
        if arm == CONTROL and two is not None:
            first, second = running.columns[one], running.columns[two]
            if min(first.used, second.used) > 1:
                weight = first.count * second.count / (first.count + second.count)
                found.append((weight, one, two))
    return found


# An arm: each stratum's share of the weight, and the place of its column.
_Arm = list[tuple[float, int]]


def _mean(running: Running, arm: _Arm) -> float:
    off = math.fsum(
        share * running.columns[at].total / running.columns[at].count for share, at in arm
    )
    return running.centre + off


def _units(running: Running, arm: _Arm) -> float:
    number: float = sum(running.columns[at].count for _, at in arm)
    squares: float = sum(running.between(one, two).nn for _, one in arm for _, two in arm)
    return number * number / squares


def _residual(running: Running, one: _Arm, two: _Arm) -> float:
    """The sum over units of the product of two arms' residuals; 0 where it is but rounding."""
    terms, sizes = [], []
    for share, at in one:
        first = running.columns[at]
        for other_share, other in two:
            second = running.columns[other]
            scale = _scale(share, first) * _scale(other_share, second)
            means = first.total / first.count, second.total / second.count
            products = running.between(at, other)
            terms.append(scale * products.residual(*means))
            level = (abs(running.centre) + abs(means[0])) * (abs(running.centre) + abs(means[1]))
            size = abs(products.xx) + abs(means[0] * means[1]) * products.nn
            # Rounding of the values themselves, and of the products' differences.
            sizes.append(scale * (_ROUNDING**2 * level * products.nn + 1e-15 * size))
    found = math.fsum(terms)
    return found if abs(found) > math.fsum(sizes) else 0.0


def _scale(share: float, column: Column) -> float:
    return share / column.count * math.sqrt(column.used / (column.used - 1))


def _packed(vectors: "array[float]") -> str:
    if sys.byteorder == "big":
        vectors = array("d", vectors)
        vectors.byteswap()
    return b64encode(vectors.tobytes()).decode("ascii")


def _unpacked(packed: str) -> "array[float]":
    vectors = array("d")
    vectors.frombytes(b64decode(packed))
    if sys.byteorder == "big":
        vectors.byteswap()
    return vectors
