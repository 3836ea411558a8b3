"""Intervals over time as text: a line for each look, so that one sees them close in."""

from collections.abc import Sequence
from typing import Final

from herdbook.cli.output import Table
from herdbook.cli.session import Session
from herdbook.core.decisions import Interval, Line, Point

WIDTH: Final = 44
LINES: Final = 24
_POINTS: Final = 100.0


def intervals_table(session: Session, points: Sequence[Point], *, lines: int = LINES) -> Table:
    """Draw the interval of the difference in confidence at each of some points in time."""
    rows, kept = [], thinned(points, lines)
    arms = {line.arm for point in kept for line in point.lines}
    low, high = _range([line.confidence for point in kept for line in point.lines])
    for point in kept:
        for line in point.lines:
            arm = [line.arm] if len(arms) > 1 else []
            rows.append(
                [
                    session.when(point.at),
                    f"{point.results:,}",
                    *arm,
                    drawn(line.confidence, low, high),
                    _points(line.confidence),
                    _harm(line),
                    str(point.decision),
                ]
            )
    scale = f"{low * _POINTS:+.3g}".ljust(WIDTH - 8) + f"{high * _POINTS:+.3g}".rjust(8)
    arm_title = ["arm"] if len(arms) > 1 else []
    titles = ("looked", ">results", *arm_title, scale, "confidence", "more errors", "decision")
    return Table(titles, rows, empty="Nothing was recorded yet.")


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Give at most so many of some points, the first and the last among them.

    Example:
        >>> thinned([], 3)
        []
    """
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(at * step)] for at in range(most)]


def drawn(interval: Interval | None, low: float, high: float) -> str:
    """Draw an interval between two ends: `├──●──┤`, 0 as `│`.

    Example:
        >>> shown = drawn(Interval(metric="confidence", difference=0.0, low=-1, high=1), -2, 2)
        >>> len(shown), shown.count("├"), shown.count("●"), shown.count("┤")
        (44, 1, 1, 1)
    """
    cells = [" "] * WIDTH
    if low < 0 < high:
        cells[_place(0.0, low, high)] = "│"
    if interval is None or interval.low is None or interval.high is None:
        return "".join(cells)
    first, last = _place(interval.low, low, high), _place(interval.high, low, high)
    for at in range(first, last + 1):
        cells[at] = "─" if cells[at] == " " else "┼"
    cells[first], cells[last] = "├", "┤"
    if interval.difference is not None:
        cells[_place(interval.difference, low, high)] = "●"
    return "".join(cells)


def _place(value: float, low: float, high: float) -> int:
    return min(WIDTH - 1, max(0, int((value - low) / (high - low) * (WIDTH - 1) + 0.5)))


def _range(intervals: Sequence[Interval | None]) -> tuple[float, float]:
    """Give what most intervals and the last one fit into: early ones are wide and say little."""
    ends = sorted(
        abs(end)
        for each in intervals
        if each is not None
        for end in (each.low, each.high)
        if end is not None
    )
    if not ends:
        return -0.1, 0.1
    last = [abs(end) for each in intervals[-1:] if each for end in (each.low, each.high) if end]
    wide = max(ends[int(0.8 * (len(ends) - 1))], *last, 0.001)
    return -wide, wide


def _points(interval: Interval | None) -> str:
    if interval is None or interval.difference is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.difference * _POINTS:+.2f}"
    low, high = interval.low * _POINTS, interval.high * _POINTS
    return f"{interval.difference * _POINTS:+.2f} ({low:+.2f} to {high:+.2f})"


def _harm(line: Line) -> str:
    return f"{10 ** min(line.harm, 6):.3g} : 1"
