"""The whole register out of the database and into an empty one.

Rows travel under their natural names (model, number), never under the ids of one database.
Ids are given in the order of the file, which is the order of the ids it came from: so an
export of what was imported is the same file.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, exists, select

from herdbook.core.transfer import LONG, Record
from herdbook.core.wire import dumps
from herdbook.errors import Corrupt
from herdbook.storage.sql import document_health, document_ledger, engine, packing
from herdbook.storage.sql.binding import bind
from herdbook.storage.sql.document_tables import (
    collections,
    document_migrations,
    document_rejects,
    document_shards,
    document_tombstones,
)
from herdbook.storage.sql.drift_episodes import shown
from herdbook.storage.sql.drift_tables import (
    drift_episodes,
    drift_hours,
    drift_marks,
    drift_references,
    drift_scores,
    drift_settings,
    monitors,
)
from herdbook.storage.sql.experiment_tables import (
    batches,
    deltas,
    evidence,
    experiments,
    workers,
)
from herdbook.storage.sql.loading import SUMS, Loading
from herdbook.storage.sql.rows import BATCH, each, moment
from herdbook.storage.sql.tables import (
    aliases,
    events,
    manifests,
    metrics,
    models,
    moves,
    operational,
    signatures,
    version_manifests,
    versions,
)


class SqlTransfer:
    """The whole register, moved out and in."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._loading = Loading(connection, now)

    def hold_still(self) -> None:
        """Let this work, which has read nothing yet, see one state of the register throughout."""
        engine.hold_still(self._connection)

    def dump(self) -> Iterator[tuple[str, str]]:
        """Give kind and JSON object of everything, in a fixed order."""
        for kind, asked, keys, text in _DUMPED:
            for row in each(self._connection, asked, keys, size=LONG.get(kind, BATCH)):
                yield kind, text(row)

    def empty(self) -> bool:
        """Whether there never was a model or an event."""
        used = exists().select_from(models), exists().select_from(events)
        return not any(self._connection.execute(select(*used)).one())

    @contextmanager
    def attempt(self, *, keep: bool) -> Iterator[None]:
        """Undo at its end what is written inside, unless it is to be kept."""
        with self._connection.begin_nested() as inner:
            yield
            if not keep:
                inner.rollback()

    def add(self, records: Sequence[Record]) -> None:
        """Add records of one kind; what they name was added before."""
        self._loading.add(records)

    def finish(self) -> None:
        """Bind what was added: parents and data sets; see that it fits together."""
        bind(self._connection)
        wrong = next(document_health.wrong_migrations(self._connection), None)
        if wrong is not None:
            raise Corrupt(f"{wrong}; the export was changed")


def _model_text(row: Any) -> str:
    return (
        f'{{"next_ordinal":{row.next_ordinal},"tombstone":{row.tombstone or "null"},'
        f'"doc":{row.doc}}}'
    )


def _manifest_text(row: Any) -> str:
    return f'{{"digest":"{row.digest}","doc":{row.doc}}}'


def _signature_text(row: Any) -> str:
    said = {"manifest": row.digest, "at": moment(row.at), "by": row.by, "text": row.doc}
    return dumps(said)


def _version_text(row: Any) -> str:
    return f'{{"tombstone":{row.tombstone or "null"},"about":{row.about},"facts":{row.facts}}}'


def _metric_text(row: Any) -> str:
    said = {"model": row.model, "number": row.number, "name": row.name, "value": row.value}
    said |= {"at": moment(row.at), "source": row.source, "dataset": row.dataset, "by": row.by}
    return dumps(said)


def _operational_text(row: Any) -> str:
    sums = {name: row._mapping[name] for name in SUMS}
    return dumps({"model": row.model, "number": row.number, **sums})


def _alias_text(row: Any) -> str:
    said = {"model": row.model, "name": row.name, "number": row.number or ""}
    said |= {"epoch": row.epoch, "moved_at": moment(row.moved_at), "moved_by": row.moved_by}
    return dumps(said)


def _event_text(row: Any) -> str:
    said = {name: row._mapping[name] for name in ("seq", "at", "by", "action", "model", "number")}
    rest = {"previous": row.previous, "hash": row.hash}
    return f'{dumps(said)[:-1]},"body":{row.body},{dumps(rest)[1:]}'


