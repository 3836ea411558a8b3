"""Evidence of a change: fair bets, any batches, and few false alarms."""

import math
from bisect import bisect_left
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.services.references import numeric
from herdbook.stats import edetectors as ed

COUNTS = st.lists(st.integers(0, 5_000), min_size=1, max_size=60).filter(lambda of: sum(of) >= 20)
TAUS = st.floats(1, 50)
BATCHES = st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 50)), max_size=5)


def _bets(counts: list[int], tau: float = 1.0) -> tuple[ed.Scores, tuple[ed.Bet, ...]]:
    of = ed.scores(counts)
    return of, ed.bets(counts, of, tau=tau)


@given(COUNTS)
def test_shares_sum_to_one_and_nothing_is_impossible(counts: list[int]) -> None:
    found = ed.shares(counts)

    assert math.fsum(found) == pytest.approx(1)
    assert min(found) > 0


@given(COUNTS)
def test_scores_ascend_with_the_bins(counts: list[int]) -> None:
    found = ed.scores(counts)

    assert list(found.of) == sorted(found.of)
    assert all(map(math.isfinite, found.of))


def test_scores_of_many_values_are_those_of_a_normal_distribution() -> None:
    found = ed.scores([10] * 1_000)

    assert found.mean == pytest.approx(0, abs=1e-9)
    assert found.sd == pytest.approx(1, abs=0.01)
    assert found.of[250] == pytest.approx(-0.6745, abs=0.01)


@given(COUNTS, TAUS)
def test_a_bet_on_numbers_is_fair_or_worse_under_the_reference(
    counts: list[int], tau: float
) -> None:
    of, bets = _bets(counts, tau)

    parts = ed.shares(counts)
    for bet in bets:
        expected = math.fsum(
            part * math.exp(bet.first * z + bet.second * z * z - bet.cost)
            for part, z in zip(parts, of.of, strict=True)
        )
        assert expected <= 1 + 1e-9


@given(st.integers(0, 1_000), st.integers(1, 1_000), TAUS)
def test_a_bet_on_a_share_is_fair_or_worse_within_its_error(
    count: int, more: int, tau: float
) -> None:
    whole = count + more + 20
    share = count / whole

    for bet in ed.share_bets(0, count, whole, tau=tau):
        assert share * math.exp(bet.hit) + (1 - share) * math.exp(bet.miss) <= 1 + 1e-9


@given(COUNTS)
def test_tempered_bets_are_fair_or_worse_too(counts: list[int]) -> None:
    tau = 7.0
    of, bets = _bets(counts, tau)

    parts = ed.shares(counts)
    for bet in bets:
        expected = math.fsum(
            part * math.exp((bet.first * z + bet.second * z * z - bet.cost) / tau)
            for part, z in zip(parts, of.of, strict=True)
        )
        assert expected <= 1 + 1e-9


def test_a_smaller_reference_is_trusted_less() -> None:
    costs = [[bet.cost for bet in _bets([size] * 20)[1]] for size in (10, 100, 10_000)]

    for small, medium, large in zip(*costs, strict=True):
        assert small > medium > large


@given(BATCHES, BATCHES)
def test_batches_add_up_however_they_are_split(
    one: list[dict[int, int]], two: list[dict[int, int]]
) -> None:
    of, bets = _bets([30] * 10)
    share = ed.share_bets(3, 30, 300, tau=1.0)

    def logs(batch: Counter[int]) -> list[float]:
        sums = ed.batch(batch, of)
        missing = batch[0]
        return [
            *ed.bet_logs(sums, bets),
            *ed.share_logs(batch, sum(batch.values()), missing, share),
        ]

    parts = [Counter(batch) for batch in one + two]
    whole = sum(parts, Counter[int]())
    apart = [math.fsum(each) for each in zip(*map(logs, parts), strict=True)] or logs(Counter())
    assert logs(whole) == pytest.approx(apart, abs=1e-6)


@given(st.lists(st.tuples(st.integers(1, 100), st.floats(-3, 3)), min_size=1, max_size=8))
def test_evidence_is_the_sum_over_all_beginnings(batches: list[tuple[int, float]]) -> None:
    logs: tuple[float, ...] = ()
    for number, added in batches:
        logs = ed.updated(logs, [added], number, tau=2.0)

    # As many start with each batch as it has values, and gain from it and all that follow.
    expected = math.fsum(
        number * math.exp(math.fsum(added for _, added in batches[at:]) / 2)
        for at, (number, _) in enumerate(batches)
    )
    assert ed.evidence(logs) == pytest.approx(max(0.0, math.log(expected)), abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 100), st.floats(-3, 0)), min_size=2, max_size=6))
def test_joined_batches_start_earlier_than_split_ones(batches: list[tuple[int, float]]) -> None:
    # While bets lose, those that start with the second part have lost less.
    split: tuple[float, ...] = ()
    for number, added in batches:
        split = ed.updated(split, [added], number, tau=1.0)
    number, added = (sum(each) for each in zip(*batches, strict=True))
    joined = ed.updated((), [added], int(number), tau=1.0)

    assert joined[0] <= split[0] + 1e-9


def test_there_is_no_evidence_before_the_first_batch() -> None:
    assert ed.evidence(()) == 0


