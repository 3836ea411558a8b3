"""Samples come to counts in the reference's bins: exact, by the hour, with numpy and without."""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core.drift import Watched
from herdbook.core.references import Reference, Slot
from herdbook.core.sampling import Mark, Sampled, StreamSums, combined
from herdbook.errors import Unavailable
from herdbook.services import columns, references, sampling
from herdbook.services.columns import RECORD
from herdbook.services.folding import (
    CONFIDENT,
    OTHER,
    SAMPLED,
    STARTED,
    VOID,
    Label,
    Meaning,
    SampleLabel,
)

HOUR = 490_000
GNN = SampleLabel("gnn", "v2.1.0", "prediction")
LABELS: list[Meaning] = [
    Label("", 0, ""),
    GNN,
    SampleLabel("gnn", "v2.1.0", "kind", "leak"),
    SampleLabel("gnn", "v2.1.0", "kind", OTHER),
    SampleLabel("gnn", "v2.1.0", "kind"),
    Label("gnn_v2.2_test", 1, "control"),
    SampleLabel("gnn", "v2.1.0", "kind", "leak", served=True),
]
RNG = random.Random(7)  # noqa: S311 - not a secret
NUMBERS = references.numeric([RNG.gauss(0, 1) for _ in range(1_000)])
KINDS = references.categorical(["leak"] * 30 + ["wear"] * 20)


def watched(**streams: Reference) -> Watched:
    return Watched(
        model="gnn",
        number="v2.1.0",
        fingerprint="f" * 32,
        references=streams or {"prediction": NUMBERS, "confidence": NUMBERS, "kind": KINDS},
        frozen_at=datetime(2026, 1, 14, tzinfo=UTC),
    )


def record(
    value: float, confidence: float | None = None, *, label: int = 1, hour: int = HOUR
) -> bytes:
    flags = SAMPLED if confidence is None else SAMPLED | CONFIDENT
    return RECORD.pack(hour, value, confidence or 0.0, label, flags, 1)


def folded(records: Sequence[bytes], of: Watched | None = None, **more: Any) -> sampling.Samples:
    return sampling.folded(b"".join(records), LABELS, lambda *_: of or watched(), **more)


def only(found: sampling.Samples) -> Sampled:
    (sampled,) = found.sampled
    return sampled


def stream(found: sampling.Samples, name: str) -> StreamSums:
    (sums,) = [each for each in only(found).streams if each.stream == name]
    return sums


