"""A pedigree in DOT, the language of Graphviz."""

from herdbook.core.lineage import Node, Pedigree


def dot(pedigree: Pedigree) -> str:
    r"""Draw a pedigree as a directed graph: versions as boxes, data sets as cylinders.

    Example:
        >>> from herdbook.core.models import Status
        >>> node = Node(ref="majora:v1", status=Status.STAGING, datasets=("oracle",))
        >>> print(dot(Pedigree(nodes=(node,))))
        digraph pedigree {
          rankdir=TB;
          node [shape=box];
          "majora:v1" [label="majora:v1\nstaging"];
          "data:oracle" [label="oracle", shape=cylinder];
          "data:oracle" -> "majora:v1" [label="trained on", style=dashed];
        }
    """
    datasets = dict.fromkeys(name for node in pedigree.nodes for name in node.datasets)
    lines = ["digraph pedigree {", "  rankdir=TB;", "  node [shape=box];"]
    lines += [f"  {_quoted(node.ref)} [label={_label(node)}];" for node in pedigree.nodes]
    lines += [
        f"  {_quoted('data:' + name)} [label={_quoted(name)}, shape=cylinder];" for name in datasets
    ]
    lines += [
        f'  {_quoted("data:" + name)} -> {_quoted(node.ref)} [label="trained on", style=dashed];'
        for node in pedigree.nodes
        for name in node.datasets
    ]
    lines += [
        f"  {_quoted(edge.parent)} -> {_quoted(edge.child)} [label={_quoted(str(edge.kind))}];"
        for edge in pedigree.edges
    ]
    return "\n".join([*lines, "}"])


def _label(node: Node) -> str:
    words = ", ".join([str(node.status), *node.aliases])
    # The line feed of a label is written \n, after everything else is escaped.
    return f"{_quoted(node.ref)[:-1]}\\n{_quoted(words)[1:]}"


def _quoted(text: str) -> str:
    shown = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown}"'
