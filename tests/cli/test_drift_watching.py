"""`herdbook drift watch`: what is told, and commands that run once however many look."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import herdbook
from herdbook.errors import Conflict
from tests.cli.conftest import Run
from tests.cli.samples import REF, sampled, watched
from tests.running import free_port

__all__ = ["watched"]
WATCHERS = 3
WAIT_SECONDS = 30
# Whoever runs the tests in the background may have them ignore it, and their children with them.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from herdbook.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
WATCH = (sys.executable, "-c", INTERRUPTIBLE, "drift", "watch")
# Looks whether somebody did it, does it, and then says so.
NAIVE = """
import sys, time
from pathlib import Path
import herdbook
with herdbook.connect() as book:
    Path(sys.argv[1]).touch()
    while len(list(Path().glob("ready-*"))) < int(sys.argv[2]):
        time.sleep(0.01)
    for episode in book.drift.episodes().items:
        if not episode.told_by:
            with open("alarms", "a") as file:
                file.write(episode.id + "\\n")
            time.sleep(0.5)
            book.drift.claim(episode.id, alarm=True, force=True)
"""


@pytest.fixture
def drifted(watched: Run) -> Run:
    """A register in which gnn v2.1.0 drifted so far that a retraining is asked for."""
    sampled()
    sampled(1.0, seed=8)
    return watched


@contextmanager
def started(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that is ended at the end."""
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def until(asked: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not asked():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def line_with(running: "subprocess.Popen[str]", part: str) -> str:
    """Read what a process says up to a line with some text."""
    assert running.stdout is not None
    for line in iter(running.stdout.readline, ""):
        if part in line:
            return line
    raise AssertionError(f"it ended without saying {part!r}")


def writing(name: str) -> str:
    """A command that adds a line to a file."""
    return f"sh -c 'echo $HERDBOOK_DRIFT_EPISODE $HERDBOOK_DRIFT_REF >> {name}'"


def together(*commands: tuple[str, ...]) -> list[int]:
    """Run processes at once; give how they ended."""
    settings = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(command, **settings) for command in commands]  # type: ignore[call-overload]
    return [each.wait(WAIT_SECONDS * 2) for each in running]


def test_commands_run_once_however_many_look(drifted: Run, tmp_path: Path) -> None:
    options = ["--once", "--on-alarm", writing("alarms"), "--on-retrain", writing("retrainings")]

    statuses = together(*[(*WATCH, *options)] * WATCHERS)

    assert statuses == [1] * WATCHERS
    assert (tmp_path / "alarms").read_text() == "drift-1 gnn:v2.1.0\n"
    assert (tmp_path / "retrainings").read_text() == "drift-1 gnn:v2.1.0\n"
    again = drifted("drift", "watch", *options)
    assert (again.status, again.err) == (1, "")
    assert (tmp_path / "alarms").read_text().count("\n") == 1


@pytest.mark.usefixtures("drifted")
def test_who_looks_first_and_says_so_afterwards_runs_them_several_times(tmp_path: Path) -> None:
    naive = (sys.executable, "-c", NAIVE)

    together(*[(*naive, f"ready-{at}", str(WATCHERS)) for at in range(WATCHERS)])

    assert (tmp_path / "alarms").read_text().count("\n") > 1


@pytest.mark.usefixtures("drifted")
def test_a_command_is_told_what_happened(tmp_path: Path) -> None:
    command = "sh -c 'env | grep ^HERDBOOK_DRIFT_ | sort > facts'"

    together((*WATCH, "--once", "--on-retrain", command))

    lines = (tmp_path / "facts").read_text().splitlines()
    facts = dict(line.removeprefix("HERDBOOK_DRIFT_").split("=", 1) for line in lines)
    times = [facts.pop(name) for name in ("BEGAN_AT", "RETRAIN_AT")]
    assert all(text.endswith("Z") for text in times)
    assert facts == {
        "EPISODE": "drift-1", "MODEL": "gnn", "VERSION": "v2.1.0", "REF": REF, "LEVEL": "critical",
        "PEAK": "0.7", "STREAMS": "prediction", "ENDED_AT": "",
    }  # fmt: skip


