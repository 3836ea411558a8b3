"""Drift drawn with characters."""

import math

import pytest

from herdbook.cli.drift_curves import HEIGHT, WIDTH, Band, Scores, bands, distribution_lines
from herdbook.cli.drift_curves import score_lines as drawn
from herdbook.core.drift import DriftPoint
from herdbook.core.references import Reference
from herdbook.core.sampling import Distribution
from herdbook.services import references

NOW = 500_000


def distribution(of: Reference, current: tuple[int, ...] | None = None) -> Distribution:
    """A reference beside counts, the same ones when left out."""
    return Distribution(
        stream="prediction",
        edges=of.edges,
        low=of.low,
        high=of.high,
        categories=of.categories,
        reference=of.counts,
        current=of.counts if current is None else current,
        hours=24,
    )


def scores(*known: tuple[int, float | None], hours: int = 168) -> list[str]:
    """Draw scores of so many hours ago."""
    points = [DriftPoint(hour=NOW - ago, score=score, values=1) for ago, score in known]
    return drawn(Scores(points, hours, NOW, (0.1, 0.3, 0.5)))


def column(lines: list[str], at: int) -> str:
    """A column of the picture, from the bottom up."""
    return "".join(line.ljust(WIDTH + 6)[6 + at] for line in reversed(lines[:HEIGHT]))


def test_a_score_of_one_fills_its_column_and_none_leaves_it_empty() -> None:
    lines = scores((0, 1.0), (1, 0.2), (2, 0.0), (4, None))

    assert len(lines) == HEIGHT + 2
    # Two hours are one column: the higher one is drawn.
    assert column(lines, WIDTH - 1) == "█" * 8
    assert column(lines, WIDTH - 2)[0] == "▁"
    assert set(column(lines, WIDTH - 3)) <= set(" ┄")


def test_what_is_older_than_the_picture_is_left_out() -> None:
    assert scores((168, 1.0), (5_000, 1.0), (-3, 1.0)) == scores()


@pytest.mark.parametrize("hours", [1, 2, 24, 83, 84, 85, 168])
def test_every_number_of_hours_has_room(hours: int) -> None:
    lines = scores((hours - 1, 0.6), (0, 0.6), hours=hours)

    width = min(hours, WIDTH)
    assert column(lines, 0)[0] == column(lines, width - 1)[0] == "█"
    assert max(map(len, lines[:HEIGHT])) == 6 + width


VALUES = [
    pytest.param([float(at % 100) for at in range(1_000)], id="whole numbers"),
    pytest.param([math.tan(at / 1_000 * 3.1 - 1.55) for at in range(1_000)], id="long tails"),
    pytest.param([7.0] * 50, id="all the same"),
    pytest.param([0.0, 1.0] * 30, id="two"),
    pytest.param([1e150 * (-1) ** at * at for at in range(30)], id="huge"),
]


@pytest.mark.parametrize("values", VALUES)
def test_bands_hold_all_there_is(values: list[float]) -> None:
    of = references.numeric(values)

    found = bands(distribution(of), most=12)

    assert math.fsum(band.reference for band in found) == pytest.approx(1)
    assert len(found) <= 14
    assert all(band.reference == pytest.approx(band.current) for band in found)


def test_what_lies_outside_of_the_reference_is_seen_at_the_ends() -> None:
    of = references.numeric([at / 100 for at in range(100)])
    counts = [0] * of.bins
    counts[0], counts[-1] = 30, 10

    lines = distribution_lines(distribution(of, tuple(counts)))

    assert lines[1].startswith("     below 0 ▏")
    assert lines[1].endswith("75.0%")
    assert lines[-1].startswith("  above 0.99")
    assert lines[-1].endswith("25.0%")


def test_of_many_categories_the_most_frequent_are_drawn() -> None:
    of = references.categorical([f"c{at % 40}" for at in range(400)] + ["most"] * 50)

    found = bands(distribution(of), most=16)

    assert len(found) == 16
    assert found[0] == Band("most", None, None, 50 / 450, 50 / 450)


def test_where_nothing_came_the_reference_is_drawn_alone() -> None:
    of = references.numeric([float(at) for at in range(100)])

    lines = distribution_lines(distribution(of, (0,) * of.bins))

    assert "last 24 hours (0)" in lines[0]
    assert all(line.endswith("0.0%") for line in lines[1:])


@pytest.mark.parametrize("room", [60, 80, 100])
def test_drawings_are_as_wide_as_the_terminal_at_most(room: int) -> None:
    found = distribution(references.numeric([float(at) for at in range(1_000)]))
    scored = Scores([DriftPoint(hour=NOW, score=0.4, values=9)], 168, NOW, (0.1, 0.3, 0.5))

    lines = [*drawn(scored, room=room), *distribution_lines(found, room=room)]

    assert room - 20 < max(map(len, lines)) <= room
