"""Bytes over HTTP: taken by their digest, given to who may read a version that holds them."""

import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import chain
from typing import Annotated, Any, Final

import anyio.from_thread
from fastapi import Path
from pydantic import Field
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from herdbook.core.access import Action
from herdbook.core.artifacts import Files, Missing, Signatures, blob_digest
from herdbook.core.blobs import Stored
from herdbook.core.housekeeping import Collected, Verified
from herdbook.core.wire import dumps
from herdbook.server.answers import change, json_text, ref
from herdbook.server.api.versions import VERSION
from herdbook.server.bodies import In, ModelName, VersionName
from herdbook.server.bodies import Number as AnyNumber
from herdbook.server.limits import in_time, refuse_packed, require_type
from herdbook.server.problems import refused
from herdbook.server.ranges import asks_for_part
from herdbook.server.routing import Routes
from herdbook.server.sending import SentFile
from herdbook.server.stores import moving, proof_of, receiving, store_of
from herdbook.services import artifacts, verifying
from herdbook.services.store import Store

ROUTES = Routes("artifacts")
BYTES: Final = "application/octet-stream"
CHUNK: Final = 1 << 20
# Whoever sends less than this in `receive_seconds` is too slow.
SLOW_BYTES: Final = 1 << 14
SLOW_SECONDS: Final = 5.0

