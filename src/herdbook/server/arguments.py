"""What an endpoint is called with, read from a request as its signature says.

FastAPI reads signatures and describes them; what it does for dependencies, forms, files and
streams at every request, none of which there are here, costs more than a read of the register.
"""

from collections.abc import Iterator
from typing import Any, Final, get_origin

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request

_NOTHING: Final = object()


class Arguments:
    """The arguments of one endpoint.

    Args:
        dependant: what FastAPI found in its signature.
    """

    def __init__(self, dependant: Dependant) -> None:
        self._request = dependant.request_param_name
        self._path = list(dependant.path_params)
        self._query = list(dependant.query_params)
        self._body = next(iter(dependant.body_params), None)
        self.known = tuple(field.alias for field in self._query)
        self.several = {
            field.alias for field in self._query
            if get_origin(field.field_info.annotation) is list
        }  # fmt: skip

    @property
    def takes_body(self) -> bool:
        """Whether there is a body to read."""
        return self._body is not None

    def read(self, request: Request, body: Any = None) -> dict[str, Any]:
        """Give them by name.

        Args:
            request: the request.
            body: what JSON its body is; None for no body.

        Raises:
            RequestValidationError: they are not what the signature asks for, all of them named.
        """
        found: dict[str, Any] = {self._request: request} if self._request else {}
        wrong: list[Any] = []
        for field, place, given in self._given(request, body):
            if given is not _NOTHING:
                found[field.name], problems = field.validate(given, {}, loc=place)
                wrong += problems
            elif field.field_info.is_required():
                wrong.append({"type": "missing", "loc": place, "msg": "Field required"})
            else:
                found[field.name] = field.get_default()
        if wrong:
            raise RequestValidationError(wrong)
        return found

    def _given(self, request: Request, body: Any) -> Iterator[tuple[Any, tuple[str, ...], Any]]:
        for field in self._path:
            yield field, ("path", field.alias), request.path_params[field.alias]
        asked = request.query_params if self._query else {}
        for field in self._query:
            name = field.alias
            if name not in asked:
                yield field, ("query", name), _NOTHING
            elif name in self.several:
                yield field, ("query", name), request.query_params.getlist(name)
            else:
                yield field, ("query", name), asked[name]
        if self._body is not None:
            yield self._body, ("body",), _NOTHING if body is None else body
