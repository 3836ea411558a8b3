"""Aliases and their history in the database."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, select, update

from herdbook.core import wire
from herdbook.core.access import Actor
from herdbook.core.deployments import Alias, Holding, Move
from herdbook.core.pages import Page, page_position, page_token
from herdbook.errors import StaleEpoch
from herdbook.storage.sql import search
from herdbook.storage.sql.rows import micros, moment
from herdbook.storage.sql.tables import aliases, models, moves, versions


class SqlDeployments:
    """The aliases and the history of their moves."""

    def __init__(self, connection: Connection, by: Actor) -> None:
        self._connection = connection
        self._by = by

    def get(self, model: str, alias: str) -> Alias | None:
        """Give an alias, or None when it points nowhere."""
        asked = (
            select(versions.c.number, aliases)
            .join(models, models.c.id == aliases.c.model_id)
            .join(versions, versions.c.id == aliases.c.version_id)
            .where(models.c.name == model, aliases.c.name == alias)
        )
        row = self._connection.execute(asked).one_or_none()
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
        asked = select(aliases.c.epoch).where(_is(model), aliases.c.name == alias)
        return int(self._connection.execute(asked).scalar_one_or_none() or 0)

    def move(self, move: Move) -> None:
        """Move an alias by compare-and-set and write its history; StaleEpoch when it moved."""
        target = _version_id(move.model, move.to_number) if move.to_number else None
        row = {
            "version_id": target,
            "epoch": move.epoch,
            "moved_at": micros(move.at),
            "moved_by": move.by,
        }
        if move.epoch == 1:
            self._connection.execute(
                insert(aliases).values(model_id=_model_id(move.model), name=move.alias, **row)
            )
        else:
            self._swap(move, row)
        self._connection.execute(
            insert(moves).values(
                model_id=_model_id(move.model),
                alias=move.alias,
                epoch=move.epoch,
                from_id=_version_id(move.model, move.from_number) if move.from_number else None,
                to_id=target,
                at=micros(move.at),
                doc=wire.dumps(move),
            )
        )

    def _swap(self, move: Move, row: dict[str, Any]) -> None:
        swapped = self._connection.execute(
            update(aliases)
            .where(
                _is(move.model),
                aliases.c.name == move.alias,
                aliases.c.epoch == move.epoch - 1,
            )
            .values(**row)
        )
        if swapped.rowcount != 1:
            present = self.epoch(move.model, move.alias)
            raise StaleEpoch(
                f"{move.model}@{move.alias} is at epoch {present}, not {move.epoch - 1}: it "
                "moved meanwhile",
                details={"epoch": present},
            )

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
        return asked if self._by.sees_all() else asked.where(search.visible(self._by))

    def at_epoch(self, model: str, alias: str, epoch: int) -> Move | None:
        """Give the move that brought an alias to an epoch."""
        return self._one(
            select(moves.c.doc).where(
                moves.c.model_id == _model_id(model),
                moves.c.alias == alias,
                moves.c.epoch == epoch,
            )
        )

    def last_to(self, model: str, alias: str, number: str) -> Move | None:
        """Give the newest move that brought an alias to a version."""
        return self._one(
            select(moves.c.doc)
            .where(
                moves.c.to_id == _version_id(model, number),
                moves.c.model_id == _model_id(model),
                moves.c.alias == alias,
            )
            .order_by(moves.c.epoch.desc())
            .limit(1)
        )

    def _one(self, asked: Select[Any]) -> Move | None:
        doc = self._connection.execute(asked).scalar_one_or_none()
        return None if doc is None else _decoded(doc)

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
            newest = newest.where(moves.c.model_id == _model_id(model))
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


def _decoded(doc: str) -> Move:
    return wire.value(Move, json.loads(doc))


def _model_id(name: str) -> Any:
    return select(models.c.id).where(models.c.name == name).scalar_subquery()


def _is(model: str) -> Any:
    return aliases.c.model_id == _model_id(model)


def _version_id(model: str, number: str) -> Any:
    return (
        select(versions.c.id)
        .where(versions.c.model_id == _model_id(model), versions.c.number == number)
        .scalar_subquery()
    )
