"""Bad input on the command line: one clear error, the status of its kind, nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run, in_own_process

TERMINAL = set("\x1b\x9b\u202e\x07")

WRONG: dict[str, tuple[list[str], int]] = {
    "a control character in a name": (["add", "maj\x07ora", "v1"], 2),
    "a newline in a name": (["add", "majora\n", "v1"], 2),
    "a right-to-left mark in a name": (["add", "maj\u202eora", "v1"], 2),
    "a look-alike in a name": (["add", "m\u0430jora", "v1"], 2),
    "an escape in a name": (["add", "\x1b[31mmajora", "v1"], 2),
    "a name that climbs": (["add", "../../etc", "v1"], 2),
    "a name too long": (["add", "n" * 201, "v1"], 2),
    "bytes that are no text": (["add", "maj\udcffora", "v1"], 2),
    "a name that differs in case alone": (["add", "Majora", "v9"], 4),
    "a number too long": (["add", "majora", "1.0.0-" + "a" * 95], 2),
    "no number at all": (["add", "majora", "one"], 2),
    "a number that is taken, written otherwise": (["add", "majora", "1.0"], 4),
    "NaN as a metric": (["score", "majora:v1", "--metric", "accuracy=nan"], 2),
    "infinity as a metric": (["score", "majora:v1", "--metric", "accuracy=-inf"], 2),
    "a metric that is a word": (["score", "majora:v1", "--metric", "accuracy=high"], 2),
    "NaN as an option's value": (["score", "majora:v1", "--accuracy", "nan"], 2),
    "a metric's name too long": (["score", "majora:v1", "--metric", "m" * 101 + "=1"], 2),
    "an escape in a metric's name": (["score", "majora:v1", "--metric", "\x1b]0;x\x07=1"], 2),
    "a tag too long": (["versions", "note", "majora:v1", "--tag", "k=" + "v" * 1_001], 2),
    "a description too long": (
        ["versions", "note", "majora:v1", "--description", "d" * 20_001],
        2,
    ),
    "SQL in a filter": (["search", "model = 'x' OR 1=1--"], 2),
    "SQL in an order": (["search", "ORDER BY model; DROP TABLE models"], 2),
    "an escape in a filter": (["search", "\x1b[31m = 1"], 2),
    "a filter too long": (["search", "ordinal = 1" + " " * 4_086], 2),
    "a page too long": (["list", "--limit", "1001"], 2),
    "a page of nothing": (["list", "--limit", "0"], 2),
    "a page below nothing": (["list", "--limit", "-1"], 2),
    "a forged page": (["list", "--page", "AAAA"], 2),
    "an alias like a number": (["deploy", "majora", "v1", "--alias", "v2"], 2),
    "an alias too long": (["deploy", "majora", "v1", "--alias", "a" * 65], 2),
    "too many steps": (["rollback", "majora", "--steps", "1001"], 2),
    "a reason too long": (["rollback", "majora", "--reason", "r" * 20_001], 2),
    "an unknown status": (["versions", "status", "majora:v1", "live"], 2),
    "a model that is not there": (["info", "$(id)"], 2),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_bad_input_ends_with_its_status_one_clear_line_and_nothing_written(
    example: Run, mistake: str
) -> None:
    words, status = WRONG[mistake]
    before = example("audit", "checkpoint", "--json").out
    assert before

    answer = example(*words)

    assert (answer.status, answer.out) == (status, ""), answer
    assert 20 < len(answer.err) < 1_000
    assert not TERMINAL & set(answer.err)
    assert "Traceback" not in answer.err
    assert example("audit", "checkpoint", "--json").out == before


@pytest.mark.parametrize(
    "words", [["list"], ["db", "check"], ["config", "list"], ["server", "start"]]
)
def test_a_password_in_an_address_is_never_shown(words: list[str], tmp_path: Path) -> None:
    url = "postgresql://herd:canary-17@127.0.0.1:1/book?connect_timeout=2"
    shown = ""
    for way in (["--debug", "--url", url], ["--debug"]):
        answer = in_own_process(*way, *words, HERDBOOK_URL=url, HERDBOOK_HOME=str(tmp_path))
        shown += answer.out + answer.err

    assert shown
    assert "canary-17" not in shown


def test_a_token_is_never_shown_by_the_command_that_uses_it(tmp_path: Path) -> None:
    secret = "hb_" + "7" * 57
    for words in (["list"], ["config", "list"], ["--debug", "list"]):
        answer = in_own_process(
            *words,
            HERDBOOK_URL="http://127.0.0.1:1",
            HERDBOOK_TOKEN=secret,
            HERDBOOK_HOME=str(tmp_path),
        )
        assert "7" * 20 not in answer.out + answer.err


def test_bytes_that_are_no_text_come_from_a_shell_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"herdbook", b"add", b"maj\xffora", b"v1"],
        env=os.environ | {"HERDBOOK_HOME": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert not (tmp_path / "herdbook.db").exists() or b"majora" not in done.stdout
