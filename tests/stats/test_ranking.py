"""Scores of rankings against scikit-learn, the bootstrap against SciPy, and how often it misses."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import ndcg_score

from herdbook.errors import Invalid
from herdbook.stats.ranking import ndcg, overlap, paired_bootstrap, recall, reciprocal_rank

NAMES = [f"doc-{at}" for at in range(12)]
RELEVANT = {"a": 3.0, "b": 1.0}

rankings = st.lists(st.sampled_from(NAMES), max_size=12)
labels = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3).map(float))


def differences(seed: int, *, count: int = 100) -> NDArray[np.float64]:
    """Of a recall: mostly none, sometimes one more or one less."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 0.0, 1.0], size=count, p=[0.1, 0.7, 0.2])


@pytest.mark.parametrize("k", [1, 3, 10, 20])
def test_ndcg_is_that_of_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(k)
    for _ in range(20):
        gains = rng.integers(0, 4, len(NAMES)).astype(float)
        gains[0] = 1.0
        order = rng.permutation(len(NAMES))
        scores = np.empty(len(NAMES))
        scores[order] = np.arange(len(NAMES), 0, -1)

        found = ndcg([NAMES[at] for at in order], dict(zip(NAMES, gains, strict=True)), k)

        assert found == pytest.approx(ndcg_score([gains], [scores], k=k))


def test_the_order_in_which_the_relevant_are_named_changes_nothing() -> None:
    one, two = {"a": 3.0, "b": 1.0, "c": 2.0}, {"c": 2.0, "b": 1.0, "a": 3.0}

    assert ndcg(["a", "c", "b"], one, 3) == ndcg(["a", "c", "b"], two, 3) == 1.0


def test_what_is_found_late_counts_less_and_beyond_k_not_at_all() -> None:
    ranking = ["x", "b", "a"]

    assert ndcg(["a", "b"], RELEVANT, 2) == 1.0
    assert 0 < ndcg(ranking, RELEVANT, 2) < ndcg(ranking, RELEVANT, 3) < 1
    assert recall(ranking, RELEVANT, 2) == 0.5
    assert reciprocal_rank(ranking, RELEVANT) == 0.5


def test_what_is_found_twice_counts_once_and_pushes_nothing_out() -> None:
    twice = ["x", "x", "x", "a", "a", "b"]

    assert ndcg(twice, RELEVANT, 3) == ndcg(["x", "a", "b"], RELEVANT, 3)
    assert recall(twice, RELEVANT, 3) == 1.0
    assert reciprocal_rank(twice, RELEVANT) == 0.5
    assert overlap(twice, ["x", "a", "b"], 3) == 1.0


@pytest.mark.parametrize("relevant", [{}, {"a": 0.0}, {"a": -1.0}])
def test_a_query_without_anything_relevant_measures_nothing(relevant: Mapping[str, float]) -> None:
    assert math.isnan(ndcg(["a"], relevant, 10))
    assert math.isnan(recall(["a"], relevant, 10))
    assert math.isnan(reciprocal_rank(["a"], relevant))


def test_finding_nothing_scores_nothing() -> None:
    assert ndcg([], RELEVANT, 10) == recall([], RELEVANT, 10) == reciprocal_rank([], RELEVANT) == 0


@pytest.mark.parametrize("gain", [math.nan, math.inf])
def test_a_relevance_that_is_no_number_is_refused(gain: float) -> None:
    with pytest.raises(Invalid, match="'a' has a relevance"):
        ndcg(["a"], {"a": gain}, 10)
    with pytest.raises(Invalid, match="'a' has a relevance"):
        recall(["a"], {"a": gain}, 10)


@pytest.mark.parametrize("k", [0, -1])
def test_no_places_at_all_are_refused(k: int) -> None:
    for score in (ndcg, recall):
        with pytest.raises(Invalid, match="k is at least 1"):
            score(["a"], RELEVANT, k)
    with pytest.raises(Invalid, match="k is at least 1"):
        overlap(["a"], ["a"], k)


