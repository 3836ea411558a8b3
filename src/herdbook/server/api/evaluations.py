"""Scores and operational averages over HTTP."""

from typing import Annotated

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.evaluations import Metric, Observation, Operational
from herdbook.core.models import Version
from herdbook.core.pages import Page
from herdbook.server.answers import change, give, ref
from herdbook.server.api.versions import VERSION
from herdbook.server.bodies import (
    PAGE,
    Flag,
    In,
    ModelName,
    Number,
    PageSize,
    PageToken,
    VersionName,
)
from herdbook.server.routing import Routes
from herdbook.services import evaluations

ROUTES = Routes("evaluations")


class ScoreIn(In):
    """Scores of a version."""

    metrics: dict[str, Number]
    source: Annotated[str, Field(description="What scored it: a script, a suite.")] = ""
    dataset: Annotated[str, Field(description="The data set it was scored on.")] = ""


class ObservationIn(In):
    """One served request."""

    inference_time_ms: Number | None = None
    confidence: Number | None = None
    error: Flag = False


class ObserveIn(In):
    """Served requests, up to 10,000."""

    observations: list[ObservationIn]


@ROUTES.add("POST", VERSION + "/metrics", policy=Action.WRITE, gives=Version)
async def score(
    request: Request, model: ModelName, version: VersionName, body: ScoreIn
) -> Response:
    """Record scores of a version; each becomes the newest of its name."""
    return await change(
        request,
        evaluations.score,
        ref(model, version),
        metrics=body.metrics,
        source=body.source,
        dataset=body.dataset,
    )


@ROUTES.add("GET", VERSION + "/metrics", policy=Action.READ, gives=Page[Metric])
async def history(
    request: Request,
    model: ModelName,
    version: VersionName,
    name: Annotated[str, Query(description="One metric; left out, all.")] = "",
    page_size: PageSize = PAGE,
    page: PageToken = None,
) -> Response:
    """Give every score of a version, newest first."""
    return await give(
        request,
        evaluations.history,
        ref(model, version),
        name=name,
        page_size=page_size,
        page=page,
    )


@ROUTES.add("POST", VERSION + "/observations", policy=Action.WRITE, gives=Operational)
async def observe(
    request: Request, model: ModelName, version: VersionName, body: ObserveIn
) -> Response:
    """Fold served requests into a version's operational averages."""
    found = [
        Observation(
            inference_time_ms=each.inference_time_ms,
            confidence=each.confidence,
            error=each.error,
        )
        for each in body.observations
    ]
    return await change(request, evaluations.observe, ref(model, version), observations=found)


@ROUTES.add("GET", VERSION + "/operational", policy=Action.READ, gives=Operational)
async def operational(request: Request, model: ModelName, version: VersionName) -> Response:
    """Give a version's operational averages."""
    return await give(request, evaluations.operational, ref(model, version))
