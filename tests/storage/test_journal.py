"""The journal's file: half of anything is recognised, and nothing of it is believed."""

import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.services.columns import RECORD, SIZE
from herdbook.services.folding import (
    BEGAN,
    CONFIDENT,
    ERROR,
    MEASURED,
    NO_NUMBER,
    STARTED,
    TIME,
    UNIT,
    Label,
)
from herdbook.storage.journal import Journal, Sizes, State, Writer, create, orphans
from herdbook.storage.journal.layout import DROPPED_AT, LABELS_AT, PAGE

SIZES = Sizes(records=64, labels=4096)
LABELS = [Label("gnn", 1, "control"), Label("gnn", 1, "treatment", "Größe")]
OWNER = {"address": "sqlite:///herdbook.db", "identity": "someone"}
BOTH = TIME | CONFIDENT


def made(folder: Path) -> Journal:
    return create(folder, LABELS, owner=OWNER, sizes=SIZES)


def writer(journal: Journal) -> Writer:
    return Writer(lambda: journal, lambda: None)


def left(folder: Path) -> list[Journal]:
    """Give what whoever comes finds; each is let go at once."""
    return list(orphans(folder, owner=OWNER))


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    journal = made(tmp_path)
    write = writer(journal)

    write.result(1, 7, 12.5, 0.75, error=True, began=True)
    write.result(1)
    write.measured(2, -3.5, 2**64 - 1)
    write.started(1)

    flags = (BOTH | ERROR | BEGAN | UNIT, 0, MEASURED | UNIT, STARTED)
    assert write.head() == 4
    assert list(journal.records(0, 4)) == [
        (7, 12.5, 0.75, 1, flags[0], 1),
        (0, 0.0, 0.0, 1, flags[1], 1),
        (2**64 - 1, -3.5, 0.0, 2, flags[2], 1),
        (0, 0.0, 0.0, 1, flags[3], 1),
    ]


class Raising:
    """A number of a caller's own, that is none."""

    def __float__(self) -> float:
        raise RuntimeError("no")

    def __bool__(self) -> bool:
        raise RuntimeError("neither")


@pytest.mark.parametrize("value", ["high", object(), 10**400, Raising(), [1], b"1.0.0"])
def test_what_is_no_number_is_recorded_as_such_and_never_raises(tmp_path: Path, value: Any) -> None:
    journal = made(tmp_path)
    write = writer(journal)

    assert write.result(1, 7, value, 0.5)
    assert write.result(1, value, 1.0, 0.5)
    assert write.result(1, 7, 1.0, 0.5, error=value)
    assert write.result(value, 7, 1.0, 0.5)
    assert write.measured(2, value)

    first, second, third, fourth, fifth = journal.records(0, write.head())
    assert math.isnan(first[1])
    assert first[2:5] == (0.5, 1, BOTH | UNIT | NO_NUMBER)
    assert second[4] & UNIT == (UNIT if isinstance(value, int) else 0)
    assert third[1:4] == (1.0, 0.5, 1)
    assert fourth[3] == 0
    assert math.isnan(fifth[1])


def test_numbers_of_other_kinds_count(tmp_path: Path) -> None:
    journal = made(tmp_path)
    write = writer(journal)

    write.result(1, -1, Fraction(1, 2), confidence=True)  # type: ignore[arg-type]

    assert list(journal.records(0, 1)) == [(2**64 - 1, 0.5, 1.0, 1, BOTH | UNIT, 1)]


def test_a_full_journal_counts_what_it_drops(tmp_path: Path) -> None:
    journal = made(tmp_path)
    write = writer(journal)

    recorded = [write.result(1, None, 1.0, 0.5) for _ in range(100)]

    assert recorded == [True] * 64 + [False] * 36
    assert journal.dropped == 36


def test_the_ring_is_used_again_when_its_tail_moves_on(tmp_path: Path) -> None:
    journal = made(tmp_path)
    write, taken = writer(journal), []
    for number in range(1000):
        assert write.result(1, None, float(number), 0.5)
        if number % 37 == 0:
            taken += [record[1] for record in journal.records(journal.state.tail, number + 1)]
            journal.commit(journal.state.moved(number + 1, {}))
    taken += [record[1] for record in journal.records(journal.state.tail, write.head())]

    assert taken == [float(number) for number in range(1000)]


def test_a_record_that_is_half_written_is_none(tmp_path: Path) -> None:
    journal = made(tmp_path)
    write = writer(journal)
    for number in range(5):
        write.result(1, None, float(number), 0.5)
    # As left by one that was killed: all but the number of the lap.
    at = journal.offset(2)
    journal.ring[at + SIZE - 4 : at + SIZE] = bytes(4)

    assert journal.written(0, 5) == 2
    assert journal.last() == 5
    assert [record[1] for record in journal.records(0, 5)] == [0.0, 1.0, 3.0, 4.0]
    write.void(2)
    assert journal.written(0, 5) == 5
    assert journal.dropped == 1


def test_what_is_left_of_the_lap_before_is_not_taken_for_new(tmp_path: Path) -> None:
    journal = made(tmp_path)
    write = writer(journal)
    for number in range(64):
        write.result(1, None, float(number), 0.5)
    journal.commit(journal.state.moved(64, {}))
    write.result(1, None, 64.0, 0.5)

    assert journal.last() == 65
    assert [record[1] for record in journal.records(64, 128)] == [64.0]


