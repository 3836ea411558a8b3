"""Refuses requests a page in a browser could have made, and those that cannot be trusted.

Local mode needs no token, so whatever reaches the socket may do everything: a page of another
site whose name was made to lead here (DNS rebinding) has another Host, and one that only sends
requests here has another Origin or says so in Sec-Fetch-Site.
"""

import re
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from herdbook.server import problems
from herdbook.server.limits import HEADER_LIMIT_BYTES
from herdbook.server.problems import refused

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\Z")
_SECRET: Final = re.compile(rb"(?i)(?:^|&)(?:access_token|token|api_key)=|hb_[0-9A-Za-z]{57}")


class Visitors:
    """Looks at where a request comes from.

    Args:
        app: what comes after.
        hosts: the names this server answers to; none for any.
        local: whether no token is asked for, so that every request must come from here.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], local: bool) -> None:
        self._app = app
        self._local = local
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except HTTPException as refusal:
                answer = await problems.protocol(Request(scope), refusal)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size + len(scope.get("query_string", b"")) > HEADER_LIMIT_BYTES:
            raise refused(431, f"the headers are over {HEADER_LIMIT_BYTES:,} bytes")
        if _SECRET.search(scope.get("query_string", b"")):
            raise refused(400, "send a token in the header Authorization, never in the address")
        headers = Headers(scope=scope)
        host = self._host(headers)
        if self._local:
            _refuse_foreign(headers, host)

    def _host(self, headers: Headers) -> str:
        given = headers.getlist("host")
        found = _HOST.match(given[0]) if len(given) == 1 else None
        if found is None:
            raise refused(400, "a request has one header Host, with a name and perhaps a port")
        if self._hosts and found[1].lower() not in self._hosts:
            raise refused(
                421, "this server does not answer to that name; HERDBOOK_TRUSTED_HOSTS can add it"
            )
        return given[0]


def _refuse_foreign(headers: Headers, host: str) -> None:
    origins = headers.getlist("origin")
    if any(origin.partition("://")[2].lower() != host.lower() for origin in origins):
        raise refused(403, "a page of another origin may not ask this server")
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise refused(403, "a page of another site may not ask this server")
