"""Pedigree over HTTP: as JSON, as a tree of text, as DOT, as OpenLineage events."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.lineage import (
    DEPTH_LIMIT,
    DataLineage,
    Dataset,
    Pedigree,
    Relative,
    tree,
)
from herdbook.core.pages import PAGE_LIMIT, Page
from herdbook.core.wire import dumps
from herdbook.protocols.dot import dot
from herdbook.protocols.openlineage import events
from herdbook.server.answers import ask, give, json_text, ref
from herdbook.server.api.versions import VERSION
from herdbook.server.bodies import PAGE, ModelName, PageSize, PageToken, VersionName
from herdbook.server.routing import Routes
from herdbook.services import lineage

ROUTES = Routes("lineage")

Depth = Annotated[
    int,
    Query(
        description="How many steps away at most.",
        json_schema_extra={"minimum": 1, "maximum": DEPTH_LIMIT},
    ),
]


class Form(StrEnum):
    """How a pedigree is written."""

    JSON = "json"
    TEXT = "text"
    DOT = "dot"
    OPENLINEAGE = "openlineage"


Format = Annotated[Form, Query(alias="format", description="How it is written.")]
_DRAWN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The pedigree: as JSON, or as text, DOT or OpenLineage events.",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Pedigree"}},
            "text/plain": {"schema": {"type": "string"}},
            "text/vnd.graphviz": {"schema": {"type": "string"}},
            "application/x-openlineage+json": {
                "schema": {"type": "array", "items": {"type": "object"}}
            },
        },
    }
}


def _written(found: Pedigree, form: Form, *, title: str) -> Response:
    match form:
        case Form.TEXT:
            return Response(tree(found, title=title) + "\n", media_type="text/plain")
        case Form.DOT:
            return Response(dot(found) + "\n", media_type="text/vnd.graphviz")
        case Form.OPENLINEAGE:
            told = dumps(events(found, at=datetime.now(UTC)))
            return Response(told, media_type="application/x-openlineage+json")
        case Form.JSON:
            return json_text(dumps(found))


@ROUTES.add("GET", VERSION + "/ancestors", policy=Action.READ, gives=Page[Relative])
async def ancestors(
    request: Request,
    model: ModelName,
    version: VersionName,
    depth: Depth = DEPTH_LIMIT,
    page_size: PageSize = PAGE_LIMIT,
    page: PageToken = None,
) -> Response:
    """Give the versions this one came from, nearest first."""
    return await give(
        request,
        lineage.ancestors,
        ref(model, version),
        depth=depth,
        page_size=page_size,
        page=page,
    )


@ROUTES.add("GET", VERSION + "/descendants", policy=Action.READ, gives=Page[Relative])
async def descendants(
    request: Request,
    model: ModelName,
    version: VersionName,
    depth: Depth = DEPTH_LIMIT,
    page_size: PageSize = PAGE_LIMIT,
    page: PageToken = None,
) -> Response:
    """Give the versions that came from this one, nearest first."""
    return await give(
        request,
        lineage.descendants,
        ref(model, version),
        depth=depth,
        page_size=page_size,
        page=page,
    )


@ROUTES.add("GET", VERSION + "/lineage", policy=Action.READ, gives=Pedigree, responses=_DRAWN)
async def around(
    request: Request,
    model: ModelName,
    version: VersionName,
    depth: Depth = DEPTH_LIMIT,
    form: Format = Form.JSON,
) -> Response:
    """Give a version with its ancestors and descendants and the steps between them."""
    found = await ask(request, lineage.around, ref(model, version), depth=depth)
    return _written(found, form, title=f"{ref(model, version)} relatives:")


@ROUTES.add("GET", VERSION + "/data", policy=Action.READ, gives=DataLineage)
async def data(request: Request, model: ModelName, version: VersionName) -> Response:
    """Give every data set a version learned from, itself or through its ancestors."""
    return await give(request, lineage.data, ref(model, version))


@ROUTES.add(
    "GET", "/models/{model:model}/lineage", policy=Action.READ, gives=Pedigree, responses=_DRAWN
)
async def pedigree(request: Request, model: ModelName, form: Format = Form.JSON) -> Response:
    """Give all versions of a model, their direct relatives and the steps between."""
    found = await ask(request, lineage.pedigree, model)
    return _written(found, form, title=f"{model} version tree:")


@ROUTES.add("GET", "/datasets", policy=Action.READ, gives=Page[Dataset])
async def datasets(
    request: Request, page_size: PageSize = PAGE, page: PageToken = None
) -> Response:
    """Give the data sets versions were trained on, by name."""
    return await give(request, lineage.datasets, page_size=page_size, page=page)
