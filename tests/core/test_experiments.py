"""Plans of experiments: what they may say, and what follows from it."""

import dataclasses
import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core import wire
from herdbook.core.experiments import AGAIN, ROUTE_WORDS, Experiment, Plan, Policy, experiment_name
from herdbook.core.guardrails import Guardrail, Worse
from herdbook.core.routing import free_part
from herdbook.errors import Invalid
from tests.experiments import plan

RANGES: dict[str, tuple[float, float]] = {
    "treatment_traffic_pct": (0.01, 99.99),
    "ramp_hours": (0.0, 8760.0),
    "duration_days": (0.001, 365.0),
    "max_error_rate_increase": (0.0, 0.99),
    "min_confidence_improvement": (-1.0, 1.0),
    "alpha": (1e-6, 0.5),
    "holdout_pct": (0.0, 99.0),
    "exclusion_pct": (0.01, 100.0),
}
SHARES = st.floats(0.01, 99.99)


def made(**said: Any) -> Plan:
    """A plan of gnn v2 against v1, checked."""
    return plan(**{"control": "v1"} | said).checked()


def within(name: str) -> st.SearchStrategy[float]:
    low, high = RANGES[name]
    return st.floats(low, high)


KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
GUARDRAILS = st.builds(
    Guardrail, metric=KEYS, worse=st.sampled_from(Worse), margin=st.floats(0, 1e12)
)
PLANS = st.fixed_dictionaries(
    {
        **{name: within(name) for name in RANGES},
        "min_requests": st.integers(1, 10**12),
        "targeting": st.dictionaries(
            KEYS, st.lists(WORDS, min_size=1, max_size=3).map(tuple), max_size=3
        ),
        "guardrails": st.lists(GUARDRAILS, max_size=3, unique_by=lambda g: g.name).map(tuple),
        "policy": st.sampled_from(Policy),
        "shadow": st.booleans(),
        "auto_ramp": st.booleans(),
    }
)


@given(PLANS)
def test_what_lies_in_its_range_is_a_plan_and_comes_back_from_its_text(
    said: dict[str, Any],
) -> None:
    found = made(**said)

    assert wire.value(Plan, json.loads(wire.dumps(found))) == found
    assert found.checked() == found


@given(st.sampled_from(sorted(RANGES)), st.floats())
def test_a_number_is_taken_exactly_within_its_range(name: str, value: float) -> None:
    low, high = RANGES[name]

    if low <= value <= high:
        assert getattr(made(**{name: value}), name) == value
        return
    with pytest.raises(Invalid) as caught:
        made(**{name: value})
    assert caught.value.field == name


@given(SHARES, st.integers(1, 10))
def test_the_shares_of_the_arms_come_to_one(share: float, treatments: int) -> None:
    numbers = tuple(f"v{at + 2}" for at in range(treatments))
    found = made(treatments=numbers, treatment_traffic_pct=share)

    assert math.fsum(arm.share for arm in found.arms) == pytest.approx(1)
    assert sum(arm.share for arm in found.arms[1:]) == pytest.approx(share / 100)
    assert [arm.number for arm in found.arms] == ["v1", *numbers]


@given(st.lists(SHARES, min_size=1, max_size=6, unique=True).map(sorted), st.integers(1, 3))
def test_a_stage_of_a_ramp_gives_treatments_what_it_says(
    stages: list[float], treatments: int
) -> None:
    highest = 100 * treatments / (treatments + 1)
    numbers = tuple(f"v{at + 2}" for at in range(treatments))
    ramp = tuple(stage * highest / 100 for stage in stages)

    found = made(treatments=numbers, ramp=ramp)

    given_ = [coverage * found.treatment_share * 100 for coverage in found.coverages]
    assert given_ == pytest.approx(list(ramp))
    assert len({round(arm.share, 12) for arm in found.arms}) == 1
    assert all(low < high for low, high in itertools.pairwise(found.coverages))
    assert found.coverages[-1] <= 1


