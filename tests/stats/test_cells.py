"""The running sums say what the formula says of all cells at once (`tests/stats/contrasts.py`)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.errors import Invalid
from herdbook.stats import cells
from herdbook.stats.cells import Running
from tests.stats.contrasts import Pair, UnitSums, contrast

Came = tuple[str, str, dict[int, tuple[int, float, float]]]
VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=3)


def _sums(values: list[float]) -> tuple[int, float, float]:
    return len(values), math.fsum(values), math.fsum(value * value for value in values)


CAME = st.lists(
    st.tuples(
        st.sampled_from(["1", "2"]),
        st.sampled_from(["control", "treatment", "treatment-2"]),
        st.dictionaries(st.integers(0, 6), VALUES.map(_sums), min_size=1),
    ),
    min_size=1,
    max_size=8,
)


def _running(came: list[Came]) -> Running:
    running = None
    for stratum, arm, by_cell in came:
        running = cells.added(running, stratum, arm, by_cell)
    assert running is not None
    return running


def _strata(came: list[Came]) -> dict[str, Pair]:
    strata: dict[str, Pair] = {}
    for stratum, arm, by_cell in came:
        sums = UnitSums({cell: (number, total) for cell, (number, total, _) in by_cell.items()})
        if arm == "treatment-2":
            continue  # another one is not compared here
        pair = Pair(sums) if arm == "control" else Pair(treatment=sums)
        strata[stratum] = strata.get(stratum, Pair()) + pair
    return strata


@given(CAME)
def test_running_sums_compare_as_all_cells_at_once_do(came: list[Came]) -> None:
    ours, theirs = cells.contrast(_running(came), "treatment"), contrast(_strata(came))

    for one, two in (
        (ours.difference, theirs.difference),
        (ours.control, theirs.control),
        (ours.treatment, theirs.treatment),
        (ours.units, theirs.units),
    ):
        assert one == pytest.approx(two, rel=1e-6, abs=1e-7, nan_ok=True)
    if min(ours.standard_error, theirs.standard_error) > 1e-3:
        assert ours.standard_error == pytest.approx(theirs.standard_error, rel=1e-4)


def test_a_ramp_of_many_batches_keeps_its_digits() -> None:
    rng = np.random.default_rng(1)
    came: list[Came] = []
    for batch in range(200):
        for arm in ("control", "treatment"):
            values = {int(rng.integers(1024)): [800_000 + float(rng.normal())] for _ in range(40)}
            came.append((str(batch % 4), arm, {cell: _sums(v) for cell, v in values.items()}))

    ours, theirs = cells.contrast(_running(came), "treatment"), contrast(_strata(came))

    assert ours.difference == pytest.approx(theirs.difference, rel=1e-7)
    assert ours.standard_error == pytest.approx(theirs.standard_error, rel=1e-9)


def test_units_that_all_agree_prove_nothing() -> None:
    came: list[Came] = []
    for part in range(20):
        for arm, value in (("control", 0.7), ("treatment", 0.9)):
            came.append(("1", arm, {part: _sums([value] * 3)}))

    found = cells.contrast(_running(came), "treatment")

    assert found.difference == pytest.approx(0.2)
    assert found.standard_error == math.inf


def test_the_order_of_cells_changes_no_bit() -> None:
    rng = np.random.default_rng(2)
    by_cell = {cell: _sums([float(rng.random())]) for cell in range(300)}
    shuffled = dict(sorted(by_cell.items(), key=lambda _: rng.random()))

    before = cells.added(None, "1", "control", {5: (1, 0.3, 0.09)})

    assert cells.added(before, "1", "control", by_cell) == cells.added(
        before, "1", "control", shuffled
    )


def test_values_of_one_unit_that_agree_are_worth_one() -> None:
    rng = np.random.default_rng(3)
    level = rng.random(1000).tolist()
    strangers = cells.added(None, "1", "control", {at: _sums([x]) for at, x in enumerate(level)})
    regulars = cells.added(None, "1", "control", {at: _sums([x] * 9) for at, x in enumerate(level)})

    assert cells.design_effect(strangers, "control") == pytest.approx(1, abs=0.01)
    assert cells.design_effect(regulars, "control") == pytest.approx(9, abs=0.1)
    assert cells.design_effect(regulars, "treatment") == 1


def test_means_and_deviations_are_those_of_all_values() -> None:
    running = _running(
        [("1", "control", {1: _sums([1.0, 2.0])}), ("2", "control", {1: _sums([6])})]
    )

    assert running.mean("control") == pytest.approx(3)
    assert running.deviation("control") == pytest.approx(math.sqrt(14 / 3))
    assert math.isnan(running.mean("treatment"))


@pytest.mark.parametrize(
    "values", [(1, math.nan, 1), (1, math.inf, 1), (1, 1e200, 1), (-1, 0, 0), (1, 1, -1)]
)
def test_what_is_no_sum_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(Invalid, match="A cell has"):
        cells.added(None, "1", "control", {1: values})


def test_there_is_no_cell_beyond_the_last() -> None:
    with pytest.raises(Invalid, match="0 to 1023"):
        cells.added(None, "1", "control", {1024: (1, 1, 1)})
