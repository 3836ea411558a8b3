"""Whatever a foreign file holds, it is read or refused with its place, never anything else."""

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from herdbook.core.numbers import Number
from herdbook.errors import Invalid
from herdbook.front.importing import carry_out
from herdbook.protocols import afs, coreml
from herdbook.protocols.plan import Plan
from tests.transfer import samples
from tests.transfer.registers import opened

WORDS = st.sampled_from(
    [
        "v1",
        "v2",
        "majora:v1",
        "majora",
        "",
        "deployed",
        "archived",
        "production",
        "2026",
        "\x00",
        "é",
    ]
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Give every place inside a value: its holder and its key."""
    keys = list(value) if isinstance(value, dict) else []
    return [
        found for key in keys for found in [(value, key), *places(value[key])]
    ]  # fmt: skip


def broken(value: Any, data: st.DataObject) -> Any:
    """Put other values at one to three places."""
    for _ in range(data.draw(st.integers(1, 3))):
        found = places(value)
        if found:
            holder, key = found[data.draw(st.integers(0, len(found) - 1))]
            holder[key] = data.draw(VALUES)
    return value


def sound(plan: Plan) -> None:
    """Check what every plan promises."""
    refs = [version.ref for version in plan.versions]
    assert len({(v.model, Number(v.number)) for v in plan.versions}) == len(refs)
    assert set(plan.serving) <= set(refs)
    for at, version in enumerate(plan.versions):
        later = set(refs[at:])
        assert not later & {*version.parents, *version.hints}


@given(st.data())
def test_a_broken_afs_registry_is_read_or_refused(data: st.DataObject) -> None:
    registry, lineage = broken(samples.afs(), data), broken(samples.lineage(), data)

    try:
        plan = afs.read(registry, lineage)
    except Invalid:
        return

    sound(plan)


@given(st.data())
def test_a_broken_coreml_registry_is_read_or_refused(data: st.DataObject) -> None:
    registry = broken(samples.coreml(), data)

    try:
        plan = coreml.read(registry)
    except Invalid:
        return

    sound(plan)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_can_be_planned_can_be_carried_out(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    plan: Plan | None = None
    while plan is None:
        with contextlib.suppress(Invalid):
            plan = (
                afs.read(broken(samples.afs(), data), samples.lineage())
                if data.draw(st.booleans())
                else coreml.read(broken(samples.coreml(), data))
            )

    with opened(f"sqlite:///{tmp_path_factory.mktemp('registers')}/own.db") as book:
        told = carry_out(book, plan, dry_run=True)
        done = carry_out(book, plan)
        again = carry_out(book, plan)

    assert told.counts == done.counts
    assert done.counts["versions"] == len(plan.versions) == again.counts["skipped"]
