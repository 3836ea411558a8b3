"""The audit log over HTTP."""

from typing import Annotated

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.events import Checkpoint, Event, Verdict
from herdbook.core.pages import Page
from herdbook.core.wire import dumps
from herdbook.server.answers import caller, give, json_text, register
from herdbook.server.bodies import PAGE, In, PageSize, PageToken, Whole
from herdbook.server.routing import Routes
from herdbook.services import events

ROUTES = Routes("events")


class CheckpointIn(In):
    """Where the log stood once."""

    seq: Annotated[Whole, Field(ge=0)]
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class VerifyIn(In):
    """What the log is checked against; left out, only against itself."""

    against: CheckpointIn | None = None


@ROUTES.add("GET", "/events", policy=Action.READ, gives=Page[Event])
async def page(
    request: Request,
    model: Annotated[str, Query(description="One model; all of them needs admin.")] = "",
    action: Annotated[str, Query(description="Such as `alias.moved`; left out, all.")] = "",
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give events in the order they happened."""
    return await give(
        request, events.page, model=model, action=action, page_size=page_size, page=page
    )


@ROUTES.add("GET", "/events/checkpoint", policy=Action.ADMIN, gives=Checkpoint)
async def checkpoint(request: Request) -> Response:
    """Tell where the log stands, to be kept outside the database."""
    return await give(request, events.checkpoint)


@ROUTES.add("POST", "/events/verify", policy=Action.ADMIN, gives=Verdict)
async def verify(request: Request, body: VerifyIn | None = None) -> Response:
    """Check the whole log, against a checkpoint kept outside when there is one."""
    said = body.against if body else None
    against = Checkpoint(said.seq, said.hash) if said else None

    def whole() -> str:
        with register(request).opened(caller(request).actor) as work:
            return dumps(events.verify(work, against=against))

    return json_text(await register(request).slowly(whole))
