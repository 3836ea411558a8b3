"""Webhooks over HTTP."""

from typing import Annotated

from fastapi import Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.pages import Page
from herdbook.core.webhooks import Delivery, NewWebhook, Webhook, webhook_url
from herdbook.server import outgoing
from herdbook.server.answers import change, give
from herdbook.server.bodies import PAGE, In, PageSize, PageToken
from herdbook.server.routing import Routes
from herdbook.services import webhooks

ROUTES = Routes("webhooks")

WebhookId = Annotated[
    int, Path(json_schema_extra={"minimum": 1, "maximum": 2**31 - 1}, lt=2**31, gt=0)
]


class WebhookIn(In):
    """An address that shall be told of events."""

    url: Annotated[str, Field(description="https://host/path, or http://…")]
    actions: Annotated[list[str], Field(description="Such as `alias.moved`; [] for all.")] = Field(
        default_factory=list
    )
    model: Annotated[str, Field(description="A model, `search/*`, or `*` for all.")] = "*"


@ROUTES.add("POST", "/webhooks", policy=Action.ADMIN, gives=NewWebhook, status=201)
async def create(request: Request, body: WebhookIn) -> Response:
    """Tell an address of events. The signing secret is shown this once."""
    if not request.app.state.webhook_private:
        outgoing.refuse_literal(webhook_url(body.url))
    return await change(
        request,
        webhooks.create,
        body.url,
        actions=body.actions,
        model=body.model,
        success=201,
        secret=True,
    )


@ROUTES.add("GET", "/webhooks", policy=Action.ADMIN, gives=Page[Webhook])
async def page(request: Request, page_size: PageSize = PAGE, page: PageToken = None) -> Response:
    """Give the webhooks."""
    return await give(request, webhooks.page, page_size=page_size, page=page)


@ROUTES.add("DELETE", "/webhooks/{id}", policy=Action.ADMIN, gives=Webhook)
async def remove(request: Request, id: WebhookId) -> Response:
    """Tell an address nothing more; what is on its way is dropped."""
    return await change(request, webhooks.remove, id)


@ROUTES.add("GET", "/webhooks/{id}/deliveries", policy=Action.ADMIN, gives=Page[Delivery])
async def deliveries(
    request: Request, id: WebhookId, page_size: PageSize = PAGE, page: PageToken = None
) -> Response:
    """Give a webhook's deliveries, newest first."""
    return await give(request, webhooks.deliveries, id, page_size=page_size, page=page)
