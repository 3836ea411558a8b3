"""Evidence on latency quantiles. How often it errs: test_peeking.py."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.errors import Invalid
from herdbook.stats import quantiles
from herdbook.stats.evidence import level
from herdbook.stats.histograms import LogHistogram
from herdbook.stats.quantiles import LatencyBatch, QuantileClaim, QuantileEvidence

HISTOGRAMS = st.dictionaries(st.integers(0, 599), st.integers(1, 10**9), max_size=6).map(
    LogHistogram
)
BATCHES = st.builds(LatencyBatch, control=HISTOGRAMS, treatment=HISTOGRAMS)
P95 = QuantileClaim(0.95)

# A hundred latencies from 20 to 119 ms, evenly spread.
EVEN = LogHistogram.of(range(20, 120))


def _after(claim: QuantileClaim, *batches: LatencyBatch) -> QuantileEvidence:
    evidence = quantiles.start(claim)
    for batch in batches:
        evidence = quantiles.observe(evidence, batch)
    return evidence


@given(BATCHES, BATCHES, BATCHES)
def test_merging_is_addition(one: LatencyBatch, two: LatencyBatch, three: LatencyBatch) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)


@given(st.lists(BATCHES, max_size=5), st.sampled_from([0.5, 0.95, 0.999]))
def test_no_counts_break_it(batches: list[LatencyBatch], share: float) -> None:
    evidence = _after(QuantileClaim(share, tolerance=1.1), *batches)

    assert math.isfinite(evidence.log_e)
    assert evidence.peak >= max(0.0, evidence.log_e)


def test_the_same_latencies_are_no_evidence() -> None:
    assert _after(P95, *[LatencyBatch(EVEN, EVEN)] * 20).peak == 0


def test_a_slower_tail_is_evidence_and_a_slower_middle_is_not() -> None:
    tail = LogHistogram.of([*range(20, 100), *range(200, 220)])
    middle = LogHistogram.of([*range(60, 115), *range(70, 115)])

    assert _after(P95, *[LatencyBatch(EVEN, tail)] * 6).log_e > level(0.01)
    assert _after(P95, *[LatencyBatch(EVEN, middle)] * 6).peak == 0
    assert _after(QuantileClaim(0.5), *[LatencyBatch(EVEN, middle)] * 6).log_e > level(0.01)


def test_slower_within_the_tolerance_is_no_evidence() -> None:
    slower = LogHistogram.of(1.08 * value for value in range(20, 120))
    batches = [LatencyBatch(EVEN, slower)] * 40

    assert _after(P95, *batches).log_e > level(0.05)
    assert _after(QuantileClaim(0.95, tolerance=1.1), *batches).peak < 0.1


def test_nothing_is_bet_before_the_quantile_is_known() -> None:
    few = LogHistogram({300: 99})
    slow = LogHistogram({400: 50})

    assert _after(P95, LatencyBatch(few, slow)).wealth.batches == 0
    assert _after(P95, *[LatencyBatch(few, slow)] * 2).wealth.batches == 0
    assert _after(P95, *[LatencyBatch(few, slow)] * 3).wealth.batches == 1
    assert _after(P95, LatencyBatch(EVEN, slow), LatencyBatch(few, slow)).wealth.batches == 1


def test_thresholds_are_of_the_stratum() -> None:
    night, day = LogHistogram.of(range(200, 300)), EVEN
    evidence = _after(
        P95,
        *[LatencyBatch(night, night, "night"), LatencyBatch(day, day, "day")] * 10,
    )

    assert evidence.peak == 0
    assert [name for name, _ in evidence.seen] == ["day", "night"]
    with pytest.raises(Invalid, match="compared apart"):
        LatencyBatch(night, night, "night") + LatencyBatch(day, day, "day")


@pytest.mark.parametrize(("share", "tolerance"), [(0.4, 1), (1.0, 1), (math.nan, 1), (0.9, 0.5)])
def test_a_claim_that_cannot_be_does_not_exist(share: float, tolerance: float) -> None:
    with pytest.raises(Invalid):
        QuantileClaim(share, tolerance)
