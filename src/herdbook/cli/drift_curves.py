"""Drift drawn with characters: the line of the last days, and two distributions side by side."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from herdbook.core.drift import DriftPoint
from herdbook.core.sampling import Distribution

WIDTH: Final = 84
HEIGHT: Final = 8
ROWS: Final = 16
_BAR: Final = 24
_LEAST_BAR: Final = 8
_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_ACROSS: Final = " ▏▎▍▌▋▊▉█"
_TAIL: Final = 0.005


@dataclass(frozen=True, slots=True)
class Band:
    """A range of values, or a category, with its share then and now.

    Args:
        what: what it is called.
        low: where it begins; None of categories and open ends.
        high: where it ends.
        reference: its share in the reference.
        current: its share of late.
    """

    what: str
    low: float | None
    high: float | None
    reference: float
    current: float


# --- the line ---


@dataclass(frozen=True, slots=True)
class Scores:
    """The score over the last hours.

    Args:
        points: by hour.
        hours: how many back.
        now: the present hour, since 1970.
        thresholds: of the three levels.
    """

    points: Sequence[DriftPoint]
    hours: int
    now: int
    thresholds: Sequence[float]


def score_lines(scores: Scores, *, room: int = 0) -> list[str]:
    """Draw the score: the highest of each column's hours, 0 to 1 upwards, thresholds dotted.

    Args:
        scores: by hour.
        room: columns of the terminal; 0 for as many as it takes.
    """
    width = min(WIDTH, scores.hours, max(_LEAST_BAR, room - 6) if room else WIDTH)
    tops: list[float | None] = [None] * width
    for point in scores.points:
        at = width - 1 - (scores.now - point.hour) * width // scores.hours
        if point.score is not None and 0 <= at < width:
            tops[at] = max(tops[at] or 0.0, point.score)
    lines = [_line(tops, row, scores.thresholds) for row in reversed(range(HEIGHT))]
    since = f"{scores.hours} hours ago"
    return [*lines, f"{'':5}└{'─' * width}", f"{'':6}{since}{'now':>{max(1, width - len(since))}}"]


def _line(tops: Sequence[float | None], row: int, thresholds: Sequence[float]) -> str:
    dotted = next((t for t in thresholds if int(t * HEIGHT) == row), None)
    label = "1.0" if row == HEIGHT - 1 else "" if dotted is None else f"{dotted:g}"
    label = label or ("0.0" if row == 0 else "")
    cells = []
    for top in tops:
        filled = 0 if top is None else _filled(top, row)
        empty = "┄" if dotted is not None else " "
        cells.append(_EIGHTHS[filled] if filled else empty)
    return f"{label:>4} │{''.join(cells)}".rstrip()


def _filled(top: float, row: int) -> int:
    eighths = round(top * HEIGHT * 8) - row * 8
    # A score of nothing is seen too: it is no gap.
    return max(1, min(8, eighths)) if row == 0 else max(0, min(8, eighths))


# --- the distributions ---


def bands(found: Distribution, *, most: int = ROWS) -> list[Band]:
    """Share values out to ranges of the same width, or give the most frequent categories.

    Within a bin of the reference values are taken to be spread evenly. The ends that hold half a
    per cent of both samples are one range each.
    """
    if found.categories:
        return _categories(found, most)
    edges = [found.low, *found.edges[1:]]
    before, now = _shares(found.reference), _shares(found.current)
    first = Band(f"below {found.low:.4g}", None, None, before[0], now[0])
    last = Band(f"above {found.high:.4g}", None, None, before[-1], now[-1])
    if len(edges) <= most + 1:
        spans = [
            Band(f"{low:.4g} to {high:.4g}", low, high, a, b)
            for (low, high), a, b in zip(pairwise(edges), before[1:-1], now[1:-1], strict=True)
        ]
    else:
        spans = _spans(edges, before[1:-1], now[1:-1], most)
    return [first, *spans, last]


def _shares(counts: Sequence[int]) -> list[float]:
    whole = sum(counts)
    return [count / whole if whole else 0.0 for count in counts]


def _spans(
    edges: Sequence[float], before: Sequence[float], now: Sequence[float], most: int
) -> list[Band]:
    low = min(_quantile(edges, shares, _TAIL) for shares in (before, now))
    high = max(_quantile(edges, shares, 1 - _TAIL) for shares in (before, now))
    width = (high - low) / most
    if not (width > 0 and math.isfinite(width)):
        low, high, width = edges[0], edges[-1], edges[-1] / most - edges[0] / most
    cuts = [edges[0], *(low + width * at for at in range(1, most)), edges[-1]]
    ups = [_cumulated(edges, shares, cuts) for shares in (before, now)]
    return [
        Band(
            f"{one:.3g} to {two:.3g}",
            one,
            two,
            ups[0][at + 1] - ups[0][at],
            ups[1][at + 1] - ups[1][at],
        )
        for at, (one, two) in enumerate(pairwise(cuts))
    ]


def _quantile(edges: Sequence[float], shares: Sequence[float], part: float) -> float:
    """Give the edge below which so much lies."""
    whole, wanted = 0.0, part * math.fsum(shares)
    for at, share in enumerate(shares):
        whole += share
        if whole >= wanted and share:
            return edges[at] if part < 0.5 else edges[at + 1]
    return edges[-1] if part > 0.5 else edges[0]


def _cumulated(
    edges: Sequence[float], shares: Sequence[float], cuts: Sequence[float]
) -> list[float]:
    """How much lies below each cut."""
    sums = [0.0]
    for share in shares:
        sums.append(sums[-1] + share)
    found = []
    for cut in cuts:
        at = min(max(bisect_left(edges, cut), 1), len(edges) - 1)
        width = edges[at] - edges[at - 1]
        part = min(1.0, max(0.0, (cut - edges[at - 1]) / width)) if width else 1.0
        found.append(sums[at - 1] + part * shares[at - 1])
    # The smallest value may have a bin of no width to itself.
    return [0.0, *found[1:-1], sums[-1]]


def _categories(found: Distribution, most: int) -> list[Band]:
    names = [*found.categories, "all others"]
    rows = [
        Band(name, None, None, before, now)
        for name, before, now in zip(
            names, _shares(found.reference), _shares(found.current), strict=True
        )
        if before or now
    ]
    rows.sort(key=lambda row: -max(row.reference, row.current))
    return rows[:most]


def distribution_lines(found: Distribution, *, room: int = 0) -> list[str]:
    """Draw a stream's reference and its last hours as bars beside each other.

    Args:
        found: both.
        room: columns of the terminal; 0 for as many as it takes.
    """
    rows = [row for row in bands(found) if row.low is not None or row.reference or row.current]
    longest = max((max(row.reference, row.current) for row in rows), default=0.0) or 1.0
    size = max(max((len(row.what) for row in rows), default=0), len(found.stream))
    reference, late = f"reference ({sum(found.reference):,})", _late(found)
    # Beside the bars of a row stand its name, two shares and what parts them.
    bar = min(_BAR, max(_LEAST_BAR, (room - size - 18) // 2)) if room else _BAR
    lines = [f"{found.stream:{size}}  {reference:{bar + 8}}  {late}"]
    for row in rows:
        one, two = (_bar(share / longest, bar) for share in (row.reference, row.current))
        lines.append(
            f"{row.what:>{size}} ▏{one} {row.reference:6.1%} ▏{two} {row.current:6.1%}".rstrip()
        )
    return lines


def _late(found: Distribution) -> str:
    return f"last {found.hours} hours ({sum(found.current):,})"


def _bar(share: float, room: int) -> str:
    eighths = round(share * room * 8)
    # What is there at all is seen.
    eighths = max(eighths, 1) if share else 0
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_ACROSS[rest] if rest else "")).ljust(room)
