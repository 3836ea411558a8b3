"""Distributions as inline SVG, without anything from elsewhere."""

import math
from collections.abc import Sequence
from html import escape
from itertools import accumulate
from typing import Final

from herdbook.cli.output import line
from herdbook.core.checking import Shape

WIDTH: Final = 340
HEIGHT: Final = 130
_LEFT, _FOOT, _HEAD = 34, 16, 16
# So wide is a letter, about, and with fewer letters a category is not named.
_LETTER: Final = 5.5
_LEAST_LETTERS: Final = 3


def text(value: str) -> str:
    """Make a text of anybody's harmless in a page: one line, what is unseen shown, escaped."""
    return escape(line(value))


def bars(shape: Shape) -> str:
    """Draw the shares of each bin: the reference beside now."""
    top = max((*shape.reference, *shape.current, 1e-9))
    step = (WIDTH - _LEFT) / max(1, len(shape.labels))
    drawn = [_axis(f"{top:.0%}", "0%", top_name="share")]
    sides = zip(shape.labels, shape.reference, shape.current, strict=True)
    for at, (label, before, now) in enumerate(sides):
        left = _LEFT + at * step
        drawn.append(
            f"<g><title>{text(label)}: {before:.2%}, now {now:.2%}</title>"
            f"{_bar(left + step * 0.08, step * 0.4, before / top, 'r')}"
            f"{_bar(left + step * 0.52, step * 0.4, now / top, 'c')}"
            f"{'' if shape.ends else _name(left + step / 2, step, label)}</g>"
        )
    return _svg("".join(drawn), f"Shares of {len(shape.labels)} bins")


def _name(middle: float, step: float, label: str) -> str:
    letters = int(step / _LETTER)
    if letters < _LEAST_LETTERS:
        return ""
    shown = line(label)
    shown = shown if len(shown) <= letters else f"{shown[: letters - 1]}…"
    place = f'x="{middle:.1f}" y="{HEIGHT - 4}" text-anchor="middle"'
    return f"<text {place}>{escape(shown)}</text>"


def _bar(left: float, width: float, share: float, side: str) -> str:
    high = share * (HEIGHT - _FOOT - _HEAD)
    return (
        f'<rect class="{side}" x="{left:.1f}" y="{HEIGHT - _FOOT - high:.1f}" '
        f'width="{width:.1f}" height="{high:.1f}"/>'
    )


def cumulative(shape: Shape) -> str:
    """Draw what share of the values is at most so large, where the bins end; "" of categories.

    The first and the last bin, which reach as far as the values do, are not drawn to scale.
    """
    if len(shape.ends) < 2:
        return ""
    # Far ends would press all others together.
    low, high = shape.ends[0], shape.ends[-2] if len(shape.ends) > 2 else shape.ends[-1]
    if not (high > low and math.isfinite(high - low)):
        return ""
    lines = [
        _steps(shape.ends, list(accumulate(shares)), (low, high), side)
        for shares, side in ((shape.reference, "r"), (shape.current, "c"))
    ]
    foot = f'<text x="{_LEFT}" y="{HEIGHT - 3}">{low:.4g}</text>' + (
        f'<text x="{WIDTH}" y="{HEIGHT - 3}" text-anchor="end">{high:.4g}</text>'
    )
    axis = _axis("100%", "0%", top_name="share at most")
    return _svg(axis + "".join(lines) + foot, "Cumulative shares")


def _steps(
    ends: Sequence[float], sums: Sequence[float], span: tuple[float, float], side: str
) -> str:
    low, high = span
    places = []
    for end, share in zip(ends, sums, strict=True):
        if end <= high:
            x = _LEFT + (end - low) / (high - low) * (WIDTH - _LEFT)
            y = _HEAD + (1 - min(1.0, share)) * (HEIGHT - _FOOT - _HEAD)
            places.append(f"{x:.1f},{y:.1f}")
    return f'<polyline class="{side}" points="{" ".join(places)}"/>'


def _axis(top: str, bottom: str, *, top_name: str) -> str:
    foot = HEIGHT - _FOOT
    return (
        f'<line x1="{_LEFT}" y1="{foot}" x2="{WIDTH}" y2="{foot}"/>'
        f'<text x="{_LEFT - 4}" y="{_HEAD + 3}" text-anchor="end">{top}</text>'
        f'<text x="{_LEFT - 4}" y="{foot}" text-anchor="end">{bottom}</text>'
        f'<text x="{_LEFT}" y="{_HEAD - 7}">{top_name}</text>'
    )


def _svg(drawn: str, name: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{name}">{drawn}</svg>'
    )
