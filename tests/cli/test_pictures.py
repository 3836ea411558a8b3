"""Intervals over time, as text and as pictures."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from herdbook.cli.intervals import WIDTH, drawn, thinned
from herdbook.cli.plots import drawn_to
from herdbook.core.decisions import Interval, Line, Point
from herdbook.core.experiments import Decision
from herdbook.errors import Invalid, Unavailable
from tests.experiments import plan


def point(
    at: int = 1, *, arms: tuple[str, ...] = ("treatment",), ends: float | None = 0.1
) -> Point:
    """A look at some arms."""
    found = ends and Interval(metric="confidence", difference=0.0, low=-ends, high=ends)
    lines = [
        Line(arm=arm, confidence=found or None, errors=None, harm=0.5, not_inferior=0.1)
        for arm in arms
    ]
    return Point(
        at=datetime(2026, 1, 14, tzinfo=UTC) + timedelta(hours=at),
        phase=1,
        results=at * 10,
        decision=Decision.CONTINUE,
        lines=tuple(lines),
    )


def test_arms_without_any_confidence_are_drawn_too(tmp_path: Path) -> None:
    several = plan(treatments=("v2", "v3"))
    arms = ("treatment-1", "treatment-2")

    for name, points in (
        ("one.svg", [point(ends=None)]),
        ("many.svg", [point(at, arms=arms, ends=1 / at) for at in range(1, 30)]),
    ):
        drawn_to(tmp_path / name, several, points)
        assert ElementTree.parse(tmp_path / name).getroot() is not None  # noqa: S314


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot write"):
        drawn_to(tmp_path / "no" / "where.png", plan(), [point()])
    with pytest.raises(Invalid, match="nothing to draw"):
        drawn_to(tmp_path / "where.png", plan(), [])


def test_an_interval_in_text_is_as_wide_as_it_is() -> None:
    def between(low: float | None, high: float | None) -> str:
        return drawn(Interval(metric="m", difference=None, low=low, high=high), -1, 1)

    assert between(-1, 1).strip() == "├" + "─" * 21 + "┼" + "─" * 20 + "┤"
    assert between(-9, 9) == between(-1, 1)  # what goes beyond ends at the edge
    assert len(between(0.5, 0.5)) == WIDTH
    assert between(None, 1) == drawn(None, -1, 1)
    assert drawn(None, -1, 1).strip() == "│"


@pytest.mark.parametrize(("many", "most"), [(0, 2), (1, 2), (2, 2), (3, 2), (100, 24), (25, 24)])
def test_of_many_points_the_first_and_the_last_are_kept(many: int, most: int) -> None:
    points = [point(at) for at in range(many)]

    kept = thinned(points, most)

    assert len(kept) == min(many, most)
    assert [*kept[:1], *kept[-1:]] == [*points[:1], *points[-1:]]
    assert [each.results for each in kept] == sorted({each.results for each in kept})