def _experiment_text(row: Any) -> str:
    # Its number is this database's own.
    doc = json.loads(row.doc)
    doc.pop("id", None)
    return f'{{"late":{row.late},"evidence":{_evidence_text(row)},"doc":{dumps(doc)}}}'


def _evidence_text(row: Any) -> str:
    if row.batches is None:
        return "null"
    said = {"batches": row.batches, "at": moment(row.at), "seen": b64encode(row.seen).decode()}
    return f'{dumps(said)[:-1]},"state":{row.state},"evaluation":{row.evaluation}}}'


def _batch_text(row: Any) -> str:
    said = {"experiment": row.name, "number": row.number, "at": moment(row.at)}
    return f'{dumps(said)[:-1]},"point":{row.point or "null"},"doc":{row.doc}}}'


def _delta_text(row: Any) -> str:
    said = {"experiment": row.name, "at": moment(row.at)}
    return f'{dumps(said)[:-1]},"doc":{row.doc}}}'


def _worker_text(row: Any) -> str:
    said = {name: row._mapping[name] for name in ("name", "by", "sequence", "dropped")}
    return dumps(said | {"at": moment(row.at)})


def _settings_text(row: Any) -> str:
    return f'{dumps({"model": row.name})[:-1]},"doc":{row.doc}}}'


def _monitor_text(row: Any) -> str:
    said = {"model": row.model, "number": row.number, "fingerprint": row.fingerprint}
    said |= {"frozen_at": moment(row.frozen_at)}
    return f'{dumps(said)[:-1]},"references":{row.doc},"state":{row.state}}}'


def _hour_text(row: Any) -> str:
    said = {name: row._mapping[name] for name in ("model", "number", "stream", "hour")}
    said |= {"counts": list(packing.unpacked(row.counts))}
    return dumps(said | {name: row._mapping[name] for name in ("missing", "total", "squares")})


def _score_text(row: Any) -> str:
    return dumps({name: row._mapping[name] for name in _SCORE})


_SCORE: Final = ("model", "number", "hour", "total", "checks")


def _episode_text(row: Any) -> str:
    # It goes by the same id wherever it is: events and commands have named it.
    return f'{{"doc":{dumps(json.loads(row.doc) | {"id": shown(row.id)})}}}'


def _mark_text(row: Any) -> str:
    said = {name: row._mapping[name] for name in _MARK}
    said |= {"at": moment(row.at)}
    if row.answer is not None:
        said |= {"answer": row.answer, "answered_at": moment(row.answered_at)}
    return dumps(said)


def _migration_text(row: Any) -> str:
    # Under the same id wherever it is: the stamps of documents name it.
    return f'{{"doc":{dumps(json.loads(row.doc) | {"id": document_ledger.shown(row.id)})}}}'


def _shard_text(row: Any) -> str:
    said = {"migration": document_ledger.shown(row.migration_id)}
    said |= {name: row._mapping[name] for name in ("number", "after", "upto", "documents")}
    done = moment(row.done_at) if row.done_at is not None else None
    return dumps(said | {"written": row.written, "done_at": done})


def _reject_text(row: Any) -> str:
    said = {"migration": document_ledger.shown(row.migration_id), "document": row.document}
    return dumps(said | {"reason": row.reason, "shard": row.shard, "at": moment(row.at)})


def _tombstone_text(row: Any) -> str:
    said = {"migration": document_ledger.shown(row.migration_id)}
    return dumps(said | {"number": row.number, "document": row.document})


def _collection_text(row: Any) -> str:
    return f'{{"bridge":{row.bridge or "null"},"doc":{row.doc}}}'


_MARK: Final = ("model", "number", "request", "prediction", "confidence")


def _of_monitor(table: Any) -> Select[Any]:
    return (
        select(table, models.c.name.label("model"), versions.c.number)
        .join(monitors, monitors.c.id == table.c.monitor_id)
        .join(versions, versions.c.id == monitors.c.version_id)
        .join(models, models.c.id == versions.c.model_id)
    )


def _of_experiment(table: Any) -> Select[Any]:
    return select(table, experiments.c.name).join(
        experiments, experiments.c.id == table.c.experiment_id
    )


def _of_version(table: Any) -> Select[Any]:
    return (
        select(table, models.c.name.label("model"), versions.c.number)
        .join(versions, versions.c.id == table.c.version_id)
        .join(models, models.c.id == versions.c.model_id)
    )


