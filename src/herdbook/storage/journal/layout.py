"""How a journal is laid out: a page that never changes, two for its state, labels, the ring.

| from | what |
|---|---|
| 0 | magic, version, records, bytes of labels; then who wrote it, as one line of JSON |
| 2,048 | how many results found no room; whether the process ended in good order |
| 4,096 and 8,192 | the state, written in turn, so that one of them is always whole |
| 12,288 | labels, one line of JSON each, ended by a line feed that is written last |
| after them | the ring: records of 32 bytes, the number of the lap last |

Numbers are in the byte order of the machine, which is the one that reads them again.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

from herdbook.errors import Corrupt
from herdbook.services.columns import SIZE

MAGIC: Final = b"herdjrnl"
VERSION: Final = 1
PAGE: Final = 4096
HEAD: Final = struct.Struct("=8sIIQ")
DROPPED_AT: Final = 2048
ENDED_AT: Final = 2056
STATES_AT: Final = (PAGE, 2 * PAGE)
LABELS_AT: Final = 3 * PAGE

NUMBER: Final = struct.Struct("@Q")
LABELS_LIMIT: Final = 1 << 16

_CHECK: Final = struct.Struct("=I")
_FIXED: Final = struct.Struct("=QQQQQQBI")
_OPENED: Final = struct.Struct("=HI")
# More kinds of calls than these are not on their way at the same moment.
_OPENED_LIMIT: Final = (PAGE - _CHECK.size - _FIXED.size) // _OPENED.size


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How much of a journal the register has.

    Args:
        number: how often the state changed.
        sequence: the last delta that the register has.
        tail: where records begin that are in no such delta.
        to: where those end that are in the delta that may be on its way; the tail when none is.
        dropped: how many results that found no room the register knows of.
        dropped_to: how many it will know of when it has the delta on its way.
        died: whether the delta on its way is the last one of a dead process.
        opened: label to calls that had begun and not ended at the tail.
    """

    number: int = 0
    sequence: int = 0
    tail: int = 0
    to: int = 0
    dropped: int = 0
    dropped_to: int = 0
    died: bool = False
    opened: Mapping[int, int] = field(default_factory=dict)

    @property
    def is_sending(self) -> bool:
        """Whether a delta may be on its way."""
        return self.to > self.tail or self.dropped_to > self.dropped or self.died

    def sending(self, to: int, *, dropped: int, died: bool = False) -> Self:
        """Give the state in which the delta up to a place is on its way."""
        number = self.number + 1
        return replace(self, number=number, to=to, dropped_to=dropped, died=died)

    def sent(self, opened: Mapping[int, int]) -> Self:
        """Give the state in which the register has that delta."""
        return replace(
            self,
            number=self.number + 1,
            sequence=self.sequence + 1,
            tail=self.to,
            dropped=self.dropped_to,
            died=False,
            opened=opened,
        )

    def moved(self, to: int, opened: Mapping[int, int]) -> Self:
        """Give the state in which records that tell the register nothing are done with."""
        return replace(self, number=self.number + 1, tail=to, to=to, opened=opened)

    def skipped(self, opened: Mapping[int, int]) -> Self:
        """Give the state in which the register refused that delta for good."""
        return replace(
            self,
            number=self.number + 1,
            tail=self.to,
            dropped_to=self.dropped,
            died=False,
            opened=opened,
        )

    def encoded(self) -> bytes:
        """Give it as bytes that tell when they are not whole."""
        opened = list(self.opened.items())[:_OPENED_LIMIT]
        body = _FIXED.pack(
            self.number,
            self.sequence,
            self.tail,
            self.to,
            self.dropped,
            self.dropped_to,
            self.died,
            len(opened),
        ) + b"".join(_OPENED.pack(label, min(count, 2**32 - 1)) for label, count in opened)
        return _CHECK.pack(zlib.crc32(body)) + body

    @classmethod
    def decoded(cls, page: bytes) -> Self | None:
        """Read it; None when it is not whole."""
        (check,) = _CHECK.unpack_from(page)
        values = _FIXED.unpack_from(page, _CHECK.size)
        count = values[-1]
        if not 0 <= count <= _OPENED_LIMIT:
            return None
        end = _CHECK.size + _FIXED.size + count * _OPENED.size
        if zlib.crc32(page[_CHECK.size : end]) != check:
            return None
        names = ("number", "sequence", "tail", "to", "dropped", "dropped_to")
        return cls(
            **dict(zip(names, values, strict=False)),
            died=bool(values[6]),
            opened=dict(_OPENED.iter_unpack(page[_CHECK.size + _FIXED.size : end])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large the parts of a journal are.

    Args:
        records: how many the ring holds, a multiple of 16.
        labels: bytes for labels.
    """

    records: int
    labels: int

    @property
    def ring_at(self) -> int:
        """Where the ring begins."""
        return LABELS_AT + self.labels

    @property
    def total(self) -> int:
        """Bytes of the file."""
        return self.ring_at + self.records * SIZE


def head(sizes: Sizes, owner: Mapping[str, str | int]) -> bytes:
    """Give the page that never changes."""
    text = json.dumps(owner, separators=(",", ":")).encode() + b"\n"
    return HEAD.pack(MAGIC, VERSION, sizes.records, sizes.labels) + text


def read_head(page: bytes) -> tuple[Sizes, dict[str, str]]:
    """Read the page that never changes; Corrupt when it is none."""
    try:
        magic, version, records, labels = HEAD.unpack_from(page)
        if magic != MAGIC or version != VERSION:
            raise Corrupt("it is no journal of this version of Herdbook")
        owner = json.loads(page[HEAD.size : DROPPED_AT].partition(b"\n")[0])
        found = {str(name): str(value) for name, value in owner.items()}
    except (struct.error, ValueError, AttributeError, RecursionError) as error:
        raise Corrupt("its first page is damaged") from error
    if not records:
        raise Corrupt("it has no room for records")
    return Sizes(records=records, labels=labels), found
