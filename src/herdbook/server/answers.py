"""Handlers' common words: run a verb as the caller, render what it gives."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.pages import Page
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef
from herdbook.core.wire import dumps
from herdbook.errors import Invalid
from herdbook.server import repeats, replays
from herdbook.server.auth import Caller
from herdbook.server.transactions import Memory, Register
from herdbook.services import versions

T = TypeVar("T")

MEDIA_TYPE: Final = "application/json"

Verb = Callable[..., T]


def caller(request: Request) -> Caller:
    """Tell who asks; the route has admitted them."""
    found: Caller = request.scope["herdbook.caller"]
    return found


def register(request: Request) -> Register:
    """Give the register that is served."""
    found: Register = request.app.state.register
    return found


async def ask(request: Request, verb: Verb[T], /, *args: Any, **arguments: Any) -> T:
    """Run a verb that reads, as the caller."""
    return await register(request).read(
        caller(request).actor, lambda work: verb(work, *args, **arguments)
    )


async def give(request: Request, verb: Verb[object], /, *args: Any, **arguments: Any) -> Response:
    """Run a verb that reads and render the value it gives."""
    return json_text(dumps(await ask(request, verb, *args, **arguments)))


async def give_texts(
    request: Request, verb: Verb[Page[str]], /, *args: Any, **arguments: Any
) -> Response:
    """Run a verb that gives a page of JSON texts, and join them as they are."""
    _memory(request)
    return json_text(joined(await ask(request, verb, *args, **arguments)))


@dataclass(frozen=True, slots=True)
class Held:
    """A version as it is sent, and what its ETag is."""

    text: str
    headers: dict[str, str]


async def give_version(request: Request, wanted: VersionRef) -> Response:
    """Give a version with its ETag, from memory where that is sure, or 304."""
    # Others are given less of a version than it holds: one's text is not for another.
    memory = _memory(request)
    held: Held | None = None if memory is None else memory.get(wanted)
    if held is None:
        text = await ask(request, versions.text, wanted)
        held = Held(text, {"ETag": tag(text), "Cache-Control": "no-cache"})
        if memory is not None:
            memory[wanted] = held
            memory.held_bytes += len(text)
    if is_held(request, held.headers["ETag"]):
        return Response(status_code=304, headers=held.headers)
    return json_text(held.text, headers=held.headers)


def _memory(request: Request) -> Memory | None:
    """Give the memory of the present state, and have the answer to this request kept in it."""
    memory = register(request).memory() if caller(request).actor.sees_all() else None
    if memory is not None:
        request.scope[repeats.MEMORY] = memory
    return memory


async def change(
    request: Request,
    verb: Verb[object],
    /,
    *args: Any,
    success: int = 200,
    secret: bool = False,
    long: bool = False,
    **arguments: Any,
) -> Response:
    """Run a verb that writes, as the caller; once for an idempotency key."""

    def job(work: Work) -> str:
        return dumps(verb(work, *args, **arguments))

    key = request.headers.get(replays.HEADER)
    if not key:
        text = await register(request).write(caller(request).actor, job, long=long)
        return json_text(text, status=success)
    said = replays.digest(request, await request.body())
    keyed = replays.Keyed(key, caller(request), digest=said, secret=secret)
    return await keyed.run(register(request), job, status=success, long=long)


def json_text(text: str, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Give JSON text as a response."""
    return Response(text.encode(), status, headers, media_type=MEDIA_TYPE)


def joined(page: Page[str]) -> str:
    """Give a page of JSON texts as one."""
    return f'{{"items":[{",".join(page.items)}],"next":{dumps(page.next)}}}'


def tag(text: str) -> str:
    """Give the strong ETag of a text."""
    return f'"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"'


def is_held(request: Request, tag: str) -> bool:
    """Whether the caller has what a tag stands for."""
    given = request.headers.get("if-none-match", "")
    return given == "*" or tag in [one.strip().removeprefix("W/") for one in given.split(",")]


def expected(request: Request, given: int | None) -> int | None:
    """Give the epoch an alias must be at: what the body says, or the header If-Match."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return given
    digits = text.strip().strip('"')
    if not digits.isdecimal() or len(digits) > 15:
        raise Invalid(
            'If-Match must be the epoch of the alias, such as "3"; GET the alias to know it',
            field="If-Match",
        )
    if given is not None and given != int(digits):
        raise Invalid("If-Match and expected_epoch differ; give one", field="expected_epoch")
    return int(digits)


def ref(model: str, version: str) -> VersionRef:
    """Give the reference of a path: the version is a number or `@alias`."""
    if version.startswith("@"):
        return VersionRef(model, alias=version[1:])
    return VersionRef(model, number=version)


def optional(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """Give those of the fields that were said."""
    return {name: given[name] for name in names if name in given}


def lines(texts: Iterable[str]) -> bytes:
    """Give texts as lines."""
    return "".join(f"{text}\n" for text in texts).encode()
