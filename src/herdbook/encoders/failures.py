"""Whose fault it is that a text was not embedded: the text's, or that of the moment."""

import contextlib
from collections.abc import Iterator
from typing import Final

from herdbook.errors import HerdbookError, Invalid, Unavailable

# A disk, a network, a deadline, memory: it may work later.
PASSING: Final = (OSError, MemoryError)
BUSY: Final = frozenset({408, 425, 429})
_CAUSES: Final = 8


@contextlib.contextmanager
def blamed(name: str) -> Iterator[None]:
    """Tell what stays wrong with a text from what passes.

    Args:
        name: what is run, for messages.

    Raises:
        Unavailable: the disk, the network, memory or a service let it down; clients of services
            say so in what they raise: a status of 408, 429 or 5xx, or a cause that is one of these.
        Invalid: anything else that is raised: it would be raised again for the same texts.
    """
    try:
        yield
    except HerdbookError:
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:200]
        message = f"{name} raises {type(error).__name__}" + (f": {told}" if told else "")
        raise (Unavailable if passes(error) else Invalid)(message) from error


def passes(error: BaseException) -> bool:
    """Whether an error, or what caused it, is of the moment."""
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        if cause is None:
            return False
        if isinstance(cause, PASSING) or is_busy(_status(cause)):
            return True
        cause = cause.__cause__
    return False


def is_busy(status: object) -> bool:
    """Whether an HTTP status asks to try again."""
    return isinstance(status, int) and (status in BUSY or 500 <= status < 600)


def _status(error: BaseException) -> object:
    """Give the HTTP status that an error of an HTTP client carries."""
    for holder in (error, getattr(error, "response", None)):
        for attribute in ("status_code", "status"):
            found = getattr(holder, attribute, None)
            if isinstance(found, int):
                return found
    return None
