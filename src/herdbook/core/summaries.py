"""Versions side by side, and what a register adds up to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from herdbook.core.evaluations import Direction, direction
from herdbook.core.models import Version
from herdbook.core.wire import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What some versions add up to.

    Args:
        models: how many models.
        versions: how many versions.
        statuses: how many in each status that occurs.
        cost_usd: what their training cost, where it is known.
        duration_hours: how long it took, where it is known.
    """

    models: int = 0
    versions: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float = 0.0
    duration_hours: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a comparison.

    Args:
        group: about, metrics, training, files, datasets, dependencies, parents or tags.
        name: what is compared.
        values: one per version, in their order; None where a version has none.
        better: which way is better, for metrics.
        best: the ref with the best value, or "" when none is or nothing says which way.
    """

    group: str
    name: str
    values: tuple[object, ...]
    better: Direction = Direction.UNKNOWN
    best: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two or more versions side by side.

    Args:
        refs: what is compared, in order.
        rows: what differs, or everything where that was asked for.
    """

    refs: tuple[str, ...]
    rows: tuple[Row, ...]


def compare(versions: tuple[Version, ...], *, everything: bool = False) -> Comparison:
    """Set versions side by side; only what differs unless everything is asked for."""
    refs = tuple(v.ref for v in versions)
    columns = [_cells(v) for v in versions]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    rows = [_row(key, tuple(c.get(key) for c in columns), refs) for key in keys]
    shown = [r for r in rows if everything or any(v != r.values[0] for v in r.values)]
    return Comparison(refs=refs, rows=tuple(shown))


def _row(key: tuple[str, str], values: tuple[object, ...], refs: tuple[str, ...]) -> Row:
    group, name = key
    if group != "metrics":
        return Row(group=group, name=name, values=values)
    better = direction(name)
    return Row(
        group=group,
        name=name,
        values=values,
        better=better,
        best=_best(values, refs, better),
    )


def _best(values: tuple[object, ...], refs: tuple[str, ...], better: Direction) -> str:
    scored = [(v, ref) for v, ref in zip(values, refs, strict=True) if isinstance(v, int | float)]
    if better is Direction.UNKNOWN or len({v for v, _ in scored}) < 2:
        return ""
    choose = max if better is Direction.HIGHER else min
    top = choose(v for v, _ in scored)
    winners = [ref for v, ref in scored if v == top]
    return winners[0] if len(winners) == 1 else ""


def _cells(version: Version) -> dict[tuple[str, str], object]:
    facts = version.facts
    cells: dict[tuple[str, str], object] = {("about", "status"): str(version.status)}
    cells |= {("metrics", k): v for k, v in version.metrics.items()}
    known = plain(facts.training)
    cells |= {("training", k): v for k, v in known.items() if v not in (None, "")}
    if facts.git_commit:
        cells["training", "git_commit"] = facts.git_commit
    cells |= {
        ("files", role): ", ".join(f.location for f in facts.files if f.role == role)
        for role in dict.fromkeys(f.role for f in facts.files)
    }
    for group, names in (
        ("datasets", facts.datasets),
        ("parents", [p.ref for p in facts.parents]),
    ):
        cells |= {(group, name): True for name in names}
    cells |= {("dependencies", name): True for name in facts.dependencies}
    cells |= {("metadata", k): v for k, v in facts.metadata.items()}
    cells |= {("tags", k): v for k, v in version.tags.items()}
    return cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a model, or the whole register, adds up to.

    Args:
        model: the model's name, or "" for all.
        totals: counts and sums.
        champions: model to the number in production.
        best: metric with a known direction to the ref that is best at it.
        cheapest: the ref that cost least to train, or "".
    """

    model: str
    totals: Totals
    champions: Mapping[str, str]
    best: Mapping[str, str] = field(default_factory=dict)
    cheapest: str = ""
