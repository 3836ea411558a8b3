"""Records of an export into the tables, some hundred at a time."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError

from herdbook.core import names
from herdbook.core.deployments import Alias, Move
from herdbook.core.evaluations import Metric, metric_value
from herdbook.core.models import Model, Version, facts_digest
from herdbook.core.numbers import Number
from herdbook.core.transfer import Record
from herdbook.core.wire import canonical, dumps
from herdbook.errors import Conflict, Corrupt, Invalid
from herdbook.storage.sql import models as model_rows
from herdbook.storage.sql import versions as version_rows
from herdbook.storage.sql.binding import version_ids
from herdbook.storage.sql.holding import Holding
from herdbook.storage.sql.moving import Moving
from herdbook.storage.sql.rows import micros
from herdbook.storage.sql.tables import (
    aliases,
    chain,
    events,
    metrics,
    model_tags,
    models,
    moves,
    operational,
    scores,
    version_tags,
    versions,
)
from herdbook.storage.sql.trying import Trying
from herdbook.storage.sql.watching import Watching

SUMS: Final = ("count", "errors", "timed", "time_ms", "judged", "confidence")

Rows = list[dict[str, Any]]
Named = dict[tuple[str, str], int]


class Loading:
    """Writes what an export holds, in its order."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._holding = Holding(connection, now)
        self._trying = Trying(connection, now)
        self._watching = Watching(connection)
        self._moving = Moving(connection)

    def add(self, records: Sequence[Record]) -> None:
        """Add records of one kind; what they name was added before."""
        first, last = records[0].line, records[-1].line
        adders: dict[str, Callable[[Sequence[Record]], None]] = {
            "model": self._add_models,
            "manifest": self._holding.add_manifests,
            "signature": self._holding.add_signatures,
            "version": self._add_versions,
            "metric": self._add_metrics,
            "operational": self._add_operational,
            "alias": self._add_aliases,
            "move": self._add_moves,
            "experiment": self._trying.add_experiments,
            "batch": self._trying.add_batches,
            "delta": self._trying.add_deltas,
            "worker": self._trying.add_workers,
            **self._watching.adders(),
            **self._moving.adders(),
            "event": self._add_events,
        }
        try:
            adders[records[0].kind](records)
        except (IntegrityError, DataError, OverflowError, UnicodeEncodeError) as error:
            raise Invalid(
                f"lines {first} to {last}: something is there twice, or is out of range "
                f"({str(getattr(error, 'orig', error)).splitlines()[0]})",
                field=f"line {first}",
            ) from error

    def _insert(self, table: Any, rows: Rows) -> None:
        if rows:
            self._connection.execute(insert(table), rows)

    def _add_models(self, records: Sequence[Record]) -> None:
        found = [(record, record.value(Model, record.body.get("doc"))) for record in records]
        self._insert(
            models,
            [
                {
                    "name": model.name,
                    "folded": model.name.casefold(),
                    "next_ordinal": _whole(record, "next_ordinal"),
                    "tombstone": _tombstone(record),
                    **model_rows.columns(model),
                }
                for record, model in found
            ],
        )
        ids = self._model_ids(records, [model.name for _, model in found])
        self._insert(
            model_tags,
            [
                {"model_id": ids[model.name], "key": key, "value": value}
                for _, model in found
                for key, value in model.tags.items()
            ],
        )

    def _model_ids(self, records: Sequence[Record], wanted: Sequence[str]) -> dict[str, int]:
        asked = select(models.c.name, models.c.id).where(models.c.name.in_(set(wanted)))
        ids = {name: int(key) for name, key in self._connection.execute(asked)}
        for record, name in zip(records, wanted, strict=True):
            if name not in ids:
                raise _nowhere(record, name)
        return ids

    def _add_versions(self, records: Sequence[Record]) -> None:
        found = [(record, _version(record)) for record in records]
        ids = self._model_ids(records, [version.model for _, version in found])
        gone = select(models.c.id).where(models.c.tombstone.is_not(None))
        hidden = set(self._connection.execute(gone.where(models.c.id.in_(ids.values()))).scalars())
        rows = []
        for record, version in found:
            tombstone, model = _tombstone(record), ids[version.model]
            rows.append(
                {
                    "model_id": model,
                    "ordinal": version.ordinal,
                    "number": version.number,
                    "number_key": Number(version.number).key,
                    "tombstone": tombstone,
                    "visible": 0 if tombstone or model in hidden else 1,
                    **version_rows.columns(version),
                    **version_rows.fact_columns(version),
                }
            )
        self._insert(versions, rows)
        versioned = [(version.model, version.number) for _, version in found]
        keys = version_ids(self._connection, versioned)
        self._describe(
            [(keys[own], version) for own, (_, version) in zip(versioned, found, strict=True)]
        )
        self._holding.attach(
            [
                (record, keys[own], version.facts.manifest)
                for own, (record, version) in zip(versioned, found, strict=True)
                if version.facts.manifest
            ]
        )

    def _describe(self, keyed: Sequence[tuple[int, Version]]) -> None:
        self._insert(
            version_tags,
            [
                {"version_id": key, "key": tag, "value": value}
                for key, version in keyed
                for tag, value in version.tags.items()
            ],
        )
        self._insert(
            scores,
            [
                {"version_id": key, "name": name, "value": metric_value(value, metric=name)}
                for key, version in keyed
                for name, value in version.metrics.items()
            ],
        )

    def _named(self, records: Sequence[Record], wanted: Sequence[tuple[str, str]]) -> Named:
        """Give the ids of the versions that records name; the number "" names none."""
        ids = version_ids(self._connection, [pair for pair in wanted if pair[1]])
        for record, pair in zip(records, wanted, strict=True):
            if pair[1] and pair not in ids:
                raise _nowhere(record, " ".join(pair))
        return ids

    def _add_metrics(self, records: Sequence[Record]) -> None:
        found = [(record, record.value(Metric, record.body)) for record in records]
        ids = self._named(records, [(metric.model, metric.number) for _, metric in found])
        rows = []
        for record, metric in found:
            names.key(metric.name, field=f"line {record.line}")
            rows.append(
                {
                    "version_id": ids[metric.model, metric.number],
                    "name": metric.name,
                    "value": metric_value(metric.value, metric=metric.name),
                    "at": micros(metric.at),
                    "source": metric.source,
                    "dataset": metric.dataset,
                    "by": metric.by,
                }
            )
        self._insert(metrics, rows)

    def _add_operational(self, records: Sequence[Record]) -> None:
        wanted = [(record.text("model"), record.text("number")) for record in records]
        ids = self._named(records, wanted)
        self._insert(
            operational,
            [
                {"version_id": ids[own], **{name: _number(record, name) for name in SUMS}}
                for record, own in zip(records, wanted, strict=True)
            ],
        )

    def _add_aliases(self, records: Sequence[Record]) -> None:
        found = [record.value(Alias, record.body) for record in records]
        ids = self._named(records, [(alias.model, alias.number) for alias in found])
        owners = self._model_ids(records, [alias.model for alias in found])
        self._insert(
            aliases,
            [
                {
                    "model_id": owners[alias.model],
                    "name": names.alias_name(alias.name),
                    "version_id": ids.get((alias.model, alias.number)),
                    "epoch": alias.epoch,
                    "moved_at": micros(alias.moved_at),
                    "moved_by": alias.moved_by,
                }
                for alias in found
            ],
        )

    def _add_moves(self, records: Sequence[Record]) -> None:
        found = [record.value(Move, record.body.get("doc")) for record in records]
        sources = self._named(records, [(move.model, move.from_number) for move in found])
        targets = self._named(records, [(move.model, move.to_number) for move in found])
        owners = self._model_ids(records, [move.model for move in found])
        self._insert(
            moves,
            [
                {
                    "model_id": owners[move.model],
                    "alias": move.alias,
                    "epoch": move.epoch,
                    "from_id": sources.get((move.model, move.from_number)),
                    "to_id": targets.get((move.model, move.to_number)),
                    "at": micros(move.at),
                    "doc": dumps(move),
                }
                for move in found
            ],
        )

    def _add_events(self, records: Sequence[Record]) -> None:
        if records[0].body["seq"] == 1:
            self._take_log()
        kept = ("seq", "at", "by", "action", "model", "number", "previous", "hash")
        self._insert(
            events,
            [
                {name: record.body[name] for name in kept}
                | {"body": canonical(record.body["body"])}
                for record in records
            ],
        )
        head = records[-1].body
        self._connection.execute(update(chain).values(seq=head["seq"], hash=head["hash"]))

    def _take_log(self) -> None:
        # The head of the log is locked after the models, as every other writer does it.
        self._connection.execute(update(chain).values(seq=chain.c.seq))
        if self._connection.execute(select(chain.c.seq)).scalar_one():
            raise Conflict("the register was written to meanwhile; give an empty one")


def _nowhere(record: Record, what: str) -> Invalid:
    return record.invalid(f"the {record.kind} names {what}, which no line before it holds")


def _version(record: Record) -> Version:
    about, facts = record.body.get("about"), record.body.get("facts")
    if not isinstance(about, dict) or not isinstance(facts, dict):
        raise Invalid(f"line {record.line} is not a version: about or facts are missing")
    version = record.value(Version, about | {"facts": facts})
    if facts_digest(version.model, version.number, dumps(version.facts)) != version.digest:
        raise Corrupt(
            f"line {record.line}: the digest of {version.ref} is not that of its facts; the export "
            "was changed"
        )
    return version


def _number(record: Record, name: str) -> float:
    found = record.body.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise record.invalid(f"{name} is not a number")
    return found


def _whole(record: Record, name: str) -> int:
    found = _number(record, name)
    if not isinstance(found, int) or found < 1:
        raise record.invalid(f"{name} is not 1 or more")
    return found


def _tombstone(record: Record) -> str | None:
    found = record.body.get("tombstone")
    if found is None:
        return None
    if not isinstance(found, dict) or not {"at", "by", "reason"} <= found.keys():
        raise Invalid(f"line {record.line}: the tombstone does not say when, by whom and why")
    return dumps(found)
