"""Combining e-values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.errors import Invalid
from herdbook.stats.evidence import average, discoveries, level, log_sum

LOGS = st.floats(-1e6, 1e6)


def test_twenty_is_the_evidence_needed_at_five_per_cent() -> None:
    assert math.exp(level(0.05)) == pytest.approx(20)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.05, math.nan])
def test_an_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(Invalid, match="alpha"):
        level(alpha)


@given(st.lists(LOGS, min_size=1, max_size=20))
def test_an_average_lies_between_its_smallest_and_its_largest(logs: list[float]) -> None:
    assert min(logs) - 1e-9 <= average(logs) <= max(logs) + 1e-9


def test_the_sum_of_nothing_is_nothing() -> None:
    assert log_sum([]) == -math.inf
    assert average([-math.inf, 0.0]) == pytest.approx(math.log(0.5))


def test_one_proof_is_not_lost_among_refuted_claims() -> None:
    assert average([math.inf, -math.inf]) == math.inf


@pytest.mark.parametrize("logs", [[], [math.nan, 1.0]])
def test_nothing_and_nan_are_no_evidence(logs: list[float]) -> None:
    with pytest.raises(Invalid):
        average(logs)


def _by_the_definition(logs: dict[str, float], alpha: float) -> set[str]:
    """e-BH as the paper writes it: try every number of rejections."""
    chosen: set[str] = set()
    for k in range(1, len(logs) + 1):
        above = {name for name, log in logs.items() if math.exp(log) >= len(logs) / (alpha * k)}
        if len(above) >= k and len(above) > len(chosen):
            chosen = above
    return chosen


@given(
    st.dictionaries(st.text(max_size=3), st.floats(-5, 12), max_size=12),
    st.sampled_from([0.01, 0.05, 0.3]),
)
def test_discoveries_are_those_of_the_definition(logs: dict[str, float], alpha: float) -> None:
    assert discoveries(logs, alpha=alpha) == _by_the_definition(logs, alpha)


def test_more_evidence_for_one_never_takes_away_another() -> None:
    before = discoveries({"p95": 3.7, "p99": 3.0, "cost": 0.0}, alpha=0.1)

    after = discoveries({"p95": 3.7, "p99": 30.0, "cost": 0.0}, alpha=0.1)

    assert before <= after
    assert after == {"p95", "p99"}


def test_one_guardrail_of_twenty_needs_twenty_times_the_evidence() -> None:
    guardrails = dict.fromkeys(map(str, range(19)), 0.0)

    assert not discoveries({**guardrails, "p95": level(0.05) + math.log(19.9)}, alpha=0.05)
    assert discoveries({**guardrails, "p95": level(0.05) + math.log(20.1)}, alpha=0.05) == {"p95"}
