"""The front over HTTP."""

import os
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import httpx2

from herdbook.client import answers, routes
from herdbook.core.models import Version
from herdbook.core.pages import Page
from herdbook.errors import Invalid, Unavailable, Unreachable

T = TypeVar("T")

USER_AGENT = "herdbook-client"


class RemoteDoor:
    """Runs verbs on a server.

    Args:
        address: `http://host:8477`.
        token: sent as `Authorization: Bearer`, or "".
        timeout_seconds: how long to wait for an answer.
    """

    def __init__(self, address: str, *, token: str = "", timeout_seconds: float = 30.0) -> None:
        self._address = address.rstrip("/")
        self._options = options(self._address, token, timeout_seconds)
        self._process = os.getpid()
        self._client = httpx2.Client(**self._options)

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._address

    def _http(self) -> httpx2.Client:
        if self._client.is_closed:
            raise Invalid("this register was closed; connect again")
        if self._process != os.getpid():
            # Connections made before a fork belong to the other process.
            self._client, self._process = httpx2.Client(**self._options), os.getpid()
        return self._client

    def _ask(self, request: routes.Request, headers: dict[str, str] | None = None) -> Any:
        try:
            answer = self._http().request(
                request.method,
                request.path,
                content=request.body,
                headers=sent_headers(request, headers),
            )
        except httpx2.HTTPError as error:
            raise unreachable(self._address, error) from error
        if answer.status_code >= httpx2.codes.BAD_REQUEST:
            raise answers.failure(answer.status_code, answer.content, address=self._address)
        return answer

    def call(self, kind: type[T], verb: str, /, **arguments: Any) -> T:
        """Run a verb that gives one value."""
        return answers.read(kind, self._ask(routes.request(verb, arguments)).content)

    def page(self, kind: type[T], verb: str, /, **arguments: Any) -> Page[T]:
        """Run a verb that gives a page of values."""
        return answers.read_page(kind, self._ask(routes.request(verb, arguments)).content)

    def lines(self, verb: str, /, **arguments: Any) -> Iterator[str]:
        """Run a verb that gives lines of text, in constant memory."""
        request = routes.request(verb, arguments)
        try:
            with self._http().stream(request.method, request.path) as answer:
                if answer.status_code >= httpx2.codes.BAD_REQUEST:
                    text = answer.read()
                    raise answers.failure(answer.status_code, text, address=self._address)
                yield from answer.iter_lines()
        except httpx2.HTTPError as error:
            raise unreachable(self._address, error) from error

    def load(self, kind: type[T], verb: str, lines: Iterable[str], /, **arguments: Any) -> T:
        """Run a verb that takes lines of text."""
        route = routes.ROUTES[verb]
        try:
            answer = self._http().request(
                route.method,
                route.path,
                params=arguments,
                content=(line.rstrip("\n").encode() + b"\n" for line in lines),
                headers={"Content-Type": "application/x-ndjson"},
            )
        except httpx2.HTTPError as error:
            raise unreachable(self._address, error) from error
        if answer.status_code >= httpx2.codes.BAD_REQUEST:
            raise answers.failure(answer.status_code, answer.content, address=self._address)
        return answers.read(kind, answer.content)

    def fresh(self, ref: str, mark: str) -> tuple[str, Version] | None:
        """Give what a reference points at; the mark is its ETag."""
        headers = {"If-None-Match": mark} if mark else None
        answer = self._ask(routes.resolve(ref), headers)
        if answer.status_code == httpx2.codes.NOT_MODIFIED:
            return None
        return answer.headers["ETag"], answers.read(Version, answer.content)

    def close(self) -> None:
        """Give up connections."""
        self._client.close()


def options(address: str, token: str, timeout_seconds: float) -> dict[str, Any]:
    """Give what a client is made with, sync or async."""
    headers = {"User-Agent": USER_AGENT}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return {
        "base_url": address,
        "headers": headers,
        "timeout": timeout_seconds,
        "follow_redirects": False,
    }


def sent_headers(request: routes.Request, given: dict[str, str] | None) -> dict[str, str]:
    """Give the headers of a request; a POST carries a key that makes it safe to repeat."""
    headers = dict(given or {})
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    if request.method == "POST":
        headers["Idempotency-Key"] = secrets.token_hex(16)
    return headers


def unreachable(address: str, error: Exception) -> Unreachable | Unavailable:
    """Say what went wrong between here and a server."""
    if isinstance(error, httpx2.TimeoutException):
        return Unavailable(
            f"{address} did not answer in time; it may still have done what was asked. Raise "
            "HERDBOOK_TIMEOUT_SECONDS or look at the server"
        )
    return Unreachable(
        f"no Herdbook server answers at {address} ({error}); start one with "
        "`herdbook server start`, or give another address"
    )
