"""What a champion is when nobody interferes, and processes that interfere."""

import multiprocessing
import random
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import herdbook
from herdbook import errors
from tests.force.linearizability import UNKNOWN, Operation

VERSIONS = ("v1", "v2", "v3")
END_OF_TIME = 2**63

# The stack of versions a rollback goes back along, the present one last; and the epoch.
State = tuple[int, tuple[str, ...]]
EMPTY: State = (0, ())


def step(state: State, one: Operation) -> Sequence[Hashable]:
    """Apply an operation to a champion; the states that explain its result."""
    if one.result == UNKNOWN:
        return [state, *_after(state, one)]
    expected = _result(state, one)
    return (_after(state, one) or [state]) if one.result == expected else []


def _after(state: State, one: Operation) -> list[State]:
    epoch, stack = state
    if one.kind == "promote" and _result(state, one)[0] == "moved":
        return [(epoch + 1, (*stack, one.given[0]))]
    if one.kind == "rollback" and len(stack) > 1:
        return [(epoch + 1, stack[:-1])]
    return []


def _result(state: State, one: Operation) -> tuple[Any, ...]:
    epoch, stack = state
    if one.kind == "read":
        return ("read", epoch, stack[-1] if stack else "")
    if one.kind == "rollback":
        return ("moved", epoch + 1, stack[-2]) if len(stack) > 1 else ("nothing",)
    number, awaited = one.given
    if awaited is not None and awaited != epoch:
        return ("stale", epoch)
    if stack and stack[-1] == number:
        return ("already",)
    return ("moved", epoch + 1, number)


def ask(book: herdbook.Herdbook, kind: str, given: Any) -> tuple[Any, ...]:
    """Do an operation on a register and tell what came of it."""
    try:
        if kind == "read":
            alias = book.deployments.alias("gnn")
            return ("read", alias.epoch, alias.number)
        if kind == "rollback":
            move = book.deployments.rollback("gnn")
        else:
            move = book.deployments.promote(f"gnn:{given[0]}", expected_epoch=given[1])
    except errors.StaleEpoch as error:
        return ("stale", error.details["epoch"])
    except errors.NotFound:
        return ("read", 0, "") if kind == "read" else ("nothing",)
    except errors.Conflict:
        return ("already",)
    return ("moved", move.epoch, move.to_number)


def choose(rng: random.Random, seen: int) -> tuple[str, Any]:
    """Choose an operation: mostly reads, some moves, some with an epoch that was seen."""
    kind = rng.choices(["read", "promote", "rollback"], [5, 3, 1])[0]
    if kind != "promote":
        return kind, None
    return kind, (rng.choice(VERSIONS), seen if rng.random() < 0.5 else None)


def hammer(
    ask_one: Callable[[str, Any], tuple[Any, ...]], *, seed: int, count: int
) -> list[Operation]:
    """Do some operations one after the other and write down what was seen."""
    rng, seen, history = random.Random(seed), 0, []  # noqa: S311 - a repeatable choice
    for _ in range(count):
        kind, given = choose(rng, seen)
        started = time.monotonic_ns()
        result = ask_one(kind, given)
        history.append(Operation(started, time.monotonic_ns(), kind, given, result))
        if result[0] in {"read", "moved"}:
            seen = result[1]
    return history


def at_once(work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Run work in processes of its own that begin together; give what each gave."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        gate = manager.Barrier(len(arguments))
        with context.Pool(len(arguments)) as pool:
            return pool.starmap(work, [(gate, *given) for given in arguments], chunksize=1)
