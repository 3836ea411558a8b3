"""Which units were seen: a bit for each place of a unit's hash, of fixed size.

A unit whose place another has taken before is not counted as a first one. That loses some of the
first results, never some with errors rather than others, so what is counted stays a fair sample.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from herdbook.core.recording import POSITION_BITS, ArmSums
from herdbook.errors import Corrupt

_BYTES: Final = (1 << POSITION_BITS) // 8
_FAST: Final = 1


def first_ones(seen: bytes, sums: Sequence[ArmSums]) -> tuple[bytes, tuple[ArmSums, ...]]:
    """Leave those in sums that come the first time, in order, and remember them.

    Args:
        seen: what this gave before, or nothing.
        sums: what was recorded, in the order in which it came.

    Raises:
        Corrupt: `seen` is not what this gave.
    """
    bits = _opened(seen)
    left = tuple(
        replace(
            each,
            firsts=tuple(_new(bits, each.firsts)),
            first_errors=tuple(_new(bits, each.first_errors)),
        )
        for each in sums
    )
    return zlib.compress(bits, _FAST), left


def _opened(seen: bytes) -> bytearray:
    if not seen:
        return bytearray(_BYTES)
    opening = zlib.decompressobj()
    try:
        # One byte more than there may be: what is damaged must not fill the memory.
        bits = bytearray(opening.decompress(seen, _BYTES + 1))
    except zlib.error as error:
        raise Corrupt(f"the record of units that were seen is damaged: {error}") from None
    if len(bits) <= _BYTES and (not opening.eof or opening.unused_data):
        raise Corrupt("the record of units that were seen is damaged: it ends elsewhere")
    if len(bits) > _BYTES:
        raise Corrupt(f"the record of units that were seen has more than {_BYTES:,} bytes")
    if len(bits) < _BYTES:
        raise Corrupt(f"the record of units that were seen has {len(bits):,} bytes, not {_BYTES:,}")
    return bits


def _new(bits: bytearray, places: Iterable[int]) -> Iterable[int]:
    for place in places:
        at, bit = place >> 3, 1 << (place & 7)
        if not bits[at] & bit:
            bits[at] |= bit
            yield place
