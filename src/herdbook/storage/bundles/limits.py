"""What a bundle may hold, so that reading one takes bounded time and memory."""

from dataclasses import dataclass
from typing import Final

from herdbook.core.artifacts import SIZE_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a bundle may hold.

    Args:
        size: the bytes of all of it.
        entries: how many files of the archive.
        document: the bytes of one document: a manifest, a record, a signature.
        documents: the bytes of all documents, which are kept in memory.
    """

    size: int = SIZE_LIMIT
    entries: int = 200_000
    document: int = 8 * 1024**2
    documents: int = 128 * 1024**2


LIMITS: Final = Limits()
