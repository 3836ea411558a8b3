"""Work in this process and in worker processes: every promise of the port, on both."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from herdbook.core.engines import AHEAD
from herdbook.engines import opened
from herdbook.engines.local import LocalEngine
from herdbook.errors import Conflict, Invalid, MissingExtra, TaskFailed, Unavailable
from tests.engines.work import (
    Job,
    awkward,
    deadly,
    echo,
    failing,
    makings,
    threads_of,
    unloadable,
    unmakeable,
)


@pytest.fixture(params=[0, 2], ids=["here", "processes"])
def engine(request: pytest.FixtureRequest) -> Iterator[LocalEngine]:
    opened_engine = LocalEngine(request.param)
    yield opened_engine
    opened_engine.close()


@pytest.fixture
def two() -> Iterator[LocalEngine]:
    engine = LocalEngine(2)
    yield engine
    engine.close()


def test_every_task_is_done_once_and_each_worker_makes_its_callable_once(
    engine: LocalEngine, tmp_path: Path
) -> None:
    done = list(engine.run(Job(tmp_path), range(30)))

    assert sorted((each.task, each.result or 0) for each in done) == [(n, n * n) for n in range(30)]
    assert makings(tmp_path) in {1, 2}
    assert len(list(tmp_path.glob("begun-*"))) == 30


def test_no_tasks_are_no_results(engine: LocalEngine, tmp_path: Path) -> None:
    assert list(engine.run(Job(tmp_path), [])) == []


def test_an_error_of_a_task_ends_nothing_and_keeps_its_class_code_and_message(
    engine: LocalEngine,
) -> None:
    done = {each.task: each for each in engine.run(failing, range(4))}

    ours, theirs = done[1].error, done[3].error
    assert [done[0].result, done[2].result] == [0, 2]
    assert type(ours) is Conflict
    assert (ours.code, ours.message, ours.field) == ("conflict", "1 is in the way", "task")
    assert ours.details == {"task": 1}
    assert type(theirs) is TaskFailed
    assert theirs.message == "a task failed with ValueError: 3 is no good"


def test_answers_that_cannot_be_sent_become_errors_that_say_so(two: LocalEngine) -> None:
    done = {each.task: each.error for each in two.run(awkward, range(4))}

    messages = {task: error.message for task, error in done.items() if error}
    assert "result, which has to be picklable" in messages[0]
    assert messages[1] == "1 is odd: it is one"
    assert messages[2] == "2 has company"
    assert messages[3] == "3 has a lambda"
    assert isinstance(done[1], Conflict)


def test_a_task_that_cannot_be_sent_is_its_own_error_only(two: LocalEngine) -> None:
    lock = threading.Lock()

    done = list(two.run(echo, iter([b"one", lock, b"two"])))  # type: ignore[arg-type]

    assert sorted(each.result for each in done if each.result) == [b"one", b"two"]
    assert [type(each.error) for each in done if each.error] == [Invalid]


def test_a_make_that_cannot_be_sent_is_refused(two: LocalEngine) -> None:
    with pytest.raises(Invalid, match="cannot be sent to a worker"):
        list(two.run(lambda: abs, [1]))


def test_what_cannot_be_made_ends_the_run(engine: LocalEngine) -> None:
    with pytest.raises(Conflict, match="no model is here"):
        list(engine.run(unmakeable, range(3)))
    with pytest.raises(TaskFailed, match=r"OSError: weights\.bin is cut off"):
        list(engine.run(unloadable, range(3)))


def test_workers_that_die_before_they_are_ready_end_the_run(two: LocalEngine) -> None:
    with pytest.raises(TaskFailed, match=r"died before they were ready \(killed by SIGKILL"):
        list(two.run(deadly, range(3)))


def test_tasks_are_asked_for_only_a_few_ahead(engine: LocalEngine, tmp_path: Path) -> None:
    asked: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            yield number

    results = engine.run(Job(tmp_path), tasks())
    ahead = []
    for received, _ in enumerate(results, start=1):
        ahead.append(len(asked) - received)

    assert max(ahead) <= AHEAD * 2
    assert asked == list(range(100))


def test_what_is_done_is_handed_over_while_there_are_no_tasks_just_now(
    engine: LocalEngine, tmp_path: Path
) -> None:
    received: list[int] = []

    def tasks() -> Iterator[int | None]:
        yield from range(6)
        while len(received) < 6:
            yield None
        yield 6

    received.extend(each.task for each in engine.run(Job(tmp_path), tasks()))

    assert sorted(received) == list(range(7))


def test_large_tasks_and_results_pass(two: LocalEngine) -> None:
    tasks = [bytes([number]) * 3_000_000 for number in range(8)]

    done = list(two.run(echo, tasks))

    assert sorted(each.result or b"" for each in done) == tasks


def test_a_partial_makes_as_well(two: LocalEngine, tmp_path: Path) -> None:
    done = list(two.run(partial(Job(tmp_path).__call__), [3]))

    assert [each.result for each in done] == [9]


def test_workers_share_the_cores_and_this_process_keeps_its_surroundings(
    two: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = dict(os.environ)

    done = list(two.run(threads_of, ["OMP_NUM_THREADS", "MKL_NUM_THREADS"]))

    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {each.task: each.result for each in done} == {
        "OMP_NUM_THREADS": str(share),
        "MKL_NUM_THREADS": "7",
    }
    assert dict(os.environ) == before


def test_an_engine_closed_meanwhile_says_so(two: LocalEngine, tmp_path: Path) -> None:
    results = two.run(Job(tmp_path, seconds=30), range(4))
    closing = threading.Timer(0.5, two.close)
    closing.start()
    began = time.monotonic()

    with pytest.raises(Unavailable, match="closed while it worked"):
        next(results)

    closing.join()
    assert time.monotonic() - began < 10


def test_engines_are_opened_by_name() -> None:
    assert isinstance(opened("local", workers=2), LocalEngine)
    for name in ("dask", "ray:", "ray://", ""):
        with pytest.raises(Invalid, match="is no engine"):
            opened(name)
    for name in ("local", "ray"):
        with pytest.raises(Invalid, match="-1 workers"):
            opened(name, workers=-1)


def test_ray_that_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(MissingExtra, match=r"pip install 'herdbook\[ray\]'"):
        opened("ray://127.0.0.1:10001")
