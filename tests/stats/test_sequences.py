"""Confidence sequences against the mixtures they come from."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from herdbook.errors import Invalid
from herdbook.stats.cells import Contrast
from herdbook.stats.sequences import (
    BURN_IN,
    Estimate,
    estimate,
    interval,
    log_e_above,
    log_e_below,
    lower_bound,
    upper_bound,
)

UNKNOWN = Estimate(0.0, math.inf)
VALUES = st.floats(-1, 1)
ERRORS = st.floats(1e-3, 0.3)


def _likelihood_ratio(of: Estimate, effect: float) -> float:
    one = stats.norm.logpdf(of.value, effect, of.standard_error)
    return math.exp(one - stats.norm.logpdf(of.value, 0, of.standard_error))


@settings(deadline=None, max_examples=30)
@given(st.floats(-0.2, 0.2), st.floats(0.03, 0.3), st.floats(0.01, 0.3))
def test_the_evidence_is_the_half_normal_mixture(value: float, error: float, scale: float) -> None:
    of = Estimate(value, error)

    mixture, _ = integrate.quad(
        lambda effect: 2 * stats.norm.pdf(effect, 0, scale) * _likelihood_ratio(of, effect),
        0,
        12 * scale,
    )

    assert log_e_above(of, null=0, scale=scale) == pytest.approx(math.log(mixture), abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(VALUES, ERRORS, st.floats(0.01, 0.3), st.floats(0.001, 0.5))
def test_at_the_end_of_the_interval_the_mixture_is_one_over_alpha(
    value: float, error: float, scale: float, alpha: float
) -> None:
    _, high = interval(Estimate(value, error), alpha=alpha, scale=scale)

    off = high - value
    mixed = stats.norm.logpdf(off, 0, math.hypot(error, scale)) - stats.norm.logpdf(off, 0, error)
    assert mixed == pytest.approx(-math.log(alpha), rel=1e-6)


@given(VALUES, ERRORS, st.floats(0.01, 0.3), st.floats(0.001, 0.3))
def test_the_one_sided_bound_claims_no_more_than_its_evidence(
    value: float, error: float, scale: float, alpha: float
) -> None:
    of = Estimate(value, error)

    low = lower_bound(of, alpha=alpha, scale=scale)

    # The closed form is a little cautious: at the bound the exact mixture is a little higher.
    assert log_e_above(of, null=low, scale=scale) >= -math.log(alpha) - 1e-9
    assert log_e_above(of, null=low, scale=scale) <= -math.log(alpha) + math.log(2) + 0.1


@given(VALUES, ERRORS, st.floats(0.01, 0.3), st.floats(0.001, 0.3))
def test_bounds_mirror_each_other(value: float, error: float, scale: float, alpha: float) -> None:
    of, mirrored = Estimate(value, error), Estimate(-value, error)

    assert upper_bound(of, alpha=alpha, scale=scale) == pytest.approx(
        -lower_bound(mirrored, alpha=alpha, scale=scale)
    )
    low, high = interval(of, alpha=alpha, scale=scale)
    assert low <= lower_bound(of, alpha=alpha, scale=scale) <= value
    assert value <= upper_bound(of, alpha=alpha, scale=scale) <= high
    assert log_e_below(of, null=0.1, scale=scale) == pytest.approx(
        log_e_above(mirrored, null=-0.1, scale=scale)
    )


def test_the_interval_is_that_of_another_implementation() -> None:
    # GrowthBook's gbstats 0.8.0: 400 values evenly from 0.2 to 1, 300 from 0.25 to 1, tuned for
    # 2,000; it counts time in requests and calls scale / (SE sqrt(requests)) rho.
    of = Estimate(0.025000000000000022, 0.01709265211728012)
    scale = 0.06299267656536578 * of.standard_error * math.sqrt(700)

    low, high = interval(of, alpha=0.05, scale=scale)

    assert low == pytest.approx(-0.028932909458641867, rel=1e-13)
    assert high == pytest.approx(0.07893290945864191, rel=1e-13)


def test_the_scale_is_where_the_interval_is_tightest() -> None:
    def width(error: float) -> float:
        low, high = interval(Estimate(0, error), alpha=0.05, scale=0.03)
        return (high - low) / error

    third = width(0.03 / 2.86)

    assert third < width(0.03 / 1.5)
    assert third < width(0.03 / 6)


def test_nothing_is_known_before_the_burn_in() -> None:
    few = Contrast(0.3, 0.01, 0.5, 0.8, units=BURN_IN - 0.1)
    enough = Contrast(0.3, 0.01, 0.5, 0.8, units=BURN_IN)

    assert estimate(few) == UNKNOWN
    assert estimate(few, burn_in=2).known
    assert estimate(enough).value == 0.3
    with pytest.raises(Invalid, match="at least 2"):
        estimate(enough, burn_in=1)
    assert estimate(Contrast(math.nan, math.inf, math.nan, math.nan, 0.0)) == UNKNOWN


@pytest.mark.parametrize("units", [30, 100, 5000])
def test_the_error_of_few_units_is_students(units: int) -> None:
    of = estimate(Contrast(0.3, 0.01, 0.5, 0.8, units=units))

    z = math.sqrt(10)
    student = stats.t.isf(stats.norm.sf(z), units - 1) / z
    assert of.standard_error / 0.01 == pytest.approx(student, rel=0.015)


def test_where_nothing_is_known_everything_is_possible() -> None:
    assert interval(UNKNOWN, alpha=0.05, scale=1) == (-math.inf, math.inf)
    assert lower_bound(UNKNOWN, alpha=0.05, scale=1) == -math.inf
    assert upper_bound(UNKNOWN, alpha=0.05, scale=1) == math.inf
    assert log_e_above(UNKNOWN, null=0, scale=1) == 0


@given(st.floats(-1e60, 1e60), st.floats(1e-60, 1e60), st.floats(1e-200, 1e200))
def test_evidence_is_finite_for_every_estimate(value: float, error: float, scale: float) -> None:
    of = Estimate(value, error)

    assert math.isfinite(log_e_above(of, null=0, scale=scale))
    low, high = interval(of, alpha=0.05, scale=scale)
    assert low <= value <= high
    assert lower_bound(of, alpha=0.05, scale=scale) <= value


@pytest.mark.parametrize(
    ("value", "error"), [(0.0, 0.0), (0.0, -1.0), (math.nan, 1.0), (1.0, math.nan), (math.inf, 1)]
)
def test_an_estimate_that_cannot_be_does_not_exist(value: float, error: float) -> None:
    with pytest.raises(Invalid, match="estimate"):
        Estimate(value, error)


def test_alpha_scale_and_null_have_ranges() -> None:
    known = Estimate(0.0, 1.0)
    for alpha in (0, 1, math.nan):
        for of in (known, UNKNOWN):
            with pytest.raises(Invalid, match="alpha"):
                interval(of, alpha=alpha, scale=1)
            with pytest.raises(Invalid, match="alpha"):
                lower_bound(of, alpha=alpha, scale=1)
    for scale in (0, -1, math.nan, math.inf):
        with pytest.raises(Invalid, match="scale"):
            interval(known, alpha=0.05, scale=scale)
    with pytest.raises(Invalid, match="null"):
        log_e_above(known, null=math.nan, scale=1)
