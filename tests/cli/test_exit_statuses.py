"""Exit statuses: one a family of errors, the same in the table, the page and the process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from herdbook.cli.commands import Later
from herdbook.cli.main import COMMANDS, EXIT
from herdbook.client.answers import BY_CODE
from herdbook.server.problems import STATUS
from tests.cli.conftest import Run, in_own_process

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_every_code_has_its_statuses_and_the_page_says_the_same() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \|.*\| (\d+) \| (\d+) \|$", PAGE.read_text(), flags=re.M
    )

    assert {code: int(status) for code, _, _, status in rows} == EXIT
    assert {code: int(status) for code, _, status, _ in rows} == STATUS
    assert {code: name for code, name, _, _ in rows} == {
        code: kind.__name__ for code, kind in BY_CODE.items()
    }


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("info majora", 0),
        ("deploy majora v2 --expected-epoch 9", 4),
        ("add majora", 0),
        ("add majora --samples -1", 2),
        ("search nonsense.field=1", 2),
        ("info oracle", 3),
        ("info majora:v9", 3),
        ("add majora v1", 4),
        ("versions revise majora:v1 --samples 5", 4),
        ("versions status majora:v2 archived", 4),
        ("list --url http://127.0.0.1:1", 6),
        ("list --url sqlite:////nowhere/at/all.db", 2),
        ("list --url mysql://host/name", 2),
        ("list --url sqlite:///other.db", 9),
        ("list --no-such-option", 2),
    ],
)
def test_a_command_ends_with_the_status_of_its_error(example: Run, line: str, status: int) -> None:
    _another_database(Path("other.db"))

    assert example(*line.split()).status == status


def _another_database(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE pedigree (name TEXT)")
    connection.close()


def test_a_log_that_was_changed_is_a_no(example: Run, home: Path) -> None:
    _forge(home / "herdbook.db")

    answer = example("audit", "verify")

    assert answer.status == 1
    assert "NOT INTACT" in answer.out


def _forge(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
        ).fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE events SET by = 'nobody' WHERE seq = 2")
    connection.close()


def test_a_reader_that_goes_away_is_no_error(example: Run) -> None:
    assert example("init").status == 0
    line = f"{sys.executable} -m herdbook audit list --json | true; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=True, env=os.environ
    )

    assert done.stdout.strip() in {"0", "141"}
    assert done.stderr == ""


def test_ctrl_c_is_130() -> None:
    script = (
        "import os, signal, sys\n"
        # A shell starts what runs in the background deaf to Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from herdbook.cli import main as door\n"
        "signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.5)\n"
        "sys.exit(door.main(['audit', 'verify', '--against', '-']))"
    )

    waiting = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    status = waiting.wait(30)
    assert waiting.stderr is not None
    assert waiting.stdin is not None
    told = waiting.stderr.read()
    waiting.stdin.close()
    waiting.stderr.close()

    assert status == 130
    assert "interrupted" in told
    assert "Traceback" not in told


def test_the_process_ends_with_it_too(example: Run) -> None:
    assert example("info", "oracle").status == 3

    assert in_own_process("info", "oracle").status == 3
    assert in_own_process("info", "majora").status == 0


def test_a_fault_of_ours_is_one_line_unless_more_is_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "broken", Later("Nouns", "herdbook.cli.absent:none", "No."))

    short, long = run("broken"), run("broken", "--debug")

    assert short.status == 70
    assert short.err.count("\n") == 1
    assert "fault of Herdbook" in short.err
    assert long.status == 70


def test_debug_shows_where_an_error_came_from(example: Run) -> None:
    assert "Traceback" in example("info", "oracle", "--debug").err
    assert "Traceback" not in example("info", "oracle").err


def test_a_full_disk_under_the_answer_is_told(example: Run) -> None:
    assert example("list").status == 0

    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m herdbook audit list --json > /dev/full"],
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
    )

    assert done.returncode == 8
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_closed_streams_do_no_harm(example: Run) -> None:
    assert example("list").status == 0

    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m herdbook list >&- 2>&-"], check=False, env=os.environ
    )

    assert done.returncode == 0
