"""The command line against a server: the same answers, the same statuses."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from herdbook.storage.sql.engine import WAL_SAFE
from tests.cli.conftest import Run
from tests.running import free_port, served


def test_the_same_answers_over_http(example: Run, home: Path) -> None:
    lines = [
        "list", "info majora --json", "compare majora v1 v2", "tree majora", "audit verify",
        "deployments history majora", "lineage majora:v2 --data", "summary", "best accuracy",
        "search status='production'", "metrics history majora:v1", "versions majora",
    ]  # fmt: skip
    before = [example(*line.split()).out for line in lines]

    with served(f"sqlite:///{home / 'herdbook.db'}") as address:
        after = [example(*line.split(), "--url", address).out for line in lines]

    assert after == before


@pytest.mark.parametrize(
    ("line", "status"),
    [("info oracle", 3), ("deploy majora v2", 4), ("add majora --samples -1", 2)],
)
def test_the_same_statuses_over_http(example: Run, home: Path, line: str, status: int) -> None:
    local = example(*line.split(), "--json").err

    with served(f"sqlite:///{home / 'herdbook.db'}") as address:
        answer = example(*line.split(), "--json", "--url", address)

    assert answer.status == status
    assert json.loads(answer.err) == json.loads(local)


def test_a_server_is_healthy_and_its_register_can_be_backed_up(
    example: Run, home: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{home / 'herdbook.db'}"
    with served(url) as address:
        assert example("server", "health", "--url", address).out == f"{address} is ready.\n"
        assert example("doctor", "--url", address).status == 0
        assert example("db", "backup", str(tmp_path / "kept.db"), "--url", url).status == 0
        refused = example("versions", "delete", "majora:v1", "--dry-run", "--url", address)

    assert "is a server" in refused.err
    restored = f"sqlite:///{tmp_path / 'restored.db'}"
    assert (
        example("db", "restore", str(tmp_path / "kept.db"), "--yes", "--url", restored).status == 0
    )


def test_who_has_no_token_is_told_where_one_goes(example: Run, home: Path) -> None:
    example("tokens", "create", "ci", "--role", "admin")

    with served(f"sqlite:///{home / 'herdbook.db'}", "--auth") as address:
        answer = example("list", "--url", address)
        settled = example("config", "list", "--url", f"sqlite:///{home / 'herdbook.db'}").out

    assert answer.status == 5
    assert "HERDBOOK_TOKEN" in answer.err
    # Where the write-ahead log is safe, no server owns the file.
    assert WAL_SAFE or f"through the server at {address}" in settled


def test_ctrl_c_ends_a_server_in_peace(home: Path) -> None:
    port = free_port()
    words = [sys.executable, "-m", "herdbook", "server", "start", "--port", str(port)]
    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    told = ""
    while "Herdbook answers at" not in told:
        told = running.stderr.readline()

    running.send_signal(signal.SIGINT)
    rest = running.communicate(timeout=30)[1]

    assert running.returncode == 0
    assert f"http://127.0.0.1:{port}" in told
    assert "Traceback" not in rest
    assert home.exists()


def test_a_server_for_everybody_asks_for_more_first(run: Run) -> None:
    answer = run("server", "start", "--host", "0.0.0.0")  # noqa: S104 - refused

    assert answer.status == 2
    assert "--tls-cert" in answer.err
