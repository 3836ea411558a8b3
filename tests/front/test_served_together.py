"""Processes that serve: what they add up to, what their end sends, who looks meanwhile."""

import asyncio
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

import herdbook
from herdbook.core.experiments import Outcome, State
from herdbook.errors import Invalid, NotFound
from herdbook.front.book import Herdbook
from tests.front.samples import connected
from tests.front.trials import Trial

CHILDREN = multiprocessing.get_context("fork")


@pytest.fixture
def trial(book: Herdbook) -> Trial:
    """A running experiment."""
    return Trial(book)


def until(told: Callable[[], bool], *, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not told() and time.monotonic() < deadline:
        time.sleep(0.02)
    return told()


def work_on(trial: Trial, times: int) -> None:
    for _ in range(times):
        with trial.serve() as call:
            call.observe(confidence=0.5)


def test_children_of_a_fork_and_of_multiprocessing_add_theirs(trial: Trial) -> None:
    work_on(trial, 10)

    child = os.fork()
    if child == 0:
        try:
            work_on(trial, 20)
            trial.book.experiments.flush()
        finally:
            os._exit(0)
    several = [CHILDREN.Process(target=work_on, args=(trial, 30)) for _ in range(2)]
    for process in several:
        process.start()
    for process in several:
        process.join(30)
    os.waitpid(child, 0)
    work_on(trial, 5)

    assert [process.exitcode for process in several] == [0, 0]
    found = trial.of()
    assert (found.results, found.lost) == (95, 0)


def test_a_call_whose_process_is_killed_is_an_error_of_its_version(trial: Trial) -> None:
    child = os.fork()
    if child == 0:
        work_on(trial, 20)
        with trial.serve():
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    trial.book.experiments._calls.recorder.adopt()

    found = trial.of()
    assert (found.results, found.errors, found.lost) == (21, 1, 1)


def test_the_end_sends_what_was_recorded_and_comes_after_nothing_too(
    request: pytest.FixtureRequest, book: Herdbook
) -> None:
    address = request.getfixturevalue("server") if book.address.startswith("http") else ""
    trial = Trial(book)
    work_on(trial, 50)

    book.experiments.close()
    book.experiments.close()
    connected(address).experiments.close()

    with connected(address) as other:
        assert other.experiments.evaluate(trial.name).metrics("treatment").results == 50
        with trial.serve():
            pass  # there is no place for it any more, and that is no reason to fail


def test_harm_is_rolled_back_while_somebody_serves(book: Herdbook) -> None:
    trial = Trial(book, min_requests=10)
    treatment, control = trial.units("treatment"), trial.units("control")

    def has_ended() -> bool:
        for unit in itertools.islice(control, 20):
            with book.serve(trial.model, unit=unit):
                pass
        for unit in itertools.islice(treatment, 20):
            with book.serve(trial.model, unit=unit) as call:
                if call.version == "v2":
                    call.fail()
        return book.experiments.get(trial.name).state is State.ENDED

    assert until(has_ended)

    ended = book.experiments.get(trial.name)
    assert ended.outcome is Outcome.ROLLED_BACK
    last = book.events.list(model=trial.model, action="experiment.ended").items[-1]
    leads = "server" if book.address.startswith("http") else "herdbook"
    assert (last.by, book.get(f"{trial.model}@champion").number) == (leads, "v1")


def test_a_service_that_awaits_serves_and_records(server: str) -> None:
    with connected(server) as book:
        trial = Trial(book)
        arms = {f"user{at}": None for at in range(40)}
        found = {unit: book.experiments.snapshot.assign(trial.model, unit) for unit in arms}

        async def one(service: herdbook.AsyncHerdbook, unit: str | None) -> str:
            async with service.serve(trial.model, unit=unit) as call:
                await asyncio.sleep(0)
                call.observe(confidence=0.5)
                if unit == "user0":
                    raise ValueError("wrong")
                return call.version

        async def story() -> list[Any]:
            async with herdbook.connect_async(server) as service:
                calls = [one(service, unit) for unit in (*arms, None)]
                done = await asyncio.gather(*calls, return_exceptions=True)
                with pytest.raises(Invalid):
                    await one(service, "")
                with pytest.raises(NotFound):
                    async with service.serve("gnn-nobody-knows"):
                        pass
                return done

        done = asyncio.run(story())

        assert isinstance(done[0], ValueError)
        assert done[1:] == [*(each.version for each in [*found.values()][1:]), "v1"]
        said = trial.said()
        assert sum(arm.results for arm in said.arms) == 40
        assert sum(arm.errors for arm in said.arms) == 1
        assert said.metrics("treatment").units == sum(
            each.variant == "treatment" for each in found.values()
        )
