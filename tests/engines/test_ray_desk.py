"""The desk that hands tasks to the actors on Ray; it is a plain object, so no Ray is needed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from herdbook.engines.calling import Answer, opened, packed
from herdbook.engines.ray_pool import Desk, Pool
from herdbook.errors import Conflict, TaskFailed, Unavailable

ONE = (0, b"task")


def a_desk(*, silence: float = 10.0, patience: float = 10.0) -> Desk:
    return Desk(
        Pool(
            make=b"",
            least=1,
            most=2,
            cpus=1.0,
            silence_seconds=silence,
            patience_seconds=patience,
        )
    )


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@on_a_loop
async def test_a_task_goes_to_a_seat_and_its_answer_to_the_driver() -> None:
    desk, answer = a_desk(), packed(Answer(9))

    await desk.exchange([ONE], 0)
    given = await desk.turn("an actor", 0, None)
    waiting = asyncio.create_task(desk.turn("an actor", 0, (0, answer)))
    answers = await desk.exchange([], 1)

    waiting.cancel()
    assert given == ONE
    assert answers == [(0, answer)]


@on_a_loop
async def test_a_task_is_given_again_when_ray_puts_another_actor_into_the_seat() -> None:
    desk = a_desk()
    await desk.exchange([ONE], 0)

    assert await desk.turn("the first", 0, None) == ONE
    assert await desk.turn("the second", 0, None) == ONE


@on_a_loop
async def test_a_task_is_given_again_when_its_actor_falls_silent() -> None:
    desk = a_desk(silence=0.1)
    await desk.exchange([ONE], 0)
    assert await desk.turn("silent", 0, None) == ONE

    await asyncio.sleep(0.12)
    await desk.exchange([], 0)

    assert await desk.turn("another", 1, None) == ONE


@on_a_loop
async def test_a_task_stays_with_an_actor_that_is_heard_of() -> None:
    desk = a_desk(silence=0.1)
    await desk.exchange([ONE], 0)
    await desk.turn("busy", 0, None)

    for _ in range(4):
        await asyncio.sleep(0.05)
        await desk.beat("busy")
        await desk.exchange([], 0)

    assert await desk.turn("another", 1, None) is None


@on_a_loop
async def test_a_task_that_three_actors_died_over_is_given_up() -> None:
    desk = a_desk(silence=0.2)
    await desk.exchange([ONE], 0)

    for who in ("first", "second", "third"):
        assert await desk.turn(who, 0, None) == ONE
    assert await desk.turn("fourth", 0, None) is None

    [(number, answer)] = await desk.exchange([], 0)
    error = opened(answer).error
    assert number == 0
    assert isinstance(error, TaskFailed)
    assert "given up after 3 workers died" in error.message


@on_a_loop
async def test_no_actor_for_too_long_ends_the_run() -> None:
    desk = a_desk(patience=0.05)
    await desk.exchange([ONE], 0)

    await asyncio.sleep(0.06)

    with pytest.raises(Unavailable, match="no worker was heard of for"):
        await desk.exchange([], 0)


@on_a_loop
async def test_what_cannot_be_made_ends_the_run() -> None:
    desk = a_desk()

    await desk.broken(packed(Answer(error=Conflict("no model is here"))))

    with pytest.raises(Conflict, match="no model is here"):
        await desk.exchange([], 5)
