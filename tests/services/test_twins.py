"""A/A experiments: the same version twice is seen to be the same, and faults are seen as faults."""

from dataclasses import replace

import pytest

from herdbook.core.decisions import Evaluation
from herdbook.core.experiments import AGAIN, Decision, Plan, Policy
from herdbook.core.guardrails import Guardrail
from herdbook.core.recording import ArmSums
from herdbook.services.deciding import reworded
from herdbook.services.rehearsing import World, lengthening, rehearsed
from tests.services.recorded import a_plan, codes, said, sums
from tests.stats.traffic import allowed

RUNS = 40
ENDS = lengthening(4_000, 12)
WORDS = {
    "en": "the same version, v2.1.0: this is an A/A experiment",
    "ru": "это A/A-тест",
    "de": "dieselbe Version, v2.1.0: das ist ein A/A-Experiment",
}


def an_aa(**fields: object) -> Plan:
    return a_plan(treatments=("v2.1.0",), aa=True, **fields)


def after(*arms: ArmSums, times: int = 6, hours: float = 1.0, **fields: object) -> Evaluation:
    return said(an_aa(**fields), [arms] * times, hours=hours)


SAME = (sums("control", errors=2), sums(AGAIN, errors=2))
WORSE = (sums("control", errors=2), sums(AGAIN, errors=20))
FAULTS = {
    "the second arm errs more": (WORSE, "harm"),
    "the second arm errs less": ((sums("control", errors=30), sums(AGAIN, errors=3)), "aa_errors"),
    "confidence is higher": ((SAME[0], sums(AGAIN, errors=2, confidence=0.83)), "aa_confidence"),
    "confidence is lower": ((SAME[0], sums(AGAIN, errors=2, confidence=0.77)), "aa_confidence"),
}


def test_two_arms_that_do_the_same_are_said_to_be_the_same() -> None:
    found = after(*SAME)

    assert (found.decision, codes(found)) == (Decision.CONTINUE, ["aa", "aa_no_difference"])
    assert (found.arm, found.number) == (AGAIN, "v2.1.0")
    assert "After 1,200 results no difference is seen" in found.recommendation


@pytest.mark.parametrize("language", WORDS)
def test_it_says_in_plain_words_that_both_arms_are_one_version(language: str) -> None:
    quiet, alarm = after(*SAME), after(*WORSE)

    assert WORDS[language] in reworded(quiet, language)
    assert WORDS[language] in reworded(alarm, language)
    assert reworded(quiet, language) != reworded(alarm, language)


def test_too_few_results_are_said_to_be_few() -> None:
    found = after(*SAME, times=6, min_requests=5_000)

    assert codes(found) == ["aa", "aa_no_difference", "few_results", "few_results"]


def test_in_the_end_all_is_sound() -> None:
    found = after(*SAME, hours=24 * 8)

    assert found.decision is Decision.HOLD
    assert found.recommendation.endswith("are sound, as far as this shows.")


def test_an_end_with_too_few_results_says_nothing_of_being_sound() -> None:
    found = after(*SAME, hours=24 * 8, min_requests=5_000)

    assert codes(found)[:2] == ["aa", "time_is_up"]
    assert "sound" not in found.recommendation


@pytest.mark.parametrize("fault", FAULTS)
def test_a_difference_is_an_alarm_and_never_a_decision(fault: str) -> None:
    arms, code = FAULTS[fault]

    found = after(*arms, times=10)

    assert found.decision is Decision.HOLD
    assert codes(found)[:2] == ["aa", "aa_difference"]
    assert code in codes(found)
    assert "at most 5 % of such experiments" in found.recommendation
    assert found.recommendation.endswith("nothing is rolled back.")


def test_the_same_results_of_two_versions_would_be_rolled_back() -> None:
    """The control: what A/A calls an alarm is a rollback of any other experiment."""
    arms = (WORSE[0], replace(WORSE[1], arm="treatment"))

    assert said(a_plan(), [arms] * 10).decision is Decision.ROLLBACK


def test_a_wrong_split_is_a_fault() -> None:
    found = after(sums("control", results=200, errors=2), sums(AGAIN, results=60, errors=1))

    assert found.decision is Decision.HOLD
    assert codes(found)[:2] == ["aa", "sample_ratio_mismatch"]
    assert "assignment or recording is broken" in found.recommendation


def test_a_guardrail_nobody_records_is_named() -> None:
    found = after(*SAME, guardrails=(Guardrail(metric="tokens"),))

    assert codes(found)[-1] == "guardrail_unrecorded"


def test_false_alarms_are_rare_where_bare_averages_promote_a_version_over_itself() -> None:
    world = World(units=300, correlation=0.3)

    ours = rehearsed(an_aa(min_requests=50), world, ends=ENDS, runs=RUNS)
    bare = a_plan(policy=Policy.THRESHOLDS_ONLY, min_requests=50)
    theirs = rehearsed(bare, world, ends=ENDS, runs=RUNS)

    assert (ours.promoted, ours.rolled_back) == (0, 0)
    assert ours.held <= allowed(RUNS)
    assert theirs.promoted > allowed(RUNS)
