"""Which blobs of a folder this process wrote or verified, and whether somebody touched them."""

import os
from typing import Final

LIMIT: Final = 65_536


class Known:
    """Blobs by the inode, size and time their files had when their bytes were verified."""

    def __init__(self) -> None:
        self._looks: dict[str, tuple[int, int, int]] = {}

    def has(self, digest: str, found: os.stat_result) -> bool:
        """Whether a file is one that was verified, and nobody touched it since."""
        return self._looks.get(digest) == _look(found)

    def add(self, digest: str, found: os.stat_result) -> None:
        """Remember a file as one with the bytes of its digest."""
        if len(self._looks) >= LIMIT:
            self._looks.clear()
        self._looks[digest] = _look(found)

    def forget(self, digest: str) -> None:
        """Verify it again the next time."""
        self._looks.pop(digest, None)

    def clear(self) -> None:
        """Forget all of them."""
        self._looks.clear()


def _look(found: os.stat_result) -> tuple[int, int, int]:
    """Give what of a file changes when somebody writes it."""
    return (found.st_ino, found.st_size, found.st_mtime_ns)