def test_evidence_ends_at_the_ceiling_and_never_at_infinity() -> None:
    most = 1 << 40
    of, bets = _bets([100] * 50)

    for at in (0, 25, 49):
        sums = ed.batch({at: most}, of)
        added = [
            *ed.bet_logs(sums, bets),
            *ed.share_logs({}, 0, most, ed.share_bets(-1, 0, 5_000, tau=1.0)),
        ]
        logs = ed.updated((), added, most, tau=1.0)
        logs = ed.updated(logs, added, most, tau=1.0)
        assert not any(map(math.isnan, logs))
        assert max(logs) <= ed.CEILING
        assert 0 <= ed.evidence(logs) <= ed.CEILING
    assert max(ed.updated((), [1e300], 1, tau=1.0, ceiling=20.0)) == 20


def _after(counts: list[int], drifted: list[int], number: int) -> float:
    of, bets = _bets(counts)
    logs: tuple[float, ...] = ()
    for _ in range(number):
        batch = Counter(drifted)
        logs = ed.updated(logs, ed.bet_logs(ed.batch(batch, of), bets), len(drifted), tau=1.0)
    return ed.evidence(logs)


@pytest.mark.parametrize("distinct", [2, 3, 5])
def test_a_change_of_few_distinct_values_is_seen(distinct: int) -> None:
    counts = [0, *[1_000] * distinct, 0]

    same = _after(counts, list(range(1, distinct + 1)) * 3, 400)
    more = _after(counts, [*range(1, distinct + 1), distinct], 400)

    assert same < math.log(1e6) <= more


def test_a_constant_tells_of_any_other_value() -> None:
    # One bin below, the constant, one bin above.
    assert _after([0, 10_000, 0], [1] * 10, 500) < math.log(1e6)
    assert _after([0, 10_000, 0], [2] * 10, 10) >= math.log(1e6)


def test_a_hundred_thousand_values_at_once_are_no_alarm_by_their_number() -> None:
    rng = np.random.default_rng(5)
    reference = numeric(rng.normal(size=10_000).tolist())
    of, bets = _bets(list(reference.counts))

    logs: tuple[float, ...] = ()
    for _ in range(20):
        bins = np.searchsorted(np.array(reference.edges), rng.normal(size=100_000))
        counts = Counter(bins.tolist())
        logs = ed.updated(logs, ed.bet_logs(ed.batch(counts, of), bets), 100_000, tau=1.0)

        assert ed.evidence(logs) < math.log(1e6)


def test_what_ended_is_forgotten() -> None:
    rng = np.random.default_rng(3)
    reference = numeric(rng.normal(size=10_000).tolist())
    of, bets = _bets(list(reference.counts))
    alarm = math.log(1e6)

    def after(logs: tuple[float, ...], mean: float) -> tuple[float, ...]:
        bins = [bisect_left(reference.edges, value) for value in rng.normal(mean, size=10)]
        added = ed.bet_logs(ed.batch(Counter(bins), of), bets)
        return ed.updated(logs, added, 10, tau=reference.tau, ceiling=alarm + ed.HEADROOM)

    logs: tuple[float, ...] = ()
    drifting = []
    for _ in range(1_000):
        logs = after(logs, 1.0)
        drifting.append(ed.evidence(logs) >= alarm)
    ended = 0
    while ed.evidence(logs) >= alarm:
        logs, ended = after(logs, 0.0), ended + 10

    assert all(drifting[6:])
    assert ended <= 1_000


def _alarms(runs: int, *, seed: int, discount: float, length: int, run_length: float) -> int:
    """How many of many streams, side by side, raise an alarm within so many values."""
    rng = np.random.default_rng(seed)
    counts = [50] * 200
    of, bets = _bets(counts)
    z = np.array(of.of)
    first, second, cost = (
        np.array([getattr(bet, name) for bet in bets]) for name in ("first", "second", "cost")
    )
    cost = cost - discount
    logs, raised = np.full((runs, len(bets)), -np.inf), np.zeros(runs, dtype=bool)
    probabilities = np.array(ed.shares(counts))
    ends = np.cumsum(probabilities / probabilities.sum())
    for _ in range(length // 10):
        scores = z[np.minimum(np.searchsorted(ends, rng.random((runs, 10))), len(z) - 1)]
        total, squares = scores.sum(axis=1), (scores * scores).sum(axis=1)
        added = np.outer(total, first) + np.outer(squares, second) - 10 * cost
        logs = np.logaddexp(logs, math.log(10)) + added
        raised |= np.logaddexp.reduce(logs, axis=1) - math.log(len(bets)) >= math.log(run_length)
    return int(raised.sum())


def _at_least(hits: int, runs: int, share: float) -> float:
    """The probability of so many or more hits."""
    return math.fsum(
        math.comb(runs, k) * share**k * (1 - share) ** (runs - k) for k in range(hits, runs + 1)
    )


def test_the_run_length_is_kept() -> None:
    # With an average of at least A values until an alarm, at most 1 in 10 comes within A / 10:
    # evidence at t is t on average.
    runs, run_length = 1_000, 20_000.0

    honest = _alarms(runs, seed=7, discount=0.0, length=2_000, run_length=run_length)
    greedy = _alarms(runs, seed=7, discount=0.1, length=2_000, run_length=run_length)

    assert _at_least(honest, runs, 0.1) > 1e-3
    # Bets that cost too little would fail the test.
    assert _at_least(greedy, runs, 0.1) < 1e-6
