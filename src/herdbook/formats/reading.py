"""Reading parts of a file, never more of it at once than is asked for."""

import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from herdbook.errors import Invalid

CHUNK_BYTES: Final = 2**20
JSON_BYTES_LIMIT: Final = 64 * 2**20
# Every value of a JSON text costs some 60 bytes of memory, however short it is written.
JSON_VALUES_LIMIT: Final = 3_000_000
# Half of a surrogate pair as JSON escapes it; also found in a text about such escapes.
_HALF: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_WINDOW_BYTES: Final = 64 * 2**10


class Reader(Protocol):
    """Bytes at any place: of a file, a blob, or what a server gives by ranges."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Give `length` bytes from `offset`; fewer only where the bytes end."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes in memory as a reader.

    Example:
        >>> Bytes(b"majora").read_at(2, 100)
        b'jora'
    """

    data: bytes

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        """Give a part of them."""
        return self.data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class Part:
    """A run of bytes of another reader as one of its own."""

    whole: Reader
    start: int
    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Give a part of it, nothing of what lies around it."""
        fitting = max(0, min(length, self.size - offset))
        return self.whole.read_at(self.start + offset, fitting) if fitting else b""


def exactly(reader: Reader, offset: int, length: int, *, of: str) -> bytes:
    """Give bytes that must be there.

    Args:
        reader: the file.
        offset: where they begin.
        length: how many they are.
        of: what they are part of, for the message.

    Raises:
        Invalid: the file ends before.
    """
    if offset + length > reader.size:
        raise Invalid(
            f"{of} reaches to byte {offset + length:,}, but the file ends at {reader.size:,}"
        )
    found = reader.read_at(offset, length)
    if len(found) != length:
        raise Invalid(f"{of} could not be read: the file ended before its size of {reader.size:,}")
    return found


def chunks(reader: Reader, start: int, end: int) -> Iterator[bytes]:
    """Give the bytes from `start` to `end`, 1 MiB at a time."""
    for at in range(start, end, CHUNK_BYTES):
        yield exactly(reader, at, min(CHUNK_BYTES, end - at), of="what was asked for")


class Cursor:
    """Reads forward through a file, a window of 64 KiB at a time.

    Args:
        reader: the file.
        start: where to begin.
        end: where to stop, the file's end when left out.
        of: what is being read, for messages.
    """

    def __init__(
        self, reader: Reader, *, start: int = 0, end: int | None = None, of: str = "the file"
    ) -> None:
        self.end = reader.size if end is None else end
        self.position = start
        self.scanned = 0  # bytes of lines, which unlike skipped ones cost time
        self._reader = reader
        self._of = of
        self._window = b""
        self._window_start = start

    @property
    def left(self) -> int:
        """How many bytes there are up to the end."""
        return self.end - self.position

    def refuse_beyond(self, length: int, what: str) -> None:
        """Refuse a length that reaches beyond the end.

        Raises:
            Invalid: naming both.
        """
        if not 0 <= length <= self.left:
            raise Invalid(
                f"{self._of}: {what} at byte {self.position:,} is said to take {length:,} bytes, "
                f"but only {max(self.left, 0):,} are left"
            )

    def take(self, length: int, what: str = "a value") -> bytes:
        """Give the next bytes; whoever asks bounds `length`."""
        at = self.position - self._window_start
        found = self._window[at : at + length]
        if len(found) != length or at < 0:
            found = self._refill(length, what)
        self.position += length
        return found

    def _refill(self, length: int, what: str) -> bytes:
        self.refuse_beyond(length, what)
        wanted = min(max(length, _WINDOW_BYTES), self.left)
        data = exactly(self._reader, self.position, wanted, of=self._of)
        if length <= _WINDOW_BYTES:  # what is larger is not kept a second time
            self._window, self._window_start = data, self.position
        return data[:length]

    def skip(self, length: int, what: str = "a value") -> None:
        """Pass over bytes without reading them."""
        self.refuse_beyond(length, what)
        self.position += length

    def unpack(self, form: struct.Struct, what: str = "a number") -> Any:
        """Read one number."""
        return form.unpack(self.take(form.size, what))[0]

    def line(self, *, limit: int, what: str = "a line") -> bytes:
        """Give what is up to the next line feed, without it.

        Raises:
            Invalid: there is none within `limit` bytes.
        """
        start, length = self.position, 0
        parts: list[bytes] = []
        while length <= limit and self.left:
            piece = self.take(min(256, self.left), what)
            self.scanned += len(piece)
            at = piece.find(b"\n")
            if at >= 0:
                self.position = start + length + at + 1
                return b"".join([*parts, piece[:at]])
            parts.append(piece)
            length += len(piece)
        self.position = start
        raise Invalid(f"{self._of}: {what} at byte {start:,} does not end")


def json_values(data: bytes) -> int:
    """Count, without parsing, how many values a JSON text can hold at most."""
    return sum(data.count(mark) for mark in (b",", b"[", b"{"))


def json_value(
    data: bytes, *, of: str, values_limit: int = JSON_VALUES_LIMIT, constants: bool = False
) -> Any:
    """Read JSON from somebody else's file: strict UTF-8, no key twice, bounded in every way.

    Args:
        data: the whole text.
        of: what it is, for the message.
        values_limit: how many values it may hold.
        constants: whether NaN and Infinity, which Python writes, may stand in it.

    Raises:
        Invalid: it is none, or too large to be read within bounds.
    """
    values = json_values(data)
    if len(data) > 2 * JSON_BYTES_LIMIT or values > values_limit:
        raise Invalid(f"{of} is too large to be read: {len(data):,} bytes, {values:,} values")
    no_constant = None if constants else _no_constant
    real = float if constants else _finite
    try:
        found = json.loads(
            data.decode(),
            object_pairs_hook=_object,
            parse_constant=no_constant,
            parse_int=_whole,
            parse_float=real,
        )
        if _HALF.search(data):
            _refuse_halves(found)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{of} is no JSON: {error}"[:300]) from None
    return found


def _refuse_halves(value: Any) -> None:
    """Refuse texts that are no Unicode: they can be written in JSON, but nowhere else."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            one.encode()
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it has the key {twice!r:.60} twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"it says {word}")


def _whole(digits: str) -> float:
    """Read a whole number, one that no 64 bits hold as a float."""
    return _finite(digits) if len(digits) > 20 or digits == "-0" else int(digits)


def _finite(digits: str) -> float:
    found = float(digits)
    if found - found != 0:
        raise ValueError(f"the number {digits[:20]} is too large")
    return found


def shown(text: object, *, limit: int = 60) -> str:
    """Give a name out of a foreign file as it may appear in a message."""
    found = repr(text)
    return found if len(found) <= limit else f"{found[:limit]}…"
