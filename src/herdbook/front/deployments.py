"""`book.deployments`."""

from datetime import datetime

from herdbook.core.deployments import Alias, Holding, Move
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.refs import CHAMPION
from herdbook.core.wire import time_value
from herdbook.front.door import Door


class Deployments:
    """Where versions serve: aliases and the history of their moves."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def promote(
        self,
        ref: str,
        *,
        alias: str = CHAMPION,
        reason: str = "",
        expected_epoch: int | None = None,
    ) -> Move:
        """Point an alias at a version; as champion it enters production.

        Args:
            ref: the version, such as `majora:v2`.
            alias: the alias to move.
            reason: why, kept with the move.
            expected_epoch: refuse with StaleEpoch unless the alias is at this epoch.
        """
        return self._door.call(
            Move,
            "deployments.promote",
            ref=ref,
            alias=alias,
            reason=reason,
            expected_epoch=expected_epoch,
        )

    def rollback(  # noqa: PLR0913 - the three ways to say where to
        self,
        model: str,
        *,
        alias: str = CHAMPION,
        steps: int = 1,
        to: str = "",
        to_time: datetime | str | None = None,
        reason: str = "",
        expected_epoch: int | None = None,
    ) -> Move:
        """Move an alias back: by steps, to a version that held it, or to a time."""
        return self._door.call(
            Move,
            "deployments.rollback",
            model=model,
            alias=alias,
            steps=steps,
            to=to,
            to_time=_time(to_time),
            reason=reason,
            expected_epoch=expected_epoch,
        )

    def set_current(self, ref: str, *, reason: str = "") -> Alias:
        """Make a version the champion; one that is already stays so."""
        return self._door.call(Alias, "deployments.set_current", ref=ref, reason=reason)

    def set_deployed(self, ref: str, *, deployed: bool = True, reason: str = "") -> Alias:
        """Put a version into production, or take it out; asked for twice, it is done once."""
        return self._door.call(
            Alias, "deployments.set_deployed", ref=ref, deployed=deployed, reason=reason
        )

    def switch(
        self,
        model: str,
        *,
        to: str = "",
        slots: tuple[str, str] = ("blue", "green"),
        alias: str = CHAMPION,
        reason: str = "",
        expected_epoch: int | None = None,
    ) -> Move:
        """Switch the champion to the other of two aliases (blue/green)."""
        return self._door.call(
            Move,
            "deployments.switch",
            model=model,
            to=to,
            slots=list(slots),
            alias=alias,
            reason=reason,
            expected_epoch=expected_epoch,
        )

    def remove(
        self, model: str, alias: str, *, reason: str = "", expected_epoch: int | None = None
    ) -> Move:
        """Take an alias away; its history stays."""
        return self._door.call(
            Move,
            "deployments.remove",
            model=model,
            alias=alias,
            reason=reason,
            expected_epoch=expected_epoch,
        )

    def alias(self, model: str, alias: str = CHAMPION) -> Alias:
        """Give an alias and its epoch."""
        return self._door.call(Alias, "deployments.alias", model=model, alias=alias)

    def history(
        self,
        model: str = "",
        *,
        alias: str = "",
        page_size: int = PAGE_DEFAULT,
        page: str | None = None,
    ) -> Page[Move]:
        """Give moves, newest first."""
        return self._door.page(
            Move,
            "deployments.history",
            model=model,
            alias=alias,
            page_size=page_size,
            page=page,
        )

    def at(
        self, time: datetime | str | None = None, *, model: str = "", alias: str = CHAMPION
    ) -> Page[Holding]:
        """Tell what was in production at a time, and who put it there."""
        return self._door.page(
            Holding, "deployments.at", time=_time(time), model=model, alias=alias
        )


def _time(given: datetime | str | None) -> datetime | None:
    return time_value(given) if isinstance(given, str) else given
