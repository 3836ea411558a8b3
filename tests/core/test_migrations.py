"""The phases of a migration, and what it is made of."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from herdbook.core.documents import Home
from herdbook.core.migrations import (
    OVER,
    Check,
    Migration,
    MigrationPhase,
    Options,
    Outcome,
    Shard,
    Step,
    Verification,
    Way,
    allowed,
)
from herdbook.core.vectors import Place, Range
from herdbook.errors import Conflict, Invalid

AT = datetime(2026, 1, 14, 12, tzinfo=UTC)
STEP = Step(from_version="v1", to_version="v2", way=Way.REEMBED)
HOME = Home(place=Place(collection="docs"))


def migration(**said: Any) -> Migration:
    """A migration from v1 to v2."""
    given: dict[str, Any] = {"id": "migration-1", "collection": "docs", "model": "gbert"}
    given |= {"from_version": "v1", "to_version": "v2", "started_by": "curator"}
    given |= {"steps": (STEP,), "source": HOME, "target": HOME, "started_at": AT}
    return Migration(**(given | said))


def test_phases_follow_one_another_and_all_but_the_end_lead_back() -> None:
    order = list(MigrationPhase)[:-1]

    for before, after in pairwise(order):
        assert allowed(before)[0] is after
        assert (MigrationPhase.ROLLED_BACK in allowed(before)) is (before not in OVER)
    assert allowed(MigrationPhase.RETIRED) == allowed(MigrationPhase.ROLLED_BACK) == ()
    assert MigrationPhase.CATCH_UP in allowed(MigrationPhase.VERIFIED)
    assert MigrationPhase.BACKFILL not in allowed(MigrationPhase.CATCH_UP)


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (Step(from_version="v1", to_version="v3", way=Way.METADATA),),
        (STEP, STEP),
        (Step(from_version="v2", to_version="v2", way=Way.METADATA),),
    ],
)
def test_steps_lead_from_one_number_to_the_other(steps: tuple[Step, ...]) -> None:
    with pytest.raises(Invalid, match="the steps do not lead from v1 to v2"):
        migration(steps=steps)


def test_steps_are_joined_by_value() -> None:
    steps = (
        replace(STEP, from_version="1.0.0", to_version="1.5"),
        Step(from_version="v1.5.0", to_version="2.0.0", way=Way.METADATA),
    )

    assert migration(steps=steps).embeds
    assert not migration(steps=(replace(STEP, way=Way.IDENTITY),)).embeds


@pytest.mark.parametrize("phase", sorted(OVER))
def test_what_is_over_is_not_open(phase: MigrationPhase) -> None:
    with pytest.raises(Conflict, match="start another migration"):
        migration(phase=phase).check_open()
    migration().check_open()


def test_no_gates_are_no_pass_and_what_is_shown_gates_nothing() -> None:
    shown = Check(name="overlap", passed=False, says="0.3", gate=False)
    held = Check(name="ids", passed=True, says="all")
    failed = Check(name="spaces", passed=False, says="two")

    assert not Verification(at=AT, checks=()).passed
    assert not Verification(at=AT, checks=(shown,)).passed
    assert Verification(at=AT, checks=(shown, held)).passed
    assert Verification(at=AT, checks=(shown, held, failed)).failed == ("spaces",)


@pytest.mark.parametrize(
    "said",
    [
        {"shard": -1},
        {"shard": 10_001},
        {"rate": float("nan")},
        {"rate": -1.0},
        {"budget": float("inf")},
        {"text_limit": 0},
    ],
)
def test_options_lie_in_bounds(said: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="it must lie in"):
        Options(**said)


def test_counts_are_whole_numbers() -> None:
    within = Range(after="", upto="d9", documents=10)
    with pytest.raises(Invalid, match="it must be 1 or more"):
        Shard(number=0, within=within)
    with pytest.raises(Invalid):
        Outcome(shard=1, documents=-1, written=0)
    with pytest.raises(Invalid, match="no shard takes"):
        Outcome(shard=1, documents=1, written=1, seconds=float("nan"))
    with pytest.raises(Invalid):
        Outcome(shard=1 << 63, documents=1, written=1)
