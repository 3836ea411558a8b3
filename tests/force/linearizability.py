"""Is a history of concurrent operations one that a single, sequential object could have had?

The algorithm is Wing and Gong's ("Testing and Verifying Concurrent Objects", 1993) with Lowe's
memory of configurations already tried ("Testing for Linearizability", 2017): take any operation
that no other one had finished before, apply it if its result is right, go on; go back where
nothing fits. An operation whose outcome is unknown may have happened, or not.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, as the process that did it saw it.

    Args:
        started: nanoseconds on the clock all processes share.
        ended: likewise; for an unknown outcome, the end of time.
        kind: what was asked.
        given: with what.
        result: what came of it, or UNKNOWN.
    """

    started: int
    ended: int
    kind: str
    given: Any
    result: Any


# Applies an operation to a state: the states that explain its result, none when it is wrong.
Step = Callable[[Any, Operation], Sequence[Hashable]]


def linearizable(history: Sequence[Operation], *, initial: Hashable, step: Step) -> bool:
    """Whether some order of the operations, true to real time, explains every result."""
    operations = sorted(history, key=lambda one: one.started)
    tried: set[tuple[int, Hashable]] = set()
    everything = (1 << len(operations)) - 1
    needed = sum(1 << at for at, one in enumerate(operations) if one.result != UNKNOWN)
    stack: list[tuple[int, Hashable]] = [(0, initial)]
    while stack:
        done, state = stack.pop()
        if done & needed == needed:
            return True
        if (done, state) in tried:
            continue
        tried.add((done, state))
        for at in _candidates(operations, everything & ~done):
            stack += [(done | 1 << at, after) for after in step(state, operations[at])]
    return False


def _candidates(operations: Sequence[Operation], waiting: int) -> list[int]:
    """Give the waiting operations that began before any other waiting one had ended."""
    found, first_end = [], None
    at = (waiting & -waiting).bit_length() - 1
    while waiting >> at:
        if waiting >> at & 1:
            one = operations[at]
            if first_end is not None and one.started > first_end:
                break
            found.append(at)
            first_end = one.ended if first_end is None else min(first_end, one.ended)
        at += 1
    return found
