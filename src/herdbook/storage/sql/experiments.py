"""Experiments in the database: plans, what workers recorded, and the evidence made of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from herdbook.core import wire
from herdbook.core.access import Actor
from herdbook.core.experiments import Experiment, State, is_name
from herdbook.core.pages import Page, page_position, page_token
from herdbook.core.recording import ArmSums, Recorded
from herdbook.core.trials import Kept, Waiting
from herdbook.errors import AlreadyExists, NotFound
from herdbook.storage.sql import search
from herdbook.storage.sql.engine import alone, savepoint
from herdbook.storage.sql.experiment_tables import batches, deltas, evidence, experiments, workers
from herdbook.storage.sql.models import SqlModels
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.rows import each, micros, moment
from herdbook.storage.sql.tables import models

PARTS_KEY: Final = 4_843_784_879
# What is due later than anything is postponed was postponed by a clock that was set back since.
_NEVER_LATER: Final = timedelta(hours=1)
# A number in the database that is the sum of such ones does not overflow.
_MOST_RESULTS: Final = 1 << 40
# Text of deltas that is taken into memory at once, when it is more than one.
_CONSUMED_LIMIT: Final = 32 << 20
_LIVE: Final = experiments.c.state.in_([str(State.RUNNING), str(State.PAUSED)])

_HURRY: Final = Prepared(
    update(experiments)
    .where(experiments.c.model_id == bindparam("own"))
    .values(due_at=bindparam("now"))
)


class SqlExperiments:
    """The experiments, what was recorded of them and their evidence."""

    def __init__(self, connection: Connection, by: Actor, models: SqlModels, now: datetime) -> None:
        self._connection = connection
        self._by = by
        self._models = models
        self._now = now

    # --- experiments ---

    def add(self, experiment: Experiment) -> int:
        """Add an experiment and give its number; AlreadyExists when the name is taken."""
        row = {
            "model_id": self._models.id(experiment.model),
            "name": experiment.name,
            "due_at": micros(self._now),
            **columns(experiment),
        }
        try:
            with self._connection.begin_nested():
                added = insert(experiments).values(**row).returning(experiments.c.id)
                return int(self._connection.execute(added).scalar_one())
        except IntegrityError:
            raise AlreadyExists(
                f"there is an experiment {experiment.name} already; choose another name",
                field="name",
            ) from None

    def get(self, name: str) -> Experiment:
        """Give an experiment by its name; NotFound."""
        return self._one(name, select(experiments.c.doc))

    def hold(self, name: str) -> Experiment:
        """Give an experiment that nobody changes until this work ends; others may hold it too."""
        held = select(experiments.c.doc).with_for_update(read=True, of=experiments)
        return self._one(name, held)

    def lock(self, name: str) -> Experiment:
        """Give an experiment and keep other writers of it waiting until this work ends."""
        return self._one(name, select(experiments.c.doc).with_for_update(of=experiments))

    def _one(self, name: str, asked: Select[Any]) -> Experiment:
        asked = self._seen(asked.join(models, models.c.id == experiments.c.model_id))
        asked = asked.where(experiments.c.name == name)
        # What is no name may be a text that no database takes.
        row = self._connection.execute(asked).one_or_none() if is_name(name) else None
        if row is None:
            raise NotFound(
                f"there is no experiment {name!r:.80}; `herdbook experiments list` shows those "
                "there are",
                field="name",
            )
        return _decoded(row.doc)

    def save(self, experiment: Experiment) -> None:
        """Write an experiment over what was; it is looked at again at once."""
        self._connection.execute(
            update(experiments)
            .where(experiments.c.id == experiment.id)
            .values(**columns(experiment), due_at=micros(self._now))
        )

    def page(
        self, *, model: str | None, state: str | None, size: int, page: str | None
    ) -> Page[Experiment]:
        """Give experiments, newest first."""
        shape = f"experiments {model} {state}"
        position = page_position(page, shape=shape, kinds=(int,))
        asked: Select[Any] = select(experiments.c.doc, experiments.c.id)
        asked = self._seen(asked.join(models, models.c.id == experiments.c.model_id))
        if model is not None:
            asked = asked.where(models.c.name == model)
        if state is not None:
            asked = asked.where(experiments.c.state == state)
        if position is not None:
            asked = asked.where(experiments.c.id < position[0])
        rows = self._connection.execute(
            asked.order_by(experiments.c.id.desc()).limit(size + 1)
        ).all()
        items = tuple(_decoded(row.doc) for row in rows[:size])
        more = page_token(shape, [rows[size - 1].id]) if len(rows) > size else None
        return Page(items, more)

    def live(self, *, model: str | None = None, group: str | None = None) -> Sequence[Experiment]:
        """Give those that have not ended, oldest first: all, of a model, or of a group.

        Those of a group also when the actor may not see them: they take part of its units.
        """
        asked: Select[Any] = select(experiments.c.doc)
        asked = asked.join(models, models.c.id == experiments.c.model_id)
        asked = asked.where(_LIVE, models.c.tombstone.is_(None))
        if model is not None:
            asked = asked.where(models.c.name == model)
        asked = asked.where(experiments.c.group == group) if group else self._seen(asked)
        rows = self._connection.execute(asked.order_by(experiments.c.id))
        return [_decoded(row.doc) for row in rows]

    def hold_parts(self) -> None:
        """Keep other works that give experiments parts of a group's units waiting."""
        # Two works could otherwise each find the same part free, by models of their own.
        alone(self._connection, PARTS_KEY)

    def _seen(self, asked: Select[Any]) -> Select[Any]:
        return asked if self._by.sees_all() else asked.where(search.visible(self._by.grants))

    # --- what workers recorded ---

    def take(self, worker: str, sequence: int, *, dropped: int) -> tuple[int, bool]:
        """Count a worker's delta unless it, or a later one, was counted.

        Gives the last sequence that counts, and whether this is it for the first time.
        """
        key = {"name": worker, "by": self._by.name}
        row = {"sequence": sequence, "at": micros(self._now)}
        mine = and_(workers.c.name == worker, workers.c.by == self._by.name)
        moved = (
            update(workers)
            .where(mine, workers.c.sequence < sequence)
            .values(**row, dropped=workers.c.dropped + dropped)
        )
        if self._connection.execute(moved).rowcount == 1:
            return sequence, True
        with suppress(IntegrityError), self._connection.begin_nested():
            self._connection.execute(insert(workers).values(**key, **row, dropped=dropped))
            return sequence, True
        # It is known: either of this delta, or since a moment ago.
        if self._connection.execute(moved).rowcount == 1:
            return sequence, True
        held = select(workers.c.sequence).where(mine)
        return int(self._connection.execute(held).scalar_one()), False

    def put(self, experiment: Experiment, arms: Sequence[ArmSums]) -> None:
        """Keep what was recorded of an experiment until it is consumed."""
        said = Recorded(experiment=experiment.name, arms=tuple(arms))
        self._connection.execute(
            insert(deltas).values(
                experiment_id=experiment.id,
                results=min(sum(each.results + each.lost for each in arms), _MOST_RESULTS),
                at=micros(self._now),
                doc=wire.dumps(said),
            )
        )

    def add_late(self, experiment: Experiment, results: int) -> None:
        """Count results that cannot be part of the evidence."""
        self._connection.execute(
            update(experiments)
            .where(experiments.c.id == experiment.id)
            .values(late=experiments.c.late + min(results, _MOST_RESULTS))
        )

    def late(self, experiment: Experiment) -> int:
        """Give how many results could not be part of the evidence."""
        asked = select(experiments.c.late).where(experiments.c.id == experiment.id)
        return int(self._connection.execute(asked).scalar_one())

    # --- evidence ---

    def counts(self) -> Mapping[str, int]:
        """Count all experiments by their state, hidden ones included."""
        asked = select(experiments.c.state, func.count()).group_by(experiments.c.state)
        return {state: int(count) for state, count in self._connection.execute(asked)}

    def due(self) -> bool:
        """Whether one is to be looked at."""
        asked = select(experiments.c.id).where(_LIVE, self._is_due())
        return self._connection.execute(asked.limit(1)).first() is not None

    def claim(self, *, skip: Sequence[int]) -> Experiment | None:
        """Give one that is to be looked at, locked; None when there is none nobody else has."""
        asked = (
            select(experiments.c.doc)
            .where(_LIVE, self._is_due())
            .where(experiments.c.id.not_in(skip))
            .order_by(experiments.c.due_at, experiments.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = self._connection.execute(asked).one_or_none()
        return _decoded(row.doc) if row else None

    def _is_due(self) -> ColumnElement[bool]:
        return or_(
            experiments.c.due_at <= micros(self._now),
            experiments.c.due_at > micros(self._now + _NEVER_LATER),
        )

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo what is written inside when an error leaves it."""
        with savepoint(self._connection):
            yield

    def hurry(self, model: str) -> None:
        """Have the experiments of a model looked at now."""
        asked = {"own": self._models.id(model), "now": micros(self._now)}
        _HURRY.count(self._connection, asked)

    def postpone(self, experiment: Experiment, until: datetime) -> None:
        """Have an experiment looked at again at a time, not before."""
        self._connection.execute(
            update(experiments)
            .where(experiments.c.id == experiment.id)
            .values(due_at=micros(until))
        )

    def waiting(self, experiment: Experiment) -> Waiting:
        """Tell how much was recorded that no batch holds yet."""
        asked = select(
            func.count().label("deltas"),
            func.coalesce(func.sum(deltas.c.results), 0).label("results"),
            func.min(deltas.c.at).label("since"),
        ).where(deltas.c.experiment_id == experiment.id)
        row = self._connection.execute(asked).one()
        since = moment(row.since) if row.since is not None else None
        return Waiting(deltas=row.deltas, results=int(row.results), since=since)

    def consume(self, experiment: Experiment, *, limit: int) -> Sequence[ArmSums]:
        """Take out the oldest of what waits, at most so many deltas and not too much text."""
        waits = (
            select(deltas.c.id, func.length(deltas.c.doc).label("length"))
            .where(deltas.c.experiment_id == experiment.id)
            .order_by(deltas.c.id)
            .limit(limit)
        )
        taken: list[int] = []
        whole = 0
        for row in self._connection.execute(waits).all():
            whole += row.length
            if taken and whole > _CONSUMED_LIMIT:
                break
            taken.append(row.id)
        asked = select(deltas.c.id, deltas.c.doc).where(deltas.c.id.in_(taken))
        rows = self._connection.execute(asked.order_by(deltas.c.id)).all()
        if rows:
            self._connection.execute(delete(deltas).where(deltas.c.id.in_([r.id for r in rows])))
        found = (wire.value(Recorded, json.loads(row.doc)) for row in rows)
        return [arm for recorded in found for arm in recorded.arms]

    def kept(self, experiment: Experiment) -> Kept | None:
        """Give the evidence as it is kept, or None before the first batch."""
        asked = select(evidence).where(evidence.c.experiment_id == experiment.id)
        row = self._connection.execute(asked).one_or_none()
        if row is None:
            return None
        return Kept(
            batches=row.batches,
            at=moment(row.at),
            seen=bytes(row.seen),
            state=row.doc,
            evaluation=row.evaluation,
        )

    def keep(self, experiment: Experiment, kept: Kept, *, batch: Sequence[ArmSums]) -> None:
        """Write the evidence, with the batch it was made from when there was one."""
        row = {
            "batches": kept.batches,
            "at": micros(kept.at),
            "seen": kept.seen,
            "doc": kept.state,
            "evaluation": kept.evaluation,
        }
        mine = evidence.c.experiment_id == experiment.id
        if not self._connection.execute(update(evidence).where(mine).values(**row)).rowcount:
            self._connection.execute(insert(evidence).values(experiment_id=experiment.id, **row))
        if batch:
            said = Recorded(experiment=experiment.name, arms=tuple(batch))
            self._connection.execute(
                insert(batches).values(
                    experiment_id=experiment.id,
                    number=kept.batches,
                    at=micros(kept.at),
                    doc=wire.dumps(said),
                    point=kept.point,
                )
            )

    def points(self, experiment: Experiment, *, step: int) -> Sequence[str]:
        """Give what was said in short after each `step`-th batch, and after the last, in order."""
        mine = batches.c.experiment_id == experiment.id
        last = select(func.max(batches.c.number)).where(mine).scalar_subquery()
        asked = (
            select(batches.c.point)
            .where(mine, or_(batches.c.number % step == 0, batches.c.number == last))
            .order_by(batches.c.number)
        )
        return list(self._connection.execute(asked).scalars())

    def batches(self, experiment: Experiment) -> Iterator[tuple[datetime, tuple[ArmSums, ...]]]:
        """Give every batch the evidence was made from, in order, one in memory at a time."""
        asked = select(batches).where(batches.c.experiment_id == experiment.id)
        for row in each(self._connection, asked, (batches.c.number,), size=20):
            yield moment(row.at), wire.value(Recorded, json.loads(row.doc)).arms


def columns(experiment: Experiment) -> dict[str, Any]:
    """Give what of an experiment is in columns of its row."""
    return {
        "state": str(experiment.state),
        "group": experiment.plan.group,
        "doc": wire.dumps(experiment),
    }


def _decoded(doc: str) -> Experiment:
    return wire.value(Experiment, json.loads(doc))
