"""A full disk, a folder that is gone, a register that is away: recording goes on, and says so."""

import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from herdbook.errors import HerdbookError
from herdbook.front import recording
from herdbook.front.recording import Recorder
from herdbook.services.folding import Label
from herdbook.storage.journal import Sizes
from tests.disks import small
from tests.force.crowds import CLEAN
from tests.force.ledgers import Shelf

CLEAN.set_forkserver_preload([__name__])
SIZES = Sizes(records=1 << 12, labels=1 << 14)


def recorder(shelf: Shelf, folder: Path, sizes: Sizes = SIZES) -> Recorder:
    return Recorder(shelf, folder, sizes=sizes, interval=0.02)  # type: ignore[arg-type]


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(recording, "ADOPT_SECONDS", 0.05)
    monkeypatch.setattr(recording, "PATIENCE_SECONDS", 0.2)


def test_a_full_disk_is_found_before_anybody_records_into_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path / "shelf")
    with small(tmp_path / "disk", "1m") as disk:
        now = recorder(shelf, disk / "journals", Sizes(records=1 << 16, labels=1 << 14))
        label = now.label("e", 1, "control")

        assert [now.record(label, None, 1.0, 0.5) for _ in range(100)] == [False] * 100
        until(lambda: "No space left" in caplog.text)
        assert now.dropped == 100
        assert list((disk / "journals").iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        until(lambda: now.record(label, None, 1.0, 0.5))
        now.close()

    assert shelf.sums("e").results == 1
    assert shelf.dropped == now.dropped >= 100
    assert "results found no room" in caplog.text


def record_into_a_full_disk(folder: Path) -> None:
    """Do as one does who makes the file and hopes."""
    import mmap

    path = folder / "naive.journal"
    with path.open("w+b") as file:
        file.truncate(1 << 21)
        ring = mmap.mmap(file.fileno(), 0)
    for at in range(0, 1 << 21, 4096):
        ring[at] = 1


def test_a_file_without_room_on_the_disk_kills_who_writes_into_it(tmp_path: Path) -> None:
    """The control of the test above: a file that is only declared long."""
    with small(tmp_path / "disk", "1m") as disk:
        process = CLEAN.Process(target=record_into_a_full_disk, args=(disk,))
        process.start()
        process.join(30)

    assert process.exitcode == -signal.SIGBUS


def test_while_the_register_is_away_what_fits_is_kept_and_the_rest_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "herdbook")
    away = tmp_path / "away"
    away.touch()
    shelf = Shelf(tmp_path / "shelf", away=away)
    now = recorder(shelf, tmp_path / "journals")
    label = now.label("e", 1, "control")

    kept = 0
    for number in range(1, 10_001):
        kept += now.record(label, None, float(number), 0.5)
    until(lambda: "are kept until" in caplog.text)
    until(lambda: "found no room" in caplog.text)
    assert SIZES.records * 15 // 16 <= kept <= SIZES.records
    assert now.dropped == 10_000 - kept
    away.unlink()
    until(lambda: "takes recorded results again" in caplog.text)
    assert now.record(label, None, 0.5, 0.5)
    now.close()

    assert shelf.sums("e").results == kept + 1
    assert shelf.sums("e").times == kept * (kept + 1) / 2 + 0.5
    assert shelf.dropped == 10_000 - kept
    assert caplog.text.count("are kept until") == 1


def test_what_cannot_be_sent_at_the_end_waits_for_whoever_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = tmp_path / "away"
    away.touch()
    shelf = Shelf(tmp_path / "shelf", away=away)
    now = recorder(shelf, tmp_path / "journals")
    label = now.label("e", 1, "control")
    now.started(label)
    now.record(label, None, 1.0, 0.5)
    now.close()
    assert "wait in" in caplog.text
    away.unlink()

    assert recorder(shelf, tmp_path / "journals").adopt() == 1
    assert (shelf.sums("e").results, shelf.sums("e").lost) == (1, 0)


def test_a_folder_that_is_removed_is_made_again_and_nothing_is_lost(tmp_path: Path) -> None:
    shelf, folder = Shelf(tmp_path / "shelf"), tmp_path / "journals"
    now = recorder(shelf, folder)
    label = now.label("e", 1, "control")
    for number in range(1, 2_001):
        now.record(label, None, float(number), 0.5)
        if number % 500 == 0:
            shutil.rmtree(folder)
            until(lambda: folder.exists() and list(folder.iterdir()))
    now.close()

    assert now.dropped == 0
    assert shelf.sums("e").times == 2_000 * 2_001 / 2


def test_a_call_whose_end_found_no_room_is_not_lost(tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.touch()
    shelf = Shelf(tmp_path / "shelf", away=away)
    now = recorder(shelf, tmp_path / "journals")
    label = now.label("e", 1, "control")
    began = [now.started(label) for _ in range(4_000)]
    ended = [now.record(label, None, 1.0, 0.5, began=one) for one in began]
    assert sum(ended) < 4_000
    away.unlink()

    def is_settled() -> bool:
        now.flush()  # one that was under way may be of what was before
        return bool(now._journal and not now._journal.state.opened and not now._failures)

    until(is_settled)
    assert now._journal is not None
    assert now._journal.state.opened == {}
    assert shelf.sums("e").results == sum(ended)
    assert shelf.dropped == 4_000 - sum(ended)
    now.close()


def test_a_register_that_refuses_a_delta_does_not_stop_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path / "shelf")
    now = recorder(shelf, tmp_path / "journals")
    # A label that no register takes, as a version of Herdbook to come may write it.
    now._labels.known.append(Label("e", 1, "control", "1 bad metric"))
    now._writer.measured(1, 5.0)
    with pytest.raises(HerdbookError):
        now.flush()
    label = now.label("e", 1, "control")
    now.record(label, None, 1.0, 0.5)
    now.flush()
    now.close()

    assert shelf.sums("e").results == 1
    assert "refuses" in caplog.text


def test_a_place_whose_taker_was_interrupted_holds_nobody_up_for_long(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    now = recorder(shelf, tmp_path / "journals")
    label = now.label("e", 1, "control")
    now.record(label, None, 1.0, 0.5)
    now._writer._run.take()  # and then Ctrl-C
    now.record(label, None, 2.0, 0.5)

    until(lambda: shelf.sums("e").times == 3.0)

    assert now.dropped == 1
    now.close()


def interrupted(folder: Path, shelf: Shelf) -> None:
    """Record while a signal's handler records too, a thousand times a second."""
    now = recorder(shelf, folder / "journals", Sizes(records=1 << 17, labels=1 << 14))
    label = now.label("e", 1, "control")
    signalled = now.label("signalled", 1, "control")
    signal.signal(signal.SIGALRM, lambda *_: now.record(signalled, None, 1.0, 0.5))
    now.record(label, None, 1.0, 0.5)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
    for number in range(2, 100_001):
        now.record(label, None, float(number), 0.5)
    signal.setitimer(signal.ITIMER_REAL, 0)
    now.close()
    assert now.dropped == 0
    os._exit(0)


def test_a_signals_handler_may_record_in_the_middle_of_recording(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    process = CLEAN.Process(target=interrupted, args=(tmp_path, shelf))
    process.start()
    process.join(60)

    assert process.exitcode == 0
    assert shelf.sums("e").times == 100_000 * 100_001 / 2
    assert shelf.sums("signalled").results > 10