def test_places_nobody_took_are_given_up_when_a_writer_lets_go(tmp_path: Path) -> None:
    journal = made(tmp_path)
    write = Writer(iter([journal, None, None]).__next__, lambda: None)
    write.result(1)
    write.result(1)

    assert write.detach() == 2
    assert write.result(1) is False
    assert write.unheld == 1


def test_a_state_that_is_half_written_leaves_the_one_before(tmp_path: Path) -> None:
    journal = made(tmp_path)
    first = journal.state.sending(5, dropped=1)
    second = first.sent({1: 2})
    journal.commit(first)
    journal.commit(second)
    at = PAGE * (1 + second.number % 2)
    journal.ring[at + 20] ^= 0xFF
    journal.close()

    (found,) = left(tmp_path)
    assert found.state == first


states = st.builds(
    State,
    **{
        name: st.integers(0, 2**64 - 1)
        for name in ("number", "sequence", "tail", "to", "dropped", "dropped_to")
    },
    died=st.booleans(),
    opened=st.dictionaries(st.integers(0, 2**16 - 1), st.integers(1, 2**32 - 1), max_size=600),
)


@given(states, st.integers(0, 4095), st.integers(1, 255))
def test_a_state_is_read_as_it_was_written_or_not_at_all(
    state: State, at: int, change: int
) -> None:
    page = bytearray(state.encoded().ljust(PAGE, b"\0"))
    assert State.decoded(bytes(page)) == state

    page[at] ^= change
    assert State.decoded(bytes(page)) in (state, None)


def test_labels_are_kept_and_a_half_written_one_is_none(tmp_path: Path) -> None:
    journal = made(tmp_path)
    end = journal._labels_end
    journal.ring[end : end + 10] = b'["gnn",2,"'

    assert journal.labels() == [Label("", 0, ""), *LABELS]


def test_there_is_room_for_so_many_labels(tmp_path: Path) -> None:
    journal = made(tmp_path)

    added = 0
    while journal.add_label(Label("gnn", 1, "control", f"metric {added}")):
        added += 1

    assert len(journal.labels()) == 1 + len(LABELS) + added
    assert journal._labels_end <= LABELS_AT + SIZES.labels


def test_the_living_are_left_alone_and_the_dead_are_found(tmp_path: Path) -> None:
    living, dead = made(tmp_path), made(tmp_path)
    dead.close()

    assert [found.worker for found in left(tmp_path)] == [dead.worker]
    living.close()
    assert len(left(tmp_path)) == 2


def test_the_journals_of_others_are_left_alone(tmp_path: Path) -> None:
    made(tmp_path).close()

    assert list(orphans(tmp_path, owner={**OWNER, "identity": "another"})) == []
    assert list(orphans(tmp_path, owner={**OWNER, "address": "sqlite:///b.db"})) == []
    assert len(left(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["empty", "short", "magic", "head", "states", "length"])
def test_a_file_that_is_no_journal_is_set_aside(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal = made(tmp_path)
    journal.close()
    data = journal.path.read_bytes()
    damaged = {
        "empty": b"",
        "short": data[:5000],
        "magic": b"x" + data[1:],
        "head": data[:30] + b"\xff" * 100 + data[130:],
        "states": data[:PAGE] + bytes(2 * PAGE) + data[3 * PAGE :],
        "length": data[:-SIZE],
    }[damage]
    journal.path.write_bytes(damaged)

    assert left(tmp_path) == []
    assert [path.suffix for path in tmp_path.iterdir()] == [".damaged"]
    assert "set aside" in caplog.text


@given(st.binary(min_size=1, max_size=64), st.floats(0, 1))
def test_no_damage_to_a_file_makes_reading_it_fail(
    tmp_path: Path, noise: bytes, place: float
) -> None:
    journal = made(tmp_path)
    write = writer(journal)
    for number in range(40):
        write.result(1, None, float(number), 0.5)
    at = int(place * (SIZES.total - len(noise)))
    journal.ring[at : at + len(noise)] = noise
    journal.close()

    for found in left(tmp_path):
        assert len(list(found.records(found.state.tail, found.last()))) <= SIZES.records
        assert found.labels()[0] == Label("", 0, "")
        assert isinstance(found.dropped, int)
    for path in tmp_path.iterdir():
        path.unlink()


def test_what_was_begun_and_never_became_a_journal_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / "w1.new").write_bytes(b"half")

    assert left(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_only_its_user_may_read_a_journal(tmp_path: Path) -> None:
    journal = made(tmp_path / "journals")

    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.path.parent.stat().st_mode & 0o777 == 0o700
    assert os.path.samestat(os.fstat(journal._fd), journal.path.stat())


def test_the_layout_is_what_other_versions_read(tmp_path: Path) -> None:
    """A change here needs a new version of the journal."""
    journal = made(tmp_path)

    assert (RECORD.format, SIZE, PAGE, LABELS_AT, DROPPED_AT) == ("=QddHHI", 32, 4096, 12288, 2048)
    assert journal.ring[:8] == b"herdjrnl"
    assert journal.sizes == SIZES
    assert journal.owner == {**OWNER, "pid": str(os.getpid())}
