"""Say which columns of a file drifted: far enough to matter, and more than chance brings.

In large files the least difference is significant, in small ones large distances come by chance. So
a column drifts only when its distance reaches a threshold *and* its p-value, after Holm's
correction over all that is tested, is below 0.01. Where there are too few values for the threshold
to be told from chance, that is said instead. Rows are taken to be independent of one another.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from herdbook.core.checking import (
    ColumnCheck,
    Counted,
    Form,
    Limits,
    Pair,
    Shape,
    Verdict,
)
from herdbook.core.drift import Moved
from herdbook.stats import distances, embeddings, holm
from herdbook.stats.normal import cdf

# Of two normal distributions, with KS = 0.1 an AUC of 0.57: its slope by the shift is 0.7 of KS's.
_AUC_BY_KS: Final = 0.7
_MOST_MOVED: Final = 5
_LEAST_MOVED: Final = 0.01
# Fewer expected in a bin, and the chi-square distribution is no good guide.
_EXPECTED: Final = 5
_NAMES: Final = {Form.NUMERIC: "KS", Form.CATEGORICAL: "JS", Form.EMBEDDING: "AUC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tested:
    """What was computed of a column before all p-values are known.

    Args:
        said: the column's figures.
        p: of the distance, or None.
        missing_p: of the change of the missing share, or None.
        least_p: what the p-value would be of a distance just at the threshold.
    """

    said: ColumnCheck
    p: float | None
    missing_p: float | None
    least_p: float = 1.0


def judged(pairs: Sequence[Pair], *, limits: Limits) -> tuple[ColumnCheck, ...]:
    """Say of each column whether it drifted; those that did come first, then by distance."""
    tested = [_tested(pair, limits) for pair in pairs]
    ps = [p for each in tested for p in (each.p, each.missing_p) if p is not None]
    found = iter(holm.adjusted(ps))
    said = []
    for each in tested:
        p = None if each.p is None else next(found)
        missing_p = None if each.missing_p is None else next(found)
        said.append(_verdict(each, p, missing_p, limits, len(ps)))
    ranks = {Verdict.DRIFT: 0, Verdict.STABLE: 1, Verdict.INSUFFICIENT: 2}
    return tuple(
        sorted(said, key=lambda s: (ranks[s.verdict], -(s.distance or 0) / s.threshold, s.column))
    )


def threshold_of(form: Form, limits: Limits) -> float:
    """The least distance of a column that is drift: of an embedding the AUC, 0.57 for 0.1."""
    if form is Form.EMBEDDING:
        return min(0.5 + _AUC_BY_KS * limits.threshold, 0.99)
    return limits.threshold


def _tested(pair: Pair, limits: Limits) -> _Tested:
    one, two = pair.reference, pair.current
    said = ColumnCheck(
        column=pair.column,
        form=pair.bins.form,
        verdict=Verdict.INSUFFICIENT,
        why="",
        threshold=threshold_of(pair.bins.form, limits),
        # A thousand counts of every column would be most of a report, and tell nobody anything.
        reference=replace(one, counts=()),
        current=replace(two, counts=()),
    )
    missing_p = None
    rows = [(each.values, each.missing) for each in (one, two)]
    if (one.missing or two.missing) and min(map(sum, rows)) >= limits.least:
        missing_p = distances.chi_square(*rows).p
    if min(one.values, two.values) < limits.least:
        return _Tested(said=said, p=None, missing_p=missing_p)
    measure: Callable[[Pair, ColumnCheck], _Tested] = {
        Form.NUMERIC: _numbers,
        Form.CATEGORICAL: _categories,
        Form.EMBEDDING: _vectors,
    }[pair.bins.form]
    return replace(measure(pair, said), missing_p=missing_p)


def _numbers(pair: Pair, said: ColumnCheck) -> _Tested:
    one, two = pair.reference, pair.current
    ks = distances.ks(one.counts, two.counts)
    shape = _numeric_shape(pair)
    said = replace(
        said,
        distance=ks,
        ks=ks,
        psi=distances.psi(one.counts, two.counts),
        js=distances.js(one.counts, two.counts),
        wasserstein=_wasserstein(pair),
        shape=shape,
        moved=_moved(shape),
    )
    p = distances.ks_p_value(ks, one.values, two.values)
    least = distances.ks_p_value(said.threshold, one.values, two.values)
    return _Tested(said=said, p=p, missing_p=None, least_p=least)


def _wasserstein(pair: Pair) -> float | None:
    one, two = pair.reference, pair.current
    low = min(side.low for side in (one, two) if side.low is not None)
    high = max(side.high for side in (one, two) if side.high is not None)
    moved = distances.wasserstein(pair.bins.edges, low, high, one.counts, two.counts)
    found = moved / one.sd if one.sd else math.inf
    return found if math.isfinite(found) else None


def _categories(pair: Pair, said: ColumnCheck) -> _Tested:
    one, two = pair.reference, pair.current
    js = distances.js(one.counts, two.counts)
    square = distances.chi_square(*_pooled(one, two))
    shape = _categorical_shape(pair)
    said = replace(
        said,
        distance=js,
        js=js,
        psi=distances.psi(one.counts, two.counts),
        chi_square=square.statistic / square.degrees if square.degrees else 0.0,
        shape=shape,
        moved=_moved(shape),
    )
    # The likelihood ratio statistic of a divergence, in nats, of as many values.
    worth = 4 / (1 / one.values + 1 / two.values)
    at_least = 2 * math.log(2) * said.threshold**2 * worth
    least = distances.chi_square_tail(at_least, max(1, square.degrees))
    return _Tested(said=said, p=square.p, missing_p=None, least_p=least)


def _pooled(one: Counted, two: Counted) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Join the bins of which fewer than five are expected on one side."""
    share = min(one.values, two.values) / (one.values + two.values)
    kept: list[tuple[int, int]] = []
    rare = [0, 0]
    for a, b in zip(one.counts, two.counts, strict=True):
        if (a + b) * share >= _EXPECTED:
            kept.append((a, b))
        else:
            rare = [rare[0] + a, rare[1] + b]
    every = [*kept, (rare[0], rare[1])]
    return tuple(a for a, _ in every), tuple(b for _, b in every)


