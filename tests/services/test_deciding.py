"""What is decided on which evidence, and that thresholds alone decide worse."""

import json
from datetime import timedelta

import pytest

from herdbook.core import wire
from herdbook.core.decisions import Clustering, Evaluation
from herdbook.core.experiments import Decision, Policy
from herdbook.core.guardrails import Guardrail, Worse
from herdbook.core.recording import ArmSums, CellSums
from herdbook.errors import Invalid
from herdbook.services.deciding import evaluated, reworded
from herdbook.services.evidence import started
from tests.services.recorded import (
    BEGUN,
    HOUR,
    PHASES,
    a_plan,
    after,
    around,
    cells,
    codes,
    histogram,
    said,
    sums,
)

SAME = (sums("control", errors=2), sums("treatment", errors=2))
BETTER = (sums("control", errors=2), sums("treatment", errors=2, confidence=0.83))
HARMFUL = (sums("control", errors=2), sums("treatment", errors=20))


def test_nothing_recorded_yet_is_no_decision() -> None:
    plan = a_plan()

    found = evaluated(plan, PHASES, started(plan), BEGUN + HOUR, BEGUN)

    assert found.decision is Decision.CONTINUE
    assert codes(found) == [
        "few_results",
        "few_results",
        "confidence_unknown",
        "errors_not_bounded",
    ]
    assert found.metrics("control").error_rate is None


def test_a_treatment_that_is_proven_better_is_promoted() -> None:
    found = said(a_plan(), [BETTER] * 6)

    assert (found.decision, found.arm, found.number) == (Decision.PROMOTE, "treatment", "v2.2.0")
    assert codes(found) == ["better", "errors_bounded"]
    interval = found.treatments[0].interval("confidence")
    assert interval is not None
    assert interval.difference == pytest.approx(0.03)
    assert interval.low is not None
    assert 0 < interval.low < 0.03
    assert reworded(found, "ru").startswith("Confidence улучшился на 3%.")
    assert reworded(found, "ru").endswith("Промоутим treatment.")


def test_a_version_with_too_few_results_is_not_promoted() -> None:
    found = said(a_plan(min_requests=700), [BETTER] * 6)

    assert found.decision is Decision.CONTINUE
    assert codes(found) == ["few_results", "few_results"]


def test_an_improvement_below_the_least_one_is_not_promoted() -> None:
    batch = (
        sums("control", results=3000, errors=60),
        sums("treatment", results=3000, errors=60, confidence=0.815),
    )

    found = said(a_plan(), [batch])

    interval = found.treatments[0].interval("confidence")
    assert interval is not None
    assert interval.low is not None
    assert interval.low > 0
    assert found.decision is not Decision.PROMOTE
    assert "gain_too_small" in codes(found)


def test_a_lower_confidence_may_be_asked_for_when_it_is_proven_to_be_no_lower() -> None:
    batch = (
        sums("control", results=3000, errors=60),
        sums("treatment", results=3000, errors=60, confidence=0.799),
    )

    assert said(a_plan(), [batch]).decision is not Decision.PROMOTE
    assert said(a_plan(min_confidence_improvement=-0.02), [batch]).decision is Decision.PROMOTE


def test_proven_harm_is_rolled_back_however_few_the_results() -> None:
    found = said(a_plan(min_requests=10_000), [HARMFUL])

    assert found.decision is Decision.ROLLBACK
    assert codes(found)[0] == "harm"
    assert "2 % to 20 %" in found.recommendation


def test_harm_goes_before_every_improvement() -> None:
    batch = (sums("control", errors=2), sums("treatment", errors=9, confidence=0.9))

    found = said(a_plan(max_error_rate_increase=0.2), [batch] * 6)

    assert found.decision is Decision.ROLLBACK