def test_overlap_counts_shared_names_whatever_their_order() -> None:
    assert overlap(["a", "b", "c"], ["c", "b", "a"], 3) == 1.0
    assert overlap(["a", "b"], ["c", "a"], 2) == 0.5
    assert overlap(["a"], ["a", "b", "c", "d"], 4) == 0.25
    assert overlap([], ["a"], 3) == 0.0
    assert overlap([], [], 3) == 1.0


@given(found=rankings, relevant=labels, k=st.integers(1, 15))
def test_scores_are_shares(found: Sequence[str], relevant: Mapping[str, float], k: int) -> None:
    for score in (ndcg(found, relevant, k), recall(found, relevant, k)):
        assert math.isnan(score) == (not any(relevant.values()))
        assert math.isnan(score) or 0 <= score <= 1 + 1e-12


@given(a=rankings, b=rankings, k=st.integers(1, 15))
def test_overlap_is_the_same_both_ways_and_whole_with_itself(
    a: Sequence[str], b: Sequence[str], k: int
) -> None:
    assert overlap(a, b, k) == overlap(b, a, k)
    assert overlap(a, a, k) == 1.0


def test_the_bootstrap_is_that_of_scipy() -> None:
    old = np.random.default_rng(1).random(80)
    new = old + differences(2, count=80) / 5

    found = paired_bootstrap(old, new, rng=np.random.default_rng(3), rounds=20_000, level=0.9)

    theirs = stats.bootstrap(
        (new - old,), np.mean, n_resamples=20_000, confidence_level=0.9, method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval  # fmt: skip
    assert found.mean == pytest.approx(float((new - old).mean()))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=2e-3)
    assert found.pairs == 80


def test_the_same_generator_gives_the_same_interval() -> None:
    old, new = np.zeros(50), differences(1, count=50)

    one, two = (paired_bootstrap(old, new, rng=np.random.default_rng(7)) for _ in range(2))

    assert one == two
    assert one.low < one.mean < one.high


def test_many_queries_are_drawn_in_parts() -> None:
    new = np.random.default_rng(1).normal(0.1, 1, 30_000)

    found = paired_bootstrap(np.zeros(30_000), new, rng=np.random.default_rng(2), rounds=200)

    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(30_000), rel=0.2)


def test_equal_scores_leave_no_interval() -> None:
    found = paired_bootstrap([0.5, 1.0], [0.5, 1.0], rng=np.random.default_rng(1))

    assert found == (0.0, 0.0, 0.0, 2)


@pytest.mark.parametrize("count", [100, 200])
def test_the_interval_misses_about_as_often_as_it_says(count: int) -> None:
    rng = np.random.default_rng(count)
    missed = 0
    for trial in range(300):
        found = paired_bootstrap(
            np.zeros(count), differences(trial, count=count), rng=rng, rounds=300
        )
        missed += not found.low <= 0.1 <= found.high

    # By chance alone it is 4 to 29 of 300, but in one case of a thousand.
    assert 4 <= missed <= 29


@pytest.mark.parametrize(
    ("old", "new"),
    [([0.5], [0.5]), ([0.5, 1.0], [0.5]), ([[0.5], [0.5]], [[0.5], [0.5]]), ([], [])],
)
def test_what_is_not_paired_is_refused(old: Sequence[float], new: Sequence[float]) -> None:
    with pytest.raises(Invalid, match="give one of each for every query"):
        paired_bootstrap(old, new, rng=np.random.default_rng(1))


def test_queries_that_measure_nothing_have_to_be_left_out() -> None:
    with pytest.raises(Invalid, match="leave out the queries without relevant documents"):
        paired_bootstrap([0.5, math.nan], [0.5, 1.0], rng=np.random.default_rng(1))


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"level": 0.0}, {"rounds": 99}])
def test_a_bootstrap_that_cannot_tell_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        paired_bootstrap([0.5, 1.0], [0.5, 1.0], rng=np.random.default_rng(1), **wrong)  # type: ignore[arg-type]
