"""How routes are declared: each with who may use it. A route without a policy cannot be made."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Final

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, request_response

from herdbook.core import experiments
from herdbook.core.access import Action
from herdbook.core.names import ROUTE_WORDS, WHOLE_ROUTE_WORDS
from herdbook.errors import HerdbookError, Invalid, UnknownField
from herdbook.server import replays
from herdbook.server.arguments import Arguments
from herdbook.server.auth import admit
from herdbook.server.limits import BODY_LIMIT_BYTES, StrictRequest

Endpoint = Callable[..., Awaitable[Response]]
Teller = Callable[[Request, Exception], Awaitable[Response]]


class Open(Enum):
    """A policy of its own: anyone may ask, without a token."""

    TO_ANYONE = "public"


Policy = Action | Open
REFUSALS: Final = (HerdbookError, RequestValidationError, HTTPException)
BEARER: Final = HTTPBearer(
    auto_error=False, scheme_name="token", description="A token `hb_…`; local mode needs none."
)


class ModelNames(Convertor[str]):
    """A model's name in a path: its slashes are its own, a word of the routes ends it."""

    regex = (
        f"(?!(?:{'|'.join(sorted(WHOLE_ROUTE_WORDS))})(?:/|\\Z))[^/]+"
        f"(?:/(?!(?:{'|'.join(sorted(ROUTE_WORDS))})(?:/|\\Z))[^/]+)*"
    )

    def convert(self, value: str) -> str:
        """Give the name."""
        return value

    def to_string(self, value: str) -> str:
        """Give the part of the path."""
        return value


class ExperimentNames(ModelNames):
    """An experiment's name in a path: a word of the routes is none."""

    regex = f"(?!(?:{'|'.join(sorted(experiments.ROUTE_WORDS))})(?:/|\\Z))[^/]+"


register_url_convertor("model", ModelNames())
register_url_convertor("experiment", ExperimentNames())


class Guarded(APIRoute):
    """A route that admits its caller before it reads anything of the request."""

    policy: Policy
    limit_bytes = BODY_LIMIT_BYTES
    # Says errors in the words of a foreign protocol; None says them as problems.
    teller: Teller | None = None

    def __init__(self, path: str, endpoint: Endpoint, **declared: Any) -> None:
        super().__init__(path, endpoint, **declared)
        arguments = Arguments(self.dependant)

        async def handle(request: Request) -> Response:
            request.scope["herdbook.route"] = self.path_format
            try:
                return await answered(request)
            except REFUSALS as error:
                if self.teller is None:
                    raise
                return await self.teller(request, error)

        async def answered(request: Request) -> Response:
            await guard(request, self.policy)
            check_query(request, known=arguments.known, several=arguments.several)
            replays.check_key(request)
            if request.method == "GET":
                return await endpoint(**arguments.read(request))
            strict = StrictRequest(request, limit_bytes=self.limit_bytes)
            body = await strict.parse() if arguments.takes_body else None
            return await endpoint(**arguments.read(strict, body))

        self.app = request_response(handle)


class Bare(Route):
    """A route without a framework between it and its endpoint."""

    def __init__(
        self, path: str, endpoint: Endpoint, *, policy: Policy, known: tuple[str, ...] = ()
    ) -> None:
        self.policy = policy

        async def handle(request: Request) -> Response:
            request.scope["herdbook.route"] = self.path_format
            await guard(request, policy)
            check_query(request, known=known, several=())
            return await endpoint(request)

        super().__init__(path, handle, methods=["GET"])


async def guard(request: Request, policy: Policy) -> None:
    """Find out who asks, and refuse whom the policy does not admit."""
    if isinstance(policy, Action):
        await admit(request, policy)


def check_query(request: Request, *, known: Any, several: Any) -> None:
    """Refuse a query that says something unknown, or one thing twice.

    Raises:
        UnknownField: the route has no such argument.
        Invalid: an argument is given twice.
    """
    seen = set()
    if "\x00" in request.scope["path"]:
        raise Invalid("the address holds a NUL; remove it", field="path")
    for name, value in request.query_params.multi_items():
        if "\x00" in value:
            raise Invalid(f"{name[:100]} holds a NUL; remove it", field=name[:100])
        if name not in known:
            there = ", ".join(known) or "none"
            raise UnknownField(
                f"{name[:100]!r} is not an argument here; there are: {there}", field=name[:100]
            )
        if name in seen and name not in several:
            raise Invalid(f"{name} is given twice; give it once", field=name)
        seen.add(name)


class Routes:
    """The routes of one noun, to be installed into an app in the order they were declared."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._found: list[dict[str, Any]] = []

    def add(  # noqa: PLR0913 - what there is to say of a route
        self,
        method: str,
        path: str,
        *,
        policy: Policy,
        gives: Any = None,
        status: int = 200,
        limit_bytes: int = BODY_LIMIT_BYTES,
        teller: Teller | None = None,
        **more: Any,
    ) -> Callable[[Endpoint], Endpoint]:
        """Declare a route.

        Args:
            method: the HTTP method.
            path: its path; `{model:model}` is the name of a model.
            policy: what its caller must be allowed somewhere at least; the service decides
                about the model at hand.
            gives: the value its JSON answer is, for its description; None when it is not JSON.
            status: the status of success.
            limit_bytes: how long its JSON body may be.
            teller: says its errors in the words of a foreign protocol.
            **more: further arguments of FastAPI's `add_api_route`.
        """

        def declare(endpoint: Endpoint) -> Endpoint:
            declared = {
                "path": path,
                "endpoint": endpoint,
                "methods": [method],
                "response_model": gives,
                "status_code": status,
                "operation_id": f"{self._tag}_{endpoint.__name__}",
                "tags": [self._tag],
                "summary": (endpoint.__doc__ or "").strip().partition("\n")[0].rstrip("."),
                "description": (endpoint.__doc__ or "").strip().partition("\n")[2].strip(),
                "response_class": Response,
                **more,
            }
            own = {"policy": policy, "limit_bytes": limit_bytes, "teller": teller}
            self._found.append({"own": own, "declared": declared})
            return endpoint

        return declare

    def install(self, app: FastAPI) -> None:
        """Put the routes into an app."""
        for each in self._found:
            guarded = isinstance(each["own"]["policy"], Action)
            app.router.add_api_route(
                **each["declared"],
                route_class_override=Guarded,
                dependencies=[Security(BEARER)] if guarded else None,
            )
            route = app.router.routes[-1]
            assert isinstance(route, Guarded)  # noqa: S101 - it was made just now
            for name, value in each["own"].items():
                setattr(route, name, value)
