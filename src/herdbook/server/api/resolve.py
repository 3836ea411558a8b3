"""The hot path: what a reference points at, with an ETag, without a framework in between."""

from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.refs import VersionRef
from herdbook.server.answers import give_version
from herdbook.server.routing import Bare


async def resolve(request: Request) -> Response:
    """Give the version a reference points at, or 304 when the caller has it already."""
    return await give_version(request, VersionRef.parse(request.path_params["ref"]))


RESOLVE = Bare("/resolve/{ref:path}", resolve, policy=Action.READ)
