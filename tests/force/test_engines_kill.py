"""Workers and drivers of batch work are killed: no task is lost, and no process is left."""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from herdbook.engines.local import LocalEngine
from herdbook.errors import TaskFailed
from tests.engines.work import Job, makings, workers_seen

TASKS = 60
KILLS = 8
ROOT = Path(__file__).parents[2]
Runner = Callable[[Job, int], set[int]]


def by_engine(job: Job, tasks: int) -> set[int]:
    return {each.task for each in LocalEngine(2).run(job, range(tasks)) if not each.error}


def by_executor(job: Job, tasks: int) -> set[int]:
    """Run as one would who never thought of a worker's death."""
    done = set()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn, initializer=job) as pool:
        waiting = {pool.submit(job.work, task): task for task in range(tasks)}
        with contextlib.suppress(BrokenProcessPool):
            for future in as_completed(waiting):
                future.result()
                done.add(waiting[future])
    return done


def killed_while_it_runs(run: Runner, job: Job) -> tuple[set[int], int]:
    """Run, and kill a worker now and then; give what was done and how many were killed."""
    rng, over, killed = random.Random(5), threading.Event(), set[int]()  # noqa: S311 - no secret

    def kill_now_and_then() -> None:
        while len(killed) < KILLS and not over.wait(rng.uniform(0.05, 0.25)):
            # Not the same twice: its number may be another process's by now. And only who has
            # done a task: three deaths over one are another test.
            proven = {int(path.name.split("-")[2]) for path in job.folder.glob("done-*")}
            if victims := sorted(proven - killed):
                victim = rng.choice(victims)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                killed.add(victim)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        return run(job, TASKS), len(killed)
    finally:
        over.set()
        killer.join()


def alive(pids: list[int]) -> list[int]:
    """Give those of the processes that run; the dead that nobody has fetched do not."""
    return [pid for pid in pids if _state(pid) not in {"", "Z", "X"}]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def gone_within(seconds: float, pids: list[int]) -> bool:
    until = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pids)


def await_tasks(folder: Path, number: int) -> None:
    until = time.monotonic() + 30
    while len(list(folder.glob("begun-*"))) < number:
        assert time.monotonic() < until, "no task began"
        time.sleep(0.02)


@contextlib.contextmanager
def driver(folder: Path, way: str) -> Iterator[subprocess.Popen[str]]:
    """Start a driver, and two workers that are at work."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.engines.driver", str(folder), way],
        cwd=ROOT,
        text=True,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            await_tasks(folder, 2)
            yield process
        finally:
            process.kill()
            for pid in workers_seen(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_workers_are_killed_at_random_and_every_task_is_done(tmp_path: Path) -> None:
    done, killed = killed_while_it_runs(by_engine, Job(tmp_path, seconds=0.05))

    assert done == set(range(TASKS))
    assert killed >= 3
    assert makings(tmp_path) > 2


def test_the_same_kills_break_a_pool_of_the_standard_library(tmp_path: Path) -> None:
    done, killed = killed_while_it_runs(by_executor, Job(tmp_path, seconds=0.05))

    assert killed
    assert done < set(range(TASKS))


def test_a_task_that_kills_its_workers_is_given_up_and_the_rest_is_done(tmp_path: Path) -> None:
    job = Job(tmp_path, seconds=0.01, once=frozenset({2, 9}), always=frozenset({5}))

    done = {each.task: each for each in LocalEngine(2).run(job, range(20))}

    assert sorted(done) == list(range(20))
    assert [each.task for each in done.values() if each.error] == [5]
    error = done[5].error
    assert isinstance(error, TaskFailed)
    assert "given up after 3 workers died over it (killed by SIGKILL)" in error.message
    assert len(list(tmp_path.glob("begun-5-*"))) == 3


def test_a_driver_that_is_killed_takes_its_workers_along(tmp_path: Path) -> None:
    with driver(tmp_path, "own") as process:
        workers = workers_seen(tmp_path)

        process.kill()

        assert len(alive(workers)) == 2 or gone_within(0, workers)
        assert gone_within(3.0, workers)


def test_a_naive_driver_that_is_killed_leaves_its_workers_behind(tmp_path: Path) -> None:
    with driver(tmp_path, "naive") as process:
        workers = workers_seen(tmp_path)

        process.kill()

        assert not gone_within(3.0, workers)


def test_ctrl_c_ends_driver_and_workers_without_a_word_from_them(tmp_path: Path) -> None:
    with driver(tmp_path, "own") as process:
        workers = workers_seen(tmp_path)

        for pid in [*workers, process.pid]:  # as a terminal does: to the whole group
            os.kill(pid, signal.SIGINT)

        assert gone_within(15.0, [*workers, process.pid])
        _, said = process.communicate(timeout=10)
        assert said.count("KeyboardInterrupt") == 1


@pytest.mark.parametrize("way", ["close", "break"])
def test_leaving_the_results_ends_the_workers(tmp_path: Path, way: str) -> None:
    tasks = iter([0.0, 60.0, 60.0, 60.0])
    results = LocalEngine(2).run(SLEEPER, tasks)

    next(results)
    children = [child.pid for child in multiprocessing.active_children() if child.pid]
    began = time.monotonic()
    if way == "close":
        results.close()  # type: ignore[attr-defined]
    del results

    assert len(children) == 2
    assert gone_within(3.0, children)
    assert time.monotonic() - began < 3.0
    assert not list(tmp_path.iterdir())


def sleeper() -> Callable[[float], None]:
    """Make a callable that sleeps."""
    return time.sleep


SLEEPER = sleeper
