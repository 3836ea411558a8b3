"""What binds the versions of an export to each other: parents, data sets, and that they fit."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, and_, exists, func, insert, literal, select, tuple_

from herdbook.errors import Corrupt
from herdbook.storage.sql.rows import BATCH, each
from herdbook.storage.sql.tables import (
    aliases,
    datasets,
    manifests,
    models,
    moves,
    parents,
    version_datasets,
    version_manifests,
    versions,
)

Named = dict[tuple[str, str], int]


def version_ids(connection: Connection, wanted: Sequence[tuple[str, str]]) -> Named:
    """Give the ids of versions by (model, number), as far as they are there."""
    asked = (
        select(models.c.name, versions.c.number, versions.c.id)
        .join(models, models.c.id == versions.c.model_id)
        .where(tuple_(models.c.name, versions.c.number).in_(set(wanted)))
    )
    return {(row[0], row[1]): int(row[2]) for row in connection.execute(asked)}


def bind(connection: Connection) -> None:
    """Bind what was added: parents and data sets; see that it fits together."""
    asked = select(versions.c.id, versions.c.facts)
    batch: list[tuple[int, dict[str, Any]]] = []
    for row in each(connection, asked, (versions.c.id,)):
        batch.append((row.id, json.loads(row.facts)))
        if len(batch) == BATCH:
            _relate(connection, batch)
            batch = []
    _relate(connection, batch)
    _check_ordinals(connection)
    _check_champions(connection)
    _check_cycles(connection)
    _check_manifests(connection)


def _check_manifests(connection: Connection) -> None:
    held = exists().where(version_manifests.c.manifest_id == manifests.c.id)
    asked = select(manifests.c.digest).where(~held).order_by(manifests.c.digest).limit(1)
    digest = connection.execute(asked).scalar_one_or_none()
    if digest is not None:
        raise Corrupt(f"no version in the export has the manifest {digest}; it was changed")


def _relate(connection: Connection, batch: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    pairs = [(p["model"], p["number"]) for _, facts in batch for p in facts["parents"]]
    ids: Named = {}
    for part in _parts(pairs):
        ids |= version_ids(connection, part)
    missing = [pair for pair in pairs if pair not in ids]
    if missing:
        raise Corrupt(f"{':'.join(missing[0])} is a parent, but is not in the export")
    _insert(
        connection,
        parents,
        [
            {
                "child_id": child,
                "parent_id": ids[parent["model"], parent["number"]],
                "position": position,
                "kind": parent["kind"],
            }
            for child, facts in batch
            for position, parent in enumerate(facts["parents"])
        ],
    )
    _relate_datasets(
        connection, [(key, name) for key, facts in batch for name in facts["datasets"]]
    )


def _relate_datasets(connection: Connection, used: Sequence[tuple[int, str]]) -> None:
    wanted = list(dict.fromkeys(name for _, name in used))
    ids = _dataset_ids(connection, wanted)
    _insert(connection, datasets, [{"name": name} for name in wanted if name not in ids])
    ids = _dataset_ids(connection, wanted)
    _insert(
        connection,
        version_datasets,
        [{"version_id": key, "dataset_id": ids[name]} for key, name in used],
    )


def _dataset_ids(connection: Connection, wanted: Sequence[str]) -> dict[str, int]:
    asked = select(datasets.c.name, datasets.c.id)
    return {
        name: int(key)
        for part in _parts(wanted)
        for name, key in connection.execute(asked.where(datasets.c.name.in_(part)))
    }


def _check_ordinals(connection: Connection) -> None:
    asked = (
        select(models.c.name)
        .join(versions, versions.c.model_id == models.c.id)
        .where(versions.c.ordinal >= models.c.next_ordinal)
        .limit(1)
    )
    name = connection.execute(asked).scalar_one_or_none()
    if name is not None:
        raise Corrupt(f"the counter of {name} is behind its versions; the export was changed")


def _check_champions(connection: Connection) -> None:
    """See that aliases, versions and models tell the same story."""
    held: dict[str, dict[str, str]] = {}
    asked = (
        select(models.c.name, aliases.c.name, aliases.c.epoch, versions, moves.c.to_id)
        .join(models, models.c.id == aliases.c.model_id)
        .outerjoin(versions, versions.c.id == aliases.c.version_id)
        .outerjoin(
            moves,
            and_(
                moves.c.model_id == aliases.c.model_id,
                moves.c.alias == aliases.c.name,
                moves.c.epoch == aliases.c.epoch,
            ),
        )
    )
    for row in connection.execute(asked):
        if row.to_id != row.id or row.epoch < 1 or (row.id and row.tombstone is not None):
            raise Corrupt(f"{row[0]}@{row[1]} is not where its history put it; it was changed")
        if row.id:
            held.setdefault(row[0], {})[row[1]] = row.number
    _check_told(connection, held)


def _check_told(connection: Connection, held: Mapping[str, Mapping[str, str]]) -> None:
    champions = {name: found.get("champion", "") for name, found in held.items()}
    for name, doc in connection.execute(select(models.c.name, models.c.doc)):
        if json.loads(doc)["aliases"] != held.get(name, {}):
            raise Corrupt(f"the aliases of {name} differ from its own account of them")
    asked = select(models.c.name, versions.c.number, versions.c.status, versions.c.about)
    for name, number, status, about in connection.execute(asked.join(models)):
        own = sorted(alias for alias, at in held.get(name, {}).items() if at == number)
        if (status == "production") != (champions.get(name) == number):
            raise Corrupt(f"{name}:{number} is {status}, its champion {champions.get(name)!r}")
        if json.loads(about)["aliases"] != own or (own and status == "archived"):
            raise Corrupt(f"the aliases of {name}:{number} differ from its own account of them")


def _check_cycles(connection: Connection) -> None:
    # Every cycle has a step whose parent was not registered before its child.
    asked = select(parents.c.child_id, parents.c.parent_id)
    late = asked.where(parents.c.parent_id >= parents.c.child_id)
    for row in each(connection, late, (parents.c.child_id, parents.c.parent_id)):
        if _descends(connection, row.parent_id, row.child_id):
            raise Corrupt("a version in the export is its own ancestor; it was changed")


def _descends(connection: Connection, version: int, ancestor: int) -> bool:
    above = select(literal(version, BigInteger()).label("id")).cte("above", recursive=True)
    # UNION keeps each version once, so that a cycle ends the walk.
    above = above.union(select(parents.c.parent_id).join(above, parents.c.child_id == above.c.id))
    return bool(
        connection.execute(
            select(func.count()).select_from(above).where(above.c.id == ancestor)
        ).scalar_one()
        if version != ancestor
        else 1
    )


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[at : at + BATCH] for at in range(0, len(items), BATCH))


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
