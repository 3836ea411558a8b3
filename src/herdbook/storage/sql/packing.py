"""Counts by bin as bytes.

The first byte says how many bytes each count takes (1, 2, 4 or 8), the others are the counts,
little-endian, in as few bytes as the largest of them needs: equal counts are equal bytes. 1,024
bins take 1 to 8 KB, and an addition unpacks and packs them in microseconds.
"""

import sys
from array import array
from collections.abc import Iterable, Mapping
from typing import Final

_KINDS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_WIDER: Final = {1: 2, 2: 4, 4: 8}
# A count stays here: a number that a bigint holds, and more than anyone counts.
MOST: Final = (1 << 63) - 1


def packed(counts: Iterable[int]) -> bytes:
    """Pack counts; OverflowError when one is below 0 or needs more than 64 bits."""
    held = list(counts)
    most = max(held, default=0)
    width = next((w for w in _KINDS if most < 1 << 8 * w), 8)
    return _bytes(array(_KINDS[width], held))


def unpacked(data: bytes) -> "array[int]":
    """Unpack counts; ValueError when these are none."""
    kind = _KINDS.get(data[0]) if data else None
    if kind is None:
        raise ValueError("these are no counts: they do not begin with their size")
    found = array(kind)
    found.frombytes(memoryview(data)[1:])
    return _swapped(found)


def added(data: bytes, counts: Mapping[str, int]) -> bytes:
    """Add counts by bin; IndexError when there is no such bin."""
    held = unpacked(data)
    for at, count in counts.items():
        total = min(MOST, held[int(at)] + count)
        while total >= 1 << 8 * held.itemsize and held.itemsize in _WIDER:
            held = array(_KINDS[_WIDER[held.itemsize]], held)
        held[int(at)] = total
    return _bytes(held)


def nothing(bins: int) -> bytes:
    """Give as many counts of nothing, packed."""
    return b"\x01" + bytes(bins)


def _bytes(counts: "array[int]") -> bytes:
    return bytes((counts.itemsize,)) + _swapped(counts).tobytes()


def _swapped(counts: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        counts.byteswap()
    return counts
