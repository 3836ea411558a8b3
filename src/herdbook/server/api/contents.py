"""What is inside versions, over HTTP, and what changed between two."""

from functools import partial
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.contents import Changes, Inside
from herdbook.core.wire import dumps
from herdbook.server.answers import json_text, ref
from herdbook.server.api.versions import VERSION
from herdbook.server.bodies import ModelName, VersionName
from herdbook.server.routing import Routes
from herdbook.server.stores import comparing, moving, store_of
from herdbook.services import inspection

ROUTES = Routes("contents")

Ref = Annotated[str, Query(description="A version, such as `majora:v1` or `majora@champion`.")]
Quick = Annotated[bool, Query(description="Read no bytes: compare by what is known already.")]


@ROUTES.add("GET", VERSION + "/contents", policy=Action.READ, gives=Inside)
async def inside(request: Request, model: ModelName, version: VersionName) -> Response:
    """Tell what is inside a version: formats, parameters, labels, and what can execute on load.

    Nothing of it is executed. What was found in a file is remembered by its digest.
    """
    job = partial(inspection.inspect, store_of(request), str(ref(model, version)))
    return json_text(await moving(lambda: dumps(job())))


@ROUTES.add("GET", "/artifacts/changes", policy=Action.READ, gives=Changes)
async def changes(
    request: Request,
    old: Ref,
    new: Ref,
    quick: Quick = False,  # noqa: FBT002 - an argument of the address, always named
) -> Response:
    """Tell what changed from one version to another: files, labels, tensors and how far they moved.

    The first time this reads all the tensors that may have changed; it takes as long as that.
    """
    job = partial(inspection.changes, store_of(request), old, new, quick=quick)
    return json_text(await comparing(lambda: dumps(job())))
