"""Recording into a real register: through the database, by processes that are killed."""

import json
import math
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from herdbook.bootstrap import open_door
from herdbook.core import wire
from herdbook.core.experiments import Experiment, Plan
from herdbook.core.models import Version
from herdbook.core.recording import ArmSums, Recorded, added
from herdbook.front.door import Door
from herdbook.front.recording import Recorder
from herdbook.services.versions import Draft
from herdbook.settings import Settings
from herdbook.storage.journal import Sizes
from tests.force.crowds import CLEAN
from tests.force.ledgers import Ledger, Shelf

CLEAN.set_forkserver_preload([__name__])
SIZES = Sizes(records=1 << 15, labels=1 << 14)
UNIT = 0x9E3779B97F4A7C15


def opened(folder: Path) -> Door:
    return open_door(Settings.load(url=f"sqlite:///{folder / 'herdbook.db'}"))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A register in which two versions of gnn are compared."""
    door = opened(tmp_path)
    for number in ("v2.1.0", "v2.2.0"):
        door.call(Version, "versions.register", model="gnn", draft=Draft(number=number))
    door.call(object, "deployments.promote", ref="gnn:v2.1.0", alias="champion")
    plan = Plan(name="gnn_v2.2_test", model="gnn", control="v2.1.0", treatments=("v2.2.0",))
    door.call(Experiment, "experiments.start", plan=plan)
    yield door
    door.close()


def recorder(door: Door, folder: Path) -> Recorder:
    return Recorder(door, folder / "journals", sizes=SIZES, interval=0.02)


def recorded(folder: Path) -> dict[str, ArmSums]:
    """Give what the register has, by arm."""
    engine = create_engine(f"sqlite:///{folder / 'herdbook.db'}")
    with engine.connect() as connection:
        docs = connection.execute(text("SELECT doc FROM deltas")).scalars().all()
    engine.dispose()
    every = [arm for doc in docs for arm in wire.value(Recorded, json.loads(doc)).arms]
    return {arm.arm: arm for arm in added(every)}


def test_what_is_recorded_is_in_the_register(door: Door, tmp_path: Path) -> None:
    now = recorder(door, tmp_path)
    control, treatment = (now.label("gnn_v2.2_test", 1, arm) for arm in ("control", "treatment"))

    now.record(control, UNIT, 124.5, 0.87)
    now.record(treatment, None, math.nan, 1.5, error=True)
    now.measure(treatment, "tokens", 512, UNIT)
    now.record(now.label("another", 1, "control"), UNIT, 1.0, 0.5)
    now.flush()
    found = recorded(tmp_path)

    assert (found["control"].results, found["control"].errors) == (1, 0)
    assert (found["treatment"].results, found["treatment"].alone_errors) == (1, 1)
    assert found["treatment"].refused == {
        "inference_time_ms is NaN": 1,
        "confidence is above 1": 1,
    }
    assert [cell[0] for cell in found["treatment"].means["tokens"].cells.values()] == [1]
    now.close()


def test_it_arrives_by_itself_within_a_second(door: Door, tmp_path: Path) -> None:
    now = Recorder(door, tmp_path / "journals", sizes=SIZES)
    now.record(now.label("gnn_v2.2_test", 1, "control"), UNIT, 124.5, 0.87)
    began = time.monotonic()
    while not recorded(tmp_path):
        assert time.monotonic() - began < 10
        time.sleep(0.02)
    now.close()

    assert recorded(tmp_path)["control"].results == 1


def test_nothing_begins_before_something_is_recorded(door: Door, tmp_path: Path) -> None:
    now = recorder(door, tmp_path)
    now.label("gnn_v2.2_test", 1, "control")
    now.flush()
    now.close()

    assert not (tmp_path / "journals").exists()
    assert "herdbook-recorder" not in [thread.name for thread in threading.enumerate()]


def test_after_the_end_recording_is_counted_and_harmless(door: Door, tmp_path: Path) -> None:
    now = recorder(door, tmp_path)
    label = now.label("gnn_v2.2_test", 1, "control")
    now.record(label, UNIT, 1.0, 0.5)
    now.close()
    now.close()

    assert now.record(label, UNIT, 1.0, 0.5) is False
    assert now.dropped == 1
    assert recorded(tmp_path)["control"].results == 1
    assert list((tmp_path / "journals").iterdir()) == []


def test_what_a_register_that_was_closed_meanwhile_does_not_take_waits_for_whoever_lives(
    door: Door, tmp_path: Path
) -> None:
    shut = opened(tmp_path)
    now = recorder(shut, tmp_path)
    control = now.label("gnn_v2.2_test", 1, "control")
    for _ in range(100):
        now.record(control, UNIT, 124.5, 0.87)

    shut.close()
    now.close()

    assert now.dropped == 0
    heir = recorder(door, tmp_path)
    assert heir.adopt() == 1
    assert recorded(tmp_path)["control"].results == 100
    heir.close()


@pytest.mark.parametrize(
    "label",
    [
        ("", 1, "control", ""),
        (".st", 1, "control", ""),
        ("gnn_v2.2_test", 0, "control", ""),
        ("gnn_v2.2_test", 1, "c\n", ""),
        ("gnn_v2.2_test", 1, "control", "confidence"),
        ("gnn_v2.2_test", 1, "control", "9lives"),
    ],
)
def test_what_no_register_takes_is_dropped_counted_and_said(
    door: Door,
    tmp_path: Path,
    label: tuple[str, int, str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = recorder(door, tmp_path)

    assert now.label(*label) == 0
    assert now.record(0, UNIT, 1.0, 0.5)
    now.record(now.label("gnn_v2.2_test", 1, "control"), UNIT, 1.0, 0.5)
    now.close()

    assert "is dropped" in caplog.text
    assert recorded(tmp_path)["control"].results == 1
    engine = create_engine(f"sqlite:///{tmp_path / 'herdbook.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT sum(dropped) FROM workers")).scalar_one() == 1
    engine.dispose()


def test_an_arm_has_at_most_so_many_metrics(door: Door, tmp_path: Path) -> None:
    now = recorder(door, tmp_path)
    label = now.label("gnn_v2.2_test", 1, "control")

    for number in range(200):
        now.measure(label, f"metric{number}", 1.0)
    now.measure(-1, "tokens", 1.0)
    now.measure(9_999, "tokens", 1.0)
    now.close()

    assert len(recorded(tmp_path)["control"].means) == 97


def test_journals_of_another_register_at_the_same_relative_address_are_left_alone(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, elsewhere = tmp_path / "away", tmp_path / "elsewhere"
    away.touch()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    other = Recorder(Nameless(elsewhere / "shelf", away=away), tmp_path / "journals", sizes=SIZES)  # type: ignore[arg-type]
    other.record(other.label("gnn_v2.2_test", 1, "control"), UNIT, 1.0, 0.5)
    other.close()
    monkeypatch.chdir(tmp_path)

    here = Recorder(opened(Path()), tmp_path / "journals", sizes=SIZES)

    assert here.adopt() == 0
    assert len(list((tmp_path / "journals").iterdir())) == 1
    assert door.address != other._door.address


class Nameless(Shelf):
    """A register in a file that is named from where one stands."""

    @property
    def address(self) -> str:
        """Where it seems to be."""
        return "sqlite:///herdbook.db"


SCRIPT = """
import sys
from pathlib import Path
from tests.front.test_recording import opened, recorder
now = recorder(opened(Path(sys.argv[1])), Path(sys.argv[1]))
label = now.label("gnn_v2.2_test", 1, "control")
for number in range(1, 1001):
    now.record(label, None, float(number), 0.5)
