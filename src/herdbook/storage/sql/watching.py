"""What an export holds of drift, into the tables."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, insert, select

from herdbook.core import names
from herdbook.core.drift import Episode, Settings, State, Watched
from herdbook.core.monitors import Scored
from herdbook.core.references import VALUE_LIMIT
from herdbook.core.sampling import Hour, Mark
from herdbook.core.transfer import Record
from herdbook.core.wire import dumps, time_value
from herdbook.errors import Invalid
from herdbook.services.drift import fingerprint
from herdbook.storage.sql import packing
from herdbook.storage.sql.binding import Named, version_ids
from herdbook.storage.sql.drift import columns
from herdbook.storage.sql.drift_episodes import row_of, stored
from herdbook.storage.sql.drift_tables import (
    drift_episodes,
    drift_hours,
    drift_marks,
    drift_references,
    drift_scores,
    drift_settings,
    monitors,
)
from herdbook.storage.sql.rows import continuing, micros
from herdbook.storage.sql.tables import models

T = TypeVar("T")

# More than workers may ever have told of one bin; a bigint holds it.
_MOST: Final = (1 << 63) - 1
# An hour's sums may have been moved from the mean of another part of the day.
_FURTHEST: Final = 4 * VALUE_LIMIT

Rows = list[dict[str, Any]]
Adder = Callable[[Sequence[Record]], None]


class Watching:
    """Writes what an export holds of drift.

    Args:
        connection: of the work that imports.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def adders(self) -> dict[str, Adder]:
        """Give what adds the records of each kind."""
        return {
            "drift_settings": self._add_settings,
            "episode": self._add_episodes,
            "monitor": self._add_monitors,
            "drift_hour": self._add_hours,
            "drift_score": self._add_scores,
            "mark": self._add_marks,
        }

    def _insert(self, table: Any, rows: Rows) -> None:
        self._connection.execute(insert(table), rows)

    def _add_settings(self, records: Sequence[Record]) -> None:
        owners = self._model_ids({record.text("model") for record in records})
        rows = []
        for record in records:
            model = record.text("model")
            if model not in owners:
                raise nowhere(record, model)
            said = checked(record, record.value(Settings, record.body.get("doc")).checked)
            rows.append({"model_id": owners[model], "doc": dumps(said)})
        self._insert(drift_settings, rows)

    def _model_ids(self, wanted: Iterable[str]) -> dict[str, int]:
        asked = select(models.c.name, models.c.id).where(models.c.name.in_(wanted))
        return {name: int(key) for name, key in self._connection.execute(asked)}

    def _add_episodes(self, records: Sequence[Record]) -> None:
        """Add episodes under the ids they had: events, commands and candidates name those."""
        found = [(record, record.value(Episode, record.body.get("doc"))) for record in records]
        ids = self._named((record, one.model, one.number) for record, one in found)
        owners = self._model_ids({one.model for _, one in found})
        rows = []
        for record, episode in found:
            own = row_of(episode.id)
            if not own:
                raise record.invalid(f"{episode.id!r:.40} is no id of an episode")
            rows.append(
                {
                    "id": own,
                    "model_id": owners[episode.model],
                    "version_id": ids[episode.model, episode.number],
                    "doc": stored(episode),
                }
            )
        self._insert(drift_episodes, rows)
        continuing(self._connection, drift_episodes)

    def _add_monitors(self, records: Sequence[Record]) -> None:
        found = [(record, _watched(record)) for record in records]
        ids = self._named((record, one.model, one.number) for record, one in found)
        for record, watched in found:
            state = record.value(State, record.body.get("state"))
            if not all(map(is_number, numbers_in(record.body.get("state")))):
                raise record.invalid("a number in its state is beyond any")
            if not state.streams.keys() <= watched.references.keys():
                raise record.invalid("it counted streams that it has no references of")
            self._check_episode(record, state, ids[watched.model, watched.number])
            row = {"version_id": ids[watched.model, watched.number], **columns(watched, state)}
            added = insert(monitors).values(**row).returning(monitors.c.id)
            own = self._connection.execute(added).scalar_one()
            row = {"monitor_id": own, "doc": dumps(watched.references)}
            self._connection.execute(insert(drift_references).values(**row))

    def _check_episode(self, record: Record, state: State, version: int) -> None:
        if state.episode:
            asked = select(drift_episodes.c.id).where(
                drift_episodes.c.id == row_of(state.episode),
                drift_episodes.c.version_id == version,
            )
            if self._connection.execute(asked).one_or_none() is None:
                raise nowhere(record, state.episode)

    def _add_hours(self, records: Sequence[Record]) -> None:
        ids = self._monitors(records)
        rows = []
        for record in records:
            hour, stream = record.value(Hour, record.body), record.text("stream")
            own, bins = ids[record.text("model"), record.text("number")]
            _check_hour(record, hour, stream, bins)
            rows.append(
                {
                    "monitor_id": own,
                    "stream": stream,
                    "hour": hour.hour,
                    "counts": packing.packed(hour.counts),
                    "missing": hour.missing,
                    "total": hour.total,
                    "squares": hour.squares,
                }
            )
        self._insert(drift_hours, rows)
        self._note(monitors.c.hours_from, rows)

    def _add_scores(self, records: Sequence[Record]) -> None:
        ids = self._monitors(records)
        rows = []
        for record in records:
            scored = record.value(Scored, record.body)
            own, _ = ids[record.text("model"), record.text("number")]
            if not 0 <= scored.hour <= _MOST or scored.checks > _MOST:
                raise record.invalid("its hour or the number of its scores is none")
            if scored.checks < 1 or not 0 <= scored.total <= scored.checks:
                raise record.invalid(f"no {scored.checks} scores have the sum {scored.total!r:.30}")
            rows.append(
                {
                    "monitor_id": own,
                    "hour": scored.hour,
                    "total": scored.total,
                    "checks": scored.checks,
                }
            )
        self._insert(drift_scores, rows)
        self._note(monitors.c.scores_from, rows)

    def _note(self, noted: Any, rows: Rows) -> None:
        """Note since which hour there are rows, so that old ones are found and removed."""
        first: dict[int, int] = {}
        for row in rows:
            own, hour = row["monitor_id"], row["hour"]
            first[own] = min(hour, first.get(own, hour))
        for own, hour in first.items():
            later = (noted.is_(None)) | (noted > hour)
            self._connection.execute(
                monitors.update().where(monitors.c.id == own, later).values({noted: hour})
            )

    def _add_marks(self, records: Sequence[Record]) -> None:
        wanted = [(record, record.text("model"), record.text("number")) for record in records]
        ids = self._named(wanted)
        self._insert(
            drift_marks,
            [
                {"version_id": ids[model, number], **_mark(record)}
                for record, model, number in wanted
            ],
        )

    def _named(self, wanted: Iterable[tuple[Record, str, str]]) -> Named:
        """Give the ids of the versions that records name."""
        named = list(wanted)
        ids = version_ids(self._connection, [(model, number) for _, model, number in named])
        for record, model, number in named:
            if (model, number) not in ids:
                raise nowhere(record, f"{model}:{number}")
        return ids

    def _monitors(
        self, records: Sequence[Record]
    ) -> dict[tuple[str, str], tuple[int, Mapping[str, int]]]:
        """Give the monitors that records name, and how many bins each of their streams has."""
        own = self._named((each, each.text("model"), each.text("number")) for each in records)
        asked = select(monitors.c.version_id, monitors.c.id, monitors.c.streams)
        rows = self._connection.execute(asked.where(monitors.c.version_id.in_(own.values())))
        held = {row.version_id: (row.id, _bins(row.streams)) for row in rows}
        for record in records:
            if own[record.text("model"), record.text("number")] not in held:
                raise nowhere(record, f"{record.text('model')}:{record.text('number')}, watched")
        return {named: held[version] for named, version in own.items()}