Digest = Annotated[
    str,
    Path(
        description="`sha256:` and 64 lower-case hexadecimal digits.",
        json_schema_extra={"pattern": "^sha256:[0-9a-f]{64}$"},
        examples=["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ),
]
_BYTES: dict[str, Any] = {"content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}}
_GIVES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes.", **_BYTES},
    206: {"description": "The part of them that was asked for with Range.", **_BYTES},
}


class MissingIn(In):
    """The blobs of a version to come."""

    digests: Annotated[list[str], Field(description="At most 10,000.")]


class SignatureIn(In):
    """A signature of a version."""

    signature: Annotated[str, Field(description="A Sigstore bundle, as JSON text.")]


class GraceIn(In):
    """What to remove."""

    grace_hours: AnyNumber = 24.0
    dry_run: bool = False


class VerifyIn(In):
    """How closely to look."""

    ref: Annotated[str, Field(description="Only this version; left out, everything.")] = ""
    read_percent: AnyNumber = 0.0
    remove: Annotated[
        bool, Field(description="Take damaged bytes out, so that a push stores them anew.")
    ] = False


@ROUTES.add("GET", VERSION + "/files", policy=Action.READ, gives=Files)
async def files(request: Request, model: ModelName, version: VersionName) -> Response:
    """Give the files of a version, with the digest of their manifest."""
    # In a thread: of ten thousand files a manifest takes a tenth of a second to read.
    job = partial(store_of(request).files, str(ref(model, version)))
    return json_text(await moving(lambda: dumps(job())))


@ROUTES.add("GET", VERSION + "/signatures", policy=Action.READ, gives=Signatures)
async def signatures(request: Request, model: ModelName, version: VersionName) -> Response:
    """Give the signatures of a version, oldest first."""
    job = partial(store_of(request).signatures, str(ref(model, version)))
    return json_text(await moving(lambda: dumps(job())))


@ROUTES.add(
    "POST",
    VERSION + "/signatures",
    policy=Action.WRITE,
    gives=Files,
    limit_bytes=8 * CHUNK,
)
async def sign(
    request: Request, model: ModelName, version: VersionName, body: SignatureIn
) -> Response:
    """Keep a signature of a version; whoever pulls decides whose they trust.

    Where the model trusts keys, it is noted which of them the signature is by.
    """
    wanted = ref(model, version)
    proof = await proof_of(request, wanted, body.signature)
    return await change(request, artifacts.sign, wanted, signature=body.signature, proof=proof)


@ROUTES.add("POST", "/artifacts/missing", policy=Action.WRITE, gives=Missing)
async def missing(request: Request, body: MissingIn) -> Response:
    """Tell which blobs have to be sent before a version can hold them.

    One that is there already has to be sent all the same by who neither sent it before nor may
    read a version that holds it. Those that need not be sent are kept for a day.
    """
    found = await moving(partial(store_of(request).missing, digests=body.digests))
    return json_text(dumps(found))


@ROUTES.add("POST", "/artifacts/collect", policy=Action.ADMIN, gives=Collected)
async def collect(request: Request, body: GraceIn | None = None) -> Response:
    """Remove blobs that no version holds and nobody is about to need."""
    said = body or GraceIn()
    job = partial(store_of(request).collect, grace_hours=said.grace_hours, dry_run=said.dry_run)
    return json_text(dumps(await moving(job)))


@ROUTES.add("POST", "/artifacts/verify", policy=Action.READ, gives=Verified)
async def verify(request: Request, body: VerifyIn | None = None) -> Response:
    """Look for every blob, recompute every manifest, read a part of the bytes."""
    said = body or VerifyIn()
    look = partial(verifying.verify, store_of(request), **said.model_dump())
    return json_text(dumps(await moving(look)))


@ROUTES.add(
    "PUT",
    "/blobs/{digest}",
    policy=Action.WRITE,
    gives=Stored,
    status=201,
    openapi_extra={"requestBody": {"required": True, **_BYTES}},
)
async def put(request: Request, digest: Digest) -> Response:
    """Take the bytes of a digest; other bytes are refused, and nothing of them is kept."""
    blob_digest(digest)
    refuse_packed(request)
    require_type(request, BYTES)
    declared = request.headers.get("content-length", "")
    if not declared:
        raise refused(411, "say how many bytes they are in Content-Length")
    if not (declared.isdecimal() and len(declared) < 20):
        raise refused(400, "Content-Length is no number of bytes")
    parts = request.stream()

    async def next_part() -> bytes:
        """Give about 1 MiB, less from who is slow, or what is left; b"" at the end."""
        held, began = bytearray(), time.monotonic()
        async for part in parts:
            held += part
            slow = time.monotonic() - began > SLOW_SECONDS and len(held) >= SLOW_BYTES
            if len(held) >= CHUNK or slow:
                break
        return bytes(held)

    def chunks() -> Iterator[bytes]:
        while part := anyio.from_thread.run(in_time, request, next_part()):
            yield part

    job = partial(store_of(request).write, digest=digest, size=int(declared))
    stored = await receiving(lambda: job(chunks()))
    return json_text(dumps(stored), status=201)


@ROUTES.add("HEAD", "/blobs/{digest}", policy=Action.READ, responses=_GIVES)
async def head(request: Request, digest: Digest) -> Response:
    """Tell the size of a blob that is in a version the caller may read."""
    size = await moving(partial(store_of(request).readable, digest))
    return Response(headers={**_headers(digest), "Content-Length": str(size)}, media_type=BYTES)


@ROUTES.add("GET", "/blobs/{digest}", policy=Action.READ, responses=_GIVES)
async def get(request: Request, digest: Digest) -> Response:
    """Give the bytes of a blob that is in a version the caller may read. Range is understood.

    They were verified since they were last touched; a blob that was not is verified as it is
    sent, and the connection breaks off where it is wrong.
    """
    store = store_of(request)
    size = await moving(partial(store.readable, digest))
    wants_part = asks_for_part(request, size, _tag(digest))
    path = await moving(partial(_file, store, digest, verify=wants_part))
    if path is not None:
        return BlobFile(path, headers=_headers(digest), media_type=BYTES)
    headers = {**_headers(digest), "Content-Length": str(size)}
    chunks = await moving(lambda: _begun(store.blobs.read(digest)))
    return StreamingResponse(_streamed(chunks), headers=headers, media_type=BYTES)


def _file(store: Store, digest: str, *, verify: bool) -> Any:
    path = store.blobs.file(digest)
    if path is None and verify:
        # A part of it says nothing about the rest: all of it is looked at once, then parts are.
        store.blobs.verify(digest)
        path = store.blobs.file(digest)
    return path


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first chunk, so that what is wrong by then is told instead of any bytes."""
    return chain([next(chunks, b"")], chunks)


def _tag(digest: str) -> str:
    return f'"{digest}"'


def _headers(digest: str) -> dict[str, str]:
    return {
        "ETag": _tag(digest),
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
    }


async def _streamed(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in iterate_in_threadpool(chunks):
        yield chunk


class BlobFile(SentFile):
    """A file, a MiB at a time: four times as fast as in the pieces of its kind."""

    chunk_size = CHUNK
