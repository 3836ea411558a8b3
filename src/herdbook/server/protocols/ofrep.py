"""OpenFeature's remote evaluation over HTTP: which version serves this user."""

import json
from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.wire import dumps
from herdbook.protocols import ofrep
from herdbook.protocols.ofrep import Context, Fault, Json, Why
from herdbook.server import problems
from herdbook.server.answers import caller, is_held, json_text, tag
from herdbook.server.bodies import In, Whole
from herdbook.server.flags import Flags
from herdbook.server.routing import Routes

ROUTES = Routes("ofrep")
FLAGS = "/ofrep/v1/evaluate/flags"
# What of a problem's headers a client of the protocol reads.
_KEPT: Final = ("WWW-Authenticate", "Retry-After")


class ContextIn(In):
    """Whom flags are evaluated for; other fields are attributes that experiments may target."""

    model_config = ConfigDict(extra="allow")

    targeting_key: Annotated[
        str | Whole | None,
        Field(alias="targetingKey", description="The id of a user, a session, a machine."),
    ] = None


class EvaluationIn(In):
    """A request of the protocol; what later versions of it add is passed over."""

    model_config = ConfigDict(extra="ignore")

    context: ContextIn = Field(default_factory=ContextIn)

    def value(self) -> Context:
        """Give it as flags take it; an empty key is none."""
        key = self.context.targeting_key
        return Context(None if key == "" else key, self.context.model_extra or {})


class FlagOut(BaseModel):
    """An evaluated flag."""

    key: str
    value: Annotated[str, Field(description="The number of the version.")]
    reason: Why
    variant: Annotated[str, Field(description="An experiment's arm, or `champion`.")]
    metadata: dict[str, bool | int | float | str]


class RefusedOut(BaseModel):
    """A refusal."""

    error_code: Annotated[Fault, Field(alias="errorCode")]
    error_details: Annotated[str, Field(alias="errorDetails")]


class FailureOut(RefusedOut):
    """A flag that has no value."""

    key: str


class BulkOut(BaseModel):
    """Evaluated flags."""

    flags: list[FlagOut | FailureOut]
    metadata: dict[str, bool] = Field(default_factory=dict)


Key = Annotated[str, Path(description="The model's name; its slashes may stand as they are.")]
Answers = dict[int | str, dict[str, Any]]
_STATUSES: Final = (400, 401, 403, 408, 413, 429, 503)
_SINGLE: Final[Answers] = {status: {"model": FailureOut} for status in (404, *_STATUSES)}
_BULK: Final[Answers] = {
    **{status: {"model": RefusedOut} for status in _STATUSES},
    304: {"description": "What is held is true."},
}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag held.",
    "schema": {"type": "string"},
}


async def tell(request: Request, error: Exception) -> Response:
    """Answer an error in the protocol's words."""
    problem = await problems.told(request, error)
    said = json.loads(bytes(problem.body))
    status, body = ofrep.refusal(
        request.path_params.get("key"), problem.status_code, said["detail"], field=said["field"]
    )
    headers = {name: problem.headers[name] for name in _KEPT if name in problem.headers}
    return json_text(dumps(body), status=status, headers=headers)


@ROUTES.add(
    "POST",
    FLAGS + "/{key:path}",
    policy=Action.READ,
    gives=FlagOut,
    teller=tell,
    responses=_SINGLE,
)
async def evaluate(request: Request, key: Key, body: EvaluationIn | None = None) -> Response:
    """Tell which version of a model serves a unit."""
    found = await _flags(request).one(caller(request).actor, key, _context(body))
    return json_text(dumps(found), status=_status(found))


@ROUTES.add(
    "POST",
    FLAGS,
    policy=Action.READ,
    gives=BulkOut,
    teller=tell,
    responses=_BULK,
    openapi_extra={"parameters": [_IF_NONE_MATCH]},
)
async def evaluate_all(
    request: Request,
    body: EvaluationIn | None = None,
    etag: Annotated[  # noqa: ARG001 - sent after a change was announced, which none is here
        str, Query(alias="flagConfigEtag", description="Passed over.")
    ] = "",
    modified: Annotated[  # noqa: ARG001 - the same
        str, Query(alias="flagConfigLastModified", description="Passed over.")
    ] = "",
) -> Response:
    """Tell which versions of all models serve a unit, at most 1,000, with an ETag."""
    text = dumps(await _flags(request).every(caller(request).actor, _context(body)))
    # Of what this unit gets, not of what is configured: another's answer is not this one's.
    headers = {"ETag": tag(text), "Cache-Control": "private, no-cache"}
    if is_held(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return json_text(text, headers=headers)


def _flags(request: Request) -> Flags:
    found: Flags = request.app.state.flags
    return found


def _context(body: EvaluationIn | None) -> Context:
    return body.value() if body else Context()


def _status(found: Json) -> int:
    if "errorCode" not in found:
        return 200
    return 404 if found["errorCode"] == Fault.FLAG_NOT_FOUND else 400
