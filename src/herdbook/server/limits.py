"""What a body may be: JSON of one reading, small, finite, not packed."""

import asyncio
import json
import math
import re
from collections.abc import Awaitable
from itertools import accumulate
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request

from herdbook.errors import Invalid, TooLarge
from herdbook.server.problems import refused

T = TypeVar("T")

BODY_LIMIT_BYTES: Final = 1_048_576
HEADER_LIMIT_BYTES: Final = 32_768
DEPTH_LIMIT: Final = 64
JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"


class StrictRequest(Request):
    """A request whose body is read once, within the limits.

    Args:
        request: the request as it came.
        limit_bytes: how long its body may be.
    """

    def __init__(self, request: Request, *, limit_bytes: int = BODY_LIMIT_BYTES) -> None:
        super().__init__(request.scope, request.receive)
        self._limit = limit_bytes

    async def body(self) -> bytes:
        """Give the body.

        Raises:
            TooLarge: it is over the limit, by its own account or as it arrives.
        """
        if not hasattr(self, "_body"):
            refuse_packed(self)
            declared = self.headers.get("content-length", "0")
            if not declared.isdecimal() or int(declared.lstrip("0")[:20] or 0) > self._limit:
                raise self._too_large()
            self._body = await in_time(self, self._read())
        return self._body

    async def _read(self) -> bytes:
        found = bytearray()
        async for part in self.stream():
            found += part
            if len(found) > self._limit:
                raise self._too_large()
        return bytes(found)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is over {self._limit:,} bytes; send less at once, or a whole register to "
            "/import"
        )

    async def parse(self) -> Any:
        """Read the body and give what JSON it is; None when there is none.

        Raises:
            Invalid: it is not JSON, or not JSON that everyone reads the same way.
        """
        text = await self.body()
        if not text:
            return None
        require_type(self, JSON)
        return strict_json(text)


async def in_time(request: Request, arrival: Awaitable[T]) -> T:
    """Wait for what a request sends, but not for ever: HTTPException 408."""
    seconds: float = request.app.state.receive_seconds
    try:
        async with asyncio.timeout(seconds):
            return await arrival
    except ClientDisconnect:
        # Nobody is there to read it; but it is no fault of the server's.
        raise refused(400, "the connection ended before the body did") from None
    except TimeoutError:
        late = f"the body did not arrive within {seconds:g} s; send it faster"
        raise refused(408, late) from None


def refuse_packed(request: Request) -> None:
    """Refuse a body that would grow when unpacked."""
    packing = request.headers.get("content-encoding", "identity").lower()
    if packing != "identity":
        raise refused(415, "send the body as it is, without Content-Encoding")


def require_type(request: Request, wanted: str) -> None:
    """Refuse a body of another type; a form or plain text could be sent by any page."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != wanted:
        raise refused(415, f"send the body as Content-Type: {wanted}")


def strict_json(text: bytes) -> Any:
    """Read JSON that every reader takes for the same.

    Raises:
        Invalid: not UTF-8 or not JSON, over 64 levels deep, a key twice, NaN or Infinity, an
            integer over 64 bits, half of a surrogate pair.
    """
    if _deepest(text) > DEPTH_LIMIT:
        raise Invalid(f"the body is nested over {DEPTH_LIMIT} levels deep", field="body")
    try:
        decoded = text.decode()
        found = json.loads(
            decoded,
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_finite,
        )
    except UnicodeDecodeError:
        raise Invalid("the body is not UTF-8", field="body") from None
    except RecursionError:
        raise Invalid("the body is nested too deep", field="body") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Invalid(f"the body is not JSON: {error.msg}, {place}", field="body") from None
    if "\\u" in decoded:
        _refuse_halves(found)
    return found


# Ends at the end too: a text that is never closed must not be looked for again and again.
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[{\]}]")


def _deepest(text: bytes) -> int:
    """How deep the brackets outside texts go; when they are few, how many there are."""
    opened = text.count(b"[") + text.count(b"{")
    if opened <= DEPTH_LIMIT:
        return opened
    brackets = _BRACKET.findall(_TEXT.sub(b"", text))
    return max(accumulate(1 if b in (b"[", b"{") else -1 for b in brackets), default=0)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise Invalid(f"the body says {double[:100]!r} twice", field=double[:100])
    return found


def _no_constant(word: str) -> float:
    raise Invalid(f"the body holds {word}, which is not JSON", field="body")


def _whole(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise Invalid("the body holds an integer over 64 bits", field="body")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Invalid(f"the body holds {digits[:30]}, too large a number", field="body")
    return number


def _refuse_halves(value: Any) -> None:
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        raise Invalid("the body holds half of a surrogate pair", field="body")
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_halves(name)
            _refuse_halves(inner)
    if isinstance(value, list):
        for inner in value:
            _refuse_halves(inner)
