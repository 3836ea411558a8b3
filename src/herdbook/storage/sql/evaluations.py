"""Scores and operational sums in the database."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from herdbook.core.access import Actor
from herdbook.core.evaluations import Metric, Observation, Operational, Served
from herdbook.core.models import Status, Version
from herdbook.core.pages import Page, page_position, page_token
from herdbook.storage.sql import search
from herdbook.storage.sql.rows import micros, moment
from herdbook.storage.sql.tables import metrics, models, operational, scores, versions
from herdbook.storage.sql.versions import SqlVersions


class SqlEvaluations:
    """Scores and operational averages."""

    def __init__(self, connection: Connection, by: Actor, versions: SqlVersions) -> None:
        self._connection = connection
        self._by = by
        self._versions = versions

    def _id(self, version: Version) -> int:
        return self._versions.id_of(version)

    def add(self, version: Version, recorded: Sequence[Metric]) -> None:
        """Add scores to the history and make each the newest of its name."""
        own = self._id(version)
        self._connection.execute(insert(metrics), [_row(own, metric) for metric in recorded])
        named = [metric.name for metric in recorded if metric.name in version.metrics]
        if named:
            self._connection.execute(
                delete(scores).where(scores.c.version_id == own, scores.c.name.in_(named))
            )
        self._connection.execute(
            insert(scores),
            [{"version_id": own, "name": m.name, "value": m.value} for m in recorded],
        )

    def history(
        self, version: Version, *, name: str | None, size: int, page: str | None
    ) -> Page[Metric]:
        """Give a version's scores, newest first."""
        shape = f"metrics {version.ref} {name}"
        position = page_position(page, shape=shape, kinds=(int,))
        asked = select(metrics).where(metrics.c.version_id == self._id(version))
        if name is not None:
            asked = asked.where(metrics.c.name == name)
        if position is not None:
            asked = asked.where(metrics.c.id < position[0])
        rows = self._connection.execute(asked.order_by(metrics.c.id.desc()).limit(size + 1)).all()
        items = tuple(_metric(version, row) for row in rows[:size])
        if len(rows) <= size:
            return Page(items)
        return Page(items, page_token(shape, [rows[size - 1].id]))

    def fold(self, version: Version, observations: Sequence[Observation]) -> Operational:
        """Fold observations into the sums without losing any under concurrency."""
        own, sums = self._id(version), _sums(observations)
        added = {name: operational.c[name] + value for name, value in sums.items()}
        folded = update(operational).where(operational.c.version_id == own).values(**added)
        if self._connection.execute(folded).rowcount == 0:
            try:
                with self._connection.begin_nested():
                    self._connection.execute(insert(operational).values(version_id=own, **sums))
            except IntegrityError:  # another work was the first meanwhile
                self._connection.execute(folded)
        return self.operational(version)

    def operational(self, version: Version) -> Operational:
        """Give a version's operational averages."""
        asked = select(operational).where(operational.c.version_id == self._id(version))
        row = self._connection.execute(asked).one_or_none()
        if row is None:
            return Operational()
        return Operational(
            count=row._mapping["count"],
            inference_time_ms=row.time_ms / row.timed if row.timed else None,
            confidence=row.confidence / row.judged if row.judged else None,
            error_rate=row.errors / row._mapping["count"],
        )

    def served(self, *, limit: int) -> Sequence[Served]:
        """Give what versions served, the `limit` registered last first."""
        asked = (
            select(operational, models.c.name.label("model"), versions.c.number)
            .join(versions, versions.c.id == operational.c.version_id)
            .join(models, models.c.id == versions.c.model_id)
            .where(versions.c.visible == 1, versions.c.status != Status.ARCHIVED)
            .order_by(versions.c.id.desc())
            .limit(limit)
        )
        if not self._by.sees_all():
            asked = asked.where(search.visible(self._by.grants))
        rows = self._connection.execute(asked).mappings()
        names = [field.name for field in fields(Served)]
        return [Served(**{name: row[name] for name in names}) for row in rows]


def _row(own: int, metric: Metric) -> dict[str, Any]:
    return {
        "version_id": own,
        "name": metric.name,
        "value": metric.value,
        "at": micros(metric.at),
        "source": metric.source,
        "dataset": metric.dataset,
        "by": metric.by,
    }


def _metric(version: Version, row: Any) -> Metric:
    return Metric(
        model=version.model,
        number=version.number,
        name=row.name,
        value=row.value,
        at=moment(row.at),
        source=row.source,
        dataset=row.dataset,
        by=row.by,
    )


def _sums(observations: Sequence[Observation]) -> dict[str, float]:
    times = [o.inference_time_ms for o in observations if o.inference_time_ms is not None]
    sure = [o.confidence for o in observations if o.confidence is not None]
    return {
        "count": len(observations),
        "errors": sum(o.error for o in observations),
        "timed": len(times),
        "time_ms": sum(times),
        "judged": len(sure),
        "confidence": sum(sure),
    }
