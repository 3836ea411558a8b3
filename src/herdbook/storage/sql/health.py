"""Whether a database really works, and whether what is in it agrees with itself."""

import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, func, insert, select

from herdbook.core import wire
from herdbook.core.deployments import Move
from herdbook.core.models import Model, Status, Version, facts_digest
from herdbook.core.numbers import Number
from herdbook.core.refs import CHAMPION
from herdbook.errors import HerdbookError, Unavailable
from herdbook.storage.sql import document_health, drift_health, engine, inventory
from herdbook.storage.sql import models as model_rows
from herdbook.storage.sql import versions as version_rows
from herdbook.storage.sql.rows import BATCH, decoded, each, micros, row_text
from herdbook.storage.sql.schema import revision
from herdbook.storage.sql.tables import aliases, chain, events, models, moves, replays, versions

_GUARDS: Final = frozenset(
    {
        *("events_fixed", "events_kept", "moves_fixed", "moves_kept"),
        *("versions_named", "versions_sealed", "versions_kept"),
    }
)
GUARDS: Final = {"sqlite": _GUARDS, "postgresql": _GUARDS | {"versions_whole"}}


def probe(connection: Connection) -> str | None:
    """Write to a database, read it again, take it away; give the revision it is at.

    A row of its own: SQLite does not write what is overwritten with itself.

    Raises:
        Unavailable: what was written is not what was read.
    """
    at = revision(connection)
    if at is None:
        return None
    key = f"readyz-{secrets.token_hex(8)}"
    row = {"key": key, "by": "server", "request": "", "status": 200, "body": key, "at": 0}
    connection.execute(insert(replays).values(**row))
    asked = select(replays.c.body).where(replays.c.key == key)
    if connection.execute(asked).scalar_one_or_none() != key:
        raise Unavailable("the database did not give back what was written to it")
    connection.execute(delete(replays).where(replays.c.key == key))
    return at


def inconsistencies(connection: Connection) -> Iterator[str]:
    """Tell, a sentence each, what in a database was changed behind the program's back.

    In constant memory, on one state of the database: the connection must not have read
    anything in its transaction.
    """
    engine.hold_still(connection)
    for name in sorted(GUARDS[connection.dialect.name] - engine.triggers(connection)):
        yield f"the guard {name} is missing: the database no longer refuses to change history"
    yield from _wrong_models(connection)
    yield from _wrong_versions(connection)
    yield from _wrong_aliases(connection)
    yield from inventory.wrong_manifests(connection)
    yield from drift_health.wrong_monitors(connection)
    yield from document_health.wrong_migrations(connection)
    yield from _wrong_log(connection)


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _wrong_models(connection: Connection) -> Iterator[str]:
    pointing = select(aliases.c.model_id, aliases.c.name, versions.c.number).join(
        versions, versions.c.id == aliases.c.version_id
    )
    for batch in _batches(each(connection, select(models), (models.c.id,))):
        held: dict[int, dict[str, str]] = defaultdict(dict)
        ids = [row.id for row in batch]
        for own, alias, number in connection.execute(pointing.where(aliases.c.model_id.in_(ids))):
            held[own][alias] = number
        for row in batch:
            yield from _wrong_model(row, held[row.id])


def _wrong_model(row: Any, held: Mapping[str, str]) -> Iterator[str]:
    try:
        found = wire.value(Model, json.loads(row.doc))
    except (HerdbookError, ValueError) as error:
        yield f"what is stored of {row.name} cannot be read: {error}"
        return
    yield from _differing(row.name, row, model_rows.columns(found) | {"name": found.name})
    if dict(found.aliases) != held:
        yield f"{row.name} says its aliases are {_told(found.aliases)}, they are {_told(held)}"


def _told(held: Mapping[str, str]) -> str:
    return ", ".join(f"{alias} {number}" for alias, number in sorted(held.items())) or "none"


def _differing(name: str, row: Any, said: Mapping[str, object]) -> Iterator[str]:
    # The texts themselves may be of an older program, with fewer fields.
    wrong = [k for k, v in said.items() if k not in _TEXTS and row._mapping[k] != v]
    if wrong:
        yield f"{name}: {', '.join(wrong)} is not what its document says"


_TEXTS = {"doc", "about", "facts"}


