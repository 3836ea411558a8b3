"""Records become sums: nothing counts twice, nothing that is no value gets in."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core.recording import CELLS, POSITION_BITS, ArmSums, CellSums, added
from herdbook.services.folding import (
    BEGAN,
    CONFIDENT,
    ERROR,
    FINISHED,
    LARGEST,
    MEASURED,
    NO_NUMBER,
    REMEMBERED,
    STARTED,
    TIME,
    UNIT,
    VOID,
    Fold,
    Label,
    Record,
    Seen,
    fold,
)
from herdbook.stats.histograms import bucket_of

LABELS = [
    Label("", 0, ""),
    Label("gnn", 1, "control"),
    Label("gnn", 1, "treatment"),
    Label("gnn", 1, "treatment", "tokens"),
    Label("majora", 2, "control"),
]
BOTH = TIME | CONFIDENT
ANN = 0xC0FFEE0123456789
BOB = 0x0123456789ABCDEF


def result(label: int = 1, unit: int | None = None, flags: int = BOTH, **at: float) -> Record:
    known = 0 if unit is None else UNIT
    return (unit or 0, at.get("time", 12.5), at.get("confidence", 0.75), label, flags | known, 1)


def only(found: Fold) -> ArmSums:
    """Give the sums of the one arm there is."""
    ((arm,),) = [recorded.arms for recorded in found.recorded]
    return arm


def test_a_result_becomes_counts_cells_and_a_bucket() -> None:
    found = only(fold([result(unit=ANN), result(unit=ANN, flags=BOTH | ERROR)], LABELS))

    cell = str(ANN % CELLS)
    assert (found.phase, found.arm, found.results, found.errors) == (1, "control", 2, 1)
    assert found.means["inference_time_ms"] == CellSums(cells={cell: (2, 25.0, 312.5)})
    assert found.means["confidence"] == CellSums(cells={cell: (2, 1.5, 1.125)})
    assert found.histograms == {"inference_time_ms": {str(bucket_of(12.5)): 2}}
    assert (found.alone, found.refused) == (0, {})


def test_a_unit_is_told_of_once_and_by_its_first_result() -> None:
    seen = Seen()
    records = [result(unit=ANN, flags=BOTH | ERROR), result(unit=ANN), result(unit=BOB)]

    first = only(fold(records, LABELS, seen=seen))
    again = only(fold(records, LABELS, seen=seen))

    assert first.first_errors == (ANN >> 64 - POSITION_BITS,)
    assert first.firsts == (BOB >> 64 - POSITION_BITS,)
    assert (again.firsts, again.first_errors) == ((), ())


def test_units_are_forgotten_when_there_are_too_many_experiments() -> None:
    seen = Seen()
    fold([result(unit=ANN)], LABELS, seen=seen)

    for number in range(REMEMBERED):
        seen.of(f"e{number}")

    assert only(fold([result(unit=ANN)], LABELS, seen=seen)).firsts == (ANN >> 64 - POSITION_BITS,)


def test_results_without_a_unit_stand_alone_and_are_spread_over_the_cells() -> None:
    found = only(fold([result(flags=BOTH | ERROR * (n % 2)) for n in range(4096)], LABELS))

    assert (found.alone, found.alone_errors) == (4096, 2048)
    assert (found.firsts, found.first_errors) == ((), ())
    cells = found.means["confidence"].cells
    assert len(cells) == 1024
    assert max(values[0] for values in cells.values()) <= 8


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_the_cells_are_used_evenly_whatever_lies_between_results(stride: int) -> None:
    cells: set[str] = set()
    for start in range(0, 8192 * stride, stride):
        cells |= only(fold([result()], LABELS, start=start)).means["confidence"].cells.keys()

    assert len(cells) > 1000


@pytest.mark.parametrize(
    ("time", "why"),
    [
        (math.nan, "inference_time_ms is NaN"),
        (math.inf, "inference_time_ms is infinite"),
        (-math.inf, "inference_time_ms is infinite"),
        (-0.001, "inference_time_ms is negative"),
        (1e13, "inference_time_ms is above 1e+12"),
    ],
)
def test_a_time_that_cannot_be_is_left_out_and_named(time: float, why: str) -> None:
    found = only(fold([result(time=time), result()], LABELS))

    assert found.results == 2
    assert found.refused == {why: 1}
    assert sum(cell[0] for cell in found.means["inference_time_ms"].cells.values()) == 1
    assert sum(found.histograms["inference_time_ms"].values()) == 1
    assert sum(cell[0] for cell in found.means["confidence"].cells.values()) == 2


@pytest.mark.parametrize(
    ("confidence", "flags", "why"),
    [
        (math.nan, 0, "confidence is NaN"),
        (math.nan, NO_NUMBER, "confidence is not a number"),
        (math.inf, 0, "confidence is infinite"),
        (1.0000001, 0, "confidence is above 1"),
        (-0.1, 0, "confidence is negative"),
    ],
)
def test_a_confidence_that_cannot_be_is_left_out_and_named(
    confidence: float, flags: int, why: str
) -> None:
    found = only(fold([result(confidence=confidence, flags=BOTH | flags)], LABELS))

    assert (found.results, found.refused) == (1, {why: 1})
    assert "confidence" not in found.means


def test_what_was_not_given_is_not_refused() -> None:
    found = only(fold([result(flags=0), result(flags=ERROR)], LABELS))

    assert (found.results, found.errors, found.refused) == (2, 1, {})
    assert found.means.keys() == {"error"}


@pytest.mark.parametrize("flags", [0, BOTH])
def test_errors_have_cells_as_every_metric_has(flags: int) -> None:
    records = [result(flags=flags | error) for error in (0, ERROR, 0, ERROR, ERROR)]

    found = only(fold(records, LABELS))

    cells = found.means["error"].cells.values()
    assert [sum(values) for values in zip(*cells, strict=True)] == [5, 3, 3]


def test_numbers_beside_results_have_means_and_where_they_can_a_histogram() -> None:
    values = [5.0, -5.0, 0.0, math.nan, 2 * LARGEST, -2 * LARGEST]
    records = [(ANN, value, 0.0, 3, MEASURED | UNIT, 1) for value in values]

    found = only(fold(records, LABELS))

    assert (found.arm, found.results) == ("treatment", 0)
    assert found.means["tokens"].cells == {str(ANN % CELLS): (3, 0.0, 50.0)}
    assert sum(found.histograms["tokens"].values()) == 2
    assert found.refused == {
        "tokens is NaN": 1,
        "tokens is above 1e+12": 1,
        "tokens is below -1e+12": 1,
    }


@given(st.floats(0, LARGEST))
def test_times_fall_into_the_buckets_that_the_histogram_means(time: float) -> None:
    found = only(fold([result(time=time)], LABELS)).histograms["inference_time_ms"]

    # At an edge, rounding decides: there either side is as right.
    assert [bucket_of(time * (1 - 1e-12)), bucket_of(time), bucket_of(time * (1 + 1e-12))].count(
        int(next(iter(found)))
    )


@pytest.mark.parametrize("time", [0.0, 0.001, 0.0011, 1.0, 12.5, 1e6, 2.3e7, 2.5e7, LARGEST])
def test_plain_times_fall_into_the_very_bucket(time: float) -> None:
    found = only(fold([result(time=time)], LABELS)).histograms["inference_time_ms"]

    assert found == {str(bucket_of(time)): 1}


def test_calls_are_open_until_they_end() -> None:
    begun = [(0, 0.0, 0.0, 1, STARTED, 1)] * 3
    ended = [result(flags=BOTH | BEGAN), (0, 0.0, 0.0, 1, FINISHED, 1)]

    first = fold(begun, LABELS)
    second = fold(ended, LABELS, opened=first.opened)

    assert (first.recorded, first.opened) == ((), {1: 3})
    assert second.opened == {1: 1}
    assert only(second).lost == 0


def test_calls_that_a_dead_worker_had_begun_are_lost() -> None:
    found = fold([(0, 0.0, 0.0, 2, STARTED, 1)], LABELS, opened={1: 2}, died=True)

    assert {arm.arm: arm.lost for arm in found.recorded[0].arms} == {"control": 2, "treatment": 1}
    assert found.opened == {}


def test_a_call_that_began_before_a_fork_ends_in_a_journal_that_did_not_see_it_begin() -> None:
    found = fold([result(flags=BOTH | BEGAN)], LABELS, died=True)

    assert (only(found).results, only(found).lost) == (1, 0)


def test_labels_nobody_knows_are_dropped_and_counted() -> None:
    nameless = (0, 1.0, 0.0, 1, MEASURED, 1)
    found = fold([result(0), result(99), result(), nameless, (0, 0.0, 0.0, 0, VOID, 1)], LABELS)

    assert only(found).results == 1
    assert found.delta("w", 1, dropped=5).dropped == 8


def test_sums_are_by_experiment_phase_and_arm() -> None:
    found = fold([result(4), result(2), result(1), result(2)], LABELS)

    assert [recorded.experiment for recorded in found.recorded] == ["gnn", "majora"]
    assert [(arm.arm, arm.results) for arm in found.recorded[0].arms] == [
        ("control", 1),
        ("treatment", 2),
    ]


numbers = st.one_of(st.floats(), st.integers(0, 1000).map(float), st.sampled_from([0.0, 1.0, 0.5]))
units = st.one_of(st.none(), st.integers(0, 2**64 - 1), st.sampled_from([ANN, BOB]))
results = st.builds(
    lambda unit, time, confidence, error, label: result(
        label, unit, BOTH | error, time=time, confidence=confidence
    ),
    *(units, numbers, numbers, st.sampled_from([0, ERROR]), st.sampled_from([1, 2])),
)
measures = st.builds(
    lambda value, unit: (unit, value, 0.0, 3, MEASURED | UNIT, 1),
    numbers,
    st.integers(0, 2**64 - 1),
)


@given(st.lists(st.one_of(results, measures), max_size=40), st.integers(0, 40))
def test_whatever_is_recorded_can_be_sent_and_folding_it_in_two_is_the_same(
    records: Sequence[Record], at: int
) -> None:
    whole = fold(records, LABELS, seen=Seen())
    seen = Seen()
    parts = [fold(records[:at], LABELS, seen=seen), fold(records[at:], LABELS, seen=seen)]

    for found in (whole, *parts):
        found.delta("w1", 1, dropped=0).checked()
    together = added(arm for part in parts for each in part.recorded for arm in each.arms)
    alone = added(arm for each in whole.recorded for arm in each.arms)
    counted = [
        [(arm.results, arm.errors, arm.alone, set(arm.firsts), arm.refused) for arm in arms]
        for arms in (together, alone)
    ]
    assert counted[0] == counted[1]
    assert [arm.histograms for arm in together] == [arm.histograms for arm in alone]
