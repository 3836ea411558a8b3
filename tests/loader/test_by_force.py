"""Fetching and making under kill -9 and by many at once, beside naive code that fails the same."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from herdbook.errors import HerdbookError
from herdbook.loader import find
from herdbook.settings import Settings
from tests.loader.hub import Hub, Repository
from tests.loader.samples import classifier_files, written

REPO = "deepset/gbert-base"
REF = f"hf:{REPO}"
FETCH = "import sys, herdbook.loader as l; print(l.find(sys.argv[1]).folder)"
NAIVE_FETCH = """
import sys, pathlib, huggingface_hub
folder = pathlib.Path(sys.argv[2])
if not folder.exists():
    huggingface_hub.snapshot_download(sys.argv[1].removeprefix("hf:"), local_dir=folder)
"""
CREATE = (
    "import sys, herdbook.loader as l; l.create_model_artifact(sys.argv[1], 'v1', to=sys.argv[2])"
)
NAIVE_CREATE = """
import sys, shutil
shutil.copytree(sys.argv[1].removeprefix("local:"), sys.argv[2] + "/model-v1")
"""


@pytest.fixture
def repository(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A classifier on a hub that stops for a while in the middle of every file."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("HERDBOOK_HOME", str(home))
    hub.repositories[REPO] = Repository(classifier_files(), pause_seconds=0.7)
    return hub.repositories[REPO]


def started(code: str, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed_when(running: "subprocess.Popen[str]", reached: Callable[[], bool]) -> None:
    """Kill a process as soon as something is so."""
    deadline = time.monotonic() + 60
    while not reached():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.002)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()


def test_a_fetch_that_was_killed_is_never_taken_for_a_model(
    hub: Hub, repository: Repository, settings: Settings
) -> None:
    killed_when(started(FETCH, REF), lambda: hub.downloads("model.safetensors") > 0)

    with pytest.raises(HerdbookError, match="is not in the cache"):
        find(REF, settings=settings, fetch=False)

    repository.pause_seconds = 0
    found = find(REF, settings=settings)
    assert {p: (found.folder / p).read_bytes() for p in found.files} == repository.files


def test_naive_code_takes_half_a_fetch_for_a_model(
    hub: Hub, repository: Repository, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    killed_when(
        started(NAIVE_FETCH, REF, str(folder)), lambda: hub.downloads("model.safetensors") > 0
    )

    repository.pause_seconds = 0
    started(NAIVE_FETCH, REF, str(folder)).communicate(timeout=60)

    assert not (folder / "model.safetensors").exists()


def test_many_at_once_fetch_a_model_once(
    hub: Hub, repository: Repository, settings: Settings
) -> None:
    running = [started(FETCH, REF) for _ in range(6)]

    answers = {one.communicate(timeout=100) for one in running}

    folder = find(REF, settings=settings).folder
    assert {out for out, _ in answers} == {f"{folder}\n"}, answers
    assert [hub.downloads(f"resolve/{folder.name}/{path}") for path in repository.files] == [1] * 4


def test_naive_code_fetches_a_model_as_often_as_it_is_asked(
    hub: Hub, repository: Repository, tmp_path: Path
) -> None:
    running = [started(NAIVE_FETCH, REF, str(tmp_path / str(at))) for at in range(3)]

    for one in running:
        one.communicate(timeout=100)

    assert hub.downloads("model.safetensors") == len(running)
    assert repository.files


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder that takes a while to copy."""
    files = {f"part-{at}.txt": os.urandom(1 << 20) for at in range(40)}
    return written(tmp_path / "large", files)


def test_an_artifact_that_was_killed_while_it_was_made_is_not_there(
    large: Path, settings: Settings, tmp_path: Path
) -> None:
    target = tmp_path / "artifacts"
    words = (f"local:{large}", str(target))

    killed_when(started(CREATE, *words), lambda: any(target.glob(".model-v1-*/part-2*.txt")))

    assert not (target / "model-v1").exists()
    started(CREATE, *words).communicate(timeout=100)
    assert find(f"local:{target}/model-v1", settings=settings).verified


def test_naive_code_leaves_half_an_artifact(large: Path, tmp_path: Path) -> None:
    target = tmp_path / "artifacts"
    words = (f"local:{large}", str(target))

    killed_when(started(NAIVE_CREATE, *words), lambda: any(target.glob("model-v1/part-2*.txt")))

    left = list((target / "model-v1").iterdir())
    assert 0 < len(left) < len(list(large.iterdir()))