def _wrong_versions(connection: Connection) -> Iterator[str]:
    asked = select(versions, models.c.name.label("model")).join(
        models, models.c.id == versions.c.model_id
    )
    pointing = select(aliases.c.version_id, aliases.c.name)
    for batch in _batches(each(connection, asked, (versions.c.id,))):
        held: dict[int, set[str]] = defaultdict(set)
        ids = [row.id for row in batch]
        for own, alias in connection.execute(pointing.where(aliases.c.version_id.in_(ids))):
            held[own].add(alias)
        bound = inventory.bound(connection, ids)
        for row in batch:
            yield from _wrong_version(row, held[row.id], bound.get(row.id, ""))


def _wrong_version(row: Any, held: set[str], manifest: str) -> Iterator[str]:
    ref = f"{row.model}:{row.number}"
    if facts_digest(row.model, row.number, row.facts) != row.digest:
        yield f"the digest of {ref} is not that of its facts: one of them was changed"
    try:
        found = decoded(row_text(row))
        said = _columns(found)
    except (HerdbookError, ValueError) as error:
        yield f"what is stored of {ref} cannot be read: {error}"
        return
    yield from _differing(ref, row, said)
    if set(found.aliases) != held:
        there, are = ", ".join(found.aliases) or "none", ", ".join(sorted(held)) or "none"
        yield f"{ref} says its aliases are {there}, they are {are}"
    if found.facts.manifest != manifest:
        there = found.facts.manifest or "none"
        yield f"{ref} says its manifest is {there}, the one it holds is {manifest or 'none'}"
    if (row.status == Status.PRODUCTION) != (CHAMPION in held):
        yield f"{ref} is {row.status} and {'' if CHAMPION in held else 'not '}the champion"


def _columns(found: Version) -> dict[str, object]:
    return {
        "model": found.model,
        "number": found.number,
        "number_key": Number(found.number).key,
        "ordinal": found.ordinal,
        **version_rows.columns(found),
        **version_rows.fact_columns(found),
    }


def _wrong_aliases(connection: Connection) -> Iterator[str]:
    past = moves.alias()
    newest = (
        select(func.max(past.c.epoch))
        .where(past.c.model_id == aliases.c.model_id, past.c.alias == aliases.c.name)
        .scalar_subquery()
    )
    last = and_(
        moves.c.model_id == aliases.c.model_id,
        moves.c.alias == aliases.c.name,
        moves.c.epoch == newest,
    )
    asked = (
        select(aliases, models.c.name.label("model"), versions.c.number, moves.c.to_id, moves.c.doc)
        .join(models, models.c.id == aliases.c.model_id)
        .outerjoin(versions, versions.c.id == aliases.c.version_id)
        .outerjoin(moves, last)
    )
    for row in each(connection, asked, (aliases.c.model_id, aliases.c.name)):
        yield from _wrong_alias(row)
    lost = (
        select(moves.c.id, moves.c.alias, models.c.name)
        .join(models, models.c.id == moves.c.model_id)
        .outerjoin(
            aliases, and_(aliases.c.model_id == moves.c.model_id, aliases.c.name == moves.c.alias)
        )
        .where(aliases.c.name.is_(None), moves.c.epoch == 1)
    )
    for row in each(connection, lost, (moves.c.id,)):
        yield f"{row.name}@{row.alias} has a history, but is not there"


def _wrong_alias(row: Any) -> Iterator[str]:
    name = f"{row.model}@{row.name}"
    if row.doc is None:
        yield f"{name} points at {row.number or 'nothing'}, but never moved"
        return
    try:
        move = wire.value(Move, json.loads(row.doc))
    except (HerdbookError, ValueError) as error:
        yield f"the last move of {name} cannot be read: {error}"
        return
    if (row.number or "") != move.to_number or row.version_id != row.to_id:
        there, was = row.number or "nothing", move.to_number or "nothing"
        yield f"{name} points at {there}, its last move brought it to {was}"
    present = (row.epoch, row.moved_at, row.moved_by)
    if present != (move.epoch, micros(move.at), move.by):
        yield f"{name} does not say when, by whom and at which epoch it last moved"


def _wrong_log(connection: Connection) -> Iterator[str]:
    asked = select(func.count(), func.coalesce(func.max(events.c.seq), 0)).select_from(events)
    count, newest = connection.execute(asked).one()
    heads: Iterable[int] = connection.execute(select(chain.c.seq)).scalars().all()
    if list(heads) != [count] or newest != count:
        told = ", ".join(map(str, heads)) or "nowhere"
        yield f"the audit log holds {count} events up to {newest}, its head is at {told}"
