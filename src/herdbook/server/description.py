"""The OpenAPI description: what FastAPI knows of the routes, and what every answer may be."""

import json
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

import herdbook
from herdbook.core.access import Action, Role
from herdbook.server import problems, replays
from herdbook.server.routing import Guarded

_PROBLEM: Final = {
    "type": "object",
    "title": "Problem",
    "description": "An error (RFC 9457). The code is stable; the detail says what mends it.",
    "required": ["type", "title", "status", "code", "detail", "field", "details", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(problems.STATUS)},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "The field at fault, dotted, or empty."},
        "details": {"type": "object", "description": "Further facts for programs."},
        "request_id": {"type": "string"},
    },
}
_MEANINGS: Final[dict[int, str]] = {
    400: "The request is not one this server reads.",
    401: "No token, or one that does not count.",
    403: "Known, but not allowed; or a page of another site.",
    404: "Nothing by that name, or nothing the caller may see.",
    405: "Not a method of this address.",
    408: "The body did not arrive in time.",
    409: "The state of the register forbids it.",
    410: "It was deleted.",
    413: "The body is over the limit.",
    415: "The body is not of the type this address takes, or packed.",
    421: "This server does not answer to that name.",
    422: "A value breaks a rule; the field says which.",
    429: "Too many wrong tokens; wait as Retry-After says.",
    431: "The headers are too large.",
    500: "The server failed.",
    501: "It waits for a later release.",
    503: "The database cannot be used now; try again.",
}
_ALWAYS: Final = (400, 401, 403, 404, 405, 410, 421, 422, 429, 431, 500, 503)
_WITH_BODY: Final = (408, 409, 413, 415)
_TEXT: Final = {"schema": {"type": "string"}}


def description(app: FastAPI) -> dict[str, Any]:
    """Give the description of an app whose routes are installed."""
    found = get_openapi(
        title="Herdbook",
        version=herdbook.__version__,
        description=(
            "The register of every model version a team runs. Collections are objects with "
            "`items` and `next`; errors are problems with a stable `code`."
        ),
        routes=app.routes,
    )
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    found["components"]["responses"] = {
        f"Problem{status}": _response(meaning) for status, meaning in _MEANINGS.items()
    }
    for route in app.routes:
        if isinstance(route, Guarded):
            for method in route.methods or ():
                _complete(found["paths"][route.path_format][method.lower()], route, method)
    found["paths"] |= _BARE
    return found


def text(app: FastAPI) -> str:
    """Give the description as it is served and committed: sorted, so that changes show."""
    return json.dumps(description(app), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _complete(operation: dict[str, Any], route: Guarded, method: str) -> None:
    statuses = [*_ALWAYS, *(_WITH_BODY if method != "GET" else ())]
    answers = operation["responses"]
    answers.pop("422", None)
    if route.status_code == 501:
        answers.pop("501", None)
        statuses.append(501)
    # What a route declares itself is said in the words of a foreign protocol.
    for status in map(str, sorted(statuses)):
        answers.setdefault(status, {"$ref": f"#/components/responses/Problem{status}"})
    for answer in answers.values():
        if isinstance(route.policy, Action) and "content" in answer and answer["content"] == {}:
            del answer["content"]
    if isinstance(route.policy, Action):
        operation["x-role"] = str(list(Role)[route.policy])
        operation["security"] = [{"token": []}, {}]
    if method == "POST":
        operation.setdefault("parameters", []).append(_KEY)


_KEY: Final = {
    "name": replays.HEADER,
    "in": "header",
    "required": False,
    "description": "Makes the request safe to repeat for a day: it is done once.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": replays.KEY_LIMIT,
        "pattern": replays.KEY_PATTERN,
    },
}


def _response(meaning: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": meaning, "content": {problems.MEDIA_TYPE: {"schema": schema}}}


def _bare(  # noqa: PLR0913 - the parts of an operation
    name: str,
    summary: str,
    content: dict[str, Any],
    *,
    refusals: tuple[int, ...] = (400, 403, 421, 422, 431, 500),
    parameters: tuple[dict[str, Any], ...] = (),
    needs: str = "",
    also: dict[str, Any] | None = None,
) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": {"description": summary, "content": content}, **(also or {})}
    if needs:
        refusals = _ALWAYS
    answers |= {str(s): {"$ref": f"#/components/responses/Problem{s}"} for s in refusals}
    found: dict[str, Any] = {
        "operationId": name,
        "tags": ["server"],
        "summary": summary,
        "responses": answers,
    }
    if parameters:
        found["parameters"] = list(parameters)
    if needs:
        found |= {"x-role": needs, "security": [{"token": []}, {}]}
    return {"get": found}


_STATUS: Final = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"type": "string"}},
        }
    }
}
_VERSION: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/Version"}}}
_BARE: Final = {
    "/healthz": _bare("server_healthz", "The server runs", _STATUS),
    "/readyz": _bare(
        "server_readyz",
        "The database can be written and read",
        _STATUS,
        refusals=(400, 403, 421, 422, 431, 500, 503),
    ),
    "/openapi.json": _bare(
        "server_openapi", "This description", {"application/json": {"schema": {"type": "object"}}}
    ),
    "/metrics": _bare(
        "server_metrics", "Metrics for Prometheus", {"text/plain": _TEXT}, needs="viewer"
    ),
    "/resolve/{ref}": _bare(
        "server_resolve",
        "What a reference points at, with an ETag",
        _VERSION,
        parameters=(
            {
                "name": "ref",
                "in": "path",
                "required": True,
                "description": "Such as `majora@champion`; slashes may stand as they are.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 400},
            },
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "description": "The ETag held.",
                "schema": {"type": "string"},
            },
        ),
        needs="viewer",
        also={"304": {"description": "What is held is true."}},
    ),
}