@pytest.fixture(params=["numpy", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of counting, on any number of samples."""
    monkeypatch.setattr(columns, "FEW", 1)
    if request.param == "plain":
        monkeypatch.setattr(columns, "numpy", lambda: None)
    return str(request.param)


pytestmark = pytest.mark.usefixtures("way")


def test_a_record_counts_in_two_streams() -> None:
    found = only(folded([record(0.5, 0.9), record(0.25), record(0.5, 0.9)]))

    assert [(each.stream, each.hour, each.values) for each in found.streams] == [
        ("confidence", HOUR, 2),
        ("prediction", HOUR, 3),
    ]
    assert found.fingerprint == "f" * 32


def test_each_value_is_in_the_bin_of_the_reference() -> None:
    values = [*NUMBERS.edges, -99.0, 99.0, *(RNG.gauss(0, 1) for _ in range(500))]

    sums = stream(folded([record(value) for value in values]), "prediction")

    wanted = Counter(references.bin_of(NUMBERS.edges, value) for value in values)
    assert sums.counts == {str(at): wanted[at] for at in sorted(wanted)}
    assert sums.total == pytest.approx(math.fsum(value - NUMBERS.mean for value in values))
    assert sums.squares == pytest.approx(math.fsum((value - NUMBERS.mean) ** 2 for value in values))
    assert sums.levels == {}


def test_hours_are_apart() -> None:
    records = [record(0.5, hour=HOUR + at % 3) for at in range(300)]

    found = only(folded(records)).streams

    assert [(each.hour, each.values) for each in found] == [(HOUR + at, 100) for at in range(3)]


def test_what_is_no_finite_number_is_missing() -> None:
    records = [record(value) for value in (math.nan, math.inf, -math.inf, 0.5)]

    sums = stream(folded(records), "prediction")

    assert (sums.values, sums.missing) == (1, 3)
    assert math.isfinite(sums.total)


def test_a_mistake_does_not_drown_the_rest() -> None:
    records = [record(value) for value in (1.7e308, -1.7e308, 1.7e308)]

    sums = stream(folded(records), "prediction")

    assert sums.total == pytest.approx(sampling.FURTHEST)
    assert sums.squares == pytest.approx(3 * sampling.FURTHEST**2)
    only(folded(records)).checked()


def test_large_numbers_are_no_mistake_where_the_reference_has_them() -> None:
    large = references.numeric([1e12 * RNG.gauss(5, 1) for _ in range(100)])

    sums = stream(folded([record(8e12)], watched(prediction=large)), "prediction")

    assert sums.total == pytest.approx(8e12 - large.mean)


def test_the_part_of_the_day_has_bins_and_a_centre_of_its_own() -> None:
    slots = tuple(Slot(edges=(at, at + 1.0), counts=(5, 5, 5), mean=at + 0.5) for at in range(4))
    daily = Reference(count=15, edges=(0.0, 4.0), counts=(5, 5, 5), slots=slots)
    evening = HOUR - HOUR % 24 + 20

    sums = stream(
        folded([record(3.5, hour=evening), record(9.0, hour=evening)], watched(prediction=daily)),
        "prediction",
    )

    assert sums.counts == {"1": 1, "2": 1}
    assert sums.levels == {"1": 1, "2": 1}
    assert sums.total == pytest.approx(5.5)


def test_categories_count_by_name_and_all_others_together() -> None:
    records = [record(0.0, label=label) for label in (2, 2, 3, 6)]
    records += [record(math.nan, label=4)]

    sums = stream(folded(records), "kind")

    assert sums.counts == {"0": 3, "2": 1}
    assert (sums.missing, sums.total) == (1, 0.0)


def test_numbers_are_categories_where_the_reference_has_some() -> None:
    digits = references.categorical(["3"] * 10 + ["7"] * 10 + ["0.5"] * 10)

    sums = stream(
        folded([record(value) for value in (3.0, 7.0, 7.0, 0.5, 8.0)], watched(prediction=digits)),
        "prediction",
    )

    assert sums.counts == {"0": 1, "1": 1, "2": 2, "3": 1}


def test_a_text_where_numbers_are_expected_is_missing() -> None:
    sums = stream(folded([record(0.0, label=2)], watched(kind=NUMBERS)), "kind")

    assert (sums.values, sums.missing) == (0, 1)


def test_a_stream_without_a_reference_is_told_of_where_it_came_from_a_detector() -> None:
    records = [record(0.5, 0.9), record(0.0, label=2), record(0.0, label=6)]

    found = only(folded(records, watched(prediction=NUMBERS)))

    assert found.unbinned == {"confidence": 1, "kind": 1}


def test_samples_of_a_version_that_is_not_watched_are_left_out_and_told_of() -> None:
    labels: list[Meaning] = [*LABELS, SampleLabel("oracle", "v1", "prediction", served=True)]
    records = b"".join([record(0.5), record(0.5, label=len(LABELS))])

    found = sampling.folded(records, labels, lambda *_: None)

    assert found.sampled == ()
    assert found.left_out == {("gnn", "v2.1.0"): 1}


def test_what_nobody_knows_is_counted() -> None:
    found = folded([record(0.5, label=0), record(0.5, label=5), record(0.5, label=999)])

    assert (found.sampled, found.unknown) == ((), 3)


def test_while_the_references_cannot_be_had_nothing_is_counted() -> None:
    def away(*_: str) -> Watched | None:
        raise Unavailable("the register is away")

    with pytest.raises(Unavailable):
        sampling.folded(record(0.5), LABELS, away)


def test_marks_go_with_their_version() -> None:
    mark = Mark(request="r1", prediction="0.5")

    found = folded([], marks=[(("gnn", "v2.1.0"), mark)])

    assert only(found).marks == (mark,)


def test_results_and_samples_are_told_apart() -> None:
    result = RECORD.pack(7, 12.5, 0.75, 5, 14, 1)
    void = RECORD.pack(0, 0.0, 0.0, 0, VOID, 1)
    begun = RECORD.pack(0, 0.0, 0.0, 5, STARTED, 1)
    sample = record(0.5)

    for piece in ([result, sample, void, sample, begun], [result, void, begun], [sample] * 2):
        results, samples = columns.split([b"".join(piece), b"".join(piece)])

        kept = [each for each in piece if each is not sample]
        assert list(results) == [RECORD.unpack(each) for each in kept] * 2
        assert samples == sample * (2 * (len(piece) - len(kept)))
        assert columns.are_samples(b"".join(piece)) == (not kept)


VALUES = st.one_of(
    st.floats(-4, 4), st.sampled_from([*NUMBERS.edges[:5], math.nan, math.inf, 0.0, -0.0, 1e300])
)
RECORDS = st.lists(
    st.builds(
        lambda value, sure, label, hour: record(value, sure, label=label, hour=HOUR + hour),
        VALUES,
        st.none() | st.floats(0, 1),
        st.sampled_from([0, 1, 2, 3, 4, 6]),
        st.integers(0, 2),
    ),
    max_size=60,
)


def whole(parts: Sequence[sampling.Samples]) -> list[tuple[Any, ...]]:
    """What parts come to together, but for the order in which floats were added."""
    sums = [each for part in parts for sampled in part.sampled for each in sampled.streams]
    return [
        (
            *(each.stream, each.hour, each.counts, each.missing),
            *(pytest.approx(each.total, rel=1e-9), pytest.approx(each.squares, rel=1e-9)),
        )
        for each in combined(sums)
    ]


@given(RECORDS, st.integers(1, 7))
def test_any_split_over_processes_comes_to_the_same(records: list[bytes], size: int) -> None:
    parts = [folded(records[at : at + size]) for at in range(0, len(records), size)]

    assert whole(parts) == whole([folded(records)])


@given(RECORDS)
def test_both_ways_give_the_same(records: list[bytes]) -> None:
    ways: list[Callable[[bytes], Any]] = [columns._fast, columns._plain]
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "numpy", lambda: np)
        for each in ways:
            patch.setattr(columns, "groups", each)
            found.append(folded(records))

    assert whole(found[:1]) == whole(found[1:])
    assert found[0].unknown == found[1].unknown