def test_a_retraining_whose_watcher_was_killed_is_taken_over(drifted: Run, tmp_path: Path) -> None:
    command = "sh -c 'echo $$ > pid; sleep 60'"
    with started(*WATCH, "--once", "--on-retrain", command) as first:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
        first.send_signal(signal.SIGKILL)
        first.wait(WAIT_SECONDS)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    other = drifted("drift", "watch", "--once", "--on-retrain", writing("retrainings"))

    assert other.status == 1
    assert not (tmp_path / "retrainings").exists()
    assert drifted("drift", "claim", "drift-1").status == 4
    assert drifted("drift", "claim", "drift-1", "--force").status == 0


@pytest.mark.usefixtures("drifted")
def test_the_alarm_and_the_retraining_are_claimed_apart() -> None:
    with herdbook.connect() as book:
        first = book.drift.claim("drift-1", by="one", alarm=True)
        with pytest.raises(Conflict, match="one has the alarm of drift-1"):
            book.drift.claim("drift-1", by="two", alarm=True)
        second = book.drift.claim("drift-1", by="two")
        taken = book.drift.claim("drift-1", by="two", alarm=True, force=True)

    assert (first.told_by, first.claimed_by) == ("one", "")
    assert (second.told_by, second.claimed_by) == ("one", "two")
    assert (taken.told_by, taken.claimed_by) == ("two", "two")


def test_a_command_that_fails_is_told_of(drifted: Run) -> None:
    answer = drifted("drift", "watch", "--once", "--on-retrain", "sh -c 'echo no GPU; exit 3'")

    assert answer.status == 1
    assert "  no GPU\n" in answer.err
    assert "on-retrain failed, status 3; it is not run again" in answer.err
    long = drifted("drift", "watch", "--once", "--on-alarm", "sleep 60", "--timeout", "0.2")
    assert "on-alarm took too long and was ended" in long.err


def test_only_what_is_watched_by_name_is_acted_on(drifted: Run, tmp_path: Path) -> None:
    drifted("add", "gnn", "v3")

    answer = drifted("drift", "watch", "gnn:v3", "--once", "--on-alarm", writing("alarms"))

    assert (answer.status, answer.out[22:]) == (
        0,
        "gnn:v3  no reference: There is no reference: freeze one before drift can be seen.\n",
    )
    assert not (tmp_path / "alarms").exists()


def test_each_change_of_level_is_told_once_and_when(watched: Run) -> None:
    sampled()
    with started(*WATCH, "--every", "0.5") as running:
        assert "gnn:v2.1.0  normal, score 0.0" in line_with(running, "gnn")
        sampled(1.0, seed=8)
        change = line_with(running, "gnn")
        assert "gnn:v2.1.0  normal → critical, score 0." in change
        assert ", drift-1: Critical drift! Retrain urgently." in change
        watched("drift", "unwatch", REF, "--yes")
        line_with(running, "gnn:v2.1.0 is not looked at any more.")
        running.send_signal(signal.SIGINT)
        assert running.wait(WAIT_SECONDS) == 130


@pytest.mark.usefixtures("drifted")
def test_a_server_that_goes_and_comes_is_no_end() -> None:
    with herdbook.connect() as book:
        url = book.address
    port = str(free_port())
    server = (sys.executable, "-m", "herdbook", "server", "start", "--port", port, "--url", url)
    with started(*server) as first:
        line_with(first, "://")
        with started(*WATCH, "--every", "0.5", "--url", f"http://127.0.0.1:{port}") as running:
            line_with(running, "critical")
            first.terminate()
            first.communicate(timeout=WAIT_SECONDS)
            line_with(running, "still looking")
            with started(*server) as second:
                line_with(running, "The register is back.")
                second.terminate()
                second.communicate(timeout=WAIT_SECONDS)


def test_programs_get_a_line_for_each_change(drifted: Run) -> None:
    answer = drifted("drift", "watch", "--once", "--json")

    assert shlex.split(answer.out)  # a line
    assert answer.out.count("\n") == 1
    assert '"from":null' in answer.out
    assert '"level":"critical"' in answer.out
