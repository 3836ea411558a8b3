"""Running the command line: in this process, in one of its own, and on a terminal."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from herdbook.cli.main import main

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str = ""


Run = Callable[..., Answer]


@pytest.fixture(autouse=True)
def quiet_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder outside any repository, a known actor, no wish about colour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERDBOOK_ACTOR", "ci")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process; its output is no terminal."""

    def running(*words: str) -> Answer:
        status = main(list(words))
        written = capsys.readouterr()
        return Answer(status, written.out, written.err)

    return running


@pytest.fixture
def example(run: Run) -> Run:
    """The same, on a register that holds majora v1 and v2, v2 in production."""
    assert run("init", "--example").status == 0
    return run


def in_own_process(*words: str, **environ: str) -> Answer:
    """Run a command line in a process of its own, through pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "herdbook", *words],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def on_a_terminal(*words: str, typed: str = "", **environ: str) -> Answer:
    """Run a command line on a pseudo-terminal; standard error goes there too."""
    ours, theirs = pty.openpty()
    settings: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    running = subprocess.Popen(
        [sys.executable, "-m", "herdbook", *words],
        env=os.environ | {"TERM": "xterm"} | environ,
        **settings,
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    out = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return Answer(running.wait(TIMEOUT_SECONDS), out.decode().replace("\r\n", "\n"))


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux's way to say that nobody has the other end any more
        return b""


def scrubbed(text: str) -> str:
    """Replace what differs from run to run: times, digests, places."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-14T12:00:00Z", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "<digest>", text)
    text = re.sub(r"\b[0-9a-f]{12}…", "<digest>…", text)
    return re.sub(r"sqlite:///\S*?herdbook\.db", "sqlite:///<home>/herdbook.db", text)