def _watched(record: Record) -> Watched:
    watched = record.value(Watched, record.body)
    for stream, reference in watched.references.items():
        names.key(stream, field=f"line {record.line}")
        checked(record, partial(reference.checked, stream))
    if fingerprint(watched.references) != watched.fingerprint:
        raise record.invalid(
            f"the fingerprint of {watched.model}:{watched.number} is not that of its references; "
            "one of them was changed"
        )
    return watched


def _check_hour(record: Record, hour: Hour, stream: str, bins: Mapping[str, int]) -> None:
    if len(hour.counts) != bins.get(stream, -1):
        raise record.invalid(
            f"it counts {stream} in {len(hour.counts)} bins; its reference has "
            f"{bins.get(stream, 'none')}"
        )
    for count in (*hour.counts, hour.missing, hour.hour):
        if type(count) is not int or not 0 <= count <= _MOST:
            raise record.invalid(f"{count!r:.30} is no count")
    number = hour.values
    if not (abs(hour.total) <= number * _FURTHEST and 0 <= hour.squares <= number * _FURTHEST**2):
        raise record.invalid("a sum is no number, or beyond any")


def _mark(record: Record) -> dict[str, Any]:
    mark, said = record.value(Mark, record.body), record.body
    answer = said.get("answer")
    if answer is not None and not isinstance(answer, str):
        raise record.invalid("answer is no text")
    for text in (mark.request, mark.prediction, *([] if answer is None else [answer])):
        checked(record, partial(names.line, text, field="mark", limit=names.KEY_LIMIT))
    if mark.confidence is not None and not is_number(mark.confidence):
        raise record.invalid("confidence is no number")
    return {
        "request": mark.request,
        "prediction": mark.prediction,
        "confidence": mark.confidence,
        "at": micros_of(record, "at"),
        "answer": answer,
        "was_right": None if answer is None else int(answer == mark.prediction),
        "answered_at": None if answer is None else micros_of(record, "answered_at"),
    }


def is_number(value: float) -> bool:
    """Whether a number that JSON held is one that a float can be."""
    # A whole number may be larger than any float.
    return -sys.float_info.max <= value <= sys.float_info.max


def numbers_in(data: Any) -> Iterator[float]:
    """Give the numbers of what JSON held."""
    if isinstance(data, Mapping):
        data = list(data.values())
    if isinstance(data, list):
        for each in data:
            yield from numbers_in(each)
    elif isinstance(data, int | float):
        yield data


def _bins(streams: str) -> dict[str, int]:
    return {name: int(count) for name, count in json.loads(streams).items()}


def checked(record: Record, check: Callable[[], T]) -> T:
    """Give what a check gives; the record's error when it refuses."""
    try:
        return check()
    except Invalid as error:
        raise record.invalid(error.message) from error


def micros_of(record: Record, name: str) -> int:
    """Give a time the record says, in microseconds."""
    return micros(time_value(record.text(name), field=f"line {record.line}"))


def nowhere(record: Record, what: str) -> Invalid:
    """Give the error of a record that names what is not there."""
    return record.invalid(f"the {record.kind} names {what}, which no line before it holds")
