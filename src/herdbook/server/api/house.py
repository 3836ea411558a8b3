"""How the server itself fares: alive, ready, its metrics, its own description."""

from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.errors import HerdbookError, SchemaMismatch, Unavailable
from herdbook.server.answers import caller, json_text, register
from herdbook.server.auth import Gate
from herdbook.server.log import logger
from herdbook.server.observing import Observer
from herdbook.server.routing import Bare, Open
from herdbook.storage.sql.schema import HEAD


async def healthz(request: Request) -> Response:  # noqa: ARG001
    """Tell that the server runs."""
    return json_text('{"status":"ok"}')


async def readyz(request: Request) -> Response:
    """Tell whether the database can be written and read, and is at the right revision."""
    try:
        at = await register(request).probe()
    except HerdbookError as error:
        logger().warning("not ready", detail=error.message)
        raise _not_ready(error, shown=await _is_known(request)) from error
    if at != HEAD:
        raise SchemaMismatch(
            "the database is at another revision than this program; run `herdbook db upgrade`"
        )
    return json_text('{"status":"ready"}')


def _not_ready(error: HerdbookError, *, shown: bool) -> Unavailable:
    # Where the database is and what ails it is nobody's business who has no token.
    return Unavailable(error.message if shown else "the database cannot be used now")


async def _is_known(request: Request) -> bool:
    gate: Gate = request.app.state.gate
    try:
        return bool(await gate.caller(request))
    except HerdbookError:
        return False


async def metrics(request: Request) -> Response:
    """Give the server's metrics and the register's as Prometheus reads them.

    They name models, so whoever asks must be allowed to see all of them.
    """
    caller(request).actor.allow(Action.READ)
    observer: Observer = request.app.state.observer
    return Response(await observer.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def description(request: Request) -> Response:
    """Give the OpenAPI description."""
    return Response(request.app.state.description, media_type="application/json")


BARE = (
    Bare("/healthz", healthz, policy=Open.TO_ANYONE),
    Bare("/readyz", readyz, policy=Open.TO_ANYONE),
    Bare("/openapi.json", description, policy=Open.TO_ANYONE),
    Bare("/metrics", metrics, policy=Action.READ),
)
