"""Checks of files: whether the columns of one still look like those of another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from herdbook.core.drift import Moved
from herdbook.core.references import BINS
from herdbook.errors import Invalid

THRESHOLD: Final = 0.1
# A column drifts only when chance brings as much in fewer than one of a hundred checks.
SIGNIFICANCE: Final = 0.01
MISSING_JUMP: Final = 0.05
LEAST_VALUES: Final = 30


class Form(StrEnum):
    """What a column is made of."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    EMBEDDING = "embedding"


class Verdict(StrEnum):
    """What is said of a column."""

    DRIFT = "drift"
    STABLE = "stable"
    INSUFFICIENT = "insufficient_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From when on a column is said to have drifted: both must be so.

    Args:
        threshold: the distance: of Kolmogorov and Smirnov for numbers, of Jensen and Shannon for
            categories; of embeddings it makes the AUC, see `services.checking`.
        significance: the p-value, after Holm's correction over all that is tested.
        missing_jump: by how much the share of missing values must change.
        least: how many values there must be on either side.
        bins: at most so many for numbers.
    """

    threshold: float = THRESHOLD
    significance: float = SIGNIFICANCE
    missing_jump: float = MISSING_JUMP
    least: int = LEAST_VALUES
    bins: int = BINS

    def __post_init__(self) -> None:
        """Refuse what is no share, Invalid."""
        for name in ("threshold", "significance", "missing_jump"):
            found = getattr(self, name)
            if not 0 < found < 1:
                raise Invalid(f"{name} is {found!r:.30}; it must lie between 0 and 1", field=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """How values of a column are counted.

    Args:
        form: numbers or categories.
        edges: of numbers, as those of `core.references.Reference`.
        categories: the most frequent ones of the reference, most frequent first; one bin more is
            that of all others.
    """

    form: Form
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a column of one file holds.

    Args:
        values: that are there.
        missing: that are NaN, infinite or nothing.
        counts: of the values, by bin; of embeddings and in a report none.
        mean: of numbers, None where there are none or they are too large to be added.
        sd: their standard deviation, divided by n.
        low: the smallest.
        high: the largest.
    """

    values: int
    missing: int
    counts: tuple[int, ...]
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def missing_share(self) -> float:
        """The share of missing ones; 0 of nothing."""
        return self.missing / max(1, self.values + self.missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far apart two samples of vectors are, see `stats.embeddings`.

    Args:
        dimensions: of the vectors.
        sampled: how many vectors of each side were looked at.
        auc: how well a classifier tells the sides apart: 0.5 not at all, 1 always.
        auc_error: its standard error.
        auc_p: how likely as large an AUC is when nothing changed.
        mmd: the squared maximum mean discrepancy, unbiased: about 0 when nothing changed.
        mmd_p: how likely as large a discrepancy is when nothing changed.
    """

    dimensions: int
    sampled: tuple[int, int]
    auc: float
    auc_error: float
    auc_p: float
    mmd: float
    mmd_p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A column of both files, counted in the same bins.

    Args:
        column: its name.
        bins: those of the reference.
        reference: counts of it.
        current: counts of now.
        apart: of embeddings with vectors enough, else None.
    """

    column: str
    bins: Bins
    reference: Counted
    current: Counted
    apart: Apart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The distribution of a column on both sides, in few bins, to be drawn.

    Args:
        labels: of the bins.
        ends: of numbers: where each bin ends, the last one at the largest value; else empty.
        reference: shares.
        current: shares.
    """

    labels: tuple[str, ...] = ()
    ends: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()
    current: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnCheck:
    """What is said of one column.

    Args:
        column: its name.
        form: what it is made of.
        verdict: what is said.
        why: in words.
        distance: what is compared with the threshold, None where nothing could be said.
        threshold: of this column.
        p_value: of the distance, after Holm's correction.
        reference: of the reference.
        current: of now.
        missing_p_value: of the change of the missing share, after Holm's correction.
        ks: the Kolmogorov-Smirnov distance of numbers.
        psi: the population stability index, in nats.
        js: the Jensen-Shannon distance.
        wasserstein: of numbers, in standard deviations of the reference.
        chi_square: of categories: the statistic by its degrees of freedom.
        apart: of embeddings.
        moved: the bins that moved most, most first.
        shape: both distributions.
    """

    column: str
    form: Form
    verdict: Verdict
    why: str
    distance: float | None = None
    threshold: float
    p_value: float | None = None
    reference: Counted
    current: Counted
    missing_p_value: float | None = None
    ks: float | None = None
    psi: float | None = None
    js: float | None = None
    wasserstein: float | None = None
    chi_square: float | None = None
    apart: Apart | None = None
    moved: tuple[Moved, ...] = ()
    shape: Shape = field(default_factory=Shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What is said of two files.

    Args:
        reference: the name of the one.
        current: the name of the other.
        drifted: the names of the columns that did.
        columns: those that were compared, drifted ones first, then by distance.
        left_out: by column, why it was not compared.
        only_reference: columns that the current file does not have.
        only_current: columns that the reference does not have.
        limits: what was asked for.
    """

    reference: str
    current: str
    drifted: tuple[str, ...]
    columns: tuple[ColumnCheck, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    only_reference: tuple[str, ...] = ()
    only_current: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
