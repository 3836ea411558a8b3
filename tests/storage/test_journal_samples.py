"""Samples in a journal: one record each, one by one and in columns, beside results."""

import math
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herdbook.services import columns
from herdbook.services.folding import (
    CONFIDENT,
    NO_NUMBER,
    OTHER,
    SAMPLED,
    Label,
    Meaning,
    SampleLabel,
)
from herdbook.storage.journal import Journal, Sizes, Writer, create
from herdbook.storage.journal.layout import LABELS_AT

SIZES = Sizes(records=64, labels=4096)
LABELS: list[Meaning] = [
    SampleLabel("gnn", "v2.1.0", "prediction"),
    SampleLabel("gnn", "v2.1.0", "kind", "Größe"),
    SampleLabel("gnn", "v2.1.0", "kind", OTHER, served=True),
    Label("gnn_v2.2_test", 1, "control", "tokens"),
]
OWNER = {"address": "sqlite:///herdbook.db", "identity": "someone"}
BOTH = SAMPLED | CONFIDENT
NOW = 490_000


def made(folder: Path, sizes: Sizes = SIZES) -> Journal:
    return create(folder, LABELS, owner=OWNER, sizes=sizes)


def writer(journal: Journal) -> Writer:
    found = Writer(lambda: journal, lambda: None)
    found.prepare()
    found.hour = NOW
    return found


@pytest.fixture(params=["numpy", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With numpy and without."""
    if request.param == "plain":
        monkeypatch.setattr(columns, "numpy", lambda: None)
    return str(request.param)


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    journal = made(tmp_path)
    write = writer(journal)

    assert write.sample(1, 0.5, 0.75)
    assert write.sample(1, -2.0)
    assert write.sample(2, 0.0, None, 7)

    assert list(journal.records(0, 3)) == [
        (NOW, 0.5, 0.75, 1, BOTH, 1),
        (NOW, -2.0, 0.0, 1, SAMPLED, 1),
        (7, 0.0, 0.0, 2, SAMPLED, 1),
    ]


def test_a_sample_is_of_the_hour_it_came_in(tmp_path: Path) -> None:
    write = Writer(lambda: None, lambda: None)
    write.attach(made(tmp_path))

    assert abs(write.hour - time.time() / 3600) < 1.1


class Raising:
    """A number of a caller's own, that is none."""

    def __float__(self) -> float:
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [None, object(), 10**400, Raising(), "high", [1], {}])
def test_what_is_no_number_is_missing_and_never_raises(tmp_path: Path, value: Any) -> None:
    journal = made(tmp_path)
    write = writer(journal)

    assert write.sample(1, value, 0.5)
    assert write.sample(1, 0.5, value)
    assert write.samples(1, [value, 0.5]) == 2

    first, second, third, fourth = journal.records(0, 4)
    assert math.isnan(first[1])
    assert first[2:5] == (0.5, 1, BOTH | NO_NUMBER)
    assert second[1] == 0.5
    assert value is None or math.isnan(second[2])
    assert math.isnan(third[1])
    assert fourth[1:5] == (0.5, 0.0, 1, SAMPLED)


def test_labels_of_both_kinds_are_read_again(tmp_path: Path) -> None:
    journal = made(tmp_path)

    assert journal.labels() == [Label("", 0, ""), *LABELS]


def test_a_journal_from_before_there_were_samples_is_read(tmp_path: Path) -> None:
    journal = create(tmp_path, [], owner=OWNER, sizes=SIZES)
    lines = b'["gnn_v2.2_test",1,"control",""]\n["gnn_v2.2_test",1,"control","tokens"]\n'
    journal.ring[LABELS_AT : LABELS_AT + len(lines)] = lines

    arm = ("gnn_v2.2_test", 1, "control")
    assert journal.labels() == [Label("", 0, ""), Label(*arm), Label(*arm, "tokens")]


@pytest.mark.parametrize("line", [b"[1,2,3,4,5,6]", b"{}", b'["a"]', b"7", b'[1,[],"c","d"]'])
def test_a_label_that_is_none_means_nothing(tmp_path: Path, line: bytes) -> None:
    journal = create(tmp_path, [], owner=OWNER, sizes=SIZES)
    journal.ring[LABELS_AT : LABELS_AT + len(line) + 1] = line + b"\n"

    assert journal.labels() == [Label("", 0, "")] * 2


@pytest.mark.usefixtures("way")
def test_columns_are_written_as_one_by_one(tmp_path: Path) -> None:
    one, many = made(tmp_path / "one"), made(tmp_path / "many")
    by_one, by_many = writer(one), writer(many)
    values, sure = [0.1, math.nan, 0.3, 5], [0.9, 0.8, math.inf, 0.6]

    for value, confidence in zip(values, sure, strict=True):
        by_one.sample(1, value, confidence, 7)
    assert by_many.samples(1, values, sure, 7) == 4
    for at, value in enumerate(values):
        by_one.sample(at % 3, value, None, at)
    assert by_many.samples([0, 1, 2, 0], np.array(values), None, [0, 1, 2, 3]) == 4

    assert [*map(str, many.records(0, 8))] == [*map(str, one.records(0, 8))]
    assert by_many.head() == by_one.head() == 8


@pytest.mark.usefixtures("way")
def test_what_finds_no_room_is_left_to_whoever_asked(tmp_path: Path) -> None:
    journal = made(tmp_path)
    write = writer(journal)
    values = [float(at) for at in range(100)]

    assert write.samples(1, values) == 64
    assert write.samples(1, values) == 0
    assert journal.dropped == 0
    journal.commit(journal.state.moved(64, {}))
    assert write.samples(1, values[64:]) == 36

    assert [each[1] for each in journal.records(64, 100)] == values[64:]


def test_columns_and_single_samples_of_many_threads_are_all_there(tmp_path: Path) -> None:
    journal = made(tmp_path, Sizes(records=1 << 16, labels=4096))
    write = writer(journal)

    def one_by_one(first: int) -> None:
        for at in range(first, first + 4_000):
            write.sample(1, float(at))

    def in_columns(first: int) -> None:
        for at in range(first, first + 4_000, 100):
            assert write.samples(1, np.arange(at, at + 100, dtype="f8")) == 100

    works = [one_by_one, in_columns, in_columns, one_by_one]
    threads = [threading.Thread(target=work, args=(at * 4_000,)) for at, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert write.head() == journal.written(0, 16_000) == 16_000
    found = sorted(each[1] for each in journal.records(0, 16_000))
    assert found == [float(at) for at in range(16_000)]
