"""The central directory of a zip archive, read by hand and held against what it points to.

Reference: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from herdbook.errors import Invalid
from herdbook.formats.reading import CHUNK_BYTES, Bytes, Cursor, Part, Reader, exactly, shown

LOCAL: Final = b"PK\x03\x04"
ENTRIES_LIMIT: Final = 100_000
DIRECTORY_BYTES_LIMIT: Final = 32 * 2**20
UNPACKED_BYTES_LIMIT: Final = 16 * 2**20
_STORED, _DEFLATED = 0, 8
_RATIO_LIMIT: Final = 1_040  # deflate itself cannot reach more than 1,032
_BOMB_RATIO: Final = 100
_BOMB_BYTES: Final = 2**30
_END, _END_64, _LOCATOR_64, _CENTRAL = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2"
_END_FORM: Final = struct.Struct("<4s4H2LH")
_LOCATOR_FORM: Final = struct.Struct("<4sLQL")
_END_64_FORM: Final = struct.Struct("<4sQ2H2L4Q")
_CENTRAL_FORM: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL_FORM: Final = struct.Struct("<4s5H3L2H")
_FULL: Final = 0xFFFFFFFF
_ENCRYPTED: Final = 0x41


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file in an archive.

    Args:
        packed: its bytes in the archive.
        size: its bytes unpacked.
        header: where the entry begins.
        start: where the packed bytes begin.
    """

    name: str
    stored: bool
    packed: int
    size: int
    header: int
    start: int

    def place(self) -> tuple[int, int] | None:
        """Give where its bytes lie as they are, None when they are packed."""
        return (self.start, self.start + self.size) if self.stored else None


def is_zip(reader: Reader) -> bool:
    """Say whether a zip's end record stands at the end, whatever stands before."""
    return _end(reader) >= 0


def entries(reader: Reader) -> tuple[Entry, ...]:
    """Give the files of an archive.

    Raises:
        Invalid: the directory lies: places outside, overlaps, names twice or leading elsewhere,
            sizes no packing reaches.
    """
    count, size, start = _directory(reader)
    cursor = Cursor(reader, start=start, end=start + size, of="the zip directory")
    found, names = [], set()
    for _ in range(count):
        entry = _entry(reader, cursor, directory=start)
        if entry is None:
            continue
        if entry.name in names:
            raise Invalid(f"the zip has the entry {shown(entry.name)} twice")
        names.add(entry.name)
        found.append(entry)
    if cursor.left:
        raise Invalid(f"the zip directory has {cursor.left:,} bytes more than its entries")
    _refuse_overlaps(found)
    _refuse_bombs(found)
    return tuple(found)


def opened(reader: Reader, entry: Entry, *, limit: int = UNPACKED_BYTES_LIMIT) -> Reader:
    """Give an entry as a reader; of a packed one the first `limit` bytes, in memory."""
    if entry.stored:
        return Part(reader, entry.start, entry.size)
    return Bytes(b"".join(_unpacked(reader, entry, min(limit, entry.size))))


