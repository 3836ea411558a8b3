"""The app: its routes, its guards, what runs beside them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware

from herdbook.bootstrap import actor_name
from herdbook.core.access import everything
from herdbook.server import description, problems
from herdbook.server.api import (
    access,
    artifacts,
    contents,
    deployments,
    documents,
    drift,
    evaluations,
    events,
    experiments,
    house,
    lineage,
    migrating,
    models,
    summaries,
    transfer,
    versions,
    webhooks,
)
from herdbook.server.api.resolve import RESOLVE
from herdbook.server.auth import Gate
from herdbook.server.envelope import Envelope
from herdbook.server.flags import Flags
from herdbook.server.leading import Leader
from herdbook.server.metrics import Metrics
from herdbook.server.observing import Observer
from herdbook.server.outbox import Outbox
from herdbook.server.protocols import ofrep
from herdbook.server.refusals import Refusals
from herdbook.server.repeats import Repeats
from herdbook.server.transactions import Register
from herdbook.server.visitors import LOCAL_HOSTS, Visitors
from herdbook.settings import Settings
from herdbook.storage import blobs
from herdbook.storage.sql.engine import Database

# The longer addresses come before the shorter ones they would also fit.
NOUNS = (
    artifacts,
    contents,
    drift,
    versions,
    evaluations,
    lineage,
    deployments,
    summaries,
    events,
    experiments,
    documents,
    migrating,
    ofrep,
    access,
    webhooks,
    transfer,
    models,
)


def create_app(database: Database, *, auth: bool, settings: Settings | None = None) -> Starlette:
    """Make the app that serves a register.

    Args:
        database: opened and at the right revision; closing it is the caller's.
        auth: whether a token is needed. Without it everyone who reaches the socket may do
            everything, so the socket must be on loopback.
        settings: who acts in local mode, the names to answer to, where webhooks may go.
    """
    settings = settings or Settings(home=Path())
    metrics, register = Metrics(), Register(database)
    observer = Observer(register, metrics, models=settings.metrics_models)
    outbox = Outbox(register, metrics=metrics, private=settings.webhook_private)
    declared = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    declared.router.routes += [*house.BARE, RESOLVE]
    for noun in NOUNS:
        noun.ROUTES.install(declared)
    # FastAPI reads and describes the routes; what it would put around each request is not used.
    app = Starlette(
        routes=declared.router.routes,
        exception_handlers=problems.HANDLERS,
        lifespan=_beside(
            outbox, Leader(register, metrics=metrics), Repeats(register, metrics), observer
        ),
        middleware=[
            Middleware(Envelope, metrics=metrics),
            Middleware(Visitors, hosts=_hosts(settings, auth=auth), local=not auth),
        ],
    )
    app.state.register = register
    app.state.metrics = metrics
    app.state.observer = observer
    app.state.blobs = blobs.opened(settings.blobs_address)
    app.state.webhook_private = settings.webhook_private
    app.state.receive_seconds = settings.receive_seconds
    app.state.flags = Flags(register)
    app.state.refusals = Refusals(register)
    app.state.gate = Gate(register, local=None if auth else everything(actor_name(settings)))
    app.state.description = description.text(declared)
    app.router.redirect_slashes = False
    return app


def _hosts(settings: Settings, *, auth: bool) -> set[str]:
    named = {host.strip() for host in settings.trusted_hosts.split(",") if host.strip()}
    # With tokens a name that leads here gains nothing; only those who name theirs are held to it.
    return named if auth and not named else named | LOCAL_HOSTS


def _beside(
    outbox: Outbox, leader: Leader, repeats: Repeats, observer: Observer
) -> Callable[[Starlette], AbstractAsyncContextManager[dict[str, Repeats]]]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Repeats]]:
        await observer.begin()
        # A task group ends only when the threads its tasks wait for are done with the database.
        async with anyio.create_task_group() as group:
            group.start_soon(outbox.run)
            group.start_soon(leader.run)
            yield {"repeats": repeats}
            group.cancel_scope.cancel()

    return lifespan
