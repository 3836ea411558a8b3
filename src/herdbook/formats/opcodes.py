"""The opcodes of a pickle, one after the other, each argument within bounds.

`pickletools.genops` reads an argument of any length into memory; this does not.
"""

import pickletools
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from herdbook.errors import Invalid
from herdbook.formats.reading import Cursor

TEXT_BYTES_LIMIT: Final = 4 * 2**10
LINE_BYTES_LIMIT: Final = 2**20
CODES: Final = {ord(code.code): code for code in pickletools.opcodes}
_LENGTHS: Final = {
    pickletools.TAKEN_FROM_ARGUMENT1: struct.Struct("<B"),
    pickletools.TAKEN_FROM_ARGUMENT4: struct.Struct("<i"),
    pickletools.TAKEN_FROM_ARGUMENT4U: struct.Struct("<I"),
    pickletools.TAKEN_FROM_ARGUMENT8U: struct.Struct("<Q"),
}
_NUMBERS: Final = {
    "uint1": struct.Struct("<B"),
    "uint2": struct.Struct("<H"),
    "int4": struct.Struct("<i"),
    "uint4": struct.Struct("<I"),
    "uint8": struct.Struct("<Q"),
    "float8": struct.Struct(">d"),
}
_LONGS: Final = frozenset({"long1", "long4"})
_PAIRS: Final = frozenset({"stringnl_noescape_pair"})


def class_of(codes: Iterable[int]) -> bytes:
    """Give the class of a regular expression for any of these bytes."""
    return b"[" + b"".join(b"\\x%02x" % code for code in codes) + b"]"


def opcodes(cursor: Cursor) -> Iterator[tuple[str, Any]]:
    """Give the opcodes up to and with STOP, by name, each with its argument.

    An argument is a number, a text or two texts; None where there is none or it was not kept.

    Raises:
        Invalid: what comes next is no opcode, or its argument leads beyond the end.
    """
    while True:
        position = cursor.position
        code = CODES.get(cursor.take(1, "an opcode")[0])
        if code is None:
            raise Invalid(f"what is at byte {position:,} is no opcode of a pickle")
        argument = _argument(cursor, code.arg) if code.arg else None
        yield code.name, argument
        if code.name == "STOP":
            return


def _argument(cursor: Cursor, kind: pickletools.ArgumentDescriptor) -> Any:
    if kind.name in _NUMBERS:
        return cursor.unpack(_NUMBERS[kind.name], "an argument")
    if kind.n == pickletools.UP_TO_NEWLINE:
        return _lines(cursor, kind.name)
    length = cursor.unpack(_LENGTHS[kind.n], "a length")
    cursor.refuse_beyond(length, "an argument")
    kept = cursor.take(min(length, TEXT_BYTES_LIMIT), "an argument")
    cursor.skip(length - len(kept), "an argument")
    if kind.name in _LONGS:
        return int.from_bytes(kept[:16], "little", signed=True)
    return kept.decode("utf-8", "replace") if length == len(kept) else None


def _lines(cursor: Cursor, kind: str) -> Any:
    if kind in _PAIRS:
        names = [cursor.line(limit=TEXT_BYTES_LIMIT, what="a name") for _ in range(2)]
        return tuple(map(_text, names))
    line = _text(cursor.line(limit=LINE_BYTES_LIMIT, what="an argument"))
    if kind.startswith("decimalnl"):
        return _whole(line.rstrip("L"))
    return line.strip("\"'") if kind == "stringnl" else line


def _text(line: bytes) -> str:
    return line[:TEXT_BYTES_LIMIT].decode("utf-8", "replace")


def _whole(line: str) -> int:
    """Read a whole number as unpicklers do: booleans are 00 and 01, others may be 0x1f or 017."""
    if len(line) > 40:
        return 0
    for base in (10, 0, 8):
        with suppress(ValueError):
            return int(line, base)
    raise Invalid(f"the number {line!r:.50} in a pickle is none")
