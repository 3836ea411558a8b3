"""Migrations on the command line as processes: interrupted, at once, watched, over HTTP."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import herdbook
from tests.cli.conftest import Run, on_a_terminal
from tests.cli.documents_samples import (
    COUNT,
    NEW,
    QUERIES,
    SLOW,
    STORE,
    contents,
    done,
    held,
    importable,
    set_up,
    shown,
    text_of,
)
from tests.cli.test_drift_watching import INTERRUPTIBLE, line_with
from tests.running import served

__all__ = ["held", "importable"]
pytestmark = pytest.mark.usefixtures("importable")
WAIT_SECONDS = 60
HERDBOOK = (sys.executable, "-c", INTERRUPTIBLE, "documents")
# A shard every quarter of a second or so, with time to do something in between.
SLOWLY = (
    *("migrate", "docs", "--to", "v2", "--encoder", SLOW, "--without-queries"),
    *("--shard", "10", "--rate", "40"),
)


@contextmanager
def started(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """A command in a process that is ended at the end; it says all on standard output."""
    with subprocess.Popen(
        (*HERDBOOK, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def backfilling(running: "subprocess.Popen[str]", *, done: int = 1) -> None:
    """Wait until documents are being moved."""
    with herdbook.connect() as book:
        line_with(running, "backfill")
        while book.documents.status("docs").progress.shards_done < done:
            assert running.poll() is None


def is_whole() -> None:
    """Every document is in the target, once, with one step in its history."""
    moved = {
        key: metadata for key, (_, metadata, _) in contents(STORE).items() if "docs--v2/" in key
    }
    assert set(moved) == {f"docs--v2/d{n:04}" for n in range(COUNT)}
    assert all(len(each["migration_history"]) == 1 for each in moved.values())


def test_killed_in_the_middle_it_goes_on_at_once(held: Run) -> None:
    with started(*SLOWLY) as running:
        backfilling(running)
        running.kill()
        running.wait()
    assert shown(held, "status", "docs")["phase"] == "backfill"

    done(held, "migrate", "docs", "--without-queries")

    is_whole()


def test_ctrl_c_in_the_middle_says_how_to_go_on(held: Run) -> None:
    with started(*SLOWLY) as running:
        backfilling(running)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=WAIT_SECONDS)
    assert running.returncode == 130, said
    assert "`herdbook documents migrate docs` goes on where it was" in said
    before = shown(held, "status", "docs")["progress"]
    assert 0 < before["shards_done"] < before["shards"]

    # The lease was given back: nobody has to wait.
    done(held, "migrate", "docs", "--without-queries")

    assert shown(held, "status", "docs")["phase"] == "verified"
    is_whole()


def test_while_one_carries_it_out_others_may_look_and_pause_it(held: Run) -> None:
    with started(*SLOWLY) as running:
        backfilling(running)
        answer = held("documents", "migrate", "docs", "--without-queries")
        driver = shown(held, "status", "docs")["driver"]
        done(held, "pause", "docs", "--reason", "incident upstream")
        assert "waiting: incident upstream" in line_with(running, "waiting")
        stopped = shown(held, "status", "docs")["progress"]["shards_done"]
        done(held, "resume", "docs")
        watched = done(held, "status", "docs", "--watch", "--json").out
        said, _ = running.communicate(timeout=WAIT_SECONDS)

    assert answer.status == 4
    assert f":{running.pid}:" in driver
    assert driver in answer.err
    assert stopped < COUNT // 10
    told = [json.loads(line)["phase"] for line in watched.splitlines()]
    assert (told[0], told[-1]) == ("backfill", "verified")
    assert running.returncode == 0, said
    is_whole()


@pytest.mark.usefixtures("held")
def test_a_terminal_shows_a_bar_and_the_end() -> None:
    words = ("migrate", "docs", "--to", "v2", "--encoder", NEW, "--queries", QUERIES)

    answer = on_a_terminal("documents", *words, "--shard", "5", "--rate", "20")

    assert answer.status == 0
    assert "docs: backfill" in answer.out
    assert "━" in answer.out
    assert "verified" in answer.out


@pytest.mark.usefixtures("held")
def test_the_script_finds_an_encoder_in_the_folder_one_works_in() -> None:
    script = Path(sys.executable).parent / "herdbook"
    code = "def embed(texts):\n    return [[float(len(t)), 1.0] for t in texts]\n"
    Path("my_encoders.py").write_text(code)
    words = "documents plan docs --to v2 --encoder python:my_encoders:embed -q"

    planned = subprocess.run([script, *words.split()], capture_output=True, text=True, check=False)

    assert (planned.returncode, planned.stdout) == (0, "v2\n"), planned.stderr


def test_the_same_story_through_a_server(
    run: Run, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    home.mkdir()
    with served(f"sqlite:///{home}/herdbook.db") as url:
        monkeypatch.setenv("HERDBOOK_URL", url)
        set_up(run)
        before = contents(STORE)
        done(run, "plan", "docs", "--to", "v2", "--encoder", NEW)
        assert contents(STORE) == before
        words = ("migrate", "docs", "--to", "v2", "--encoder", NEW, "--queries", QUERIES)
        done(run, *words, "--price", "1", "--budget", "9", "--workers", "2")
        done(run, "resume", "docs", "--budget", "3")
        done(run, "set-aside", "docs")
        done(run, "verify", "docs", "--queries", QUERIES)
        done(run, "cutover", "docs")
        assert shown(run, "status", "docs")["options"]["budget"] == 3
        found = shown(run, "search", "docs", text_of(5), "-k", "1")["items"]
        assert found[0]["id"] == "d0005"
        done(run, "rollback", "docs", "--reason", "try")
        assert shown(run, "list", "--migrations")["items"][0]["phase"] == "rolled_back"
        assert run("documents", "show", "nothing").status == 3
