"""Whether what a database says of drift agrees with itself."""

import json
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, exists, select

from herdbook.core import wire
from herdbook.core.drift import State
from herdbook.core.references import Reference
from herdbook.errors import HerdbookError
from herdbook.services.drift import fingerprint
from herdbook.storage.sql import packing
from herdbook.storage.sql.drift_episodes import row_of
from herdbook.storage.sql.drift_tables import (
    drift_episodes,
    drift_hours,
    drift_references,
    monitors,
)
from herdbook.storage.sql.rows import each
from herdbook.storage.sql.tables import models, versions

# References of one version may have megabytes, and hours some kilobytes each.
_MONITORS_AT_ONCE: Final = 10
_HOURS_AT_ONCE: Final = 100

_NAMED: Final = (
    select(monitors, models.c.name.label("model"), versions.c.number)
    .join(versions, versions.c.id == monitors.c.version_id)
    .join(models, models.c.id == versions.c.model_id)
)


def wrong_monitors(connection: Connection) -> Iterator[str]:
    """Tell, a sentence each, what of watched versions was changed."""
    asked = _NAMED.add_columns(drift_references.c.doc).outerjoin(
        drift_references, drift_references.c.monitor_id == monitors.c.id
    )
    for row in each(connection, asked, (monitors.c.id,), size=_MONITORS_AT_ONCE):
        yield from _wrong_monitor(connection, row)
    yield from _wrong_hours(connection)


def _wrong_monitor(connection: Connection, row: Any) -> Iterator[str]:
    ref = f"{row.model}:{row.number}"
    try:
        said = json.loads(row.doc or "{}")
        found = {name: wire.value(Reference, one) for name, one in said.items()}
        state = wire.value(State, json.loads(row.state))
        streams = json.loads(row.streams)
    except (HerdbookError, ValueError, AttributeError) as error:
        yield f"what is stored of the drift of {ref} cannot be read: {error}"
        return
    if fingerprint(found) != row.fingerprint:
        yield f"the references of {ref} are not those of their fingerprint: one was changed"
    if streams != {name: one.bins for name, one in found.items()}:
        yield f"the streams of {ref} are noted with other bins than their references have"
    if state.episode:
        asked = select(drift_episodes.c.id).where(
            drift_episodes.c.id == row_of(state.episode),
            drift_episodes.c.version_id == row.version_id,
        )
        if connection.execute(asked).one_or_none() is None:
            yield f"{ref} is said to be in {state.episode}, which is no episode of it"


def _wrong_hours(connection: Connection) -> Iterator[str]:
    keys = (drift_hours.c.monitor_id, drift_hours.c.stream, drift_hours.c.hour)
    bins: dict[int, dict[str, int]] = {}
    for row in each(connection, select(drift_hours), keys, size=_HOURS_AT_ONCE):
        if row.monitor_id not in bins:
            bins = {row.monitor_id: _bins(connection, row.monitor_id)}
        try:
            found = len(packing.unpacked(row.counts))
        except ValueError:
            found = 0
        if found != bins[row.monitor_id].get(row.stream):
            ref = _ref(connection, row.monitor_id)
            yield f"what was counted of {row.stream} of {ref} in hour {row.hour} cannot be read"
    older = exists().where(
        drift_hours.c.monitor_id == monitors.c.id, drift_hours.c.hour < monitors.c.hours_from
    )
    for row in each(connection, _NAMED.where(older), (monitors.c.id,)):
        yield f"{row.model}:{row.number} has older hours than it is noted to have"


def _bins(connection: Connection, monitor: int) -> dict[str, int]:
    asked = select(monitors.c.streams).where(monitors.c.id == monitor)
    try:
        return dict(json.loads(connection.execute(asked).scalar_one()))
    except ValueError:  # told of already
        return {}


def _ref(connection: Connection, monitor: int) -> str:
    row = connection.execute(_NAMED.where(monitors.c.id == monitor)).one()
    return f"{row.model}:{row.number}"
