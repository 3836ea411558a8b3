"""The front over HTTP, for services that await."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import httpx2

from herdbook.client import answers, routes
from herdbook.client.remote import options, sent_headers, unreachable
from herdbook.core.models import Version
from herdbook.core.pages import Page

T = TypeVar("T")


class AsyncDoor:
    """Runs verbs on a server, awaited.

    Args:
        address: `http://host:8477`.
        token: sent as `Authorization: Bearer`, or "".
        timeout_seconds: how long to wait for an answer.
    """

    def __init__(self, address: str, *, token: str = "", timeout_seconds: float = 30.0) -> None:
        self.address = address.rstrip("/")
        self._client = httpx2.AsyncClient(**options(self.address, token, timeout_seconds))

    async def _ask(
        self, request: routes.Request, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        try:
            answer = await self._client.request(
                request.method,
                request.path,
                content=request.body,
                headers=sent_headers(request, headers),
            )
        except httpx2.HTTPError as error:
            raise unreachable(self.address, error) from error
        if answer.status_code >= httpx2.codes.BAD_REQUEST:
            raise answers.failure(answer.status_code, answer.content, address=self.address)
        return answer

    async def call(self, kind: type[T], verb: str, /, **arguments: Any) -> T:
        """Run a verb that gives one value."""
        return answers.read(kind, (await self._ask(routes.request(verb, arguments))).content)

    async def page(self, kind: type[T], verb: str, /, **arguments: Any) -> Page[T]:
        """Run a verb that gives a page of values."""
        answer = await self._ask(routes.request(verb, arguments))
        return answers.read_page(kind, answer.content)

    async def fresh(self, ref: str, mark: str) -> tuple[str, Version] | None:
        """Give what a reference points at; the mark is its ETag."""
        answer = await self._ask(routes.resolve(ref), {"If-None-Match": mark} if mark else None)
        if answer.status_code == httpx2.codes.NOT_MODIFIED:
            return None
        return answer.headers["ETag"], answers.read(Version, answer.content)

    async def close(self) -> None:
        """Give up connections."""
        await self._client.aclose()


async def every(page: Any, /, **arguments: Any) -> AsyncIterator[Any]:
    """Give the items of all pages, one page in memory at a time."""
    token: str | None = None
    while True:
        found = await page(**arguments, page=token)
        for item in found.items:
            yield item
        token = found.next
        if token is None:
            return
