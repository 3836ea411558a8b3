"""Idempotency keys: the same request asked again gets the same answer, and is done once.

The answer is kept in the transaction of the change, so that there is never one without the
other. Secrets are not kept: asking for one again is a conflict.
"""

import hashlib
import re
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.ports import Work
from herdbook.errors import Conflict, HerdbookError, Invalid, KeyReused
from herdbook.server.auth import Caller
from herdbook.server.transactions import Job, Register

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
KEPT_FOR: Final = timedelta(hours=24)
KEY_LIMIT: Final = 255
KEY_PATTERN: Final = "^[!-~]+$"
_KEY: Final = re.compile(rf"[!-~]{{1,{KEY_LIMIT}}}\Z")
MEDIA_TYPE: Final = "application/json"


def check_key(request: Request) -> None:
    """Refuse a key that is none, before anything is done."""
    for key in request.headers.getlist(HEADER):
        if not _KEY.match(key):
            raise Invalid(
                f"{HEADER} must be 1 to {KEY_LIMIT} ASCII characters without spaces", field=HEADER
            )


class Keyed:
    """A request that carries a key.

    Args:
        key: the key.
        caller: who asks; a key belongs to whoever used it.
        digest: of everything the request says.
        secret: whether its answer holds a secret, which is not kept.
    """

    def __init__(self, key: str, caller: Caller, *, digest: str, secret: bool) -> None:
        self._key, self._caller, self._digest, self._secret = key, caller, digest, secret

    async def run(self, register: Register, job: Job[str], *, status: int, long: bool) -> Response:
        """Give the kept answer, or do the job and keep its answer."""
        try:
            return await register.write(
                self._caller.actor, lambda work: self._once(work, job, status), long=long
            )
        except HerdbookError:
            # The same request may have been done meanwhile by another worker.
            found = await register.read(self._caller.actor, self._found)
            if found is None:
                raise
            return found

    def _once(self, work: Work, job: Job[str], status: int) -> Response:
        found = self._found(work)
        if found is not None:
            return found
        text = job(work)
        work.replays.keep(
            self._key,
            self._caller.owner,
            request=self._digest,
            status=status,
            body="" if self._secret else text,
        )
        return Response(text.encode(), status, media_type=MEDIA_TYPE)

    def _found(self, work: Work) -> Response | None:
        kept = work.replays.find(self._key, self._caller.owner)
        if kept is None:
            return None
        request, status, body = kept
        if request != self._digest:
            raise KeyReused(
                f"the idempotency key {self._key!r} came with another request before; use a key "
                "for one request only"
            )
        if not body:
            raise Conflict(
                "this was done, and its secret shown, once; it is not kept. Make a new one, with a "
                "new idempotency key"
            )
        return Response(body.encode(), status, {REPLAYED: "true"}, media_type=MEDIA_TYPE)


def digest(request: Request, body: bytes) -> str:
    """Give the digest of what a request says: method, path, query and body."""
    query = request.scope.get("query_string", b"")
    path = request.scope["path"].encode(errors="replace")
    found = hashlib.sha256()
    wanted = request.headers.get("if-match", "").encode(errors="replace")
    for part in (request.method.encode(), path, query, wanted, body):
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def forget(work: Work) -> None:
    """Forget answers kept for longer than a day."""
    work.replays.forget(work.now() - KEPT_FOR)
