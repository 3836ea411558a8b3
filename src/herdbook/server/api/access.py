"""Tokens over HTTP."""

from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action, NewToken, Token
from herdbook.core.pages import Page
from herdbook.server.answers import change, give
from herdbook.server.bodies import PAGE, In, PageSize, PageToken, Whole
from herdbook.server.routing import Routes
from herdbook.services import access
from herdbook.services.access import DEFAULT_DAYS

ROUTES = Routes("tokens")


class TokenIn(In):
    """A token to be made."""

    name: Annotated[str, Field(description="Whose or what for.")]
    roles: Annotated[
        list[str],
        Field(description="`viewer`, `contributor`, `deployer`, `admin`, or `viewer:search/*`."),
    ]
    days: Annotated[Whole | None, Field(description="How long it counts; null for ever.")] = (
        DEFAULT_DAYS
    )


@ROUTES.add("POST", "/tokens", policy=Action.ADMIN, gives=NewToken, status=201)
async def create(request: Request, body: TokenIn) -> Response:
    """Make a token. Its text is shown this once, to an idempotency key too."""
    return await change(
        request,
        access.create,
        body.name,
        roles=body.roles,
        days=body.days,
        success=201,
        secret=True,
    )


@ROUTES.add("GET", "/tokens", policy=Action.ADMIN, gives=Page[Token])
async def page(request: Request, page_size: PageSize = PAGE, page: PageToken = None) -> Response:
    """Give the tokens, newest first."""
    return await give(request, access.page, page_size=page_size, page=page)


@ROUTES.add("DELETE", "/tokens/{id}", policy=Action.ADMIN, gives=Token)
async def revoke(request: Request, id: str) -> Response:
    """Make a token count no more, within a second."""
    return await change(request, access.revoke, id)
