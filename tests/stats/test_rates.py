"""Evidence on error rates: values, merging and extremes. How often it errs: test_peeking.py."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.errors import Invalid
from herdbook.stats import rates
from herdbook.stats.evidence import level
from herdbook.stats.rates import Counts, RateBatch, RateClaim, RateEvidence

HUGE = 10**9
HARM = RateClaim("above")
NOT_INFERIOR = RateClaim("below", margin=0.05)
CLAIMS = st.builds(
    RateClaim,
    direction=st.sampled_from(["above", "below"]),
    margin=st.sampled_from([0.0, 1e-9, 0.05, 0.5, 0.95, 1 - 1e-9]),
)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    results = draw(st.one_of(st.integers(0, 5), st.integers(0, HUGE)))
    errors = draw(st.one_of(st.just(0), st.just(results), st.integers(0, results)))
    return Counts(results, errors)


BATCHES = st.builds(RateBatch, control=counts(), treatment=counts())


def _after(claim: RateClaim, *batches: RateBatch) -> RateEvidence:
    evidence = rates.start(claim)
    for batch in batches:
        evidence = rates.observe(evidence, batch)
    return evidence


@given(BATCHES, BATCHES, BATCHES)
def test_merging_is_addition(one: RateBatch, two: RateBatch, three: RateBatch) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)


@given(st.lists(BATCHES, min_size=1, max_size=5), st.randoms(use_true_random=False), CLAIMS)
def test_the_order_of_deltas_inside_a_batch_is_irrelevant(
    deltas: list[RateBatch], random: object, claim: RateClaim
) -> None:
    shuffled = list(deltas)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    nothing = RateBatch(Counts(), Counts())
    one, two = sum(deltas, start=nothing), sum(shuffled, start=nothing)

    assert _after(claim, one) == _after(claim, two)


@given(st.lists(BATCHES, min_size=1, max_size=6), CLAIMS)
def test_no_counts_break_it(batches: list[RateBatch], claim: RateClaim) -> None:
    evidence = _after(claim, *batches)

    assert math.isfinite(evidence.log_e)
    assert evidence.peak >= max(0.0, evidence.log_e)
    assert 1e-9 <= rates.expected_rate(evidence, "") <= 0.999


def test_a_billion_results_cost_what_a_thousand_cost() -> None:
    def seconds(size: int) -> float:
        batch = RateBatch(Counts(size, size // 50), Counts(size, size // 40))
        evidence = _after(NOT_INFERIOR, batch)
        started = time.process_time()
        for _ in range(200):
            rates.observe(evidence, batch)
        return time.process_time() - started

    small = min(seconds(1_000) for _ in range(3))

    # Either may need a step of Newton's more.
    assert min(seconds(HUGE) for _ in range(3)) < 3 * small


def test_ten_points_of_harm_show_in_two_hundred_requests() -> None:
    batch = RateBatch(control=Counts(100, 2), treatment=Counts(100, 12))

    assert _after(HARM, batch).log_e > level(0.05)


def test_equal_arms_are_shown_to_be_no_worse_than_the_margin() -> None:
    batch = RateBatch(control=Counts(50, 1), treatment=Counts(50, 1))

    evidence = _after(NOT_INFERIOR, *[batch] * 4)

    assert evidence.log_e > level(0.05)
    assert _after(HARM, *[batch] * 4).log_e < 0


def test_no_errors_at_all_is_no_proof_of_harm_and_slow_proof_of_none() -> None:
    batch = RateBatch(control=Counts(10, 0), treatment=Counts(1, 0))

    assert _after(HARM, *[batch] * 50).peak < 0.5
    # Forty treated requests without an error happen one time in eight at a rate of five per cent.
    assert _after(NOT_INFERIOR, *[batch] * 40).peak < level(0.05)


def test_treatment_that_always_fails_is_found_at_once() -> None:
    batch = RateBatch(control=Counts(1, 0), treatment=Counts(1, 1))

    assert _after(HARM, *[batch] * 7).log_e > level(0.05)


def test_harm_to_a_rare_rate_is_found_too() -> None:
    calm = RateBatch(control=Counts(100_000, 10), treatment=Counts(100_000, 10))
    worse = RateBatch(control=Counts(100_000, 10), treatment=Counts(100_000, 50))

    assert _after(HARM, *[calm] * 4).peak < level(0.05)
    assert _after(HARM, calm, worse, worse).log_e > level(0.01)


@pytest.mark.parametrize("empty", ["control", "treatment"])
def test_an_arm_without_results_is_no_evidence(empty: str) -> None:
    arms = {"control": Counts(1000, 500), "treatment": Counts(1000, 500), empty: Counts()}

    evidence = _after(HARM, RateBatch(arms["control"], arms["treatment"]))

    assert evidence.log_e == 0
    assert evidence.wealth.batches == 0


def test_what_control_did_is_learnt_by_stratum() -> None:
    night = RateBatch(Counts(10_000, 3_000), Counts(), stratum="night")
    day = RateBatch(Counts(10_000, 100), Counts(), stratum="day")

    evidence = _after(HARM, night, day)

    assert rates.expected_rate(evidence, "night") == pytest.approx(0.3, abs=0.001)
    assert rates.expected_rate(evidence, "day") == pytest.approx(0.01, abs=0.001)
    assert rates.expected_rate(evidence, "new") == pytest.approx(0.155, abs=0.001)
    with pytest.raises(Invalid, match="compared apart"):
        night + day


def test_a_margin_beyond_a_hundred_per_cent_is_not_bet_on() -> None:
    batch = RateBatch(control=Counts(10_000, 9_900), treatment=Counts(10_000, 10_000))

    evidence = _after(RateClaim("above", margin=0.5), *[batch] * 3)

    assert evidence.wealth.batches == 1
    assert evidence.log_e < 0


@given(BATCHES)
def test_evidence_replayed_is_the_same(batch: RateBatch) -> None:
    assert _after(HARM, batch, batch) == _after(HARM, batch, batch)


@pytest.mark.parametrize(("results", "errors"), [(1, 2), (-1, 0), (5, -1)])
def test_counts_that_cannot_be_do_not_exist(results: int, errors: int) -> None:
    with pytest.raises(Invalid, match="cannot be"):
        Counts(results, errors)


@pytest.mark.parametrize("margin", [-0.01, 1.0, math.nan])
def test_a_margin_is_a_share(margin: float) -> None:
    with pytest.raises(Invalid, match="margin"):
        RateClaim("above", margin)


def test_a_claim_has_one_of_two_directions() -> None:
    with pytest.raises(Invalid, match="sideways"):
        RateClaim("sideways")  # type: ignore[arg-type]


@given(CLAIMS, st.floats(1e-9, 0.999))
def test_what_is_bet_on_fulfils_the_claim(claim: RateClaim, base: float) -> None:
    if not claim.leaves_room(base):
        return

    boundary = base + claim.margin
    for rate in claim.alternatives(base):
        assert 0 < rate < 1
        assert rate >= boundary if claim.direction == "above" else rate <= boundary
