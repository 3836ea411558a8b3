"""Aliases and their history in the database."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from herdbook.core import wire
from herdbook.core.access import Actor
from herdbook.core.deployments import Alias, Holding, Move
from herdbook.core.pages import Page, page_position, page_token
from herdbook.core.refs import VersionRef
from herdbook.errors import StaleEpoch
from herdbook.storage.sql import search
from herdbook.storage.sql.models import SqlModels
from herdbook.storage.sql.prepared import Prepared
from herdbook.storage.sql.rows import micros, moment
from herdbook.storage.sql.tables import aliases, models, moves, versions
from herdbook.storage.sql.versions import SqlVersions

# Statements are built once, at import: building one costs more than running it.
_HERE = (aliases.c.model_id == bindparam("own"), aliases.c.name == bindparam("alias"))
_MOVED = (moves.c.model_id == bindparam("own"), moves.c.alias == bindparam("alias"))
_GET = Prepared(
    select(versions.c.number, aliases.c.epoch, aliases.c.moved_at, aliases.c.moved_by)
    .join(versions, versions.c.id == aliases.c.version_id)
    .where(*_HERE)
)
_EPOCH = Prepared(select(aliases.c.epoch).where(*_HERE))
_ROW = {
    "version_id": bindparam("to", type_=aliases.c.version_id.type),
    "epoch": bindparam("to_epoch"),
    "moved_at": bindparam("at"),
    "moved_by": bindparam("who"),
}
_FIRST = insert(aliases).values(model_id=bindparam("own"), name=bindparam("alias"), **_ROW)
_SWAP = Prepared(
    update(aliases).where(*_HERE, aliases.c.epoch == bindparam("to_epoch") - 1).values(**_ROW)
)
_KEEP = Prepared(
    insert(moves), columns=("model_id", "alias", "epoch", "from_id", "to_id", "at", "doc")
)
_AT_EPOCH = Prepared(select(moves.c.doc).where(*_MOVED, moves.c.epoch == bindparam("epoch")))
_LAST_TO = Prepared(
    select(moves.c.doc)
    .where(*_MOVED, moves.c.to_id == bindparam("to"))
    .order_by(moves.c.epoch.desc())
    .limit(1)
)


class SqlDeployments:
    """The aliases and the history of their moves."""

    def __init__(
        self, connection: Connection, by: Actor, models: SqlModels, versions: SqlVersions
    ) -> None:
        self._connection = connection
        self._by = by
        self._models = models
        self._versions = versions

    def get(self, model: str, alias: str) -> Alias | None:
        """Give an alias, or None when it points nowhere."""
        asked = {"own": self._models.id(model), "alias": alias}
        row = _GET.row(self._connection, asked)
        if row is None:
            return None
        return Alias(
            model=model,
            name=alias,
            number=row.number,
            epoch=row.epoch,
            moved_at=moment(row.moved_at),
            moved_by=row.moved_by,
        )

    def epoch(self, model: str, alias: str) -> int:
        """The epoch an alias is at; 0 before its first move; kept after a removal."""
        asked = {"own": self._models.id(model), "alias": alias}
        row = _EPOCH.row(self._connection, asked)
        return int(row.epoch) if row else 0

    def move(self, move: Move) -> None:
        """Move an alias by compare-and-set and write its history; StaleEpoch when it moved."""
        own = self._models.id(move.model)
        target = self._id(move.model, move.to_number)
        row = {"to": target, "at": micros(move.at), "who": move.by, "to_epoch": move.epoch}
        place = {"own": own, "alias": move.alias}
        if not self._swapped(row | place):
            present = self.epoch(move.model, move.alias)
            raise StaleEpoch(
                f"{move.model}@{move.alias} is at epoch {present}, not {move.epoch - 1}: it "
                "moved meanwhile",
                details={"epoch": present},
            )
        _KEEP.count(
            self._connection,
            {
                "model_id": own,
                "alias": move.alias,
                "epoch": move.epoch,
                "from_id": self._id(move.model, move.from_number),
                "to_id": target,
                "at": micros(move.at),
                "doc": wire.dumps(move),
            },
        )

    def _swapped(self, row: dict[str, Any]) -> bool:
        if row["to_epoch"] > 1:
            return _SWAP.count(self._connection, row) == 1
        try:
            with self._connection.begin_nested():
                self._connection.execute(_FIRST, row)
        except IntegrityError:  # it is there: its first move was made before
            return False
        return True

    def _id(self, model: str, number: str) -> int | None:
        return self._versions.id(VersionRef(model, number)) if number else None

    def moves(
        self, *, model: str | None, alias: str | None, size: int, page: str | None
    ) -> Page[Move]:
        """Give moves, newest first."""
        shape = f"moves {model} {alias}"
        position = page_position(page, shape=shape, kinds=(int,))
        asked: Select[Any] = select(moves.c.doc, moves.c.id).join(
            models, models.c.id == moves.c.model_id
        )
        asked = self._seen(asked)
        if model is not None:
            asked = asked.where(models.c.name == model)
        if alias is not None:
            asked = asked.where(moves.c.alias == alias)
        if position is not None:
            asked = asked.where(moves.c.id < position[0])
        rows = self._connection.execute(asked.order_by(moves.c.id.desc()).limit(size + 1)).all()
        items = tuple(_decoded(row.doc) for row in rows[:size])
        if len(rows) <= size:
            return Page(items)
        return Page(items, page_token(shape, [rows[size - 1].id]))

    def _seen(self, asked: Select[Any]) -> Select[Any]:
        return asked if self._by.sees_all() else asked.where(search.visible(self._by.grants))

    def at_epoch(self, model: str, alias: str, epoch: int) -> Move | None:
        """Give the move that brought an alias to an epoch."""
        asked = {"own": self._models.id(model), "alias": alias, "epoch": epoch}
        return self._one(_AT_EPOCH, asked)

    def last_to(self, model: str, alias: str, number: str) -> Move | None:
        """Give the newest move that brought an alias to a version."""
        own = self._models.id(model)
        asked = {"own": own, "alias": alias, "to": self._id(model, number)}
        return self._one(_LAST_TO, asked)

    def _one(self, asked: Prepared, given: dict[str, Any]) -> Move | None:
        row = asked.row(self._connection, given)
        return None if row is None else _decoded(row.doc)

    def at(self, at: datetime, *, model: str | None, alias: str | None) -> Sequence[Holding]:
        """Give what aliases pointed at then, by model and alias; removed ones left out."""
        newest = (
            select(moves.c.model_id, moves.c.alias, func.max(moves.c.epoch).label("epoch"))
            .where(moves.c.at <= micros(at))
            .group_by(moves.c.model_id, moves.c.alias)
        )
        if alias is not None:
            newest = newest.where(moves.c.alias == alias)
        if model is not None:
            newest = newest.where(moves.c.model_id == self._models.id(model))
        then, after = newest.subquery(), moves.alias()
        asked = (
            select(moves.c.doc, after.c.at.label("until"))
            .join(
                then,
                and_(
                    moves.c.model_id == then.c.model_id,
                    moves.c.alias == then.c.alias,
                    moves.c.epoch == then.c.epoch,
                ),
            )
            .join(models, models.c.id == moves.c.model_id)
            .outerjoin(
                after,
                and_(
                    after.c.model_id == moves.c.model_id,
                    after.c.alias == moves.c.alias,
                    after.c.epoch == moves.c.epoch + 1,
                ),
            )
            .where(moves.c.to_id.is_not(None))
            .order_by(models.c.name, moves.c.alias)
        )
        return [
            Holding(since=_decoded(row.doc), until=moment(row.until) if row.until else None)
            for row in self._connection.execute(self._seen(asked))
        ]

    def numbers(self, alias: str, *, limit: int) -> Mapping[str, str]:
        """Give the numbers an alias points at, by model: the first `limit` by name."""
        asked = (
            select(models.c.name, versions.c.number)
            .select_from(aliases)
            .join(models, models.c.id == aliases.c.model_id)
            .join(versions, versions.c.id == aliases.c.version_id)
            .where(aliases.c.name == alias)
            .order_by(models.c.name)
            .limit(limit)
        )
        return {row.name: row.number for row in self._connection.execute(self._seen(asked))}


def _decoded(doc: str) -> Move:
    return wire.value(Move, json.loads(doc))
