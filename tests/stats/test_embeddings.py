"""MMD and the domain classifier against scikit-learn, and how often they are wrong."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances, roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel

from herdbook.errors import Invalid
from herdbook.stats import embeddings
from herdbook.stats.embeddings import domain_classifier, logistic, mmd


def vectors(seed: int, *, count: int = 200, dimensions: int = 6) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, dimensions))


def test_mmd_is_the_unbiased_statistic_of_scikit_learns_kernel() -> None:
    one, two = vectors(1), vectors(2, count=150) + 0.3
    every = np.concatenate([one, two])
    apart = pairwise_distances(every)[np.triu_indices(len(every), 1)]
    kernel = rbf_kernel(every, gamma=1 / (2 * np.median(apart) ** 2))
    n, m = len(one), len(two)
    within = (kernel[:n, :n].sum() - n) / (n * (n - 1)) + (kernel[n:, n:].sum() - m) / (m * (m - 1))

    found = mmd(one, two)

    assert found.squared == pytest.approx(within - 2 * kernel[:n, n:].mean(), abs=1e-9)


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    features = vectors(3, count=400)
    label = (features[:, 0] + vectors(4, count=400)[:, 0] > 0).astype(float)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=1_000).fit(features, label)

    found = logistic(features, label)

    assert found[0] == pytest.approx(theirs.intercept_[0], abs=1e-5)
    assert found[1:] == pytest.approx(theirs.coef_[0], abs=1e-5)


def test_the_auc_is_that_of_scikit_learn_with_ties_as_half() -> None:
    rng = np.random.default_rng(5)
    below, above = rng.integers(0, 9, 80), rng.integers(2, 11, 60)
    label = np.repeat([0, 1], [80, 60])

    found, _ = embeddings._auc(below.astype(float), above.astype(float))

    assert found == pytest.approx(roc_auc_score(label, np.concatenate([below, above])))


def test_logistic_regression_holds_where_the_sides_are_told_apart_always() -> None:
    features = np.concatenate([vectors(1) - 50, vectors(2) + 50])

    found = logistic(features, np.repeat([0.0, 1.0], 200))

    assert np.isfinite(found).all()


def test_nothing_is_found_where_nothing_changed() -> None:
    found = [domain_classifier(vectors(at), vectors(1_000 + at)) for at in range(200)]
    tested = [
        mmd(vectors(at, count=60), vectors(1_000 + at, count=60), permutations=99)
        for at in range(200)
    ]

    # At 5 %: 10 of 200 on average; more than 20 come once in a thousand times.
    assert sum(each.p < 0.05 for each in found) <= 20
    assert sum(each.p < 0.05 for each in tested) <= 20
    assert np.mean([each.auc for each in found]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("moved", ["mean", "spread"])
def test_a_change_is_found(moved: str) -> None:
    one, two = vectors(1, count=600), vectors(2, count=600)
    two = two + 0.4 if moved == "mean" else two * 1.5

    kernel, classifier = mmd(one, two), domain_classifier(one, two)

    assert kernel.p == 0.002
    assert classifier.auc > 0.6
    assert classifier.p < 1e-4
    assert 0 < classifier.error < 0.05


def test_the_error_is_how_far_the_auc_strays() -> None:
    found = [domain_classifier(vectors(at), vectors(500 + at) + 0.3) for at in range(60)]

    spread = np.std([each.auc for each in found])

    # Rather too large than too small.
    assert 0.9 * spread < np.mean([each.error for each in found]) < 2 * spread


def test_more_dimensions_than_vectors_do_no_harm() -> None:
    one, two = vectors(1, count=60, dimensions=768), vectors(2, count=60, dimensions=768) + 0.5

    assert domain_classifier(one, two).auc > 0.8
    assert domain_classifier(one, vectors(3, count=60, dimensions=768)).auc < 0.65
    assert mmd(one, two).p == 0.002


def test_it_is_the_same_each_time() -> None:
    one, two = vectors(1), vectors(2)

    assert mmd(one, two) == mmd(one, two)
    assert domain_classifier(one, two) == domain_classifier(one, two)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e150])
def test_constants_and_huge_numbers_say_that_nothing_changed(size: float) -> None:
    same = np.full((40, 3), size)

    assert domain_classifier(same, same).auc == 0.5
    assert mmd(same, same).p == 1
    assert domain_classifier(vectors(1) * size, vectors(2) * size).p > 0.001


def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(Invalid, match="same dimensions"):
        mmd(vectors(1), vectors(2, dimensions=7))
    with pytest.raises(Invalid, match="too few"):
        domain_classifier(vectors(1), vectors(2, count=19))
    with pytest.raises(Invalid, match="NaN"):
        mmd(vectors(1), vectors(2) * np.nan)
