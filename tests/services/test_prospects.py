"""Before the start: how long it takes, and what cannot work."""

import pytest

from herdbook.core.experiments import Policy
from herdbook.core.guardrails import Guardrail
from herdbook.errors import Invalid
from herdbook.services.prospects import Before, Expected, days_of, prospects, warnings
from tests.services.recorded import a_plan


def _said(*, limit: float = 0.05, **given: float) -> str:
    return " ".join(warnings(a_plan(max_error_rate_increase=limit), **given))  # type: ignore[arg-type]


def test_a_limit_above_the_base_rate_is_said_to_let_errors_pass() -> None:
    assert "3.5 times as many errors" in _said(base_rate=0.02)
    assert _said(base_rate=0.02, limit=0.01) == ""
    assert _said() == ""


def test_a_limit_beyond_all_results_is_said_to_prove_nothing() -> None:
    assert "nothing can be proven" in _said(base_rate=0.5, limit=0.6)


def test_too_little_traffic_is_said() -> None:
    assert "50 a day; the experiment ends after 7" in _said(requests_per_day=50)
    assert _said(requests_per_day=100_000) == ""


def test_far_fewer_units_than_requests_are_said() -> None:
    said = _said(requests_per_day=100_000, units_per_day=50)

    assert "2e+03" not in said
    assert "2,000 requests a unit" in said
    assert "different units" in said
    assert _said(requests_per_day=100_000, units_per_day=90_000) == ""


def test_an_improvement_that_cannot_be_shown_is_said() -> None:
    plan = a_plan(max_error_rate_increase=0.0)

    assert warnings(plan, base_rate=0.02) == (
        "An improvement of the size asked for cannot be shown: lower the demands.",
    )


def test_what_does_nothing_is_said() -> None:
    watched = (Guardrail(metric="tokens"),)

    assert "auto_ramp does nothing without a ramp" in warnings(a_plan(auto_ramp=True))[0]
    assert warnings(a_plan(auto_ramp=True, ramp=(5, 50))) == ()
    bare = a_plan(policy=Policy.THRESHOLDS_ONLY, guardrails=watched)
    assert "looks at no guardrails" in warnings(bare)[0]
    assert warnings(a_plan(guardrails=watched)) == ()


def test_an_earlier_experiment_tells_how_often_units_come() -> None:
    often = Before(experiment="gnn_v2.1_test", results=5_000, units=100)
    once = Before(experiment="gnn_v2.1_test", results=120, units=100)

    said = warnings(a_plan(), before=often)

    assert "In gnn_v2.1_test 100 units had 50 results each" in said[0]
    assert warnings(a_plan(), before=once) == ()
    # Who says what the traffic is knows better.
    assert warnings(a_plan(), before=often, requests_per_day=1e5, units_per_day=9e4) == ()


def test_an_aa_experiment_needs_results_and_no_effect() -> None:
    plan = a_plan(treatments=("v2.1.0",), aa=True, min_requests=1_000, max_error_rate_increase=0)

    said = warnings(plan, base_rate=0.02, requests_per_day=100)

    assert said == (
        "Enough results of both arms take about 2,000 requests, 20 days at 100 a day; the "
        "experiment ends after 7.",
    )
    assert warnings(plan, base_rate=0.02, requests_per_day=1_000) == ()


def test_warnings_are_said_in_other_languages() -> None:
    assert "3,5-Fachen" in warnings(a_plan(), base_rate=0.02, language="de")[0]


def test_a_promotion_takes_what_its_conditions_take() -> None:
    found = prospects(a_plan(), Expected(requests_per_day=1000))

    needed = {need.claim: need.requests for need in found.needs}
    assert found.promotion_requests == max(needed["better"] or 0, needed["not_inferior"] or 0, 200)
    assert found.promotion_days == pytest.approx((found.promotion_requests or 0) / 1000)
    assert needed["harm"] is not None
    assert needed["harm"] < 300


def test_units_that_come_again_make_it_longer() -> None:
    alone = prospects(a_plan(), Expected(requests_per_day=1000, units_per_day=1000))
    sticky = prospects(a_plan(), Expected(requests_per_day=1000, units_per_day=100))

    assert alone.design_effect == 1
    assert sticky.design_effect == pytest.approx(3.7)
    assert (sticky.promotion_days or 0) > 2 * (alone.promotion_days or 0)


def test_the_days_of_a_ramp_are_those_of_its_stages() -> None:
    plan = a_plan(ramp=(5.0, 50.0), ramp_hours=24.0)

    # A tenth takes part on the first day, then everybody.
    assert days_of(plan, 50, 1000) == pytest.approx(0.5)
    assert days_of(plan, 1100, 1000) == pytest.approx(2)
    assert days_of(a_plan(holdout_pct=50.0, exclusion_pct=50.0), 1000, 1000) == pytest.approx(4)


def test_no_traffic_takes_no_days() -> None:
    with pytest.raises(Invalid, match="above 0"):
        days_of(a_plan(), 100, 0)
