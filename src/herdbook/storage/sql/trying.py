"""What an export says of experiments into the tables: plans, evidence, and what still waits."""

from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from herdbook.core.decisions import Point
from herdbook.core.experiments import Experiment
from herdbook.core.recording import Delta, Recorded, worker_name
from herdbook.core.transfer import Record
from herdbook.core.wire import dumps, time_value
from herdbook.errors import Invalid
from herdbook.storage.sql.binding import version_ids
from herdbook.storage.sql.experiment_tables import batches, deltas, evidence, experiments, workers
from herdbook.storage.sql.experiments import columns
from herdbook.storage.sql.rows import micros
from herdbook.storage.sql.tables import models


class Trying:
    """Writes the experiments of an export, with what was recorded of them.

    Args:
        connection: of the work that imports.
        now: since when live ones are to be looked at.
    """

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    def add_experiments(self, records: Sequence[Record]) -> None:
        """Add experiments with their evidence; each gets a number of this database."""
        found = [(record, _experiment(record)) for record in records]
        self._check_versions(found)
        owners = self._model_ids({experiment.model for _, experiment in found})
        for record, experiment in found:
            row = {
                "model_id": owners[experiment.model],
                "name": experiment.name,
                "late": _whole(record, record.body, "late"),
                "due_at": micros(self._now),
                **columns(experiment),
            }
            added = insert(experiments).values(**row).returning(experiments.c.id)
            own = int(self._connection.execute(added).scalar_one())
            doc = dumps(replace(experiment, id=own))
            mine = experiments.c.id == own
            self._connection.execute(update(experiments).where(mine).values(doc=doc))
            if record.body.get("evidence") is not None:
                row = {"experiment_id": own, **_evidence(record)}
                self._connection.execute(insert(evidence).values(**row))

    def _check_versions(self, found: Sequence[tuple[Record, Experiment]]) -> None:
        wanted = [(one.model, arm.number) for _, one in found for arm in one.plan.arms]
        known = version_ids(self._connection, wanted)
        for record, experiment in found:
            for arm in experiment.plan.arms:
                if (experiment.model, arm.number) not in known:
                    raise _nowhere(record, f"{experiment.model}:{arm.number}")

    def _model_ids(self, wanted: Iterable[str]) -> dict[str, int]:
        asked = select(models.c.name, models.c.id).where(models.c.name.in_(wanted))
        return {name: int(key) for name, key in self._connection.execute(asked)}

    def add_batches(self, records: Sequence[Record]) -> None:
        """Add what the evidence was made from, batch by batch."""
        ids = self._ids(records)
        held = dict(
            self._connection.execute(
                select(evidence.c.experiment_id, evidence.c.batches).where(
                    evidence.c.experiment_id.in_(ids.values())
                )
            ).all()
        )
        rows = []
        for record in records:
            own = ids[record.text("experiment")]
            number = _whole(record, record.body, "number", least=1)
            if number > held.get(own, 0):
                raise record.invalid(
                    f"it is batch {number} of {record.text('experiment')}, whose evidence was "
                    f"made from {held.get(own, 0)}"
                )
            rows.append(
                {
                    "experiment_id": own,
                    "number": number,
                    "at": _micros(record, record.body),
                    "doc": dumps(_recorded(record)),
                    "point": _point(record),
                }
            )
        self._connection.execute(insert(batches), rows)

    def add_deltas(self, records: Sequence[Record]) -> None:
        """Add what no batch holds yet."""
        ids = self._ids(records)
        rows = []
        for record in records:
            recorded = _recorded(record)
            rows.append(
                {
                    "experiment_id": ids[record.text("experiment")],
                    "results": sum(each.results + each.lost for each in recorded.arms),
                    "at": _micros(record, record.body),
                    "doc": dumps(recorded),
                }
            )
        self._connection.execute(insert(deltas), rows)

    def add_workers(self, records: Sequence[Record]) -> None:
        """Add up to where each worker's deltas count: what it sends again is not new here."""
        rows = [
            {
                "name": worker_name(record.text("name"), field=f"line {record.line}"),
                "by": record.text("by"),
                "sequence": _whole(record, record.body, "sequence", least=1),
                "dropped": _whole(record, record.body, "dropped"),
                "at": _micros(record, record.body),
            }
            for record in records
        ]
        self._connection.execute(insert(workers), rows)

    def _ids(self, records: Sequence[Record]) -> dict[str, int]:
        wanted = {record.text("experiment") for record in records}
        asked = select(experiments.c.name, experiments.c.id).where(experiments.c.name.in_(wanted))
        ids = {name: int(key) for name, key in self._connection.execute(asked)}
        for record in records:
            if record.text("experiment") not in ids:
                raise _nowhere(record, record.text("experiment"))
        return ids


def _experiment(record: Record) -> Experiment:
    doc = record.body.get("doc")
    if not isinstance(doc, dict):
        raise record.invalid("doc is missing")
    found = record.value(Experiment, doc | {"id": 0})
    try:
        found.plan.checked()
    except Invalid as error:
        raise record.invalid(f"its plan cannot be: {error.message}") from error
    if not found.phases:
        raise record.invalid(f"{found.name} is in no phase")
    return found


def _evidence(record: Record) -> dict[str, Any]:
    said = record.body["evidence"]
    if not isinstance(said, dict):
        raise record.invalid("evidence is no object")
    if not all(isinstance(said.get(name), dict) for name in ("state", "evaluation")):
        raise record.invalid("the evidence does not say how it stands")
    try:
        seen = b64decode(said.get("seen", ""), validate=True)
    except (ValueError, TypeError) as error:
        raise record.invalid(f"which units were seen is not base64: {error}") from error
    return {
        "batches": _whole(record, said, "batches"),
        "at": _micros(record, said),
        "seen": seen,
        "doc": dumps(said["state"]),
        "evaluation": dumps(said["evaluation"]),
    }


def _recorded(record: Record) -> Recorded:
    recorded = record.value(Recorded, record.body.get("doc"))
    try:
        Delta(worker="export", sequence=1, recorded=(recorded,)).checked()
    except Invalid as error:
        raise record.invalid(f"what it recorded cannot be: {error.message}") from error
    return recorded


def _whole(record: Record, said: Mapping[str, Any], name: str, *, least: int = 0) -> int:
    found = said.get(name)
    if type(found) is not int or found < least:
        raise record.invalid(f"{name} is not {least} or more")
    return found


def _micros(record: Record, said: Mapping[str, Any]) -> int:
    return micros(time_value(said.get("at", ""), field=f"line {record.line}"))


def _nowhere(record: Record, what: str) -> Invalid:
    return record.invalid(f"the {record.kind} names {what}, which no line before it holds")


def _point(record: Record) -> str:
    said = record.body.get("point")
    return "" if said is None else dumps(record.value(Point, said))
