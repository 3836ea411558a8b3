"""Compressed files: joblib writes them, and unpickles what it unpacks."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Final, Protocol

from herdbook.formats import pickles
from herdbook.formats.contents import Contents
from herdbook.formats.reading import Bytes, Reader

UNPACKED_BYTES_LIMIT: Final = 4 * 2**20
_READ_BYTES: Final = 2**20
_LZMA_MEMORY: Final = 64 * 2**20


class _Machine(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_KINDS: Final[dict[bytes, tuple[str, Callable[[], _Machine] | None]]] = {
    b"\x1f\x8b\x08": ("gzip", lambda: zlib.decompressobj(31)),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": ("xz", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
    b"\x5d\x00\x00": ("lzma", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
    **{
        bytes([0x78, level]): ("zlib", lambda: zlib.decompressobj(15))
        for level in (0x01, 0x5E, 0x9C, 0xDA)
    },
    b"\x04\x22\x4d\x18": ("lz4", None),
    b"\x28\xb5\x2f\xfd": ("zstandard", None),
}


def read(reader: Reader, head: bytes) -> Contents | None:
    """Unpack the beginning and look for a pickle; None when it is not compressed."""
    for magic, (name, machine) in _KINDS.items():
        if head.startswith(magic):
            if machine is None:
                reason = f"it is packed with {name}, which cannot be looked into here"
                return Contents(format=name, executable=(reason,))
            data = _unpacked(reader, machine())
            return None if data is None else _described(name, data)
    return None


def _unpacked(reader: Reader, machine: _Machine) -> bytes | None:
    """Give the beginning; None when what follows the magic bytes is something else."""
    try:
        return machine.decompress(reader.read_at(0, _READ_BYTES), UNPACKED_BYTES_LIMIT)
    except (zlib.error, lzma.LZMAError, OSError, EOFError):
        return None


def _described(name: str, data: bytes) -> Contents:
    inside = Bytes(data)
    first = pickles.first(inside)
    found = [first] if first.begins_a_file else []
    hidden, _ = pickles.hidden(inside, start=first.end if found else 0)
    if not found and not hidden:
        return Contents(format=name, warnings=("only its beginning was looked into",))
    every = found + hidden
    return Contents(
        format="pickle",
        executable=tuple(f"packed with {name}, {reason}" for reason in pickles.reasons(every)),
        details={"imports": pickles.imports(every), "packed": name},
    )
