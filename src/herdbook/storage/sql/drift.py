"""Watched versions in the database: their references, what was counted of them, their scores."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)

from herdbook.core import wire
from herdbook.core.access import Actor
from herdbook.core.drift import Level, Settings, Standing, State, Watched
from herdbook.core.drift import Status as DriftStatus
from herdbook.core.models import Status, Version
from herdbook.core.monitors import Monitor, Scored
from herdbook.core.pages import Page, page_position, page_token
from herdbook.core.references import Reference
from herdbook.core.sampling import Hour, StreamSums
from herdbook.errors import Invalid, NotFound
from herdbook.storage.sql import packing
from herdbook.storage.sql.drift_episodes import SqlEpisodes, number_key
from herdbook.storage.sql.drift_marks import SqlMarks
from herdbook.storage.sql.drift_tables import (
    drift_hours,
    drift_marks,
    drift_references,
    drift_scores,
    drift_settings,
    monitors,
)
from herdbook.storage.sql.models import SqlModels
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.rows import BATCH, inserting, micros, moment
from herdbook.storage.sql.tables import models, versions
from herdbook.storage.sql.versions import SqlVersions

_ROWS: Final = (
    select(monitors, models.c.name.label("model"), versions.c.number)
    .join(versions, versions.c.id == monitors.c.version_id)
    .join(models, models.c.id == versions.c.model_id)
    .where(versions.c.visible == 1)
)
_IN_USE: Final = _ROWS.where(versions.c.status != Status.ARCHIVED)
_STATE: Final = Prepared(
    _ROWS.with_only_columns(monitors.c.state).where(
        models.c.name == bindparam("model"), versions.c.number_key == bindparam("number")
    )
)
_SUMS: Final = ("counts", "missing", "total", "squares")
_HOURS_FROM: Final = "hours_from"
_SCORES_FROM: Final = "scores_from"
_LARGEST: Final = sys.float_info.max


@dataclass(slots=True)
class _Met:
    """What a work remembers of a monitor's row: see `monitors`."""

    bins: Mapping[str, int]
    first: dict[str, int | None]


