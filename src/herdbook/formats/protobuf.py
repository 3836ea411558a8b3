"""The wire format of Protocol Buffers, walked without a schema and without copying.

Reference: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from herdbook.errors import Invalid
from herdbook.formats.reading import Cursor

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_TEXT_BYTES_LIMIT: Final = 64 * 2**10
_VARINT_BYTES: Final = 10
_FIELD_LIMIT: Final = 2**29


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Args:
        wire: how it is written: VARINT, FIXED64, LENGTH or FIXED32.
        value: of a varint, else 0.
        start: where the value begins.
        end: where it ends.
    """

    number: int
    wire: int
    value: int
    start: int
    end: int


class Messages:
    """Walks messages within one file.

    Args:
        cursor: over the file; moved about freely.
        fields_limit: how many fields are read before it is given up, a bound on time.
    """

    def __init__(self, cursor: Cursor, *, fields_limit: int) -> None:
        self._cursor = cursor
        self._left = fields_limit
        self._limit = fields_limit

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Give the fields between two places, in their order.

        Raises:
            Invalid: a length leads beyond the end, or what is there is no field.
        """
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise Invalid(f"it has over {self._limit:,} fields")
            field = self._field(at, end)
            yield field
            at = field.end

    def _field(self, at: int, end: int) -> Field:
        tag, at = self._varint(at, end)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number < _FIELD_LIMIT:
            raise Invalid(f"the field at byte {at:,} has the number {number:,}")
        if wire == VARINT:
            value, stop = self._varint(at, end)
            return Field(number, wire, value, at, stop)
        if wire == LENGTH:
            length, at = self._varint(at, end)
        else:
            length = {FIXED64: 8, FIXED32: 4}.get(wire, -1)
        if length < 0:
            raise Invalid(f"the field {number} at byte {at:,} has the unknown wire type {wire}")
        if at + length > end:
            raise Invalid(
                f"the field {number} at byte {at:,} is said to take {length:,} bytes, "
                f"but only {end - at:,} are left"
            )
        return Field(number, wire, 0, at, at + length)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        self._cursor.position = at
        data = self._cursor.take(max(0, min(_VARINT_BYTES, end - at)), "a varint")
        value = 0
        for place, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value & (2**64 - 1), at + place + 1
        raise Invalid(f"the varint at byte {at:,} does not end")

    def varints(self, field: Field) -> Iterator[int]:
        """Give the numbers of a repeated field, packed or not."""
        if field.wire == VARINT:
            yield field.value
            return
        at = field.start
        while at < field.end:
            self._left -= 1
            if self._left < 0:
                raise Invalid(f"it has over {self._limit:,} fields")
            value, at = self._varint(at, field.end)
            yield value

    def text(self, field: Field) -> str:
        """Give a text, cut at 64 KiB."""
        if field.wire != LENGTH:
            raise Invalid(f"the field {field.number} at byte {field.start:,} is no text")
        self._cursor.position = field.start
        length = min(field.end - field.start, _TEXT_BYTES_LIMIT)
        return self._cursor.take(length, "a text").decode(errors="replace")
