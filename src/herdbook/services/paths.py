"""The cheapest way of documents from a version to another, over the steps there are."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Final

from herdbook.core.migrations import Step, Way
from herdbook.core.numbers import Number
from herdbook.errors import NotFound

Edge = Step

# Embedding is done once, with the last model, however many steps ask for it; to ask for it at all
# costs more than any number of the others.
COSTS: Final[Mapping[Way, int]] = {
    Way.IDENTITY: 1,
    Way.METADATA: 2,
    Way.REEMBED: 1_000_000,
}


def cheapest(
    edges: Sequence[Edge], from_version: str, to_version: str, *, model: str
) -> tuple[Step, ...]:
    """Give the steps that cost least; equal ones in favour of fewer, then of lower numbers.

    Documents that are embedded anew anywhere on the way pay for that once. Numbers are compared
    by value: `v1` is `1.0.0`.

    Raises:
        NotFound: no steps lead there; says where the ones there are do.
    """
    start, goal = Number(from_version).key, Number(to_version).key
    if start == goal:
        return ()
    leaving = _leaving(edges)
    # (cost, steps, keys on the way): whether it embeds is part of the place that is reached.
    queue: list[tuple[int, int, tuple[str, ...], bool, tuple[Step, ...]]]
    queue = [(0, 0, (start,), False, ())]
    best: dict[tuple[str, bool], tuple[int, int]] = {}
    while queue:
        cost, length, keys, embeds, steps = heapq.heappop(queue)
        here = keys[-1]
        if here == goal:
            return steps
        if best.get((here, embeds), (cost + 1, 0)) <= (cost, length):
            continue
        best[here, embeds] = (cost, length)
        for edge in leaving.get(here, ()):
            key = Number(edge.to_version).key
            if key in keys:
                continue
            again = edge.way is Way.REEMBED and embeds
            paid = cost + (COSTS[Way.IDENTITY] if again else COSTS[edge.way])
            now = embeds or edge.way is Way.REEMBED
            heapq.heappush(queue, (paid, length + 1, (*keys, key), now, (*steps, edge)))
    raise NotFound(_none(edges, from_version, to_version, model), field="to_version")


def _leaving(edges: Sequence[Edge]) -> dict[str, list[Edge]]:
    """Give the steps that leave each version; maps take queries along, no documents."""
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        if edge.way is not Way.ADAPTER:
            found.setdefault(Number(edge.from_version).key, []).append(edge)
    return found


def _none(edges: Sequence[Edge], from_version: str, to_version: str, model: str) -> str:
    said = ", ".join(f"{edge.from_version} to {edge.to_version}" for edge in edges[:20])
    adapted = {
        (Number(e.from_version), Number(e.to_version)) for e in edges if e.way is Way.ADAPTER
    }
    if (Number(from_version), Number(to_version)) in adapted:
        return (
            f"from {from_version} to {to_version} of {model} there is an adapter: it takes queries "
            "along, no documents. Offer it as a bridge (`herdbook documents bridge`), or embed anew"
        )
    return (
        f"no strategy of {model} leads from {from_version} to {to_version}; there are: "
        f"{said or 'none'}. Register one with register_strategy, or embed anew"
    )
