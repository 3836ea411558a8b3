"""Whether two samples of vectors are of one distribution: a kernel's view and a classifier's.

Needs numpy. Rabanser, Günnemann and Lipton, "Failing loudly: an empirical study of methods for
detecting dataset shift", NeurIPS 2019, compare both.
"""

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from herdbook.errors import Invalid
from herdbook.stats.normal import cdf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MMD_SAMPLE: Final = 1_000
PERMUTATIONS: Final = 499
LEAST: Final = 20
_FOLDS: Final = 5
# What the variance of a part is multiplied by for that of their mean: 1/k + test/training.
_TOGETHER: Final = 1 / _FOLDS + 1 / (_FOLDS - 1)
# Directions of the most spread that a classifier sees; their squares beside them.
_DIRECTIONS: Final = 24
_STEPS: Final = 12
_RIDGE: Final = 1.0
_BLOCK: Final = 100


class Discrepancy(NamedTuple):
    """What the kernel says.

    Args:
        squared: about 0, also below, when nothing changed.
        p: how likely as much is when nothing changed.
    """

    squared: float
    p: float


class Separation(NamedTuple):
    """What the classifier says.

    Args:
        auc: the chance that it ranks a current vector above one of the reference.
        error: the standard error of that.
        p: how likely as large an AUC is when nothing changed.
    """

    auc: float
    error: float
    p: float