def test_a_treatment_that_may_harm_is_not_promoted() -> None:
    batch = (sums("control", errors=2), sums("treatment", errors=5, confidence=0.83))

    found = said(a_plan(max_error_rate_increase=0.2), [batch] * 2)

    assert found.treatments[0].proof("not_inferior").proven
    assert found.decision is Decision.CONTINUE
    assert "harm_suspected" in codes(found)


def test_a_treatment_that_kills_its_workers_is_rolled_back() -> None:
    batch = (sums("control"), sums("treatment", results=80, lost=20))

    found = said(a_plan(), [batch])

    assert found.decision is Decision.ROLLBACK
    assert found.metrics("treatment").error_rate == pytest.approx(0.2)


def test_errors_of_returning_units_are_found() -> None:
    later = (
        sums("control", results=200, errors=4, first=False),
        sums("treatment", results=200, errors=30, first=False),
    )

    found = said(a_plan(), [SAME, *[later] * 4])

    assert not found.treatments[0].proof("harm").proven
    assert found.decision is Decision.ROLLBACK
    assert codes(found) == ["guardrail_harmed"]
    assert found.reasons[0].subject == "error"


def test_a_split_that_is_wrong_holds_everything_but_a_rollback() -> None:
    lame = (
        sums("control", results=200, errors=4),
        sums("treatment", results=100, errors=2, confidence=0.83),
    )
    harmful = (sums("control", results=200, errors=4), sums("treatment", results=100, errors=30))

    held, harmed = said(a_plan(), [lame] * 6), said(a_plan(), [harmful] * 6)

    assert held.mismatched
    assert held.decision is Decision.HOLD
    assert codes(held) == ["sample_ratio_mismatch"]
    assert harmed.mismatched
    assert harmed.decision is Decision.ROLLBACK
    assert "sample_ratio_mismatch" in codes(harmed)


def test_a_ramp_with_an_even_split_is_no_mismatch() -> None:
    plan = a_plan(ramp=(1.0, 10.0, 50.0))
    batches = [
        (sums("control", results=many, phase=phase), sums("treatment", results=many, phase=phase))
        for phase, many in ((1, 40), (2, 400), (3, 2000))
    ]

    assert said(plan, batches).mismatch_log10_e < 0


def test_an_arm_that_fell_silent_holds() -> None:
    plan = a_plan(duration_days=10.0)
    state = after(plan, [SAME] * 6, at=BEGUN + 5 * HOUR)
    late = BEGUN + 60 * HOUR
    state = after(plan, [(sums("control"),)], state=state, at=late)

    found = evaluated(plan, PHASES, state, late, BEGUN)

    assert found.decision is Decision.HOLD
    assert [(reason.code, reason.subject) for reason in found.reasons] == [("silent", "treatment")]
    assert "55 hours" in found.recommendation


def test_results_without_confidence_hold_once_there_are_enough() -> None:
    batch = (sums("control", confidence=None), sums("treatment", confidence=None))

    found = said(a_plan(), [batch] * 2)

    assert found.decision is Decision.HOLD
    assert codes(found) == ["no_confidence", "no_confidence"]


def test_an_improvement_out_of_reach_stops() -> None:
    batch = (sums("control", errors=2), sums("treatment", errors=2, confidence=0.795))

    found = said(a_plan(), [batch] * 30)

    assert found.decision is Decision.HOLD
    assert codes(found)[0] == "futile"
    assert found.recommendation.endswith("Stop: control stays.")


def test_without_a_decision_in_time_control_stays() -> None:
    found = said(a_plan(duration_days=2.0), [SAME], hours=49)

    assert found.decision is Decision.HOLD
    assert codes(found)[0] == "time_is_up"
    assert found.days_left == 0
    assert "2 days are over" in found.recommendation
    assert found.recommendation.endswith("Stop: control stays.")


def test_a_proof_that_comes_late_still_counts() -> None:
    assert said(a_plan(duration_days=2.0), [BETTER] * 6, hours=49).decision is Decision.PROMOTE


