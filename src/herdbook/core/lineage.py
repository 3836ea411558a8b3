"""Pedigree: who came from whom, on which data, from which commit."""

from collections.abc import Mapping
from dataclasses import dataclass

from herdbook.core.models import ParentKind, Status

DEPTH_LIMIT = 1_000_000
# Deeper generations are drawn no further to the right: a chain of 50,000 would fill gigabytes.
WIDTH_LIMIT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """An ancestor or descendant of a version.

    Args:
        model: its model's name.
        number: its number.
        distance: the fewest steps to it, at least 1.
    """

    model: str
    number: str
    distance: int

    @property
    def ref(self) -> str:
        """`model:number`."""
        return f"{self.model}:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A version in a pedigree.

    Args:
        ref: `model:number`.
        status: where it is in its life.
        aliases: the aliases that point at it.
        description: its description.
        base_model: what it was trained from.
        datasets: the data sets it was trained on.
        git_commit: the commit that trained it, or "".
    """

    ref: str
    status: Status
    aliases: tuple[str, ...] = ()
    description: str = ""
    base_model: str = ""
    datasets: tuple[str, ...] = ()
    git_commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A step from parent to child, both `model:number`."""

    parent: str
    child: str
    kind: ParentKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Pedigree:
    """A part of the graph: versions and the steps between them.

    Args:
        nodes: in the order of registration.
        edges: every step between two of them.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataLineage:
    """Every data set a version learned from, itself or through its ancestors.

    Args:
        ref: the version asked about.
        sources: `model:number` to its own data sets, nearest first.
    """

    ref: str
    sources: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A data set and how many versions were trained on it."""

    name: str
    versions: int


def tree(pedigree: Pedigree, *, title: str) -> str:
    """Draw a pedigree as text, parents above children.

    A version with several parents stands under its first and is named again, with `↑`,
    under the others. Drawn with a stack of its own: no limit of depth, but from the hundredth
    generation on no further to the right.

    Example:
        >>> one = Node(ref="majora:v1", status=Status.PRODUCTION)
        >>> two = Node(ref="majora:v2", status=Status.STAGING)
        >>> step = Edge(parent="majora:v1", child="majora:v2", kind=ParentKind.FINE_TUNE)
        >>> family = Pedigree(nodes=(one, two), edges=(step,))
        >>> print(tree(family, title="majora version tree:"))
        majora version tree:
        └── v1 (production)
            └── v2 (staging)
    """
    nodes = {node.ref: node for node in pedigree.nodes}
    children: dict[str, list[Edge]] = {}
    first_parent: dict[str, str] = {}
    for step in pedigree.edges:
        children.setdefault(step.parent, []).append(step)
        first_parent.setdefault(step.child, step.parent)
    home = _home(title)
    lines = [title]
    roots = [ref for ref in nodes if ref not in first_parent]
    stack: list[tuple[str, str, bool, Edge | None]] = [
        (ref, "", at == 0, None) for at, ref in enumerate(reversed(roots))
    ]
    while stack:
        ref, indent, last, edge = stack.pop()
        again = edge is not None and first_parent[ref] != edge.parent
        lines.append(indent + ("└── " if last else "├── ") + _label(nodes[ref], home, edge, again))
        if not again:
            deeper = indent
            if len(indent) < WIDTH_LIMIT:
                deeper += "    " if last else "│   "
            steps = list(reversed(children.get(ref, [])))
            stack += [(e.child, deeper, at == 0, e) for at, e in enumerate(steps)]
    return "\n".join(lines)


def _home(title: str) -> str:
    return title.split(" ", 1)[0]


def _label(node: Node, home: str, edge: Edge | None, again: bool) -> str:  # noqa: FBT001
    model, _, number = node.ref.rpartition(":")
    shown = number if model == home else node.ref
    if again:
        return f"{shown} ↑"
    words = [*node.aliases] or [str(node.status)]
    if edge is not None and edge.kind is not ParentKind.FINE_TUNE:
        words.insert(0, str(edge.kind))
    if node.description:
        words.append(node.description.splitlines()[0][:60])
    return f"{shown} ({', '.join(words)})"
