"""The cheapest way of documents from a version to another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core.migrations import Step, Way
from herdbook.core.numbers import Number
from herdbook.errors import NotFound
from herdbook.services.paths import COSTS, cheapest


def step(from_version: str, to_version: str, way: Way = Way.METADATA) -> Step:
    """One step."""
    return Step(from_version=from_version, to_version=to_version, way=way)


def way(edges: list[Step], begin: str, end: str) -> list[tuple[str, str]]:
    """The versions on the cheapest way."""
    found = cheapest(edges, begin, end, model="gbert")
    return [(each.from_version, each.to_version) for each in found]


def test_the_seeds_path_goes_step_by_step() -> None:
    edges = [step("1.0.0", "1.1.0"), step("1.1.0", "2.0.0", Way.REEMBED)]

    assert way(edges, "1.0.0", "2.0.0") == [("1.0.0", "1.1.0"), ("1.1.0", "2.0.0")]


def test_numbers_are_compared_by_value() -> None:
    edges = [step("v1", "1.1.0"), step("v1.1", "v2")]

    assert way(edges, "1.0.0", "2.0.0") == [("v1", "1.1.0"), ("v1.1", "v2")]
    assert way(edges, "v1", "1.0.0") == []


def test_work_counts_before_steps() -> None:
    direct = step("v1", "v4", Way.REEMBED)
    edges = [direct, step("v1", "v2"), step("v2", "v3"), step("v3", "v4")]

    assert len(way(edges, "v1", "v4")) == 3
    assert way([direct], "v1", "v4") == [("v1", "v4")]


def test_to_embed_twice_costs_as_much_as_once() -> None:
    twice = [step("v1", "v2", Way.REEMBED), step("v2", "v3", Way.REEMBED)]
    around = [step("v1", "v5", Way.REEMBED), *[step(f"v{n}", f"v{n + 1}") for n in (5, 6, 7)]]

    found = way([*twice, *around, step("v8", "v3")], "v1", "v3")

    assert found == [("v1", "v2"), ("v2", "v3")]


def test_of_ties_the_shorter_and_then_the_lower_numbers_win() -> None:
    short = [step("v1", "v9")]
    long = [step("v1", "v2", Way.IDENTITY), step("v2", "v9", Way.IDENTITY)]
    assert way([*long, *short], "v1", "v9") == [("v1", "v9")]

    above = [step("v1", "v3"), step("v3", "v9")]
    below = [step("v1", "v2"), step("v2", "v9")]
    expected = [("v1", "v2"), ("v2", "v9")]
    assert way([*above, *below], "v1", "v9") == expected
    assert way([*below, *above], "v1", "v9") == expected


def test_cycles_and_dead_ends_lead_nowhere_for_ever() -> None:
    edges = [step("v1", "v2"), step("v2", "v1"), step("v2", "v3"), step("v3", "v2")]

    assert way(edges, "v3", "v1") == [("v3", "v2"), ("v2", "v1")]
    with pytest.raises(NotFound, match="leads from v1 to v9; there are: v1 to v2, v2 to v1"):
        way(edges, "v1", "v9")


def test_where_there_is_nothing_it_says_so() -> None:
    with pytest.raises(NotFound, match=r"there are: none\. Register one with register_strategy"):
        way([], "v1", "v2")


def cost(steps: tuple[Step, ...]) -> int:
    """What a way costs: embedding is paid for once."""
    others = sum(COSTS[each.way] for each in steps if each.way is not Way.REEMBED)
    embeds = [each for each in steps if each.way is Way.REEMBED]
    again = COSTS[Way.IDENTITY] * max(0, len(embeds) - 1)
    return others + (COSTS[Way.REEMBED] + again if embeds else 0)


def every_way(edges: list[Step], here: str, goal: str, been: frozenset[str]) -> list[int]:
    """The costs of all ways, by walking each of them."""
    if here == goal:
        return [0]
    found: list[int] = []

    def walk(at: str, been: frozenset[str], steps: tuple[Step, ...]) -> None:
        if at == goal:
            found.append(cost(steps))
            return
        for each in edges:
            if each.from_version == at and each.to_version not in been:
                walk(each.to_version, been | {each.to_version}, (*steps, each))

    walk(here, been, ())
    return found


EDGES = st.lists(
    st.builds(
        step,
        st.sampled_from(["v1", "v2", "v3", "v4", "v5"]),
        st.sampled_from(["v1", "v2", "v3", "v4", "v5"]),
        st.sampled_from([Way.METADATA, Way.IDENTITY, Way.REEMBED]),
    ),
    max_size=12,
)


@given(EDGES)
def test_no_way_is_cheaper(edges: list[Step]) -> None:
    costs = every_way(edges, "v1", "v5", frozenset({"v1"}))

    if not costs:
        with pytest.raises(NotFound):
            way(edges, "v1", "v5")
        return
    found = cheapest(edges, "v1", "v5", model="gbert")
    assert cost(found) == min(costs)
    ends = ["v1", *(each.to_version for each in found)]
    begins = [*(each.from_version for each in found), "v5"]
    assert [Number(e) for e in ends] == [Number(b) for b in begins]


def test_no_document_goes_along_an_adapter() -> None:
    adapter = step("v1", "v2", Way.ADAPTER)

    with pytest.raises(NotFound, match="takes queries along, no documents"):
        way([adapter], "v1", "v2")
    assert way([adapter, step("v1", "v2", Way.REEMBED)], "v1", "v2") == [("v1", "v2")]
