"""What an embedding service answers, read with doubt."""

import base64
import json
from typing import Any

from herdbook.errors import Unavailable


def vectors(data: bytes, *, count: int, name: str) -> tuple[list[Any], int | None]:
    """Read an answer to a request for embeddings.

    Args:
        data: the body.
        count: how many texts were sent.
        name: of the service, for messages.

    Returns:
        A vector for each text, in their order, and the tokens the service says it took; None
        where it does not say.

    Raises:
        Unavailable: it is cut off, or is no such answer.
    """
    answer = _object(data, name)
    found = answer.get("data")
    if not isinstance(found, list):
        told = message(data)
        raise Unavailable(f"{name} answers without embeddings" + (f": {told}" if told else ""))
    if len(found) != count:
        raise Unavailable(f"{name} answers with {len(found)} embeddings for {count} texts")
    try:
        return [_vector(each["embedding"]) for each in _ordered(found)], _tokens(answer)
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"{name} answers with what is no embedding: {error!r:.200}") from None


def message(data: bytes) -> str:
    """Give what a service says is wrong: its message out of JSON, or the text itself."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return _line(data[:2_000].decode("utf-8", "replace"))
    said = found
    for key in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(key):
            said = said[key]
    return _line(said if isinstance(said, str) else json.dumps(said)[:2_000])


def error_code(data: bytes) -> str:
    """Give the code an error carries, such as `insufficient_quota`; "" where it has none."""
    try:
        return str(json.loads(data)["error"]["code"] or "")
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""


def _line(text: str) -> str:
    """Make one line of it that a terminal can show."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _object(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{name} answers with what is no JSON: {error}"[:300]) from None
    if not isinstance(found, dict):
        raise Unavailable(f"{name} answers without embeddings")
    return found


def _ordered(found: list[Any]) -> list[Any]:
    """Put what came in any order into that of the texts."""
    if not all(isinstance(each, dict) for each in found):
        raise TypeError("not all of them are objects")
    places = [each.get("index", at) for at, each in enumerate(found)]
    if sorted(places) != list(range(len(found))):
        raise ValueError("its indexes do not count the texts")
    ordered: list[Any] = [None] * len(found)
    for place, each in zip(places, found, strict=True):
        ordered[place] = each
    return ordered


def _vector(found: Any) -> Any:
    import numpy as np

    if isinstance(found, str):
        return np.frombuffer(base64.b64decode(found, validate=True), dtype="<f4")
    if not isinstance(found, list):
        raise TypeError(f"{type(found).__name__} instead of numbers")
    with np.errstate(over="ignore"):
        row = np.array(found, dtype=np.float32)
    if row.ndim != 1:
        raise ValueError(f"an array of {row.ndim} dimensions instead of numbers")
    return row


def _tokens(answer: dict[str, Any]) -> int | None:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    found = usage.get("total_tokens", usage.get("prompt_tokens"))
    return found if type(found) is int and found >= 0 else None