def test_a_ramp_with_one_and_with_two_treatments() -> None:
    one = made(ramp=(1, 5, 10, 25, 50))
    two = made(treatments=("v2", "v3"), ramp=(10, 66))

    assert one.coverages == pytest.approx((0.02, 0.1, 0.2, 0.5, 1.0))
    assert [(a.name, a.share) for a in one.arms] == [("control", 0.5), ("treatment", 0.5)]
    assert two.coverages == pytest.approx((0.15, 0.99))
    assert [a.name for a in two.arms] == ["control", "treatment-1", "treatment-2"]
    assert [a.share for a in two.arms] == pytest.approx([1 / 3] * 3)
    assert made().coverages == (1.0,)


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("no name", {"name": ""}, "name"),
    ("a name with spaces", {"name": "gnn test"}, "name"),
    ("a name that is too long", {"name": "g" * 101}, "name"),
    ("no model", {"model": ""}, "model"),
    ("no treatment", {"treatments": ()}, "treatments"),
    ("too many treatments", {"treatments": tuple(f"v{n}" for n in range(2, 13))}, "treatments"),
    ("the control against itself", {"treatments": ("v1",)}, "treatments"),
    ("the control in another spelling", {"treatments": ("1.0",)}, "treatments"),
    ("A/A of two versions", {"aa": True}, "treatments"),
    ("A/A of nothing", {"aa": True, "treatments": ()}, "treatments"),
    ("A/A that promotes", {"aa": True, "treatments": ("v1",), "auto_promote": True},
     "auto_promote"),
    ("A/A by averages",
     {"aa": True, "treatments": ("1",), "policy": Policy.THRESHOLDS_ONLY}, "policy"),
    ("a treatment twice", {"treatments": ("v2", "v2.0")}, "treatments"),
    ("no number", {"treatments": ("champion",)}, "number"),
    ("two in the shadow", {"treatments": ("v2", "v3"), "shadow": True}, "shadow"),
    ("a ramp that falls", {"ramp": (5, 1)}, "ramp"),
    ("a ramp that stands", {"ramp": (5, 5)}, "ramp"),
    ("a ramp from 0", {"ramp": (0, 5)}, "ramp"),
    ("a ramp beyond an even split", {"ramp": (50.1,)}, "ramp"),
    ("a ramp of NaN", {"ramp": (math.nan,)}, "ramp"),
    ("half a request", {"min_requests": 0}, "min_requests"),
    ("a fraction of requests", {"min_requests": 10.5}, "min_requests"),
    ("a group without a name", {"exclusion": " "}, "exclusion"),
    ("an attribute without values", {"targeting": {"country": ()}}, "targeting"),
    ("an attribute without a name", {"targeting": {"": ("de",)}}, "targeting"),
    ("an empty value", {"targeting": {"country": ("",)}}, "targeting"),
    ("too many values", {"targeting": {"n": tuple(map(str, range(101)))}}, "targeting"),
    ("a guardrail twice", {"guardrails": (Guardrail(metric="cost"),) * 2}, "guardrails"),
    ("too many guardrails", {"guardrails": tuple(Guardrail(metric=f"m{n}") for n in range(21))},
     "guardrails"),
    ("a guardrail of nothing", {"guardrails": (Guardrail(metric=""),)}, "guardrails.metric"),
    ("a quantile of 1", {"guardrails": (Guardrail(metric="t", quantile=1.0),)},
     "guardrails.quantile"),
    ("a quantile that falls",
     {"guardrails": (Guardrail(metric="t", quantile=0.5, worse=Worse.LOWER),)},
     "guardrails.worse"),
    ("a margin below 0", {"guardrails": (Guardrail(metric="t", margin=-1.0),)},
     "guardrails.margin"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "said", "field"), MISTAKES, ids=[what for what, _, _ in MISTAKES])
def test_each_mistake_is_one_error_that_names_the_field(
    what: str, said: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        made(**said)

    assert caught.value.field == field, what


def test_an_aa_experiment_has_its_control_twice_under_two_names() -> None:
    plan = made(aa=True, treatments=("1.0",), control="v1", treatment_traffic_pct=20)

    assert [(arm.name, arm.number) for arm in plan.arms] == [("control", "v1"), (AGAIN, "1.0")]
    assert [arm.share for arm in plan.arms] == pytest.approx([0.8, 0.2])
    assert (plan.auto_rollback, plan.auto_promote) == (False, False)
    assert wire.value(Plan, wire.plain(plan)) == plan


def test_a_plan_from_before_there_were_aa_experiments_is_none() -> None:
    old = wire.plain(made())
    del old["aa"]

    assert wire.value(Plan, old) == made()


def test_words_of_the_routes_are_no_names() -> None:
    for word in ROUTE_WORDS:
        with pytest.raises(Invalid, match="not a name for an experiment"):
            experiment_name(word)
    assert experiment_name("gnn_v2.2_test") == "gnn_v2.2_test"


def test_an_experiment_comes_back_from_its_text() -> None:
    given_ = wire.value(
        Experiment,
        {
            "id": 1, "plan": wire.plain(made()), "state": "running", "low": 0, "high": 0.5,
            "phases": [{"number": 1, "coverage": 1.0, "at": "2026-01-14"}], "salt": "0a",
            "started_at": "2026-01-14T12:00:00Z", "started_by": "curator", "outcome": "stopped",
        },
    )  # fmt: skip

    assert wire.value(Experiment, json.loads(wire.dumps(given_))) == given_
    assert {f.name for f in dataclasses.fields(given_)} == wire.plain(given_).keys()


@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.booleans()), max_size=12))
def test_parts_are_free_whole_and_never_overlap(wanted: list[tuple[float, bool]]) -> None:
    taken: list[tuple[float, float]] = []
    for size, one_ends in wanted:
        found = free_part(taken, size)
        if found is None:
            continue
        low, high = found
        assert 0 <= low < high <= 1
        assert high - low == pytest.approx(size, abs=2e-9)
        assert all(high <= begin or end <= low for begin, end in taken)
        taken.append(found)
        if one_ends:
            taken.pop(0)


@given(st.integers(1, 100))
def test_equal_parts_fill_a_group_exactly(count: int) -> None:
    taken: list[tuple[float, float]] = []
    for _ in range(count):
        found = free_part(taken, 1 / count)
        assert found is not None
        taken.append(found)

    assert free_part(taken, 1 / count) is None
