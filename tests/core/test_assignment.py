"""Who takes part in which experiment, what a unit is, and batches of them."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herdbook.core.assignment import Assignment, Reason, Snapshot, always, many, numbers
from herdbook.core.routing import Routing, free_part
from herdbook.core.units import BUCKETS, Part, bucket, hash_of, threshold
from herdbook.errors import Invalid, NotFound
from tests.core.assigning import A_TEST, USERS, arms, assigned, close_to, share, snapshot

# --- groups, holdouts, targets ---


@settings(max_examples=20, deadline=None)
@given(
    wanted=st.lists(st.sampled_from([0.1, 0.15, 0.2, 0.3, 1 / 3]), min_size=2, max_size=5),
    gone=st.integers(min_value=0, max_value=4),
)
def test_experiments_of_a_group_never_share_a_unit(wanted: list[float], gone: int) -> None:
    parts: list[tuple[float, float]] = []
    for size in wanted:
        found = free_part(parts, size)
        if found is not None:
            parts.append(found)
    # One ends, and another takes what it leaves.
    low, high = parts.pop(gone % len(parts))
    again = free_part(parts, high - low)
    assert again is not None
    parts.append(again)

    tests = [
        replace(A_TEST, model=f"m{at}", experiment=f"e{at}", group="checkout", low=low, high=high)
        for at, (low, high) in enumerate(parts)
    ]
    held = snapshot(*tests)
    for unit in USERS[:2000]:
        inside = [each.model for each in tests if held.assign(each.model, unit).experiment]
        assert len(inside) <= 1, inside


def test_a_part_that_fits_but_for_rounding_ends_where_the_next_begins() -> None:
    assert free_part([(0.3, 1.0)], 0.3 + 5e-10) == (0.0, 0.3)


def test_parts_meet_without_a_gap_or_an_overlap() -> None:
    halves = [
        replace(A_TEST, experiment="low", low=0.0, high=1 / 3),
        replace(A_TEST, experiment="high", low=1 / 3, high=1.0, salt="2c26b46b68ffc68f"),
    ]

    found = assigned(*halves)

    assert share(found, lambda each: each.experiment == "low") == close_to(1 / 3, of=len(found))
    assert all(each.experiment for each in found)


def test_a_part_that_is_free_gets_the_champion() -> None:
    found = assigned(replace(A_TEST, low=0.25, high=0.5))

    outside = [each for each in found if not each.experiment]
    assert {(each.reason, each.version) for each in outside} == {(Reason.EXCLUDED, "v2.1.0")}
    assert len(outside) / len(found) == close_to(0.75, of=len(found))


def test_the_same_units_are_held_out_of_every_experiment_of_a_model() -> None:
    first = replace(A_TEST, holdout=0.1)
    second = replace(first, experiment="next", salt="2c26b46b68ffc68f", coverage=0.5)
    wider = replace(second, holdout=0.2)

    held = [
        {
            unit
            for unit, found in zip(USERS, assigned(each), strict=True)
            if found.reason is Reason.HOLDOUT
        }
        for each in (first, second, wider)
    ]

    assert held[0] == held[1] < held[2]
    assert len(held[0]) / len(USERS) == close_to(0.1, of=len(USERS))


@pytest.mark.parametrize(
    ("attributes", "inside"),
    [
        ({"country": "de", "beta": True, "level": 3}, True),
        ({"country": "ru", "beta": "true", "level": "3", "more": object()}, True),
        ({"country": "fr", "beta": True, "level": 3}, False),
        ({"country": "de", "beta": False, "level": 3}, False),
        ({"country": "de", "beta": 1, "level": 3}, False),
        ({"country": None, "beta": True, "level": 3}, False),
        ({"country": ["de"], "beta": True, "level": 3}, False),
        ({"beta": True, "level": 3}, False),
        ({}, False),
        (None, False),
    ],
)
def test_those_who_are_targeted_take_part(
    attributes: dict[str, object] | None,
    inside: bool,  # noqa: FBT001 - what is expected
) -> None:
    targeting = {"country": ("de", "ru"), "beta": ("true",), "level": ("3",)}

    found = assigned(replace(A_TEST, targeting=targeting), units=["user1"], attributes=attributes)

    assert bool(found[0].experiment) is inside
    assert found[0].reason is (Reason.SPLIT if inside else Reason.TARGETING)


def test_in_the_shadow_all_are_served_control_and_the_treatment_is_called_beside_it() -> None:
    found = assigned(replace(A_TEST, shadow=True, arms=arms(percent=25)))

    assert {(each.variant, each.version) for each in found} == {("control", "v2.1.0")}
    beside = [each for each in found if each.shadow]
    assert {(each.shadow, each.shadow_version, each.counted) for each in beside} == {
        ("treatment", "v2.2.0", "treatment")
    }
    assert len(beside) / len(found) == close_to(0.25, of=len(found))
    served = assigned(replace(A_TEST, arms=arms(percent=25)))
    assert [each.counted for each in served] == [each.counted for each in found]


def test_an_experiment_hashed_otherwise_is_left_to_programs_that_can() -> None:
    found = assigned(replace(A_TEST, hash_version=2), units=["user1"])

    assert (found[0].version, found[0].counted) == ("v2.1.0", "")
    assert found[0].reason is Reason.HASH_VERSION


def test_without_a_champion_the_control_is_given_outside() -> None:
    held = Snapshot(
        Routing(mark="1", champions={"gnn": ""}, experiments=(replace(A_TEST, running=False),))
    )

    assert held.assign("gnn", "user1").version == "v2.1.0"


def test_a_model_without_experiments_is_not_in_the_snapshot() -> None:
    with pytest.raises(NotFound, match="oracle has no experiment"):
        snapshot(A_TEST).assign("oracle", "user1")


def test_what_is_given_is_made_once() -> None:
    found = assigned(A_TEST, replace(A_TEST, model="majora"), units=USERS[:100])

    assert len({id(each) for each in found}) == 2


# --- units ---


class Machine(StrEnum):
    PRESS = "press-7"


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (42, "42"),
        (-7, "-7"),
        (10**30, "1" + "0" * 30),
        (np.int64(42), "42"),
        (np.str_("user1"), "user1"),
        (Machine.PRESS, "press-7"),
    ],
)
def test_a_number_is_the_unit_of_its_digits(unit: Any, text: str) -> None:
    assert hash_of(unit) == hash_of(text)
    assert bucket("s", Part.VARIANT, unit) == bucket("s", Part.VARIANT, text)
    plan = snapshot(A_TEST).plans["gnn"]
    assert plan(unit, None) is plan(text, None)


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("", "a unit is empty"),
        (None, "not NoneType"),
        (1.5, "not float"),
        (True, "not bool"),
        (b"user1", "not bytes"),
        (["user1"], "not list"),
        (np.array([True])[0], "not bool"),
        pytest.param(10**5000, "thousands of digits", id="long"),
        ("half \ud83d", "UTF-8 cannot write"),
    ],
)
@pytest.mark.parametrize("where", ["experiment", "no experiment", "hash"])
def test_what_is_no_unit_is_invalid(unit: Any, said: str, where: str) -> None:
    ask: dict[str, Callable[[], object]] = {
        "experiment": lambda: snapshot(A_TEST).assign("gnn", unit),
        "no experiment": lambda: always(Assignment(model="gnn", version="v1"))(unit, None),
        "hash": lambda: hash_of(unit),
    }

    with pytest.raises(Invalid, match=said) as refused:
        ask[where]()

    assert refused.value.field == "unit"


# --- batches ---


@pytest.mark.parametrize("kind", ["list", "tuple", "iterator", "text", "object", "whole", "square"])
def test_a_batch_gives_what_single_calls_give(kind: str) -> None:
    plan = snapshot(A_TEST).plans["gnn"]
    names: list[Any] = list(range(400)) if kind == "whole" else USERS[:400]
    as_batch: dict[str, Callable[[], Any]] = {
        "list": lambda: names,
        "tuple": lambda: tuple(names),
        "iterator": lambda: iter(names),
        "text": lambda: np.array(names),
        "object": lambda: np.array(names, dtype=object),
        "whole": lambda: np.array(names, dtype=np.uint32),
        "square": lambda: np.array(names).reshape(20, 20).T,
    }
    batch = as_batch[kind]()

    found = many(plan, batch)

    singles = [plan(unit, None) for unit in names]
    if kind in {"list", "tuple", "iterator"}:
        assert found == singles
        assert numbers(found) == [each.version for each in singles]
    else:
        flat: Any = found.T.ravel() if kind == "square" else found
        assert found.shape == batch.shape
        assert list(flat) == singles
        assert numbers(found).shape == batch.shape
        assert numbers(found).dtype.kind == "U"
        assert [str(each) for each in numbers(flat)] == [each.version for each in singles]


def test_an_empty_batch_is_an_empty_answer() -> None:
    plan = snapshot(A_TEST).plans["gnn"]

    assert many(plan, []) == []
    assert numbers(many(plan, np.array([], dtype=int))).tolist() == []


def test_a_batch_takes_the_attributes_of_each_unit() -> None:
    plan = snapshot(replace(A_TEST, targeting={"country": ("de",)})).plans["gnn"]
    own = [{"country": "de"}, {"country": "fr"}, {}]

    assert [bool(each.experiment) for each in many(plan, USERS[:3], own)] == [True, False, False]
    with pytest.raises(Invalid, match="2 entries for 3 units"):
        many(plan, USERS[:3], own[:2])


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ("user1", "units is one text"),
        (np.array([1.5]), "array of float64"),
        (np.array([b"user1"]), r"array of \|S5"),
        (np.array(["user1", None], dtype=object), "not NoneType"),
        (["user1", ""], "a unit is empty"),
    ],
)
def test_a_batch_of_what_is_no_unit_is_invalid(batch: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        many(snapshot(A_TEST).plans["gnn"], batch)


# --- what it costs to import ---


def test_importing_herdbook_imports_no_hash_and_assigning_no_numpy() -> None:
    asked = (
        "import sys, herdbook; assert 'xxhash' not in sys.modules; "
        "import herdbook.core.assignment; assert 'numpy' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", asked], check=True)


def test_thresholds_are_whole_and_never_beyond_all_buckets() -> None:
    assert [threshold(each) for each in (0.0, 0.5, 1.0)] == [0, BUCKETS // 2, BUCKETS]
    three = threshold(1 / 3) + threshold(1 / 3) + threshold(1 / 3)
    assert abs(three - BUCKETS) <= 3
