"""What picklescan says of pickles: a second opinion, which adds reasons and takes none away."""

import io
import logging
from collections.abc import Iterator
from functools import cache
from importlib import metadata, util
from typing import IO, Any, Final, cast

from herdbook.errors import HerdbookError
from herdbook.formats.contents import Contents
from herdbook.formats.reading import Bytes, Reader
from herdbook.formats.zips import entries, opened

# picklescan keeps every opcode it reads: these keep it within some 100 MB and a second or two.
_READS_LIMIT: Final = 200_000
_BYTES_LIMIT: Final = 32 * 2**20
_MEMBERS_LIMIT: Final = 100
_REASONS_LIMIT: Final = 20
_PICKLES: Final = frozenset({"pickle", "torch-legacy"})
_ARCHIVES: Final = frozenset({"torch", "torchscript", "zip", "npz", "skops", "keras"})


@cache
def asked() -> str:
    """Give who is asked, with its version; "" where picklescan is not installed."""
    if util.find_spec("picklescan") is None:
        return ""
    return f"picklescan {metadata.version('picklescan')}"


def opinion(reader: Reader, found: Contents) -> tuple[str, ...]:
    """Ask picklescan about a file of the pickle family.

    Args:
        reader: the file.
        found: what was found in it.

    Returns:
        What it holds to be dangerous. Nothing where it is not installed, where it does not know
        better, or where it would take too long; what `found` says stands whatever it is.
    """
    if not asked() or found.format not in _PICKLES | _ARCHIVES:
        return ()
    said: dict[str, None] = {}
    for member in _members(reader, found):
        said |= dict.fromkeys(_dangers(member))
    return tuple(said)[:_REASONS_LIMIT]


def _members(reader: Reader, found: Contents) -> Iterator[Reader]:
    if found.format in _PICKLES:
        yield reader
        return
    try:
        inside = entries(reader)
    except HerdbookError:
        return
    likely = [each for each in inside if each.name.endswith((".pkl", ".pickle", ".joblib"))]
    for entry in likely[:_MEMBERS_LIMIT]:
        try:
            yield opened(reader, entry)
        except HerdbookError:
            continue


def _dangers(reader: Reader) -> list[str]:
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes

    # It tells of what it finds in the log as well, where it would be told twice.
    logging.getLogger("picklescan").setLevel(logging.CRITICAL)
    try:
        found = scan_pickle_bytes(cast(IO[bytes], _Bounded(reader)), "the file")
    except Exception:  # noqa: BLE001 - it reads hostile bytes, and all it can do is add a reason
        return []
    names = sorted({f"{g.module}.{g.name}" for g in found.globals if _is(g, SafetyLevel.Dangerous)})
    return [f"picklescan holds {name:.200} to be dangerous" for name in names]


def _is(found: Any, level: Any) -> bool:
    return bool(found.safety == level)


class _Bounded(io.RawIOBase):
    """A reader as the file picklescan wants, which ends its patience, not ours."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader
        self._window, self._start = Bytes(b""), 0
        self._at = self._reads = self._bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = max(0, offset + (0, self._at, self._reader.size)[whence])
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._reader.size - self._at)
        size = left if size < 0 else min(size, left)
        self._reads, self._bytes = self._reads + 1, self._bytes + size
        if self._reads > _READS_LIMIT or self._bytes > _BYTES_LIMIT:
            raise ValueError("picklescan was asked for long enough")
        found = self._part(size)
        self._at += len(found)
        return found

    def _part(self, size: int) -> bytes:
        at = self._at - self._start
        if at < 0 or at + size > self._window.size:
            wanted = max(size, 65_536)
            self._window = Bytes(self._reader.read_at(self._at, wanted))
            self._start, at = self._at, 0
        return self._window.read_at(at, size)

    def readline(self, size: int | None = -1, /) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            part = self.read(min(256, size) if size is not None and size > 0 else 256)
            end = part.find(b"\n") + 1
            self._at -= len(part) - end if end else 0
            line += part[:end] if end else part
            if not part:
                break
        return bytes(line)
