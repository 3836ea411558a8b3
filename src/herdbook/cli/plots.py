"""Intervals over time as a picture, PNG or SVG, by Matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from herdbook.core.decisions import Interval, Point
from herdbook.core.experiments import Plan
from herdbook.errors import Invalid, MissingExtra, Unavailable

KINDS: Final = frozenset({".png", ".svg"})
_POINTS: Final = 100.0
# Colours that most people tell apart, in print too.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def drawn_to(path: Path, plan: Plan, points: Sequence[Point]) -> None:
    """Draw how the evidence came about.

    Args:
        path: the file, .png or .svg; written over.
        plan: the experiment's.
        points: of its history, in order.

    Raises:
        Invalid: the file has another ending, or nothing was recorded yet.
        MissingExtra: Matplotlib is not installed.
    """
    if not points:
        raise Invalid("nothing was recorded yet, so there is nothing to draw", field="plot")
    drawing = figure(path)
    upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    arms = list(dict.fromkeys(line.arm for point in points for line in point.lines))
    for arm, colour in zip(arms, _COLOURS * len(arms), strict=False):
        _intervals(upper, points, arm, colour)
        _evidence(lower, points, arm, colour)
    least = plan.min_confidence_improvement * _POINTS
    upper.axhline(0, color="black", linewidth=0.8)
    upper.axhline(least, color="black", linewidth=0.8, linestyle=":", label="asked for")
    upper.set_ylabel("confidence, points more than control")
    upper.legend(loc="best", framealpha=0.8)
    lower.axhline(0, color="black", linewidth=0.8)
    lower.set_ylabel("log10 e, more errors")
    lower.set_xlabel("results")
    drawing.suptitle(f"{plan.name}: {plan.model} {_tried(plan)} against {plan.control}")
    written(drawing, path)


def figure(path: Path) -> Any:
    """Give an empty figure that can be written to a file of that name.

    Raises:
        Invalid: it ends in neither .png nor .svg.
        MissingExtra: Matplotlib is not installed.
    """
    if path.suffix.lower() not in KINDS:
        raise Invalid(f"{path.name} is neither .png nor .svg", field="plot")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra(
            "to draw needs Matplotlib: pip install 'herdbook[plots]'; without a file it is shown "
            "as text"
        ) from None
    return Figure(figsize=(9, 6), layout="constrained")


def written(drawing: Any, path: Path) -> None:
    """Write a figure to a file, Unavailable where that cannot be."""
    try:
        drawing.savefig(path, dpi=150)
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror or error}") from error


def _tried(plan: Plan) -> str:
    return ", ".join(plan.treatments)


def _intervals(axes: Any, points: Sequence[Point], arm: str, colour: str) -> None:
    known = [
        (point.results, line.confidence)
        for point in points
        for line in point.lines
        if line.arm == arm and _is_known(line.confidence)
    ]
    at = [results for results, _ in known]
    for end in ("low", "high", "difference"):
        values = [getattr(interval, end) * _POINTS for _, interval in known]
        width = 1.8 if end == "difference" else 0.6
        axes.plot(at, values, color=colour, linewidth=width, label=arm if width > 1 else None)
    low = [interval.low * _POINTS for _, interval in known if interval and interval.low is not None]
    high = [
        interval.high * _POINTS for _, interval in known if interval and interval.high is not None
    ]
    axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)


def _is_known(interval: Interval | None) -> bool:
    return interval is not None and None not in (interval.low, interval.high, interval.difference)


def _evidence(axes: Any, points: Sequence[Point], arm: str, colour: str) -> None:
    found = [
        (point.results, line.harm) for point in points for line in point.lines if line.arm == arm
    ]
    axes.plot([at for at, _ in found], [harm for _, harm in found], color=colour)
