"""Where versions serve: aliases, their epochs, and the history of every move."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class MoveKind(StrEnum):
    """Why an alias moved."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    SWITCH = "switch"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A movable name of a version; one row per (model, alias).

    Args:
        model: the model's name.
        name: such as `champion`.
        number: the version it points at.
        epoch: 1, 2, 3…; each move raises it by one.
        moved_at: when it came to point there.
        moved_by: who moved it.
    """

    model: str
    name: str
    number: str
    epoch: int
    moved_at: datetime
    moved_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of an alias: who, when, why, from where, to where.

    Args:
        model: the model's name.
        alias: the alias that moved.
        epoch: its epoch after the move.
        kind: promote, rollback, switch or remove.
        from_number: the version it pointed at before, or "" at its first move.
        to_number: the version it points at since, or "" after a removal.
        back_epoch: the epoch whose version one step of rollback restores; 0 when none.
        at: when.
        by: who.
        reason: why, in the mover's words.
        statuses: the statuses that changed with it: number to new status.
    """

    model: str
    alias: str
    epoch: int
    kind: MoveKind
    from_number: str
    to_number: str
    back_epoch: int
    at: datetime
    by: str
    reason: str = ""
    statuses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Which version an alias pointed at in a stretch of time, and who put it there.

    Args:
        since: the move that brought it there.
        until: when it moved on, or None when it has not.
    """

    since: Move
    until: datetime | None = None