# A manifest that no version has is what a draft was before: it stays behind.
_HELD = exists().where(version_manifests.c.manifest_id == manifests.c.id)
_SIGNATURES = (
    select(signatures.c.id, signatures.c.doc, signatures.c.at, signatures.c.by, manifests.c.digest)
    .join(manifests, manifests.c.id == signatures.c.manifest_id)
    .where(_HELD)
)
_ALIASES = (
    select(aliases, models.c.name.label("model"), versions.c.number)
    .join(models, models.c.id == aliases.c.model_id)
    .outerjoin(versions, versions.c.id == aliases.c.version_id)
)
_EXPERIMENTS = select(
    experiments.c.id,
    experiments.c.late,
    experiments.c.doc,
    evidence.c.batches,
    evidence.c.at,
    evidence.c.seen,
    evidence.c.doc.label("state"),
    evidence.c.evaluation,
).outerjoin(evidence, evidence.c.experiment_id == experiments.c.id)
_SETTINGS = select(drift_settings, models.c.name).join(
    models, models.c.id == drift_settings.c.model_id
)
_MONITORS = (
    select(monitors, drift_references.c.doc, models.c.name.label("model"), versions.c.number)
    .join(drift_references, drift_references.c.monitor_id == monitors.c.id)
    .join(versions, versions.c.id == monitors.c.version_id)
    .join(models, models.c.id == versions.c.model_id)
)
_HOUR_KEYS = (drift_hours.c.monitor_id, drift_hours.c.stream, drift_hours.c.hour)
_SCORE_KEYS = (drift_scores.c.monitor_id, drift_scores.c.hour)
_MARK_KEYS = (drift_marks.c.version_id, drift_marks.c.request)
_SHARD_KEYS = (document_shards.c.migration_id, document_shards.c.number)
_REJECT_KEYS = (document_rejects.c.migration_id, document_rejects.c.document)
_TOMBSTONE_KEYS = (document_tombstones.c.migration_id, document_tombstones.c.number)
_DUMPED: Final[tuple[tuple[str, Select[Any], tuple[Any, ...], Callable[[Any], str]], ...]] = (
    ("model", select(models), (models.c.id,), _model_text),
    ("manifest", select(manifests).where(_HELD), (manifests.c.digest,), _manifest_text),
    ("signature", _SIGNATURES, (manifests.c.digest, signatures.c.id), _signature_text),
    ("version", select(versions), (versions.c.id,), _version_text),
    ("metric", _of_version(metrics), (metrics.c.id,), _metric_text),
    ("operational", _of_version(operational), (operational.c.version_id,), _operational_text),
    ("alias", _ALIASES, (aliases.c.model_id, aliases.c.name), _alias_text),
    ("move", select(moves), (moves.c.id,), lambda row: f'{{"doc":{row.doc}}}'),
    ("experiment", _EXPERIMENTS, (experiments.c.id,), _experiment_text),
    ("batch", _of_experiment(batches), (batches.c.experiment_id, batches.c.number), _batch_text),
    ("delta", _of_experiment(deltas), (deltas.c.id,), _delta_text),
    ("worker", select(workers), (workers.c.name, workers.c.by), _worker_text),
    ("drift_settings", _SETTINGS, (drift_settings.c.model_id,), _settings_text),
    ("episode", select(drift_episodes), (drift_episodes.c.id,), _episode_text),
    ("monitor", _MONITORS, (monitors.c.id,), _monitor_text),
    ("drift_hour", _of_monitor(drift_hours), _HOUR_KEYS, _hour_text),
    ("drift_score", _of_monitor(drift_scores), _SCORE_KEYS, _score_text),
    ("mark", _of_version(drift_marks), _MARK_KEYS, _mark_text),
    ("migration", select(document_migrations), (document_migrations.c.id,), _migration_text),
    ("shard", select(document_shards), _SHARD_KEYS, _shard_text),
    ("reject", select(document_rejects), _REJECT_KEYS, _reject_text),
    ("tombstone", select(document_tombstones), _TOMBSTONE_KEYS, _tombstone_text),
    ("collection", select(collections), (collections.c.id,), _collection_text),
    ("event", select(events), (events.c.seq,), _event_text),
)