def mmd(
    reference: "NDArray[Any]",
    current: "NDArray[Any]",
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Discrepancy:
    """The squared maximum mean discrepancy, unbiased, with a permutation test.

    `mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`, pairs of a vector with itself left out, with
    `k(a, b) = exp(-|a - b|^2 / (2 s^2))` and s the median distance in the joined sample. Larger
    samples are thinned evenly to 1,000 each.

    Args:
        reference: shape (n, dimensions), finite.
        current: shape (m, dimensions), finite.
        permutations: of the joined sample; the least p-value is one by one more than these.
        seed: of the permutations.

    Raises:
        Invalid: fewer than 20 vectors on one side, other dimensions, or something infinite.

    Reference: Gretton, Borgwardt, Rasch, Schölkopf and Smola, "A kernel two-sample test", Journal
    of Machine Learning Research 13 (2012), lemma 6.
    """
    import numpy as np

    one, two = (_thinned(rows, MMD_SAMPLE) for rows in _checked(reference, current))
    n, every = len(one), np.concatenate([one, two])
    squares = _square_distances(every)
    width = _bandwidth(squares)
    kernel = np.exp(squares / (-2 * width * width))
    np.fill_diagonal(kernel, 0.0)
    rng = np.random.default_rng(seed)
    observed = float(_statistics(kernel, np.arange(len(every))[None, :n])[0])
    above = 0
    for begin in range(0, permutations, _BLOCK):
        number = min(_BLOCK, permutations - begin)
        drawn = np.stack([rng.permutation(len(every))[:n] for _ in range(number)])
        # Equal up to rounding is as large.
        above += int((_statistics(kernel, drawn) >= observed - 1e-12).sum())
    return Discrepancy(observed, (1 + above) / (1 + permutations))


def domain_classifier(
    reference: "NDArray[Any]", current: "NDArray[Any]", *, seed: int = 0
) -> Separation:
    """How well a classifier that has not seen them tells vectors of both sides apart.

    A logistic regression (Newton's steps, ridge 1) on the joined sample's first 24 principal
    directions, standardised, and their squares, so that it sees moves and changes of spread. Five
    parts in turn are ranked by what was learned of the other four; the AUC is the mean of the
    parts', its error is from DeLong's variance and the p-value from the normal distribution and
    `chance_error`, both with the correction of Nadeau and Bengio for parts that hang together.

    Args:
        reference: shape (n, dimensions), finite.
        current: shape (m, dimensions), finite.
        seed: of the parts.

    Raises:
        Invalid: as for `mmd`.

    Reference: Rabanser et al. (2019), section 3; Lopez-Paz and Oquab, "Revisiting classifier
    two-sample tests", ICLR 2017; DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988).
    """
    import numpy as np

    one, two = _checked(reference, current)
    features = _features(np.concatenate([one, two]))
    rng = np.random.default_rng(seed)
    fold = np.concatenate([rng.permutation(len(rows)) % _FOLDS for rows in (one, two)])
    label = np.repeat([0.0, 1.0], [len(one), len(two)])
    found = []
    for at in range(_FOLDS):
        held = fold == at
        weights = logistic(features[~held], label[~held])
        scores = features[held] @ weights[1:]
        found.append(_auc(scores[label[held] == 0], scores[label[held] == 1]))
    auc = math.fsum(each[0] for each in found) / _FOLDS
    variance = math.fsum(each[1] for each in found) / _FOLDS
    p = cdf((0.5 - auc) / chance_error(len(one), len(two)))
    return Separation(auc, math.sqrt(variance * _TOGETHER), p)


def chance_error(n: int, m: int) -> float:
    """The standard error of the domain classifier's AUC when nothing changed, rather too large.

    `sqrt((n + m + 1) / (12 n m))` of Mann and Whitney's statistic, times 1.5, since the parts are
    not independent: each is ranked by what was learned of the others. The AUC strays 1.36 to 1.46
    times as far as that of independent parts (simulated).

    Reference: Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52
    (2003).
    """
    return math.sqrt((n + m + 1) / (12 * n * m) * _FOLDS * _TOGETHER)


def logistic(
    features: "NDArray[np.float64]", label: "NDArray[np.float64]", *, ridge: float = _RIDGE
) -> "NDArray[np.float64]":
    """Fit a logistic regression: intercept first, then a weight for each feature.

    Minimises `sum log(1 + exp(-(2 y - 1) (a + x w))) + ridge |w|^2 / 2` by Newton's method, halving
    a step that makes it worse.

    Args:
        features: shape (n, features), about standardised.
        label: 0 or 1, shape (n,).
        ridge: above 0; the intercept is not held back.

    Reference: Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning" (2009), 4.4.
    """
    import numpy as np

    design = np.column_stack([np.ones(len(features)), features])
    held = np.full(design.shape[1], ridge)
    held[0] = 0.0
    sign = 2 * label - 1

    def loss(at: "NDArray[np.float64]") -> float:
        return float(np.logaddexp(0, -sign * (design @ at)).sum() + (held * at * at).sum() / 2)

    weights = np.zeros(design.shape[1])
    best = loss(weights)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        slope = design.T @ (chance - label) + held * weights
        bend = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(held + 1e-9)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while size > 1e-4 and loss(weights - size * step) > best:
            size /= 2
        weights = weights - size * step
        before, best = best, loss(weights)
        if before - best < 1e-9 * (1 + best):
            break
    return weights


def _checked(
    reference: "NDArray[Any]", current: "NDArray[Any]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    import numpy as np

    one, two = (np.asarray(rows, dtype=np.float64) for rows in (reference, current))
    if one.ndim != 2 or two.ndim != 2 or one.shape[1] != two.shape[1] or not one.shape[1]:
        raise Invalid(
            f"vectors of shapes {one.shape} and {two.shape} cannot be compared; both must be "
            "(vectors, dimensions) with the same dimensions"
        )
    if min(len(one), len(two)) < LEAST:
        raise Invalid(
            f"{len(one)} and {len(two)} vectors are too few to compare; give {LEAST} of each"
        )
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise Invalid("some vectors hold NaN or infinity; leave those out")
    # Brought to about 1, so that squares of large numbers stay finite; nothing else depends on it.
    scale = max(float(np.abs(one).max()), float(np.abs(two).max())) or 1.0
    return one / scale, two / scale


def _thinned(rows: "NDArray[np.float64]", most: int) -> "NDArray[np.float64]":
    import numpy as np

    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _square_distances(rows: "NDArray[np.float64]") -> "NDArray[np.float64]":
    import numpy as np

    # About the middle: what is large and the same for all would swallow the differences.
    rows = rows - rows.mean(axis=0)
    norms = np.square(rows).sum(axis=1)
    found: NDArray[np.float64] = norms[:, None] + norms[None, :] - 2 * (rows @ rows.T)
    return np.maximum(found, 0.0, out=found)


def _bandwidth(squares: "NDArray[np.float64]") -> float:
    import numpy as np

    pairs = squares[np.triu_indices(len(squares), 1)]
    # Where most vectors are the same the median is 0; then that of those that differ.
    middle = float(np.median(pairs)) or float(np.mean(pairs)) or 1.0
    return math.sqrt(middle)


def _statistics(
    kernel: "NDArray[np.float64]", chosen: "NDArray[np.int64]"
) -> "NDArray[np.float64]":
    """The unbiased statistic where the chosen rows are the one side; shape (choices,)."""
    import numpy as np

    whole, n = len(kernel), chosen.shape[1]
    m = whole - n
    marks = np.zeros((whole, len(chosen)))
    np.put_along_axis(marks, chosen.T, 1.0, axis=0)
    within = (marks * (kernel @ marks)).sum(axis=0)
    across = kernel.sum(axis=1) @ marks - within
    rest = kernel.sum() - 2 * across - within
    found: NDArray[np.float64] = (
        within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m)
    )
    return found


def _features(rows: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """The principal directions, standardised, and their squares; sides are not looked at."""
    import numpy as np

    rows = rows - rows.mean(axis=0)
    spread = rows.std(axis=0)
    kept = rows[:, spread > 1e-12] / spread[spread > 1e-12]
    if not kept.shape[1]:
        return np.zeros((len(rows), 1))
    if kept.shape[1] > _DIRECTIONS:
        kept = _principal(kept)
    kept = kept / np.maximum(kept.std(axis=0), 1e-12)
    # One far vector shall not be all that the squares tell of.
    squares = np.square(np.clip(kept, -4, 4))
    squares = (squares - squares.mean(axis=0)) / np.maximum(squares.std(axis=0), 1e-12)
    return np.column_stack([kept, squares])


def _principal(rows: "NDArray[np.float64]") -> "NDArray[np.float64]":
    import numpy as np

    wide = rows.shape[1] > len(rows)
    _, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    first = vectors[:, ::-1][:, :_DIRECTIONS]
    found: NDArray[np.float64] = rows @ (rows.T @ first) if wide else rows @ first
    return found


def _auc(below: "NDArray[np.float64]", above: "NDArray[np.float64]") -> tuple[float, float]:
    """The AUC, ties as half, and its variance."""
    import numpy as np

    n, m = len(below), len(above)
    ordered, other = np.sort(below), np.sort(above)
    lower = (np.searchsorted(ordered, above, "left") + np.searchsorted(ordered, above, "right")) / (
        2 * n
    )
    upper = 1 - (np.searchsorted(other, below, "left") + np.searchsorted(other, below, "right")) / (
        2 * m
    )
    variance = float(lower.var(ddof=1)) / m + float(upper.var(ddof=1)) / n
    return float(lower.mean()), variance