def _vectors(pair: Pair, said: ColumnCheck) -> _Tested:
    apart = pair.apart
    if apart is None:
        return _Tested(said=said, p=None, missing_p=None)
    least = cdf((0.5 - said.threshold) / embeddings.chance_error(*apart.sampled))
    said = replace(said, distance=apart.auc, apart=apart)
    return _Tested(said=said, p=apart.auc_p, missing_p=None, least_p=least)


def _verdict(
    each: _Tested, p: float | None, missing_p: float | None, limits: Limits, tests: int
) -> ColumnCheck:
    said = replace(each.said, p_value=p, missing_p_value=missing_p)
    reasons = [*_distance_reason(said, limits), *_missing_reason(said, limits)]
    if reasons:
        return replace(said, verdict=Verdict.DRIFT, why="; ".join(reasons))
    one, two = said.reference.values, said.current.values
    if said.distance is None:
        why = f"{one:,} and {two:,} values; {limits.least} of each are needed"
        return replace(said, why=why)
    name, limit = _NAMES[said.form], f"{said.threshold:.3g}"
    if each.least_p * tests >= limits.significance:
        why = f"{one:,} and {two:,} values cannot tell {name} {limit} from chance"
        return replace(said, why=why)
    why = f"{name} {said.distance:.3g} is below {limit}"
    if said.distance >= said.threshold:
        why = f"{name} {said.distance:.3g} is not more than chance brings ({_p(p)})"
    elif p is not None and p < limits.significance:
        why += f"; a small change, though not by chance ({_p(p)})"
    return replace(said, verdict=Verdict.STABLE, why=why)


def _distance_reason(said: ColumnCheck, limits: Limits) -> list[str]:
    p, distance = said.p_value, said.distance
    if p is None or distance is None or p >= limits.significance or distance < said.threshold:
        return []
    name = _NAMES[said.form]
    return [f"{name} {distance:.3g} is at least {said.threshold:.3g} ({_p(p)})"]


def _missing_reason(said: ColumnCheck, limits: Limits) -> list[str]:
    before, now = said.reference.missing_share, said.current.missing_share
    p = said.missing_p_value
    if p is None or p >= limits.significance or abs(now - before) < limits.missing_jump:
        return []
    went = "rose" if now > before else "fell"
    return [f"missing values {went} from {before:.1%} to {now:.1%}"]


def _p(p: float | None) -> str:
    return "p < 0.0001" if p is not None and p < 1e-4 else f"p = {p:.2g}"


def _numeric_shape(pair: Pair) -> Shape:
    at = distances.cuts(pair.reference.counts)
    edges, most = pair.bins.edges, len(pair.bins.edges)
    ends = [edges[end] for end in at if end < most]
    high = max(each.high for each in (pair.reference, pair.current) if each.high is not None)
    labels = [f"up to {ends[0]:.4g}"] if ends else []
    labels += [f"{a:.4g} to {b:.4g}" for a, b in pairwise(ends)]
    if len(labels) < len(at):
        labels.append(f"above {ends[-1]:.4g}" if ends else "all")
        ends.append(max([high, *ends[-1:]]))
    one, two = (_shares(_cut(each.counts, at)) for each in (pair.reference, pair.current))
    return Shape(labels=tuple(labels), ends=tuple(ends), reference=one, current=two)


def _cut(counts: Sequence[int], at: Sequence[int]) -> list[int]:
    sums = list(accumulate(counts))
    return [b - a for a, b in pairwise([0, *(sums[end] for end in at)])]


def _categorical_shape(pair: Pair) -> Shape:
    """The categories that hold most on either side, all others together."""
    one, two = (_shares(each.counts) for each in (pair.reference, pair.current))
    named = range(len(pair.bins.categories))
    shown = sorted(named, key=lambda at: (-max(one[at], two[at]), at))[: distances.JOINED - 1]
    labels = [pair.bins.categories[at] for at in shown]
    sides = [[side[at] for at in shown] for side in (one, two)]
    rest = [max(0.0, 1 - math.fsum(side)) for side in sides]
    if max(rest) > 1e-9:
        labels.append("(all others)")
        sides = [[*side, more] for side, more in zip(sides, rest, strict=True)]
    return Shape(labels=tuple(labels), reference=tuple(sides[0]), current=tuple(sides[1]))


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    whole = sum(counts)
    return tuple(count / whole for count in counts)


def _moved(shape: Shape) -> tuple[Moved, ...]:
    every = [
        Moved(what=label, reference=before, current=now)
        for label, before, now in zip(shape.labels, shape.reference, shape.current, strict=True)
        if abs(before - now) >= _LEAST_MOVED
    ]
    every.sort(key=lambda each: -abs(each.reference - each.current))
    return tuple(every[:_MOST_MOVED])
