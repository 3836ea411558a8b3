"""The figures of a run, their targets, and the table they are written as."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Reading = Mapping[str, float]

NONE: Final = "-"
TIMES: Final = "x"

HEAD: Final = (
    "What",
    "Unit",
    "Herdbook",
    "Peer",
    "Ratio",
    "CPU per operation",
    "CPU of the peer",
    "Target",
    "",
    "Detail",
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must reach, and whether it does; None when there was no peer to say."""

    text: str
    reached: bool | None

    def __str__(self) -> str:
        """Write the verdict."""
        return {True: "reached", False: "**not reached**", None: "no peer"}[self.reached]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Args:
        group: the heading it stands under.
        what: what was measured.
        unit: of both figures.
        ours: Herdbook's figure.
        peer: the peer's; None when there is no peer for this, or it is missing.
        cpu: CPU per operation, as text.
        peer_cpu: the peer's.
        targets: what it must reach.
        detail: what else to know.
        compared: whether there is a peer for this at all.
    """

    group: str
    what: str
    unit: str
    ours: float
    peer: float | None = None
    cpu: str = ""
    peer_cpu: str = ""
    targets: tuple[Target, ...] = ()
    detail: str = ""
    compared: bool = False

    def cells(self) -> tuple[str, ...]:
        """Give the cells of the line."""
        missing = "missing" if self.compared else NONE
        ratio = f"{self.ours / self.peer:.3g}" if self.peer and self.ours else NONE
        return (
            self.what,
            self.unit,
            figure(self.ours),
            missing if self.peer is None else figure(self.peer),
            ratio,
            self.cpu or NONE,
            self.peer_cpu or (missing if self.cpu and self.compared else NONE),
            "; ".join(target.text for target in self.targets) or NONE,
            "; ".join(str(target) for target in self.targets),
            self.detail,
        )


def figure(value: float) -> str:
    """Write a figure with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def at_most(limit: float, value: float, unit: str) -> Target:
    """Give the target that a figure is at most a limit."""
    return Target(f"≤ {limit:,g} {unit}".rstrip(), value <= limit)


def times(least: float, ours: float, peer: float | None, what: str = "") -> Target:
    """Give the target that ours is at least some times the peer's."""
    return Target(f"{what}≥ {least:g}{TIMES}", None if peer is None else ours >= least * peer)


def part(most: float, ours: float, peer: float | None, what: str = "") -> Target:
    """Give the target that ours is at most one part in `most` of the peer's."""
    return Target(f"{what}≤ 1/{most:g}", None if peer is None else ours * most <= peer)


def of(reading: Reading | None, name: str) -> float | None:
    """Give one figure of a side, None when the side is missing."""
    return None if reading is None else reading[name]


def interleaved(
    sides: Sequence[Callable[[], Reading] | None], *, rounds: int
) -> list[dict[str, float] | None]:
    """Run the sides in turn, so that a noisy minute meets both, and give each one's median.

    Args:
        sides: each gives its figures by name; None for a side that is missing.
        rounds: how often each runs.
    """
    taken: list[list[Reading]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, readings in zip(sides, taken, strict=True):
            if side is not None:
                readings.append(side())
    return [median(readings) if readings else None for readings in taken]


def median(readings: Sequence[Reading]) -> dict[str, float]:
    """Give the median of each figure."""
    return {name: statistics.median(reading[name] for reading in readings) for name in readings[0]}


def table(rows: Sequence[Row]) -> str:
    """Write the table as Markdown."""
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines.append(_line([f"**{group}**", *[""] * (len(HEAD) - 1)]))
        lines.append(_line(row.cells()))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def verdicts(rows: Sequence[Row]) -> str:
    """Say how many targets were reached."""
    met = [target.reached for row in rows for target in row.targets]
    return (
        f"{met.count(True)} targets reached, {met.count(False)} not, {met.count(None)} without peer"
    )
