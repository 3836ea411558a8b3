"""Errors as `application/problem+json` (RFC 9457); the only place that maps codes to HTTP."""

import re
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from herdbook import errors
from herdbook.core.wire import dumps
from herdbook.errors import Forbidden, HerdbookError, Throttled, Unauthenticated, Unavailable
from herdbook.server.log import logger

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 1

STATUS: Final[dict[str, int]] = {
    errors.HerdbookError.code: 500,
    errors.Invalid.code: 422,
    errors.InvalidFilter.code: 422,
    errors.UnknownField.code: 422,
    errors.TooLarge.code: 413,
    errors.NotFound.code: 404,
    errors.Gone.code: 410,
    errors.Conflict.code: 409,
    errors.AlreadyExists.code: 409,
    errors.Immutable.code: 409,
    errors.StaleEpoch.code: 409,
    errors.RefusedMove.code: 409,
    errors.Cycle.code: 409,
    errors.KeyReused.code: 409,
    errors.Refused.code: 409,
    errors.BadSignature.code: 409,
    errors.Unauthenticated.code: 401,
    errors.Forbidden.code: 403,
    errors.Throttled.code: 429,
    errors.Unreachable.code: 502,
    errors.Unavailable.code: 503,
    errors.Owned.code: 503,
    errors.SchemaMismatch.code: 503,
    errors.Corrupt.code: 500,
    errors.TaskFailed.code: 500,
    errors.MissingExtra.code: 501,
    errors.NotBuilt.code: 501,
}

# What the protocol itself refuses, said in the codes a client knows.
_CODES: Final[dict[int, str]] = {
    403: errors.Forbidden.code,
    404: errors.NotFound.code,
    413: errors.TooLarge.code,
    421: errors.Forbidden.code,
    431: errors.TooLarge.code,
}
_TITLES: Final[dict[int, str]] = {
    400: "The request cannot be read",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Not a method of this address",
    408: "The request took too long",
    409: "The register's state forbids it",
    410: "Deleted",
    411: "How long it is was not said",
    413: "Too large",
    415: "Not a body this address takes",
    416: "There is no such part",
    421: "Not this server's name",
    422: "A value breaks a rule",
    429: "Too many wrong tokens",
    431: "Headers too large",
    500: "The server failed",
    501: "Not built yet",
    503: "Not available now",
}


def answer(error: HerdbookError, *, request_id: str = "") -> Response:
    """Give an error as a response."""
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(error.details.get("retry_after_seconds", RETRY_SECONDS))
    return rendered(
        STATUS[error.code],
        error.code,
        error.message,
        field=error.field,
        details=error.details,
        request_id=request_id,
        headers=headers,
    )


def rendered(  # noqa: PLR0913 - the members of a problem
    status: int,
    code: str,
    detail: str,
    *,
    field: str = "",
    details: dict[str, Any] | None = None,
    request_id: str = "",
    headers: dict[str, str] | None = None,
) -> Response:
    """Give a problem as a response."""
    body = {
        "type": f"urn:herdbook:error:{code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": _clean(detail),
        "field": _clean(field),
        "details": details or {},
        "request_id": request_id,
    }
    return Response(
        dumps(body).encode(errors="replace"), status, headers=headers, media_type=MEDIA_TYPE
    )


def _clean(text: str) -> str:
    # Half of a surrogate pair, quoted from a request, has no bytes.
    return text.encode(errors="replace").decode()


def refused(status: int, detail: str, *, headers: dict[str, str] | None = None) -> HTTPException:
    """Give what the protocol itself refuses, to be raised."""
    return HTTPException(status, detail, headers)


def request_id(request: Request) -> str:
    """Give the id of a request."""
    return str(request.scope.get("herdbook.request_id", ""))


async def _herdbook(request: Request, error: Exception) -> Response:
    assert isinstance(error, HerdbookError)  # noqa: S101 - it is registered for these
    if STATUS[error.code] == STATUS[HerdbookError.code]:
        logger().error("failed", code=error.code, detail=error.message)
    if isinstance(error, Forbidden):
        await request.app.state.refusals.note(request)
    return answer(error, request_id=request_id(request))


async def protocol(request: Request, error: Exception) -> Response:
    """Answer what the protocol itself refuses."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    detail = error.detail
    if error.status_code == 404:
        detail = "there is nothing at this address; GET /openapi.json names what there is"
    if error.status_code == 405:
        detail = "this address does not take that method; the header Allow names what it takes"
    return rendered(
        error.status_code,
        _CODES.get(error.status_code, errors.Invalid.code),
        detail,
        request_id=request_id(request),
        headers=dict(error.headers or {}),
    )


# What pydantic puts into a place beside names of fields: the member of a union it tried.
_MEMBERS: Final = re.compile(r"int|float|str|bool|none|constrained-.*|function-.*|.*\[.*")
SHOWN_LIMIT: Final = 20


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these
    told: dict[str, list[str]] = {}
    for each in error.errors():
        told.setdefault(_place(each), []).append(_said(each))
    problems = [{"field": field, "problem": " or ".join(said)} for field, said in told.items()]
    unknown = all(each["type"] == "extra_forbidden" for each in error.errors())
    code = errors.UnknownField.code if unknown else errors.Invalid.code
    shown = problems[:SHOWN_LIMIT]
    return rendered(
        STATUS[code],
        code,
        "; ".join(f"{one['field'] or 'the body'}: {one['problem']}" for one in shown),
        field=shown[0]["field"],
        details={"problems": shown},
        request_id=request_id(request),
    )


def _place(found: dict[str, Any]) -> str:
    # Without the first word, which says only where a field travels.
    words = [str(part)[:100] for part in found["loc"][1:]]
    return ".".join(word for word in words if not _MEMBERS.fullmatch(word))


def _said(found: dict[str, Any]) -> str:
    if found["type"] == "extra_forbidden":
        return "is not a field of this request"
    return str(found["msg"]).removeprefix("Input ").removeprefix("Value error, ")[:300]


# How every error of the app is answered: as a problem.
HANDLERS: Final = {
    HerdbookError: _herdbook,
    RequestValidationError: _validation,
    HTTPException: protocol,
}


async def told(request: Request, error: Exception) -> Response:
    """Answer an error that is one of those, for who says it in other words.

    Raises:
        Exception: it is none of them; it is raised again.
    """
    for kind, handler in HANDLERS.items():
        if isinstance(error, kind):
            return await handler(request, error)
    raise error