"""


@pytest.mark.usefixtures("door")
def test_a_program_that_just_ends_sends_what_it_has(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent.parent
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], check=True, cwd=root)

    assert recorded(tmp_path)["control"].results == 1_000
    assert list((tmp_path / "journals").iterdir()) == []


def record_on(folder: Path, arm: str, name: str) -> None:
    now = recorder(opened(folder), folder)
    label, ledger = now.label("gnn_v2.2_test", 1, arm), Ledger(folder / name)
    done = 0
    while True:
        for _ in range(200):
            done += 1
            ledger.write(done, done - 1)
            assert now.record(label, None, 1.0, 0.5)
            ledger.write(done, done)
        time.sleep(0.002)


def test_killed_workers_of_a_real_register_lose_and_double_nothing(
    door: Door, tmp_path: Path
) -> None:
    rng = random.Random(3)  # noqa: S311 - not a secret
    for turn in range(5):
        running = [
            CLEAN.Process(target=record_on, args=(tmp_path, arm, f"{arm}{turn}"))
            for arm in ("control", "treatment")
        ]
        for process in running:
            process.start()
        names = [tmp_path / f"{arm}{turn}" for arm in ("control", "treatment")]
        while not all(name.exists() and Ledger(name).recorded for name in names):
            time.sleep(0.01)
        time.sleep(rng.uniform(0.05, 0.4))
        for process in running:
            process.kill()
            process.join()
    recorder(door, tmp_path).adopt()

    found = recorded(tmp_path)
    for arm in ("control", "treatment"):
        ledgers = [Ledger(path) for path in tmp_path.glob(f"{arm}?")]
        assert len(ledgers) == 5
        # Of each that was killed one result at most may be in question.
        known = sum(ledger.recorded for ledger in ledgers)
        assert 100 < known <= found[arm].results <= sum(ledger.tried for ledger in ledgers)
        assert sum(ledger.tried for ledger in ledgers) <= known + 5
    assert list((tmp_path / "journals").iterdir()) == []
