"""What every database promises of the pedigree."""

import threading
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from herdbook.core.lineage import Relative, tree
from herdbook.core.models import ParentKind, Status
from herdbook.core.numbers import Number
from herdbook.errors import Cycle, Invalid, NotFound
from herdbook.services import lineage, models, versions
from herdbook.services.versions import Draft
from herdbook.storage.sql.tables import parents as parents_table
from herdbook.storage.sql.tables import versions as versions_table
from tests.registers import Register

LONG = 20_000


@st.composite
def families(draw: st.DrawFn) -> list[list[int]]:
    """A directed graph without cycles: the parents of each, all of them earlier."""
    size = draw(st.integers(1, 9))
    return [
        draw(st.lists(st.integers(0, at - 1), unique=True, max_size=3)) if at else []
        for at in range(size)
    ]


def distances(start: int, near: dict[int, Iterable[int]]) -> dict[int, int]:
    """The fewest steps to everything that can be reached, by a walk."""
    found, edge, steps = {start: 0}, [start], 0
    while edge:
        steps += 1
        edge = [n for here in edge for n in near.get(here, ()) if n not in found]
        found |= dict.fromkeys(edge, steps)
    del found[start]
    return found


def named(at: int) -> str:
    """The reference of a member of a family; three models take turns."""
    return f"{('majora', 'gnn', 'oracle')[at % 3]}:v{at // 3 + 1}"


@settings(max_examples=40)
@given(family=families(), depth=st.sampled_from([1, 2, 3, 1_000_000]))
def test_ancestors_and_descendants_are_those_of_a_walk(
    register: Register, family: list[list[int]], depth: int
) -> None:
    up: dict[int, Iterable[int]] = dict(enumerate(family))
    down: dict[int, Iterable[int]] = {
        at: [child for child, above in enumerate(family) if at in above]
        for at in range(len(family))
    }
    with register.tried() as work:
        for at, above in enumerate(family):
            draft = Draft(parents=tuple(named(p) for p in above))
            versions.register(work, named(at).partition(":")[0], draft=draft)

        for at in range(len(family)):
            for near, verb in ((up, lineage.ancestors), (down, lineage.descendants)):
                found = verb(work, named(at), depth=depth).items
                wanted = {named(n): d for n, d in distances(at, near).items() if d <= depth}
                assert {r.ref: r.distance for r in found} == wanted
                assert [r.distance for r in found] == sorted(wanted.values())
        check_pedigrees(work, family)


def check_pedigrees(work: Any, family: list[list[int]]) -> None:
    """A pedigree of a model has its versions, their direct relatives, and all steps between."""
    steps = {(named(p), named(child)) for child, above in enumerate(family) for p in above}
    for model in {named(at).partition(":")[0] for at in range(len(family))}:
        found = lineage.pedigree(work, model)
        own = {named(at) for at in range(len(family)) if named(at).startswith(f"{model}:")}
        touching = {step for step in steps if own & set(step)}
        assert {n.ref for n in found.nodes} == own | {r for step in touching for r in step}
        assert {(e.parent, e.child) for e in found.edges} == touching
    last = named(len(family) - 1)
    around = lineage.around(work, last)
    refs = {n.ref for n in around.nodes}
    assert refs == {last} | {r.ref for r in lineage.ancestors(work, last).items}
    assert {(e.parent, e.child) for e in around.edges} == {s for s in steps if set(s) <= refs}


def test_a_merge_has_several_parents_in_their_order(register: Register) -> None:
    register.add("gnn:v1")
    register.add("oracle:v1")

    register.add("majora:v1", parents=("oracle:v1", "gnn:v1"), parent_kind=ParentKind.MERGE)

    edges = register.read(lineage.pedigree, "majora").edges
    assert [e.parent for e in edges] == ["oracle:v1", "gnn:v1"]
    assert {e.kind for e in edges} == {ParentKind.MERGE}


def test_no_version_is_its_own_parent(register: Register) -> None:
    with pytest.raises((Invalid, NotFound)):
        register.add("majora:v1", parents=("majora:v1",))
    register.add("majora:v1", status=Status.DRAFT)

    for ref in ("majora:v1", "majora:1.0.0", "majora@latest"):
        with pytest.raises((Invalid, Cycle)):
            register.write(versions.revise, "majora:v1", draft=Draft(parents=(ref,)))


@pytest.mark.parametrize("below", ["majora:v2", "gnn:v1", "oracle:v1"])
def test_a_revision_makes_no_cycle(register: Register, below: str) -> None:
    register.add("majora:v1", status=Status.DRAFT)
    register.add("majora:v2", parents=("majora:v1",))
    register.add("gnn:v1", parents=("majora:v2",))
    register.add("oracle:v1", parents=("gnn:v1", "majora:v1"))

    with pytest.raises(Cycle, match=f"{below} descends from majora:v1"):
        register.write(versions.revise, "majora:v1", draft=Draft(parents=(below,)))

    assert register.read(lineage.ancestors, "majora:v1").items == ()


