"""Drift as a picture, PNG or SVG, by Matplotlib."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from herdbook.cli.drift_curves import Band, Scores, bands
from herdbook.cli.plots import figure, written
from herdbook.core.drift import Level
from herdbook.core.sampling import Distribution

_RANGES: Final = 60
_CATEGORIES: Final = 24
_REFERENCE, _NOW = "#0072B2", "#D55E00"
_COLOURS: Final = ("#E69F00", "#D55E00", "#CC3311")


def drawn_to(path: Path, name: str, scores: Scores, distribution: Distribution) -> None:
    """Draw the score of the last hours over a stream's two distributions.

    Args:
        path: the file, .png or .svg; written over.
        name: of the version.
        scores: its own.
        distribution: the stream.

    Raises:
        Invalid: the file has another ending.
        MissingExtra: Matplotlib is not installed.
        Unavailable: it cannot be written.
    """
    drawing = figure(path)
    upper, lower = drawing.subplots(2, 1)
    _line(upper, scores)
    _distributions(lower, distribution)
    drawing.suptitle(f"{name}: drift")
    written(drawing, path)


def _line(axes: Any, scores: Scores) -> None:
    found: list[tuple[float, float]] = []
    for point in scores.points:
        if point.score is None:
            continue
        at = float(point.hour - scores.now)
        if found and at - found[-1][0] > 1:
            # No line across hours in which nothing came.
            found.append((at - 0.5, float("nan")))
        found.append((at, point.score))
    for level, least, colour in zip(list(Level)[1:], scores.thresholds, _COLOURS, strict=True):
        axes.axhline(least, color=colour, linewidth=0.8, linestyle=":", label=str(level))
    axes.plot([at for at, _ in found], [score for _, score in found], "-", color=_REFERENCE)
    axes.plot(
        [at for at, _ in found],
        [score for _, score in found],
        ".",
        color=_REFERENCE,
        markersize=3,
    )
    axes.set_ylim(0, 1)
    axes.set_xlim(-scores.hours, 1)
    axes.set_ylabel("score")
    axes.set_xlabel("hours from now")
    axes.legend(loc="upper left", framealpha=0.8)


def _distributions(axes: Any, found: Distribution) -> None:
    labels = (
        f"reference ({sum(found.reference):,})",
        f"last {found.hours} hours ({sum(found.current):,})",
    )
    rows = bands(found, most=_CATEGORIES if found.categories else _RANGES)
    ranges = [row for row in rows if row.low is not None and row.high is not None]
    if found.categories or len({row.low for row in ranges}) <= 1:
        _bars(axes, rows, labels)
    else:
        _steps(axes, ranges, labels)
    axes.set_title(found.stream, fontsize="medium")
    axes.legend(loc="best", framealpha=0.8)


def _bars(axes: Any, rows: Sequence[Band], labels: Sequence[str]) -> None:
    places = range(len(rows))
    axes.bar([at - 0.2 for at in places], [row.reference for row in rows], 0.4, color=_REFERENCE,
             label=labels[0])  # fmt: skip
    axes.bar([at + 0.2 for at in places], [row.current for row in rows], 0.4, color=_NOW,
             label=labels[1])  # fmt: skip
    axes.set_ylabel("share")
    axes.set_xticks(list(places), [_plain(row.what) for row in rows], rotation=30, ha="right")


def _plain(text: str) -> str:
    # A dollar would begin a formula.
    return text.replace("$", r"\$")


def _steps(axes: Any, rows: Sequence[Band], labels: Sequence[str]) -> None:
    edges = [rows[0].low or 0.0, *(row.high or 0.0 for row in rows)]
    # The ranges at the ends are wider: by their share alone they would seem to hold too much.
    widths = [high - low for low, high in pairwise(edges)]
    for shares, colour, label in (
        ([row.reference for row in rows], _REFERENCE, labels[0]),
        ([row.current for row in rows], _NOW, labels[1]),
    ):
        heights = [share / width for share, width in zip(shares, widths, strict=True)]
        axes.stairs(heights, edges, color=colour, fill=True, alpha=0.25)
        axes.stairs(heights, edges, color=colour, label=label)
    axes.set_ylabel("density")
