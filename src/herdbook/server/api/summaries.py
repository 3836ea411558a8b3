"""Comparisons and sums over HTTP."""

from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.models import Version
from herdbook.core.summaries import Comparison, Summary
from herdbook.server.answers import give
from herdbook.server.bodies import FilterText
from herdbook.server.routing import Routes
from herdbook.services import summaries

ROUTES = Routes("summaries")

OneModel = Annotated[str, Query(description="One model; left out, all.")]


@ROUTES.add("GET", "/compare", policy=Action.READ, gives=Comparison)
async def compare(
    request: Request,
    refs: Annotated[list[str], Query(description="2 to 20, such as `majora:v1`.")],
    everything: Annotated[bool, Query(description="Also what does not differ.")] = False,  # noqa: FBT002
) -> Response:
    """Set versions side by side; only what differs unless everything is asked for."""
    return await give(request, summaries.compare, refs=refs, everything=everything)


@ROUTES.add("GET", "/best", policy=Action.READ, gives=Version)
async def best(
    request: Request,
    metric: Annotated[str, Query(description="Whose better direction is known.")],
    model: OneModel = "",
    text: FilterText = "",
) -> Response:
    """Give the version that scores best at a metric."""
    return await give(request, summaries.best, metric=metric, model=model, filter=text)


@ROUTES.add("GET", "/cheapest", policy=Action.READ, gives=Version)
async def cheapest(request: Request, model: OneModel = "", text: FilterText = "") -> Response:
    """Give the version that cost least to train."""
    return await give(request, summaries.cheapest, model=model, filter=text)


@ROUTES.add("GET", "/summary", policy=Action.READ, gives=Summary)
async def summary(request: Request, model: OneModel = "") -> Response:
    """Sum up a model, or the whole register."""
    return await give(request, summaries.summary, model=model)
