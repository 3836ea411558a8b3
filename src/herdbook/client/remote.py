"""The front over HTTP."""

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from herdbook.client import answers, routes
from herdbook.client.transfers import Transfers
from herdbook.core.artifacts import Artifact
from herdbook.core.blobs import How, Said, Stored, silent
from herdbook.core.models import Version
from herdbook.core.pages import Page
from herdbook.errors import Unavailable, Unreachable

T = TypeVar("T")

USER_AGENT = "herdbook-client"
# To look at every byte of a store takes what it takes.
LONG = httpx2.Timeout(30.0, read=None)


class RemoteDoor:
    """Runs verbs on a server.

    Args:
        address: `http://host:8477`.
        token: sent as `Authorization: Bearer`, or "".
        timeout_seconds: how long to wait for an answer.
        offline: whether nothing may be asked.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str = "",
        timeout_seconds: float = 30.0,
        offline: bool = False,
    ) -> None:
        self._address = address.rstrip("/")
        self._options = options(self._address, token, timeout_seconds)
        self._offline = offline
        self._process = os.getpid()
        self._client = httpx2.Client(**self._options)

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._address

    def _http(self) -> httpx2.Client:
        if self._offline:
            raise Unreachable(
                f"HERDBOOK_OFFLINE=1 forbids to ask {self._address}; without it this would be asked"
            )
        if self._client.is_closed:
            raise Unavailable("this register was closed; connect again")
        if self._process != os.getpid():
            # Connections made before a fork belong to the other process.
            self._client, self._process = httpx2.Client(**self._options), os.getpid()
        return self._client

    def _ask(
        self, request: routes.Request, headers: dict[str, str] | None = None
    ) -> answers.Answer:
        try:
            return answers.asked(
                self._http(),
                request.method,
                request.path,
                address=self._address,
                content=request.body,
                headers=sent_headers(request, headers),
                timeout=LONG if request.long else httpx2.USE_CLIENT_DEFAULT,
            )
        except httpx2.HTTPError as error:
            raise unreachable(self._address, error) from error

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

    def send(self, paths: Sequence[Path], *, said: Said = silent) -> Iterator[Stored]:
        """Send files the server lacks, and tell of each in their order."""
        return self._transfers().send(paths, said)

    def take(self, chunks: Iterable[bytes], *, digest: str, size: int) -> Stored:
        """Send bytes."""
        return self._transfers().take(chunks, digest, size)

    def stream(self, file: Artifact) -> Iterator[bytes]:
        """Give the bytes of a file, verified as they go."""
        return self._transfers().stream(file)

    def fetch(
        self,
        file: Artifact,
        to: Path,
        *,
        link: bool = True,  # noqa: ARG002 - the door's
        said: Said = silent,
    ) -> How:
        """Put the bytes of a file at a path, verified."""
        return self._transfers().fetch(file, to, said)

    def _transfers(self) -> Transfers:
        return Transfers(self._address, self._http, lambda error: unreachable(self._address, error))

    def fresh(self, ref: str, mark: str) -> tuple[str, Version] | None:
        """Give what a reference points at; the mark is its ETag."""
        headers = {"If-None-Match": mark} if mark else None
        answer = self._ask(routes.resolve(ref), headers)
        if answer.status_code == httpx2.codes.NOT_MODIFIED:
            return None
        return answer.headers["ETag"], answers.read(Version, answer.content)

    def advance(self) -> None:
        """Do nothing: the server looks at its experiments by itself."""

    def close(self) -> None:
        """Give up connections."""
        self._client.close()


def options(address: str, token: str, timeout_seconds: float) -> dict[str, Any]:
    """Give what a client is made with, sync or async."""
    # Packed, a short answer could be an endless one.
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
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