class SqlDrift(SqlEpisodes, SqlMarks):
    """The watched versions, what was counted of them, and their episodes."""

    def __init__(
        self, connection: Connection, by: Actor, models: SqlModels, versions: SqlVersions
    ) -> None:
        super().__init__(connection, by, models, versions)
        self._met: dict[int, _Met] = {}

    # --- watched versions ---

    def watch(self, version: Version, watched: Watched) -> Monitor:
        """Begin to watch a version; what was counted of older references of it is removed."""
        own = self._versions.id_of(version)
        # Of two works that watch it at once the second finds what the first one wrote.
        alone = select(versions.c.id).where(versions.c.id == own)
        self._connection.execute(alone.with_for_update(key_share=True)).scalar_one()
        self._clear(own)
        added = insert(monitors).values(version_id=own, **columns(watched, State()))
        key = self._connection.execute(added.returning(monitors.c.id)).scalar_one()
        doc = wire.dumps(watched.references)
        self._connection.execute(insert(drift_references).values(monitor_id=key, doc=doc))
        return self._monitor(self._connection.execute(_ROWS.where(monitors.c.id == key)).one())

    def _clear(self, version: int) -> None:
        asked = select(monitors.c.id).where(monitors.c.version_id == version).with_for_update()
        own = self._connection.execute(asked).scalar_one_or_none()
        if own is not None:
            for table in (drift_hours, drift_scores, drift_references):
                self._connection.execute(delete(table).where(table.c.monitor_id == own))
            self._connection.execute(delete(monitors).where(monitors.c.id == own))
            self._met.pop(own, None)

    def watched(self, monitor: Monitor) -> Watched:
        """Give the references of a watched version."""
        asked = select(drift_references.c.doc).where(drift_references.c.monitor_id == monitor.id)
        doc = self._connection.execute(asked).scalar_one_or_none()
        if doc is None:
            raise NotFound(f"{monitor.model}:{monitor.number} is no longer watched", field="ref")
        return Watched(
            model=monitor.model,
            number=monitor.number,
            fingerprint=monitor.fingerprint,
            references={k: wire.value(Reference, v) for k, v in json.loads(doc).items()},
            frozen_at=monitor.frozen_at,
        )

    def get(self, model: str, number: str) -> Monitor | None:
        """Give a watched version, or None; those of deleted versions are none."""
        return self._one(_ROWS, model, number)

    def standing(self, model: str, number: str) -> Standing | None:
        """Give in short how a watched version stands, or None; of deleted versions None."""
        if not self._by.sees_all():
            found = self.get(model, number)
            return None if found is None else _standing(wire.plain(found.state))
        given = {"model": model, "number": number_key(number)}
        row = _STATE.row(self._connection, given)
        return None if row is None else _standing(json.loads(row.state))

    def lock(self, model: str, number: str) -> Monitor | None:
        """Give a watched version and keep other writers of it waiting until this work ends."""
        asked = _ROWS.with_for_update(of=monitors)
        # While it waited others may have been frozen: that is another row.
        return self._one(asked, model, number) or self._one(asked, model, number)

    def _one(self, asked: Select[Any], model: str, number: str) -> Monitor | None:
        asked = self._seen(asked).where(models.c.name == model)
        asked = asked.where(versions.c.number_key == number_key(number))
        row = self._connection.execute(asked).one_or_none()
        return None if row is None else self._monitor(row)

    def page(self, *, model: str | None, size: int, page: str | None) -> Page[Monitor]:
        """Give the watched versions, newest first; those of deleted versions left out."""
        shape = f"monitors {model}"
        position = page_position(page, shape=shape, kinds=(int,))
        asked = self._seen(_ROWS)
        if model is not None:
            asked = asked.where(models.c.name == model)
        if position is not None:
            asked = asked.where(monitors.c.id < position[0])
        asked = asked.order_by(monitors.c.id.desc()).limit(size + 1)
        rows = self._connection.execute(asked).all()
        more = page_token(shape, [rows[size - 1].id]) if len(rows) > size else None
        return Page(tuple(self._monitor(row) for row in rows[:size]), more)

    def every(self, *, limit: int) -> Sequence[Monitor]:
        """Give the `limit` versions watched last, of deleted and archived ones none."""
        asked = self._seen(_IN_USE).order_by(monitors.c.id.desc()).limit(limit)
        return [self._monitor(row) for row in self._connection.execute(asked).all()]

    def total(self) -> int:
        """Count what `every` gives without a limit."""
        asked = self._seen(_IN_USE.with_only_columns(func.count(monitors.c.id)))
        return int(self._connection.execute(asked).scalar_one())

    def save(self, monitor: Monitor) -> None:
        """Write the state of a watched version over what was."""
        mine = monitors.c.id == monitor.id
        state = wire.dumps(monitor.state)
        self._connection.execute(update(monitors).where(mine).values(state=state))

    def forget(self, monitor: Monitor) -> None:
        """Watch a version no more; all that was counted of it is removed, its episodes stay."""
        own = self._hold(monitor)
        if own is not None:
            self._clear(own)
            self._connection.execute(delete(drift_marks).where(drift_marks.c.version_id == own))

    def _monitor(self, row: Any) -> Monitor:
        bins = json.loads(row.streams)
        first = {name: row._mapping[name] for name in (_HOURS_FROM, _SCORES_FROM)}
        self._met[row.id] = _Met(bins, first)
        return Monitor(
            id=row.id,
            model=row.model,
            number=row.number,
            fingerprint=row.fingerprint,
            frozen_at=moment(row.frozen_at),
            streams=tuple(bins),
            state=wire.value(State, json.loads(row.state)),
        )

    # --- settings ---

    def settings(self, model: str) -> Settings | None:
        """Give how a model's drift is judged, or None where nothing was said."""
        asked = select(drift_settings.c.doc).join(models, models.c.id == drift_settings.c.model_id)
        asked = self._seen(asked.where(models.c.name == model))
        doc = self._connection.execute(asked).scalar_one_or_none()
        return None if doc is None else wire.value(Settings, json.loads(doc))

    def set_settings(self, model: str, settings: Settings) -> None:
        """Say how a model's drift is judged."""
        adding = inserting(self._connection, drift_settings)
        adding = adding.on_conflict_do_update(
            index_elements=["model_id"], set_={"doc": adding.excluded.doc}
        )
        row = {"model_id": self._models.id(model), "doc": wire.dumps(settings)}
        self._connection.execute(adding, row)

    # --- what was counted ---

    def count(self, monitor: Monitor, sums: Sequence[StreamSums], *, oldest: int) -> None:
        """Add to the hours of streams; hours before `oldest` are removed."""
        came = [each for each in sums if each.hour >= oldest and (each.counts or each.missing)]
        for at in range(0, len(came), BATCH):
            self._count(monitor, came[at : at + BATCH])
        self._prune(monitor, drift_hours, _HOURS_FROM, [each.hour for each in came], oldest)

    def _count(self, monitor: Monitor, sums: Sequence[StreamSums]) -> None:
        bins = self._remembered(monitor).bins
        held = self._held(monitor, sums)
        for each in sums:
            key = each.stream, each.hour
            if key not in held and each.stream in bins:
                held[key] = (packing.nothing(bins[each.stream]), 0, 0.0, 0.0)
            try:
                held[key] = _added(held[key], each)
            except (KeyError, IndexError):
                raise Invalid(
                    f"the references of {monitor.model}:{monitor.number} have no bin of "
                    f"{each.stream} as it was counted in; freeze other references for it",
                    field="streams",
                ) from None
        # In one order, whoever counts.
        rows = [
            {"monitor_id": monitor.id, "stream": stream, "hour": hour}
            | dict(zip(_SUMS, values, strict=True))
            for (stream, hour), values in sorted(held.items())
        ]
        _hours_added(self._connection).each(self._connection, rows)

    def _held(
        self, monitor: Monitor, sums: Sequence[StreamSums]
    ) -> dict[tuple[str, int], tuple[Any, ...]]:
        keys = {(each.stream, each.hour) for each in sums}
        asked = select(drift_hours).where(
            drift_hours.c.monitor_id == monitor.id,
            tuple_(drift_hours.c.stream, drift_hours.c.hour).in_(keys),
        )
        return {
            (row.stream, row.hour): tuple(row._mapping[name] for name in _SUMS)
            for row in self._connection.execute(asked)
        }

    def hours(self, monitor: Monitor, stream: str, *, since: int) -> Sequence[Hour]:
        """Give the hours of a stream from one on, oldest first; those nothing came in left out."""
        asked = select(drift_hours).where(
            drift_hours.c.monitor_id == monitor.id,
            drift_hours.c.stream == stream,
            drift_hours.c.hour >= since,
        )
        rows = self._connection.execute(asked.order_by(drift_hours.c.hour))
        return [hour(row) for row in rows]

    def score(self, monitor: Monitor, hour: int, score: float, *, oldest: int) -> None:
        """Add a score to those of an hour; hours before `oldest` are removed."""
        kept = [hour] if hour >= oldest else []
        if kept:
            row = {"monitor_id": monitor.id, "hour": hour, "total": score, "checks": 1}
            _score_added(self._connection).each(self._connection, [row])
        self._prune(monitor, drift_scores, _SCORES_FROM, kept, oldest)

    def scores(self, monitor: Monitor, *, since: int) -> Sequence[Scored]:
        """Give the scores by hour from one on, oldest first."""
        mine = drift_scores.c.monitor_id == monitor.id, drift_scores.c.hour >= since
        asked = select(drift_scores).where(*mine).order_by(drift_scores.c.hour)
        rows = self._connection.execute(asked)
        return [Scored(hour=row.hour, total=row.total, checks=row.checks) for row in rows]

    def _prune(
        self, monitor: Monitor, table: Table, noted: str, came: Sequence[int], oldest: int
    ) -> None:
        """Remove the hours before one, unless it is noted that none can be so old."""
        first = self._remembered(monitor).first
        was = first[noted]
        known = [*came, was] if was is not None else came
        if not known:
            return
        lowest = min(known)
        if lowest < oldest:
            late = table.c.monitor_id == monitor.id, table.c.hour < oldest
            self._connection.execute(delete(table).where(*late))
            lowest = oldest
        if lowest != was:
            mine = monitors.c.id == monitor.id
            self._connection.execute(update(monitors).where(mine).values({noted: lowest}))
            first[noted] = lowest

    def _remembered(self, monitor: Monitor) -> _Met:
        if monitor.id not in self._met:
            row = self._connection.execute(_ROWS.where(monitors.c.id == monitor.id)).one_or_none()
            if row is None:
                raise NotFound(
                    f"{monitor.model}:{monitor.number} is no longer watched", field="ref"
                )
            self._monitor(row)
        return self._met[monitor.id]