def _tokens(arm: str, mean: float) -> ArmSums:
    values = around(mean, 100, spread=10)
    confidence = around(0.83 if arm == "treatment" else 0.8, 100)
    means = {"tokens": cells(values), "confidence": cells(confidence)}
    return sums(arm, errors=2, means=means)


@pytest.mark.parametrize(
    ("guardrail", "mean", "harmed"),
    [
        (Guardrail(metric="tokens"), 110, True),
        (Guardrail(metric="tokens"), 90, False),
        (Guardrail(metric="tokens", worse=Worse.LOWER), 90, True),
        (Guardrail(metric="tokens", worse=Worse.LOWER), 110, False),
        (Guardrail(metric="tokens", margin=20), 110, False),
    ],
)
def test_a_guardrail_that_got_worse_rolls_back(
    guardrail: Guardrail,
    mean: float,
    harmed: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    plan = a_plan(guardrails=(guardrail,))

    found = said(plan, [(_tokens("control", 100), _tokens("treatment", mean))] * 6)

    assert found.decision is (Decision.ROLLBACK if harmed else Decision.PROMOTE)
    assert found.treatments[0].guardrails[0].harmed is harmed


def test_a_guardrail_nobody_records_keeps_from_promoting() -> None:
    plan = a_plan(guardrails=(Guardrail(metric="tokens"),))

    found = said(plan, [BETTER] * 6)

    assert found.decision is Decision.CONTINUE
    assert [(reason.code, reason.subject) for reason in found.reasons] == [
        ("guardrail_unrecorded", "tokens")
    ]
    assert "None of the 1,200 results so far came with tokens" in found.recommendation


def test_a_guardrail_that_may_yet_be_recorded_is_only_unknown() -> None:
    plan = a_plan(guardrails=(Guardrail(metric="tokens"),), min_requests=10)
    few = (sums("control", results=40), sums("treatment", results=40))

    found = said(plan, [few])

    assert [r.subject for r in found.reasons if r.code == "guardrail_unknown"] == ["tokens"]
    assert "guardrail_unrecorded" not in codes(found)


def _timed(arm: str, slow: int) -> ArmSums:
    times = histogram({50.0: 100 - slow, 300.0: slow})
    return sums(arm, errors=2, histograms={"inference_time_ms": times})


def test_a_slower_tail_rolls_back() -> None:
    plan = a_plan(guardrails=(Guardrail(metric="inference_time_ms", quantile=0.95),))

    found = said(plan, [(_timed("control", 2), _timed("treatment", 14))] * 6)

    assert found.decision is Decision.ROLLBACK
    assert found.reasons[0].subject == "inference_time_ms_p95"
    control, treatment = found.arms
    assert control.p95_ms == pytest.approx(50, rel=0.02)
    assert treatment.p95_ms == pytest.approx(300, rel=0.02)


def test_one_of_several_treatments_is_promoted() -> None:
    plan = a_plan(treatments=("v2.2.0", "v2.3.0"))
    batch = (
        sums("control", results=200, errors=4),
        sums("treatment-1", errors=2),
        sums("treatment-2", errors=2, confidence=0.84),
    )

    found = said(plan, [batch] * 7)

    assert (found.decision, found.arm, found.number) == (Decision.PROMOTE, "treatment-2", "v2.3.0")
    assert found.alpha == pytest.approx(0.025)


def test_one_treatment_that_harms_ends_it_while_others_are_open() -> None:
    plan = a_plan(treatments=("v2.2.0", "v2.3.0"))
    batch = (
        sums("control", errors=2),
        sums("treatment-1", errors=2),
        sums("treatment-2", errors=30),
    )

    found = said(plan, [batch])

    assert (found.decision, found.arm) == (Decision.ROLLBACK, "treatment-2")
    assert found.treatments[0].decision is Decision.CONTINUE


def test_thresholds_alone_are_the_bare_averages_and_say_what_they_risk() -> None:
    plan = a_plan(policy=Policy.THRESHOLDS_ONLY)
    lucky = (sums("control", errors=4), sums("treatment", errors=8, confidence=0.82))
    unlucky = (sums("control", errors=2), sums("treatment", errors=8, confidence=0.82))
    open_still = (sums("control", errors=2), sums("treatment", errors=2, confidence=0.81))

    found = [said(plan, [batch]) for batch in (lucky, unlucky, open_still)]

    decisions = [each.decision for each in found]
    assert decisions == [Decision.PROMOTE, Decision.ROLLBACK, Decision.CONTINUE]
    assert all("bare averages" in each.recommendation for each in found)
    assert said(a_plan(), [lucky]).decision is Decision.CONTINUE


def test_thresholds_alone_wait_for_results_and_end_in_time() -> None:
    plan = a_plan(policy=Policy.THRESHOLDS_ONLY, min_requests=200, duration_days=2.0)

    early, late = said(plan, [HARMFUL]), said(plan, [HARMFUL], hours=49)

    assert early.decision is Decision.CONTINUE
    assert late.decision is Decision.HOLD
    assert codes(late)[0] == "time_is_up"


@pytest.mark.parametrize(
    ("fields", "clustering"),
    [
        ({}, Clustering.KNOWN),
        ({"first": False, "alone": 100}, Clustering.UNKNOWN),
    ],
)
def test_it_says_whether_units_are_known(fields: dict[str, object], clustering: Clustering) -> None:
    batch = (sums("control", **fields), sums("treatment", **fields))  # type: ignore[arg-type]

    assert said(a_plan(), [batch]).clustering is clustering


def test_a_promotion_on_results_without_units_says_so() -> None:
    batch = (
        sums("control", errors=2, first=False, alone=100, alone_errors=2),
        sums("treatment", errors=2, confidence=0.83, first=False, alone=100, alone_errors=2),
    )

    found = said(a_plan(), [batch] * 6)

    assert found.decision is Decision.PROMOTE
    assert codes(found)[-1] == "clustering_unknown"


def test_partly_known_units_are_said_to_be() -> None:
    batch = (sums("control"), sums("treatment", first=False, alone=100))

    assert said(a_plan(), [batch]).clustering is Clustering.PARTLY


def test_figures_are_those_of_all_results() -> None:
    refused = {"confidence is NaN": 3}
    batch = (
        sums("control", errors=2),
        sums("treatment", errors=4, confidence=0.9, lost=1, refused=refused),
    )

    treatment = said(a_plan(), [batch, batch]).metrics("treatment")

    assert (treatment.results, treatment.errors, treatment.lost) == (202, 10, 2)
    assert treatment.units == 200
    assert treatment.confidence == pytest.approx(0.9)
    assert treatment.p50_ms is None
    assert treatment.refused == {"confidence is NaN": 6}


def test_an_evaluation_goes_to_json_and_back() -> None:
    plan = a_plan(guardrails=(Guardrail(metric="inference_time_ms", quantile=0.95),))
    for batches in ([], [SAME], [BETTER] * 6, [HARMFUL]):
        found = said(plan, batches)

        assert wire.value(Evaluation, json.loads(wire.dumps(found))) == found


def test_a_cell_of_a_huge_value_does_not_break_the_evaluation() -> None:
    far = {"tokens": CellSums(cells={"1": (1, 1e140, 1e280), "2": (1, -1e140, 1e280)})}
    batch = (sums("control", means=far), sums("treatment", means=far))

    assert said(a_plan(), [batch] * 40).decision is Decision.HOLD


def test_no_text_in_a_language_that_is_not_there() -> None:
    with pytest.raises(Invalid, match="en, ru, de"):
        reworded(said(a_plan(), [SAME]), "fr")


def test_days_left_count_down() -> None:
    plan = a_plan(duration_days=7.0)

    found = evaluated(plan, PHASES, started(plan), BEGUN + timedelta(days=3), BEGUN)

    assert found.days_left == pytest.approx(4)
