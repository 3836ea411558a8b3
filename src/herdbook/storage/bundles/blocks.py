"""The blocks of a tar, as far as a bundle has them: one header a file, and never another."""

import os
import re
import tarfile
from typing import Final

from herdbook.errors import Corrupt, Invalid, TooLarge, Unavailable
from herdbook.storage.bundles.layout import BLOBS

BLOCK: Final = tarfile.BLOCKSIZE
END: Final = bytes(2 * BLOCK)
_OCTAL_LIMIT: Final = 8**11 - 1
_MODEL: Final = tarfile.TarInfo().tobuf(tarfile.GNU_FORMAT)
_REST_SUM: Final = sum(_MODEL[156:])
_NAME: Final = re.compile(rf"(oci-layout|index\.json|{BLOBS}[0-9a-f]{{64}})\Z")
_PLAIN: Final = re.compile(_NAME.pattern.encode())
_KINDS: Final = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.XHDTYPE: "an extended header",
    tarfile.XGLTYPE: "an extended header",
    tarfile.SOLARIS_XHDTYPE: "an extended header",
    tarfile.GNUTYPE_LONGNAME: "a long name",
    tarfile.GNUTYPE_LONGLINK: "a long name",
}


class Scan:
    """Where in a tar each file is, when it holds nothing but files as a bundle has them."""

    def __init__(self, fd: int, size: int, limit: int) -> None:
        self._fd, self._size, at = fd, size, 0
        self.places: dict[str, tuple[int, int]] = {}
        while any(header := self._block(at)):
            name, length = _entry(header, at)
            if name in self.places:
                raise Invalid(f"{name} is in the bundle twice", field="path")
            if len(self.places) == limit:
                raise TooLarge(f"the bundle has more than {limit:,} entries, which is the limit")
            self.places[name] = (at + BLOCK, length)
            at = self._after(at + BLOCK, length)
        if any(self._block(at + BLOCK)) or size != at + len(END):
            raise Invalid(f"the bundle goes on after its end at byte {at:,}", field="path")

    def _block(self, at: int) -> bytes:
        if at + BLOCK > self._size:
            raise changed(f"it ends at byte {self._size:,} before it is whole")
        return read(self._fd, at, BLOCK)

    def _after(self, start: int, length: int) -> int:
        end, full = start + length, start + padded(length)
        if full > self._size:
            raise changed(f"it ends at byte {self._size:,} before it is whole")
        if any(read(self._fd, end, full - end)):
            raise changed(f"there are bytes between two of its files at byte {end:,}")
        return full


def _entry(header: bytes, at: int) -> tuple[str, int]:
    """Read the one block that stands before a file; never a second one, whatever it says."""
    name, size = header[:77].rstrip(b"\0"), header[124:135]
    if _PLAIN.match(name) and size.isdigit() and max(size) < ord("8"):
        plain = name.decode(), int(size, 8)
        if header == header_of(*plain):
            return plain
    return _odd_entry(header, at)


def _odd_entry(header: bytes, at: int) -> tuple[str, int]:
    """Say what a block is that is not the usual one, which a file of 8 GiB and more has not."""
    try:
        found = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        if at:
            raise changed(f"there is no file at byte {at:,} where one should be") from None
        packing = header[:2] == b"\x1f\x8b" or header[:4] == b"\x28\xb5\x2f\xfd"
        mends = "unpack it first, gzip -d or zstd -d" if packing else "give what an export wrote"
        raise Invalid(f"this is no bundle of Herdbook: {mends}", field="path") from None
    shown = f"{found.name!r:.100}"
    if found.type != tarfile.REGTYPE:
        kind = _KINDS.get(found.type, "something else than a file")
        raise Invalid(f"{shown} in the bundle is {kind}; no bundle has one", field="path")
    if not _NAME.match(found.name):
        raise Invalid(f"{shown} is not the name of a file of a bundle", field="path")
    if found.size < 0 or header != header_of(found.name, found.size):
        raise Invalid(
            f"{shown} is not as a bundle holds it, such as with an owner, a time or other rights; "
            "bring the export itself, not what was packed again",
            field="path",
        )
    return found.name, found.size


def header_of(name: str, size: int) -> bytes:
    """Give the one block that stands before a file, of nobody and no time."""
    if size > _OCTAL_LIMIT:
        info = tarfile.TarInfo(name)
        info.size = size
        # GNU's way has room for every size in the one block.
        return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")
    # As tarfile writes it, which takes ten times as long.
    start = b"%b%b%011o\0%b" % (
        name.encode().ljust(100, b"\0"),
        _MODEL[100:124],
        size,
        _MODEL[136:148],
    )
    total = sum(start) + sum(b" " * 8) + _REST_SUM
    return b"%b%06o\0 %b" % (start, total, _MODEL[156:])


def padded(size: int) -> int:
    """Give a size with what fills its last block."""
    return -(-size // BLOCK) * BLOCK


def read(fd: int, at: int, size: int) -> bytes:
    """Give so many bytes from a place.

    Raises:
        Corrupt: there are fewer.
        Unavailable: the disk fails.
    """
    parts = []
    while size:
        try:
            part = os.pread(fd, size, at)
        except OSError as problem:
            raise Unavailable(f"the bundle cannot be read: {problem.strerror}") from problem
        if not part:
            raise changed(f"it ends at byte {at:,} before it is whole")
        parts.append(part)
        at, size = at + len(part), size - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def changed(why: str) -> Corrupt:
    """What to raise where a bundle is not what was written."""
    return Corrupt(f"the bundle was cut off or changed: {why}; copy it again")
