"""The pedigree in the database: recursive SQL, breadth first."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from herdbook.core.access import Actor
from herdbook.core.lineage import Dataset, Edge, Node, Pedigree, Relative
from herdbook.core.models import ParentKind, Status, Version
from herdbook.core.pages import Page, page_position, page_token
from herdbook.storage.sql import search
from herdbook.storage.sql.engine import alone
from herdbook.storage.sql.tables import (
    datasets,
    models,
    parents,
    version_datasets,
    versions,
)
from herdbook.storage.sql.versions import SqlVersions

PEDIGREE_KEY = 4_843_784_878
# How many ids one statement is given; both databases take three times as many.
BATCH = 10_000
# A list of pairs is a tree of ORs to PostgreSQL, whose parser has a stack of its own.
PAIRS = 400
SPAN_LEAST = 4
SPAN_MOST = 4_096


class SqlLineage:
    """The pedigree, by recursive SQL."""

    def __init__(self, connection: Connection, by: Actor, versions: SqlVersions) -> None:
        self._connection = connection
        self._by = by
        self._versions = versions

    def nearest(
        self, version: Version, *, down: bool, depth: int, skip: int, size: int
    ) -> Sequence[Relative]:
        """Give `size` ancestors, or descendants, after the `skip` nearest ones."""
        found = self._levels(version, down=down, depth=depth, enough=skip + size)
        return self._named(found[skip : skip + size])

    def ancestors(self, version: Version, *, depth: int) -> Sequence[Relative]:
        """Every ancestor at most `depth` steps away, nearest first."""
        return self._named(self._levels(version, down=False, depth=depth))

    def descendants(self, version: Version, *, depth: int) -> Sequence[Relative]:
        """Every descendant at most `depth` steps away, nearest first."""
        return self._named(self._levels(version, down=True, depth=depth))

    def _levels(
        self, version: Version, *, down: bool, depth: int, enough: int | None = None
    ) -> list[tuple[int, int]]:
        """Give (id, distance), nearest first: whole levels, until there are enough.

        One recursive statement walks a span of levels. Where every version has one parent the
        span doubles, so that a chain of 100,000 takes thirty statements; where many paths lead
        to the same versions it stays short, for a statement follows each path anew.
        """
        own = self._versions.id_of(version)
        found: dict[int, int] = {own: 0}
        edge, walked, span = [own], 0, SPAN_LEAST
        while edge and walked < depth and (enough is None or len(found) <= enough):
            span = min(span, depth - walked)
            rows = [
                row
                for at in range(0, len(edge), BATCH)
                for row in self._span(edge[at : at + BATCH], span, down=down)
            ]
            before, edge = len(found), []
            for at, distance in rows:
                reached = walked + distance
                if found.get(at, reached + 1) > reached:
                    found[at] = reached
                    if distance == span:
                        edge.append(at)
            walked += span
            edge = [at for at in edge if found[at] == walked]
            fresh = len(rows) <= 2 * (len(found) - before)
            span = min(span * 2, SPAN_MOST) if fresh else SPAN_LEAST
        del found[own]
        return sorted(found.items(), key=lambda one: (one[1], one[0]))

    def _span(self, edge: list[int], span: int, *, down: bool) -> Sequence[Any]:
        here, there = parents.c.child_id, parents.c.parent_id
        if down:
            here, there = there, here
        reached = (
            select(versions.c.id, literal(0).label("distance"))
            .where(versions.c.id.in_(edge))
            .cte("reached", recursive=True)
        )
        step = (
            select(there, reached.c.distance + 1)
            .join(reached, here == reached.c.id)
            .where(reached.c.distance < span)
        )
        reached = reached.union(step)
        asked = select(reached.c.id, reached.c.distance).where(reached.c.distance > 0)
        return self._connection.execute(asked).all()

    def _named(self, found: list[tuple[int, int]]) -> list[Relative]:
        names: dict[int, tuple[str, str]] = {}
        for at in range(0, len(found), BATCH):
            asked = (
                select(versions.c.id, models.c.name, versions.c.number)
                .join(models, models.c.id == versions.c.model_id)
                .where(versions.c.id.in_([own for own, _ in found[at : at + BATCH]]))
            )
            names |= {row.id: (row.name, row.number) for row in self._connection.execute(asked)}
        return [
            Relative(model=names[own][0], number=names[own][1], distance=distance)
            for own, distance in found
        ]

    def of_model(self, model: str) -> Pedigree:
        """Every version of a model and their direct relatives of other models."""
        own = (
            select(versions.c.id)
            .join(models, models.c.id == versions.c.model_id)
            .where(models.c.name == model)
        )
        near = or_(
            versions.c.id.in_(own),
            versions.c.id.in_(select(parents.c.parent_id).where(parents.c.child_id.in_(own))),
            versions.c.id.in_(select(parents.c.child_id).where(parents.c.parent_id.in_(own))),
        )
        rows = self._connection.execute(self._nodes().where(near)).all()
        touching = or_(parents.c.child_id.in_(own), parents.c.parent_id.in_(own))
        steps = self._connection.execute(_STEPS.where(touching)).all()
        return _pedigree(rows, steps)

    def _nodes(self) -> Select[Any]:
        asked = (
            select(versions.c.id, models.c.name, versions.c.about, versions.c.facts)
            .join(models, models.c.id == versions.c.model_id)
            .where(versions.c.visible == 1)
            .order_by(versions.c.id)
        )
        return asked if self._by.sees_all() else asked.where(search.visible(self._by.grants))

    def lock(self) -> None:
        """Keep other works that give new parents to registered versions waiting."""
        # Two works could otherwise each close one half of a cycle, unseen by the other.
        alone(self._connection, PEDIGREE_KEY)

    def among(self, versions: Iterable[tuple[str, str]]) -> Pedigree:
        """Give these versions, (model, number) each, with the steps between them."""
        wanted = list(dict.fromkeys(versions))
        rows: list[Any] = []
        steps: list[Any] = []
        for at in range(0, len(wanted), PAIRS):
            rows += self._connection.execute(
                self._nodes().where(tuple_(models.c.name, _number).in_(wanted[at : at + PAIRS]))
            ).all()
        ids = [row.id for row in rows]
        for at in range(0, len(ids), BATCH):
            steps += self._connection.execute(
                _STEPS.where(parents.c.child_id.in_(ids[at : at + BATCH]))
            ).all()
        return _pedigree(sorted(rows, key=lambda row: int(row.id)), steps)

    def datasets(self, *, size: int, page: str | None) -> Page[Dataset]:
        """Every data set a visible version was trained on, by name."""
        position = page_position(page, shape="datasets", kinds=(str,))
        used = (
            select(func.count())
            .select_from(version_datasets.join(versions, versions.c.id == _of))
            .where(version_datasets.c.dataset_id == datasets.c.id, versions.c.visible == 1)
        )
        if not self._by.sees_all():
            used = used.where(
                exists().where(models.c.id == versions.c.model_id, search.visible(self._by.grants))
            )
        count = used.scalar_subquery()
        asked = select(datasets.c.name, count).where(count > 0).order_by(datasets.c.name)
        if position is not None:
            asked = asked.where(datasets.c.name > position[0])
        rows = self._connection.execute(asked.limit(size + 1)).all()
        items = tuple(Dataset(name=row[0], versions=row[1]) for row in rows[:size])
        if len(rows) <= size:
            return Page(items)
        return Page(items, page_token("datasets", [items[-1].name]))


_number = versions.c.number
_of = version_datasets.c.version_id
_STEPS = select(parents.c.child_id, parents.c.parent_id, parents.c.kind).order_by(
    parents.c.child_id, parents.c.position
)


def _pedigree(rows: Sequence[Any], steps: Sequence[Any]) -> Pedigree:
    nodes = {row.id: _node(row) for row in rows}
    return Pedigree(
        nodes=tuple(nodes.values()),
        edges=tuple(
            Edge(
                parent=nodes[step.parent_id].ref,
                child=nodes[step.child_id].ref,
                kind=ParentKind(step.kind),
            )
            for step in steps
            if step.parent_id in nodes and step.child_id in nodes
        ),
    )


def _node(row: Any) -> Node:
    about, facts = json.loads(row.about), json.loads(row.facts)
    return Node(
        ref=f"{row.name}:{about['number']}",
        status=Status(about["status"]),
        aliases=tuple(about["aliases"]),
        description=about["description"],
        base_model=facts["training"]["base_model"],
        datasets=tuple(facts["datasets"]),
        git_commit=facts["git_commit"],
    )
