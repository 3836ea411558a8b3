"""What was predicted for requests, and the true answers that came later."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from herdbook.core.monitors import Answers, Monitor
from herdbook.core.sampling import Mark
from herdbook.storage.sql.drift_tables import drift_marks, monitors
from herdbook.storage.sql.rows import BATCH, inserting, micros

_ANSWER: Final = (
    update(drift_marks)
    .where(drift_marks.c.version_id == bindparam("own"), drift_marks.c.request == bindparam("key"))
    .values(answer=bindparam("said"), was_right=bindparam("hit"), answered_at=bindparam("told_at"))
)


class SqlMarks:
    """The predictions of known requests."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def mark(
        self, monitor: Monitor, marks: Sequence[Mark], *, at: datetime, since: datetime
    ) -> int:
        """Keep what was predicted for requests; a request that is known already stays as it was.

        Those from before `since` are removed. Gives how many are new.
        """
        own = self._hold(monitor)
        if own is None:
            return 0
        late = drift_marks.c.version_id == own, drift_marks.c.at < micros(since)
        self._connection.execute(delete(drift_marks).where(*late))
        if at < since:
            return 0
        adding = inserting(self._connection, drift_marks).on_conflict_do_nothing()
        new = 0
        for part in _parts(marks):
            rows = [_row(own, mark, at) for mark in part]
            added = adding.values(rows).returning(drift_marks.c.request)
            new += len(self._connection.execute(added).all())
        return new

    def answer(self, monitor: Monitor, labels: Mapping[str, str], *, at: datetime) -> Answers:
        """Tell the true answers of requests; gives how many of them were known, and right."""
        own = self._hold(monitor)
        found = Answers()
        if own is None:
            return found
        for part in _parts(list(labels)):
            asked = select(drift_marks.c.request, drift_marks.c.prediction).where(
                drift_marks.c.version_id == own, drift_marks.c.request.in_(part)
            )
            rows = [
                {"own": own, "key": key, "said": labels[key], "hit": int(labels[key] == predicted)}
                for key, predicted in self._connection.execute(asked)
            ]
            if rows:
                told = [row | {"told_at": micros(at)} for row in rows]
                self._connection.execute(_ANSWER, told)
            right = found.right + sum(row["hit"] for row in rows)
            found = Answers(labels=found.labels + len(rows), right=right)
        return found

    def answers(self, monitor: Monitor, *, since: datetime) -> Answers:
        """Count the answered requests that were predicted since a time."""
        asked = (
            select(func.count(), func.coalesce(func.sum(drift_marks.c.was_right), 0))
            .join(monitors, monitors.c.version_id == drift_marks.c.version_id)
            .where(monitors.c.id == monitor.id, drift_marks.c.at >= micros(since))
            .where(drift_marks.c.was_right.is_not(None))
        )
        labels, right = self._connection.execute(asked).one()
        return Answers(labels=int(labels), right=int(right))

    def _hold(self, monitor: Monitor) -> int | None:
        """Keep other writers of a watched version waiting; give the version's row.

        Who marks, who answers and who removes what is old would otherwise lock the same requests
        in orders of their own, and could wait for each other.
        """
        asked = select(monitors.c.version_id).where(monitors.c.id == monitor.id).with_for_update()
        return self._connection.execute(asked).scalar_one_or_none()


def _row(own: int, mark: Mark, at: datetime) -> dict[str, Any]:
    known = mark.confidence is not None and math.isfinite(mark.confidence)
    return {
        "version_id": own,
        "request": mark.request,
        "prediction": mark.prediction,
        "confidence": mark.confidence if known else None,
        "at": micros(at),
    }


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[at : at + BATCH] for at in range(0, len(items), BATCH))
