"""What is said of columns: far enough and not by chance, or that too little is known."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core.checking import Apart, Bins, ColumnCheck, Counted, Form, Limits, Pair, Verdict
from herdbook.services.checking import judged, threshold_of

LIMITS = Limits()


def counted(*counts: int, missing: int = 0) -> Counted:
    return Counted(
        values=sum(counts), missing=missing, counts=counts, mean=0.0, sd=1.0, low=-3.0, high=3.0
    )


def numbers(one: Counted, two: Counted, *, column: str = "score") -> Pair:
    bins = Bins(form=Form.NUMERIC, edges=tuple(range(len(one.counts) - 1)))
    return Pair(column=column, bins=bins, reference=one, current=two)


def names(one: Counted, two: Counted) -> Pair:
    bins = Bins(form=Form.CATEGORICAL, categories=tuple("abcdefgh")[: len(one.counts) - 1])
    return Pair(column="country", bins=bins, reference=one, current=two)


def said_of(pair: Pair) -> ColumnCheck:
    (said,) = judged([pair], limits=LIMITS)
    return said


def test_many_tests_make_a_chance_of_one_in_two_hundred_nothing_special() -> None:
    # KS = 0.12 of 400 and 400: p = 0.006.
    some = numbers(counted(200, 200, 0), counted(248, 152, 0))
    same = [
        numbers(counted(200, 200, 0), counted(200, 200, 0), column=f"c{at}") for at in range(20)
    ]

    alone = said_of(some)
    among = judged([some, *same], limits=LIMITS)

    assert alone.p_value == pytest.approx(0.0061, abs=0.001)
    assert alone.verdict is Verdict.DRIFT
    assert all(each.verdict is not Verdict.DRIFT for each in among)


def test_categories_that_are_rare_are_no_evidence() -> None:
    rare = names(counted(1_000, 1, 0, 1, 0, 1, 0), counted(1_000, 0, 1, 0, 1, 0, 1))

    said = said_of(rare)

    assert said.p_value == 1
    assert said.verdict is Verdict.STABLE


def test_categories_of_few_values_say_that_they_cannot_tell() -> None:
    said = said_of(names(counted(30, 30, 0), counted(28, 32, 0)))

    assert said.verdict is Verdict.INSUFFICIENT
    assert "cannot tell JS 0.1 from chance" in said.why


def test_missing_values_count_where_too_few_others_are_left() -> None:
    said = said_of(numbers(counted(500, 500, 0), counted(5, 5, 0, missing=990)))

    assert said.verdict is Verdict.DRIFT
    assert said.why == "missing values rose from 0.0% to 99.0%"
    assert said.ks is None


@pytest.mark.parametrize(("auc", "verdict"), [(0.52, Verdict.STABLE), (0.62, Verdict.DRIFT)])
def test_vectors_drift_by_the_auc(auc: float, verdict: Verdict) -> None:
    apart = Apart(
        dimensions=4, sampled=(2_000, 2_000), auc=auc, auc_error=0.01, auc_p=1e-4, mmd=0, mmd_p=0.5
    )
    sides = Counted(values=2_000, missing=0, counts=())
    pair = Pair(
        column="e", bins=Bins(form=Form.EMBEDDING), reference=sides, current=sides, apart=apart
    )

    assert said_of(pair).verdict is verdict
    assert threshold_of(Form.EMBEDDING, LIMITS) == pytest.approx(0.57)


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=3, max_size=9),
    st.integers(0, 5_000),
    st.sampled_from([names, numbers]),
)
def test_whatever_was_counted_something_is_said(
    sides: list[tuple[int, int]], missing: int, made: Callable[[Counted, Counted], Pair]
) -> None:
    one, two = (counted(*counts) for counts in zip(*sides, strict=True))
    two = counted(*two.counts, missing=missing)

    said = said_of(made(one, two))

    assert said.why
    assert (said.verdict is Verdict.DRIFT) == ("at least" in said.why or "missing" in said.why)
    if said.distance is not None:
        assert sum(said.shape.current) == pytest.approx(1)
        assert len(said.shape.labels) == len(said.shape.current)
