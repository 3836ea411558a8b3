"""Actors, a whole node and the driver of work on Ray are killed: no task is lost, nothing hangs."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import herdbook as hb
from herdbook.core import stamps
from herdbook.core.engines import AHEAD, Done
from herdbook.core.migrations import Options
from herdbook.engines.ray import RayEngine
from herdbook.errors import Conflict
from herdbook.front.moving.collections import OpenCollection
from herdbook.front.moving.moved import Carrying
from herdbook.front.moving.proving import Demands
from herdbook.front.moving.telling import News
from tests.engines.work import Job, makings, unmakeable, workers_seen

# Ray takes its time where others use the machine.
pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
SURROUNDINGS = {
    # Loopback only, and nobody is told.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    # Of the encoders that move documents.
    "TEST_ENCODER_SECONDS": "0.15",
    "PYTHONPATH": str(ROOT),
}


@dataclass(frozen=True)
class TwoNodes:
    """Two nodes of one CPU each, in this machine."""

    address: str
    second: Any
    another: Callable[[], Any]

    @property
    def raylet(self) -> int:
        pid: int = self.second.all_processes["raylet"][0].process.pid
        return pid


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in SURROUNDINGS.items():
            patched.setenv(name, value)
        ray: Any = pytest.importorskip("ray")
        pytest.importorskip("ray.data")
        clusters: Any = pytest.importorskip("ray.cluster_utils")
        # A socket's path has to be short.
        folder = tempfile.mkdtemp(prefix="hb-ray-", dir="/tmp")
        each = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
        cluster = clusters.Cluster(
            initialize_head=True, head_node_args={**each, "temp_dir": folder}
        )
        try:
            address = f"ray:{cluster.address}"

            def another() -> Any:
                return cluster.add_node(num_cpus=1)

            yield TwoNodes(address, another(), another)
        finally:
            ray.shutdown()
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def engine(nodes: TwoNodes) -> Iterator[RayEngine]:
    opened = RayEngine(nodes.address, (1, 2), 0.9, silence_seconds=4, patience_seconds=60)
    yield opened
    opened.close()


def kill_soon(pids: Callable[[], list[int]]) -> threading.Thread:
    """Kill the first process that there is to kill."""

    def kill() -> None:
        until = time.monotonic() + 40
        while not pids() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pids()[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_actors_are_killed_and_every_task_is_done(engine: RayEngine, tmp_path: Path) -> None:
    job = Job(tmp_path, seconds=0.1, once=frozenset({11}), wrong=frozenset({7}))
    asked, ahead, done = [], [], list[Done[int, int]]()

    def tasks() -> Iterator[int | None]:
        for number in range(60):
            asked.append(number)
            yield number
            yield None

    killer = kill_soon(lambda: workers_seen(tmp_path))
    for each in engine.run(job, tasks()):
        done.append(each)
        ahead.append(len(asked) - len(done))
    killer.join()

    assert {each.task: each.result for each in done if not each.error} == {
        number: number * number for number in range(60) if number != 7
    }
    error = next(each.error for each in done if each.task == 7)
    assert isinstance(error, Conflict)
    assert (error.message, error.details) == ("7 is in the way", {"task": 7})
    assert len(done) == 60
    assert max(ahead) <= AHEAD * 2
    assert 2 <= makings(tmp_path) <= 4  # once an actor, not once a task


@pytest.mark.usefixtures("engine")
def test_naive_actors_that_are_killed_lose_their_tasks(tmp_path: Path) -> None:
    ray: Any = pytest.importorskip("ray")
    job, done = Job(tmp_path, seconds=0.1), list[int]()

    class Naive:
        def __init__(self) -> None:
            self.call = job()

        def work(self, task: int) -> int:
            return self.call(task)

    pool_kind: Any = pytest.importorskip("ray.util").ActorPool
    pool = pool_kind([ray.remote(num_cpus=0.9)(Naive).remote() for _ in range(2)])
    killer = kill_soon(lambda: workers_seen(tmp_path))
    with contextlib.suppress(ray.exceptions.RayError):
        done += pool.map_unordered(lambda actor, task: actor.work.remote(task), range(60))
    killer.join()

    assert len(done) < 60


def test_what_cannot_be_made_ends_the_run(engine: RayEngine) -> None:
    with pytest.raises(Conflict, match="no model is here"):
        list(engine.run(unmakeable, range(3)))


def test_a_driver_that_is_killed_takes_its_actors_along(nodes: TwoNodes, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.engines.ray_driver", str(tmp_path), nodes.address],
        cwd=ROOT,
        env={**os.environ, **SURROUNDINGS},
        stderr=subprocess.DEVNULL,
    ) as driver:
        until = time.monotonic() + 60
        while len(list(tmp_path.glob("done-*"))) < 2 and time.monotonic() < until:
            time.sleep(0.1)

        driver.kill()

    actors = workers_seen(tmp_path)
    until = time.monotonic() + 15
    while any(Path(f"/proc/{pid}").exists() for pid in actors) and time.monotonic() < until:
        time.sleep(0.1)
    assert actors
    assert not any(Path(f"/proc/{pid}").exists() for pid in actors)


def test_documents_are_all_moved_when_an_actor_and_a_node_are_killed(
    nodes: TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TEST_ENCODER_SECONDS")
    second = nodes.another()
    with hb.connect() as book:
        collection, texts = filled(book, f"lancedb:{tmp_path / 'vectors'}")
        killing = Killing(second.all_processes["raylet"][0].process.pid)

        done = book.documents.move(
            "docs",
            to="v2",
            encoder="python:tests.hashed:two",
            options=Options(shard=5),
            demands=Demands(without_queries=True),
            carrying=Carrying(engine=nodes.address, workers=2, said=killing),
        )

        assert killing.killed == ["actor", "node"]
        assert done.phase == "verified"
        assert done.progress.done
        book.documents.cut_over("docs")
        found = collection.get(list(texts))
        assert dict(zip(found.ids, found.texts, strict=True)) == texts
        assert collection.count() == len(texts)
        told = [stamps.read(each) for each in found.metadata]
        assert {(each.number, each.write, len(each.history)) for each in told} == {
            ("v2", done.id, 1)
        }


def test_a_node_is_killed_and_the_rest_goes_on(
    engine: RayEngine, nodes: TwoNodes, tmp_path: Path
) -> None:
    job = Job(tmp_path, seconds=0.1)
    killer = kill_soon(lambda: [nodes.raylet] if makings(tmp_path) == 2 else [])

    done = list(engine.run(job, range(50)))

    killer.join()
    assert sorted(each.task for each in done) == list(range(50))
    assert not [each for each in done if each.error]


def filled(book: hb.Herdbook, address: str) -> tuple[OpenCollection, dict[str, str]]:
    for number in ("v1", "v2"):
        book.models.register("gbert", number)
    collection = book.documents.create(
        "docs", ref="gbert:v1", store=address, encoder="python:tests.hashed:one"
    )
    texts = {f"d{at:03}": f"text {at} of many" for at in range(250)}
    collection.add(list(texts.values()), ids=list(texts))
    return collection, texts


class Killing:
    """Kills an actor, and later the node that is not the first, while documents are moved."""

    def __init__(self, raylet: int) -> None:
        self.raylet = raylet
        self.killed: list[str] = []

    def __call__(self, news: News) -> None:
        if news.phase != "backfill":
            return
        if not self.killed and news.done > 20:
            os.kill(actors()[0], signal.SIGKILL)
            self.killed.append("actor")
        elif len(self.killed) == 1 and news.done > 80:
            os.kill(self.raylet, signal.SIGKILL)
            self.killed.append("node")


def actors() -> list[int]:
    """Give the processes of Ray that carry."""
    names = {each.pid: " ".join(each.cmdline()) for each in psutil.process_iter()}
    return [pid for pid, name in names.items() if name.startswith("ray::") and "Seat" in name]
