"""What a server answers: values, pages, and the errors they raise again."""

import json
import time
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx2

from herdbook import errors
from herdbook.core import wire
from herdbook.core.pages import Page
from herdbook.errors import Corrupt, HerdbookError, Invalid, Unavailable, Unreachable

T = TypeVar("T")
_OTHER: Final = "is another server, or a proxy, at that address?"


def _tree(kind: type[HerdbookError]) -> dict[str, type[HerdbookError]]:
    found = {kind.code: kind}
    for child in kind.__subclasses__():
        found |= _tree(child)
    return found


# Ten thousand files, or a page of versions, are far below it.
LIMIT_BYTES: Final = 64 * 1_048_576
PATIENCE_SECONDS: Final = 30.0
BY_CODE: Final = _tree(errors.HerdbookError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status_code: int
    headers: httpx2.Headers
    content: bytes


def asked(http: httpx2.Client, method: str, path: str, *, address: str, **more: Any) -> Answer:
    """Ask for something, and read the answer within memory and time.

    Raises:
        HerdbookError: what the server said was wrong; Unreachable when it is no Herdbook server.
    """
    seconds = 10 * (http.timeout.read or PATIENCE_SECONDS)
    with http.stream(method, path, **more) as answer:
        found = _body(answer, address=address, within_seconds=seconds)
        if not answer.is_success and answer.status_code != httpx2.codes.NOT_MODIFIED:
            raise failure(answer.status_code, found, address=address)
        return Answer(answer.status_code, answer.headers, found)


def refused(answer: httpx2.Response, *, address: str) -> HerdbookError:
    """Give the error an answer is that is still to be read."""
    seconds = 10 * PATIENCE_SECONDS
    found = _body(answer, address=address, within_seconds=seconds)
    return failure(answer.status_code, found, address=address)


def _body(answer: httpx2.Response, *, address: str, within_seconds: float) -> bytes:
    """Read what an answer holds.

    Raises:
        Unreachable: it is packed, or too long.
        Unavailable: it comes too slowly.
    """
    refuse_packed(answer, address)
    until = time.monotonic() + within_seconds
    found = bytearray()
    for part in answer.iter_raw():
        found += part
        if len(found) > LIMIT_BYTES:
            raise Unreachable(f"{address} answered with over {LIMIT_BYTES:,} bytes; {_OTHER}")
        if time.monotonic() > until:
            raise Unavailable(
                f"{address} began an answer and did not end it within {within_seconds:g} s; raise "
                "HERDBOOK_TIMEOUT_SECONDS or look at the server"
            )
    return bytes(found)


def refuse_packed(answer: httpx2.Response, address: str) -> None:
    """Refuse what would grow when unpacked, which nobody asked for; Unreachable."""
    packing = answer.headers.get("content-encoding", "identity")
    if packing.lower() != "identity":
        raise Unreachable(f"{address} packed its answer as {packing!r:.40}; {_OTHER}")


def read(kind: type[T], text: bytes) -> T:
    """Read one value.

    Raises:
        Corrupt: the server said what cannot be, such as a path that leads elsewhere.
    """
    try:
        return wire.value(kind, _json(text))
    except Invalid as wrong:
        raise Corrupt(f"the server's answer cannot be used: {wrong.message}") from None


def read_page(kind: type[T], text: bytes) -> Page[T]:
    """Read a page of values."""
    found = _json(text)
    if not isinstance(found, dict) or not isinstance(found.get("items"), list):
        raise Unreachable(f"the server's answer is no page of values; {_OTHER}")
    return Page(tuple(wire.value(kind, item) for item in found["items"]), found.get("next"))


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreachable(f"the server's answer is not what Herdbook says; {_OTHER}") from None


def failure(status: int, text: bytes, *, address: str) -> HerdbookError:
    """Give the error a problem body stands for; its code is the class it was raised as."""
    try:
        found: dict[str, Any] = json.loads(text)
        kind = BY_CODE[found["code"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Unreachable(f"{address} answered {status} and nothing Herdbook says: {_OTHER}")
    details = found.get("details")
    return kind(
        str(found.get("detail", ""))[:10_000],
        field=str(found.get("field", "")),
        details=details if isinstance(details, dict) else {},
    )
