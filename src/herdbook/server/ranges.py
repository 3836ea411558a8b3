"""The header Range: whether a part is wanted, and refusals as every other problem is told."""

import re
from typing import Final

from starlette.requests import Request

from herdbook.server.problems import refused

RANGES_LIMIT: Final = 100
_RANGE: Final = re.compile(r"[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*\Z", re.ASCII)


def asks_for_part(request: Request, size: int, tag: str) -> bool:
    """Whether a part of something is wanted: Range is there, and If-Range does not undo it.

    Args:
        request: the request.
        size: how many bytes there are.
        tag: their ETag.

    Raises:
        HTTPException: 400 when the header is none that can be understood, 416 when a part it
            names begins behind the end.
    """
    text = request.headers.get("range")
    if text is None or request.headers.get("if-range", tag) != tag:
        return False
    unit, _, specs = text.partition("=")
    parts = specs.split(",")
    if unit.strip().lower() != "bytes" or len(parts) > RANGES_LIMIT:
        raise refused(400, f"Range names bytes, such as bytes=0-99, at most {RANGES_LIMIT} parts")
    for part in parts:
        if _start(part, size) >= size:
            behind = f"there are {size:,} bytes, and a part that is asked for begins behind them"
            raise refused(416, behind, headers={"Content-Range": f"bytes */{size}"})
    return True


def _start(part: str, size: int) -> int:
    found = _RANGE.match(part)
    first, last = found.groups() if found else ("", "")
    if not first and not last:
        raise refused(400, "a part in Range is written 0-99, 100- or, from the end, -100")
    if not first:
        return max(0, size - int(last))
    if last and int(last) < int(first):
        raise refused(400, "a part in Range ends before it begins")
    return int(first)