def test_two_revisions_at_once_make_no_cycle(register: Register) -> None:
    pairs = [(f"gnn:v{n}", f"majora:v{n}") for n in range(1, 9)]
    for pair in pairs:
        for ref in pair:
            register.add(ref, status=Status.DRAFT)
    start, outcomes = threading.Barrier(2), []

    def revise(mine: int) -> None:
        for pair in pairs:
            start.wait()
            try:
                register.write(versions.revise, pair[mine], draft=Draft(parents=(pair[1 - mine],)))
                outcomes.append("made")
            except Cycle:
                outcomes.append("refused")

    both = [threading.Thread(target=revise, args=(mine,)) for mine in (0, 1)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert sorted(outcomes) == ["made"] * 8 + ["refused"] * 8


def test_new_parents_and_data_sets_take_the_place_of_the_old(register: Register) -> None:
    register.add("gnn:v1")
    register.add("gnn:v2")
    register.add("majora:v1", status=Status.DRAFT, parents=("gnn:v1",), training_data=("oracle",))

    draft = Draft(parents=("gnn:v2",), training_data=("toolbench",))
    register.write(versions.revise, "majora:v1", draft=draft)

    assert [r.ref for r in register.read(lineage.ancestors, "majora:v1").items] == ["gnn:v2"]
    assert register.read(lineage.descendants, "gnn:v1").items == ()
    assert [d.name for d in register.read(lineage.datasets).items] == ["toolbench"]


def test_data_reach_a_version_through_its_ancestors(register: Register) -> None:
    register.add("gnn:v1", training_data=("oracle", "toolbench"))
    register.add("gnn:v2", parents=("gnn:v1",))
    register.add("majora:v1", parents=("gnn:v2",), training_data=("oracle",))

    found = register.read(lineage.data, "majora:v1")

    assert dict(found.sources) == {"majora:v1": ("oracle",), "gnn:v1": ("oracle", "toolbench")}
    assert list(found.sources) == ["majora:v1", "gnn:v1"]


def test_data_sets_come_by_name_with_how_many_were_trained_on_them(register: Register) -> None:
    register.add("majora:v1", training_data=("toolbench", "oracle"))
    register.add("majora:v2", training_data=("oracle",))
    register.add("majora:v3", training_data=("gone",))
    register.write(versions.delete, "majora:v3")

    first = register.read(lineage.datasets, page_size=1)
    second = register.read(lineage.datasets, page_size=1, page=first.next)

    assert [(d.name, d.versions) for d in (*first.items, *second.items)] == [
        ("oracle", 2),
        ("toolbench", 1),
    ]
    assert second.next is None


def chain(register: Register, length: int) -> None:
    """Register a chain of versions, each from the one before, the first two by the verbs."""
    register.add("majora:v1")
    register.add("majora:v2", parents=("majora:v1",))
    with register.database.writing() as connection:
        asked = select(versions_table).where(versions_table.c.ordinal == 2)
        kept: dict[str, Any] = dict(connection.execute(asked).one()._mapping)
        first = kept.pop("id") - 2
        rows = [
            kept
            | {
                "id": first + n,
                "ordinal": n,
                "number": f"v{n}",
                "number_key": Number(f"v{n}").key,
                "about": kept["about"].replace('"v2"', f'"v{n}"'),
            }
            for n in range(3, length + 1)
        ]
        connection.execute(insert(versions_table), rows)
        steps = [
            {
                "child_id": first + n,
                "parent_id": first + n - 1,
                "position": 0,
                "kind": "fine-tune",
            }
            for n in range(3, length + 1)
        ]
        connection.execute(insert(parents_table), steps)


def whole(register: Register, verb: Any, ref: str) -> list[Relative]:
    """Every page of a walk, one after the other."""
    found: list[Relative] = []
    token: str | None = None
    while True:
        page = register.read(verb, ref, page=token)
        found += page.items
        token = page.next
        if token is None:
            return found


def test_pages_of_a_walk_are_the_nearest_first_and_miss_none(register: Register) -> None:
    chain(register, 30)

    first = register.read(lineage.ancestors, "majora:v30", page_size=7)
    second = register.read(lineage.ancestors, "majora:v30", page_size=7, page=first.next)

    assert [r.distance for r in (*first.items, *second.items)] == list(range(1, 15))
    assert [r.distance for r in whole(register, lineage.ancestors, "majora:v30")] == list(
        range(1, 30)
    )
    with pytest.raises(Invalid, match="page"):
        register.read(lineage.descendants, "majora:v30", page=first.next)


def test_many_paths_to_the_same_versions_are_not_walked_one_by_one(register: Register) -> None:
    for n in range(1, 61):
        register.add("majora", parents=tuple(f"majora:v{m}" for m in range(1, n)))

    found = register.read(lineage.ancestors, "majora:v60").items

    assert {(r.number, r.distance) for r in found} == {(f"v{n}", 1) for n in range(1, 60)}


def test_a_chain_of_twenty_thousand_is_walked_and_drawn(register: Register) -> None:
    chain(register, LONG)

    below = whole(register, lineage.descendants, "majora:v1")
    drawn = tree(register.read(lineage.pedigree, "majora"), title="majora version tree:")

    assert [(r.number, r.distance) for r in below] == [(f"v{n}", n - 1) for n in range(2, LONG + 1)]
    assert len(drawn.splitlines()) == LONG + 1
    assert len(register.read(lineage.around, "majora:v2").edges) == LONG - 1


def test_the_relatives_of_a_deleted_model_are_drawn_without_it(register: Register) -> None:
    register.add("gnn:v1")
    register.add("majora:v1", parents=("gnn:v1",))
    register.write(models.delete, "gnn")

    found = register.read(lineage.pedigree, "majora")

    assert [n.ref for n in found.nodes] == ["majora:v1"]
    assert found.edges == ()
