"""The whole register out and in over HTTP, as JSON lines, in constant memory."""

import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import IO, Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from herdbook.core.access import Action
from herdbook.core.ports import Work
from herdbook.core.transfer import Loaded
from herdbook.core.wire import dumps
from herdbook.errors import Invalid
from herdbook.server import replays
from herdbook.server.answers import caller, json_text, register
from herdbook.server.limits import LINES, in_time, refuse_packed, require_type
from herdbook.server.routing import Routes
from herdbook.server.transactions import lines_in_chunks
from herdbook.services import transfer

ROUTES = Routes("transfer")
IN_MEMORY_BYTES: Final = 1_048_576
LINE_LIMIT: Final = 16_777_216

_LINES: dict[str, Any] = {"content": {LINES: {"schema": {"type": "string"}}}}
_EXPORT: dict[int | str, dict[str, Any]] = {200: {"description": "JSON lines.", **_LINES}}


@ROUTES.add("GET", "/export", policy=Action.ADMIN, responses=_EXPORT)
async def export(request: Request) -> Response:
    """Give the whole register as JSON lines: models, versions, aliases, history and events."""
    chunks = _exported(request)
    # The first is taken here, so that a refusal is still an answer of its own.
    first = await register(request).slowly(lambda: next(chunks, b""))

    async def rest() -> AsyncIterator[bytes]:
        try:
            chunk = first
            while chunk:
                yield chunk
                chunk = await register(request).slowly(lambda: next(chunks, b""))
        finally:
            chunks.close()

    return StreamingResponse(rest(), media_type=LINES)


def _exported(request: Request) -> Any:
    with register(request).opened(caller(request).actor) as work:
        yield from lines_in_chunks(transfer.dump(work))


@ROUTES.add(
    "POST",
    "/import",
    policy=Action.ADMIN,
    gives=Loaded,
    openapi_extra={"requestBody": {"required": True, **_LINES}},
)
async def load(request: Request, dry_run: bool = False) -> Response:  # noqa: FBT001, FBT002
    """Take what /export gave into an empty register. The body may be of any length."""
    refuse_packed(request)
    require_type(request, LINES)
    # It arrives whole before the transaction begins, so that a slow sender keeps nobody waiting.
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as held:
        digest = await _hold(request, held)

        def job(work: Work) -> str:
            held.seek(0)
            return dumps(transfer.load(work, _lines(held), dry_run=dry_run))

        key = request.headers.get(replays.HEADER)
        if not key or dry_run:
            text = await register(request).write(caller(request).actor, job, long=True)
            return json_text(text)
        said = replays.digest(request, digest)
        keyed = replays.Keyed(key, caller(request), digest=said, secret=False)
        return await keyed.run(register(request), job, status=200, long=True)


async def _hold(request: Request, held: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    parts = request.stream()
    while part := await in_time(request, anext(parts, b"")):
        digest.update(part)
        await register(request).slowly(lambda part=part: held.write(part))  # type: ignore[misc]
    return digest.digest()


def _lines(held: IO[bytes]) -> Iterator[str]:
    while line := held.readline(LINE_LIMIT + 1):
        if len(line) > LINE_LIMIT:
            raise Invalid(f"a line is over {LINE_LIMIT:,} bytes; no export has such", field="body")
        try:
            yield line.decode()
        except UnicodeDecodeError:
            raise Invalid("a line is not UTF-8; no export has such", field="body") from None