def _standing(state: Mapping[str, Any]) -> Standing:
    """Read what is asked for again and again, and no more."""
    score = state["score"]
    return Standing(
        status=DriftStatus.INSUFFICIENT if score is None else DriftStatus.ACTIVE,
        score=score,
        level=Level(state["level"]),
        alarm=state["alarm"],
    )


# Written once for each database: every fold of every worker runs them.
_WRITTEN: Final[dict[tuple[str, str], Prepared]] = {}


def _hours_added(connection: Connection) -> Prepared:
    """Give what writes hours over what was."""
    key = connection.dialect.name, drift_hours.name
    if key not in _WRITTEN:
        adding = inserting(connection, drift_hours)
        written = adding.on_conflict_do_update(
            index_elements=["monitor_id", "stream", "hour"],
            set_={name: adding.excluded[name] for name in _SUMS},
        )
        _WRITTEN[key] = Prepared(written, columns=("monitor_id", "stream", "hour", *_SUMS))
    return _WRITTEN[key]


def _score_added(connection: Connection) -> Prepared:
    """Give what adds a score to those of its hour."""
    key = connection.dialect.name, drift_scores.name
    if key not in _WRITTEN:
        adding = inserting(connection, drift_scores)
        sums = {name: drift_scores.c[name] + adding.excluded[name] for name in ("total", "checks")}
        written = adding.on_conflict_do_update(index_elements=["monitor_id", "hour"], set_=sums)
        _WRITTEN[key] = Prepared(written, columns=("monitor_id", "hour", *sums))
    return _WRITTEN[key]


def columns(watched: Watched, state: State) -> dict[str, Any]:
    """Give the columns of a monitor's row, that of its version left out."""
    return {
        "fingerprint": watched.fingerprint,
        "frozen_at": micros(watched.frozen_at),
        "streams": wire.dumps({name: each.bins for name, each in watched.references.items()}),
        "state": wire.dumps(state),
    }


def hour(row: Any) -> Hour:
    """Give an hour as it was counted, from its row."""
    return Hour(
        hour=row.hour,
        counts=tuple(packing.unpacked(row.counts)),
        missing=row.missing,
        total=row.total,
        squares=row.squares,
    )


def _added(held: tuple[Any, ...], sums: StreamSums) -> tuple[Any, ...]:
    counts, missing, total, squares = held
    return (
        packing.added(counts, sums.counts),
        min(packing.MOST, missing + sums.missing),
        _finite(total + sums.total),
        _finite(squares + sums.squares),
    )


def _finite(value: float) -> float:
    # A sum of numbers that are each finite need not be, and JSON has no infinity.
    return max(-_LARGEST, min(_LARGEST, value))
