"""Aliases and their moves over HTTP.

The ETag of an alias is its epoch; a move with `If-Match: "<epoch>"`, or `expected_epoch`, is
refused with 409 and code stale_epoch, whose details hold the present epoch, unless it is there.
"""

from typing import Annotated

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.deployments import Alias, Holding, Move
from herdbook.core.pages import Page
from herdbook.core.refs import CHAMPION
from herdbook.core.wire import dumps, time_value
from herdbook.server.answers import ask, change, expected, give, json_text, ref
from herdbook.server.bodies import (
    PAGE,
    AliasName,
    In,
    ModelName,
    PageSize,
    PageToken,
    Reason,
    Text,
    Whole,
)
from herdbook.server.routing import Routes
from herdbook.services import deployments
from herdbook.services.deployments import SLOTS

ROUTES = Routes("deployments")
ALIAS = "/models/{model:model}/aliases/{alias}"

Epoch = Annotated[Whole | None, Field(description="The epoch the alias must be at.")]


class PromoteIn(In):
    """The version an alias shall point at."""

    version: Annotated[str, Field(description="A number, or `@alias`.")]
    reason: Text = ""
    expected_epoch: Epoch = None


class RollbackIn(In):
    """How far back an alias shall go: by steps, to a number that held it, or to a time."""

    steps: Whole = 1
    to: str = ""
    to_time: Annotated[str | None, Field(description="ISO 8601.")] = None
    reason: Text = ""
    expected_epoch: Epoch = None


class SwitchIn(In):
    """Which of two aliases the champion shall be switched to."""

    to: str = ""
    slots: list[str] = Field(default_factory=lambda: list(SLOTS))
    reason: Text = ""
    expected_epoch: Epoch = None


@ROUTES.add("PUT", ALIAS, policy=Action.DEPLOY, gives=Move)
async def promote(
    request: Request, model: ModelName, alias: AliasName, body: PromoteIn
) -> Response:
    """Point an alias at a version; as champion it enters production."""
    return await change(
        request,
        deployments.promote,
        ref(model, body.version),
        alias=alias,
        reason=body.reason,
        expected_epoch=expected(request, body.expected_epoch),
    )


@ROUTES.add("POST", ALIAS + "/rollback", policy=Action.DEPLOY, gives=Move)
async def rollback(
    request: Request, model: ModelName, alias: AliasName, body: RollbackIn | None = None
) -> Response:
    """Move an alias back along its history."""
    said = body or RollbackIn()
    return await change(
        request,
        deployments.rollback,
        model,
        alias=alias,
        steps=said.steps,
        to=said.to,
        to_time=time_value(said.to_time, field="to_time") if said.to_time is not None else None,
        reason=said.reason,
        expected_epoch=expected(request, said.expected_epoch),
    )


@ROUTES.add("POST", ALIAS + "/switch", policy=Action.DEPLOY, gives=Move)
async def switch(
    request: Request, model: ModelName, alias: AliasName, body: SwitchIn | None = None
) -> Response:
    """Switch an alias to the other of two (blue/green)."""
    said = body or SwitchIn()
    return await change(
        request,
        deployments.switch,
        model,
        alias=alias,
        to=said.to,
        slots=said.slots,
        reason=said.reason,
        expected_epoch=expected(request, said.expected_epoch),
    )


@ROUTES.add("DELETE", ALIAS, policy=Action.DEPLOY, gives=Move)
async def remove(
    request: Request,
    model: ModelName,
    alias: AliasName,
    reason: Reason = "",
    expected_epoch: int | None = None,
) -> Response:
    """Take an alias away; its history stays, a champion leaves production."""
    return await change(
        request,
        deployments.remove,
        model,
        alias,
        reason=reason,
        expected_epoch=expected(request, expected_epoch),
    )


@ROUTES.add("GET", ALIAS, policy=Action.READ, gives=Alias)
async def alias(request: Request, model: ModelName, alias: AliasName) -> Response:
    """Give an alias; its epoch is its ETag."""
    found = await ask(request, deployments.alias, model, alias)
    return json_text(dumps(found), headers={"ETag": f'"{found.epoch}"'})


@ROUTES.add("GET", "/deployments/history", policy=Action.READ, gives=Page[Move])
async def history(
    request: Request,
    model: Annotated[str, Query(description="One model; left out, all.")] = "",
    alias: Annotated[str, Query(description="One alias; left out, all.")] = "",
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give moves, newest first."""
    return await give(
        request,
        deployments.history,
        model=model,
        alias=alias,
        page_size=page_size,
        page=page,
    )


@ROUTES.add("GET", "/deployments", policy=Action.READ, gives=Page[Holding])
async def at(
    request: Request,
    time: Annotated[str, Query(description="When, ISO 8601; left out, now.")] = "",
    model: Annotated[str, Query(description="One model; left out, all.")] = "",
    alias: str = CHAMPION,
) -> Response:
    """Tell what was in production at a time, and who put it there."""
    when = time_value(time) if time else None
    return await give(request, deployments.at, time=when, model=model, alias=alias)