def _unpacked(reader: Reader, entry: Entry, limit: int) -> Iterator[bytes]:
    machine = zlib.decompressobj(-15)
    at, end, left = entry.start, entry.start + entry.packed, limit
    data = b""
    while left > 0 and not machine.eof:
        if not data:
            data = exactly(reader, at, min(CHUNK_BYTES // 8, end - at), of=shown(entry.name))
            at += len(data)
        try:
            piece = machine.decompress(data, min(left, CHUNK_BYTES))
        except zlib.error as error:
            raise Invalid(f"the zip entry {shown(entry.name)} is broken: {error}") from None
        if not data and not piece:
            raise Invalid(f"the zip entry {shown(entry.name)} ends early")
        data = machine.unconsumed_tail
        left -= len(piece)
        yield piece
    if left > 0:
        raise Invalid(f"the zip entry {shown(entry.name)} is shorter than its {entry.size:,} bytes")


def _end(reader: Reader) -> int:
    length = min(reader.size, _END_FORM.size + 0xFFFF)
    tail = reader.read_at(reader.size - length, length)
    at = len(tail)
    while at > 0:
        at = tail.rfind(_END, 0, at)
        if at < 0:
            return -1
        if at + _END_FORM.size <= len(tail):
            comment = _END_FORM.unpack_from(tail, at)[7]
            if at + _END_FORM.size + comment == len(tail):
                return reader.size - length + at
    return -1


def _directory(reader: Reader) -> tuple[int, int, int]:
    """Give the number of entries, the size of the directory and where it begins."""
    end = _end(reader)
    if end < 0:
        raise Invalid("the zip has no end record: it is cut off, or followed by something else")
    record = exactly(reader, end, _END_FORM.size, of="the zip's end record")
    _, disk, first, here, count, size, start, _ = _END_FORM.unpack(record)
    at, wide = _end_64(reader, end)
    short = (disk, first, here, count, size, start)
    if wide:
        # Some readers take the short record and some the wide one: they must not differ.
        full = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, _FULL, _FULL)
        if any(a not in {b, most} for a, b, most in zip(short, wide, full, strict=True)):
            raise Invalid("the zip has two end records that say different things")
        disk, first, here, count, size, start = wide
    elif 0xFFFF in {here, count} or _FULL in {size, start}:
        raise Invalid("the zip says it is of the 64-bit kind, but has no such record")
    if disk or first or here != count:
        raise Invalid("the zip is said to be one of several parts")
    if count > ENTRIES_LIMIT or size > DIRECTORY_BYTES_LIMIT:
        raise Invalid(f"the zip is said to have {count:,} entries in {size:,} bytes")
    if start + size != at:
        raise Invalid(
            f"the zip directory is said to lie from byte {start:,} to {start + size:,}, "
            f"but must end at {at:,}"
        )
    return count, size, start


def _end_64(reader: Reader, end: int) -> tuple[int, tuple[int, ...]]:
    """Give where the end records begin, and the numbers of the 64-bit one if there is one."""
    data = reader.read_at(max(0, end - _LOCATOR_FORM.size), _LOCATOR_FORM.size)
    if end < _LOCATOR_FORM.size or not data.startswith(_LOCATOR_64):
        return end, ()
    at = _LOCATOR_FORM.unpack(data)[2]
    record = exactly(reader, at, _END_64_FORM.size, of="the zip's 64-bit end record")
    found = _END_64_FORM.unpack(record)
    if found[0] != _END_64:
        raise Invalid(f"the zip's 64-bit end record is not at byte {at:,}")
    return at, found[4:]


def _entry(reader: Reader, cursor: Cursor, *, directory: int) -> Entry | None:
    """Read one entry; None for a folder."""
    said = _CENTRAL_FORM.unpack(cursor.take(_CENTRAL_FORM.size, "an entry"))
    magic, flags, method, packed, size = said[0], said[3], said[4], said[8], said[9]
    if magic != _CENTRAL:
        raise Invalid(f"the zip directory has no entry at byte {cursor.position:,}")
    raw = cursor.take(said[10], "a name")
    extra = cursor.take(said[11], "an extra field")
    cursor.skip(said[12], "a comment")
    name = _name(raw, flags)
    packed, size, offset = _wide(extra, packed=packed, size=size, offset=said[16], name=name)
    if flags & _ENCRYPTED:
        raise Invalid(f"the zip entry {shown(name)} is encrypted; nobody can look into it")
    if method not in {_STORED, _DEFLATED} or (method == _STORED and packed != size):
        raise Invalid(
            f"the zip entry {shown(name)} is packed in a way (method {method}) that is "
            "not read, or lies about its size"
        )
    start = _data(reader, offset, raw, directory=directory)
    if start + packed > directory:
        raise Invalid(f"the zip entry {shown(name)} reaches beyond the entries")
    if name.endswith("/"):
        return None
    stored = method == _STORED
    return Entry(name=name, stored=stored, packed=packed, size=size, header=offset, start=start)


def _name(raw: bytes, flags: int) -> str:
    name = raw.decode("utf-8" if flags & 0x800 else "cp437", "replace")
    parts = name.removesuffix("/").split("/")
    if ".." in parts or "" in parts or "\\" in name or "\0" in name or name[1:2] == ":":
        raise Invalid(f"the zip entry {shown(name)} would lead outside of the archive's folder")
    return name


def _wide(extra: bytes, *, packed: int, size: int, offset: int, name: str) -> tuple[int, int, int]:
    """Take sizes and offset from the 64-bit field where the short ones are full."""
    wide: list[int] = []
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            body = extra[at + 4 : at + 4 + length]
            wide = [v[0] for v in struct.iter_unpack("<Q", body[: len(body) // 8 * 8])]
        at += 4 + length
    found = []
    for value in (size, packed, offset):
        if value == _FULL:
            if not wide:
                raise Invalid(f"the zip entry {shown(name)} has no 64-bit sizes")
            value = wide.pop(0)
        found.append(value)
    return found[1], found[0], found[2]


def _data(reader: Reader, offset: int, raw: bytes, *, directory: int) -> int:
    """Give where the bytes of an entry begin, after its local header."""
    if offset + _LOCAL_FORM.size > directory:
        raise Invalid(f"the zip entry {shown(raw)} is said to begin at byte {offset:,}")
    said = _LOCAL_FORM.unpack(exactly(reader, offset, _LOCAL_FORM.size, of="a zip entry"))
    name = reader.read_at(offset + _LOCAL_FORM.size, said[9])
    if said[0] != LOCAL or name != raw:
        raise Invalid(f"the zip entry {shown(raw)} is called {shown(name)} where it lies")
    start: int = offset + _LOCAL_FORM.size + said[9] + said[10]
    return start


def _refuse_overlaps(found: list[Entry]) -> None:
    reached = 0
    for entry in sorted(found, key=lambda entry: entry.header):
        if entry.header < reached:
            raise Invalid(f"the zip entry {shown(entry.name)} overlaps another")
        reached = entry.start + entry.packed


def _refuse_bombs(found: list[Entry]) -> None:
    for entry in found:
        if entry.size > max(entry.packed, 64) * _RATIO_LIMIT:
            raise Invalid(
                f"the zip entry {shown(entry.name)} is said to unpack from {entry.packed:,} "
                f"to {entry.size:,} bytes"
            )
    packed, size = sum(e.packed for e in found), sum(e.size for e in found)
    if size > _BOMB_BYTES and size > packed * _BOMB_RATIO:
        raise Invalid(f"the zip unpacks from {packed:,} to {size:,} bytes")
