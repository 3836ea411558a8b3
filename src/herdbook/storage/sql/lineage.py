"""The pedigree in the database: recursive SQL, breadth first."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, exists, func, literal, or_, select, tuple_

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
BATCH = 400


class SqlLineage:
    """The pedigree, by recursive SQL."""

    def __init__(self, connection: Connection, by: Actor, versions: SqlVersions) -> None:
        self._connection = connection
        self._by = by
        self._versions = versions

    def ancestors(self, version: Version, *, depth: int) -> Sequence[Relative]:
        """Every ancestor at most `depth` steps away, nearest first."""
        return self._walk(version, depth, parents.c.child_id, parents.c.parent_id)

    def descendants(self, version: Version, *, depth: int) -> Sequence[Relative]:
        """Every descendant at most `depth` steps away, nearest first."""
        return self._walk(version, depth, parents.c.parent_id, parents.c.child_id)

    def _walk(self, version: Version, depth: int, here: Any, there: Any) -> list[Relative]:
        own = self._versions.id_of(version)
        reached = select(literal(own, BigInteger()).label("id"), literal(0).label("distance")).cte(
            "reached", recursive=True
        )
        step = (
            select(there, reached.c.distance + 1)
            .join(reached, here == reached.c.id)
            .where(reached.c.distance < depth)
        )
        # UNION drops a version met twice at one distance; there are no cycles to follow.
        reached = reached.union(step)
        nearest = (
            select(reached.c.id, func.min(reached.c.distance).label("distance"))
            .where(reached.c.distance > 0)
            .group_by(reached.c.id)
            .subquery()
        )
        asked = (
            select(models.c.name, versions.c.number, nearest.c.distance)
            .join(versions, versions.c.id == nearest.c.id)
            .join(models, models.c.id == versions.c.model_id)
            .order_by(nearest.c.distance, versions.c.id)
        )
        return [
            Relative(model=row[0], number=row[1], distance=row[2])
            for row in self._connection.execute(asked)
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
        return asked if self._by.sees_all() else asked.where(search.visible(self._by))

    def lock(self) -> None:
        """Keep other works that give new parents to registered versions waiting."""
        # Two works could otherwise each close one half of a cycle, unseen by the other.
        alone(self._connection, PEDIGREE_KEY)

    def among(self, versions: Iterable[tuple[str, str]]) -> Pedigree:
        """Give these versions, (model, number) each, with the steps between them."""
        wanted = list(dict.fromkeys(versions))
        rows: list[Any] = []
        steps: list[Any] = []
        for at in range(0, len(wanted), BATCH):
            rows += self._connection.execute(
                self._nodes().where(tuple_(models.c.name, _number).in_(wanted[at : at + BATCH]))
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
                exists().where(models.c.id == versions.c.model_id, search.visible(self._by))
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
