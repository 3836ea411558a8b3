"""Bundles that were damaged or made to do harm: each is one clear error."""

import gzip
import hashlib
import os
import random
import resource
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from herdbook.core.artifacts import digest_of
from herdbook.errors import Corrupt, HerdbookError, Invalid, NotFound, TooLarge
from herdbook.storage.bundles import read_bundle
from tests.storage.packing import (
    VERSIONS,
    WEIGHTS,
    a_bundle,
    blob,
    every_byte,
    repacked,
    unpacked,
)

Parts = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_bundle(tmp_path_factory.mktemp("bundles") / "one.tar").path


def _taken(path: Path) -> None:
    with read_bundle(path) as bundle:
        every_byte(bundle)


def _sound(path: Path) -> bool:
    try:
        _taken(path)
    except HerdbookError as error:
        assert isinstance(error, Corrupt | Invalid | TooLarge)  # noqa: PT017 - and no other
        return False
    return True


# --- damage ---


def test_a_bundle_cut_off_anywhere_is_found(path: Path, tmp_path: Path) -> None:
    data, chance = path.read_bytes(), random.Random(1)  # noqa: S311 - the same every time
    cut = tmp_path / "cut.tar"
    places = {0, 1, 511, 512, 513, len(data) - 1, len(data) - 512, len(data) - 1_024}

    for at in sorted(places | {chance.randrange(len(data)) for _ in range(150)}):
        cut.write_bytes(data[:at])

        with pytest.raises(Corrupt):
            read_bundle(cut)


def test_a_bit_flipped_anywhere_is_found(path: Path, tmp_path: Path) -> None:
    data, chance = bytearray(path.read_bytes()), random.Random(2)  # noqa: S311 - the same
    flipped = tmp_path / "flipped.tar"
    # Most of a bundle is weights; its first blocks are where the structure is.
    places = [chance.randrange(20_000) for _ in range(400)]
    places += [chance.randrange(len(data)) for _ in range(60)]
    places += [len(data) - 1 - chance.randrange(1_024) for _ in range(20)]

    for at in places:
        data[at] ^= 1 << (bit := chance.randrange(8))
        flipped.write_bytes(data)
        data[at] ^= 1 << bit

        assert not _sound(flipped), at
    flipped.write_bytes(data)
    assert _sound(flipped)


def test_a_reader_that_checks_less_misses_some_of_them(path: Path, tmp_path: Path) -> None:
    data, chance = bytearray(path.read_bytes()), random.Random(2)  # noqa: S311 - the same
    flipped, missed = tmp_path / "flipped.tar", 0

    for at in [chance.randrange(20_000) for _ in range(100)]:
        data[at] ^= 1 << (bit := chance.randrange(8))
        flipped.write_bytes(data)
        data[at] ^= 1 << bit
        missed += _naively(flipped)

    assert missed > 0


def _naively(path: Path) -> bool:
    """The negative control: tarfile, and the digests of the blobs that are there."""
    try:
        with tarfile.open(path) as archive:
            return all(
                hashlib.sha256(archive.extractfile(info).read()).hexdigest() == info.name[-64:]  # type: ignore[union-attr]
                for info in archive
                if info.name.startswith("blobs/")
            )
    except (tarfile.TarError, AttributeError, UnicodeDecodeError):
        return False


def test_a_bit_of_a_file_is_found_in_place_of_its_last_chunk(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    at = data.index(WEIGHTS) + 1_000
    (tmp_path / "one.tar").write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    got = 0

    with read_bundle(tmp_path / "one.tar") as bundle:
        assert bundle.contents == VERSIONS
        with pytest.raises(Corrupt, match=r"other bytes than those of sha256:"):  # noqa: PT012
            for digest, _, chunks in bundle.blobs():
                for chunk in chunks:
                    got += len(chunk) * (digest == digest_of(WEIGHTS))

    assert 0 < got < len(WEIGHTS)


def test_a_bundle_that_shrinks_while_it_is_read_is_found(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "one.tar"
    copy.write_bytes(path.read_bytes())

    with read_bundle(copy) as bundle:
        os.truncate(copy, 30_000)
        with pytest.raises(Corrupt, match="before it is whole"):
            every_byte(bundle)


def test_two_bundles_joined_are_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "two.tar").write_bytes(path.read_bytes() * 2)

    with pytest.raises(Invalid, match="goes on after its end"):
        read_bundle(tmp_path / "two.tar")


# --- what is none ---


def test_what_is_no_bundle_is_refused(path: Path, tmp_path: Path) -> None:
    folder, pipe, zipped = tmp_path / "folder", tmp_path / "pipe", tmp_path / "one.tar.gz"
    folder.mkdir()
    os.mkfifo(pipe)
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    text = tmp_path / "text"
    text.write_text("no bundle " * 1_000)

    for what, said in (
        *((folder, "is no file"), (pipe, "is no file"), (Path("/dev/zero"), "is no file")),
        *((zipped, "unpack it first"), (text, "no bundle of Herdbook")),
    ):
        with pytest.raises(Invalid, match=said):
            read_bundle(what)
    with pytest.raises(NotFound, match="no bundle at"):
        read_bundle(tmp_path / "none.tar")


# --- hostile archives ---


def _with(change: Callable[[tarfile.TarInfo], None]) -> Callable[[Parts], None]:
    """A change to what stands before one blob, its bytes as they were."""

    def changed(parts: Parts) -> None:
        change(parts[4][0])

    return changed


def _more(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[Parts], None]:
    """One file more, of some kind."""

    def changed(parts: Parts) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        parts.insert(3, (info, b""))

    return changed


def _kind(kind: bytes, link: str = "") -> Callable[[Parts], None]:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, link

    return _with(change)


def _set(name: str, value: Any) -> Callable[[Parts], None]:
    return _with(lambda info: setattr(info, name, value))


def _twice(parts: Parts) -> None:
    parts.append(parts[5])


def _swapped(parts: Parts) -> None:
    parts[4], parts[5] = parts[5], parts[4]


def _unreferenced(parts: Parts) -> None:
    parts.append(blob(b"nobody's"))


def _other_name(parts: Parts) -> None:
    parts[-1][0].name = "blobs/sha256/" + "0" * 64


def _extended(parts: Parts) -> None:
    data = b"30 mtime=1350244992.023960108\n"
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, len(data)
    parts.insert(2, (info, data))


def _extension_bomb(parts: Parts) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    parts.insert(0, (info, b""))


def _long_name(parts: Parts) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    parts.insert(0, (info, b""))


SYM, HARD, FIFO, DEVICE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_kind(SYM, "/etc/passwd"), "a symbolic link"),
        (_kind(SYM, "../index.json"), "a symbolic link"),
        (_kind(HARD, "index.json"), "a hard link"),
        (_kind(FIFO), "a pipe"),
        (_kind(DEVICE), "a device"),
        (_kind(tarfile.BLKTYPE), "a device"),
        (_kind(tarfile.DIRTYPE), "a folder"),
        (_kind(tarfile.GNUTYPE_SPARSE), "a sparse file"),
        (_kind(tarfile.CONTTYPE), "something else"),
        (_kind(tarfile.AREGTYPE), "something else"),
        (_kind(b"Z"), "something else"),
        (_more("blobs", SYM, "/etc"), "a symbolic link"),
        (_more("blobs/", tarfile.DIRTYPE), "a folder"),
        (_more("../../etc/cron.d/x"), "not the name"),
        (_more("/etc/cron.d/x"), "not the name"),
        (_more("blobs/sha256/../../x"), "not the name"),
        (_more("C:\\x"), "not the name"),
        (_more("blobs/sha256/" + "A" * 64), "not the name"),
        (_more("blobs/sha512/" + "a" * 64), "not the name"),
        (_more("./oci-layout"), "not the name"),
        (_more("index.json\n"), "not the name"),
        (_more("café\u202e.txt"), "not the name"),
        (_more("oci-layout"), "twice"),
        (_set("mode", 0o4755), "not as a bundle holds it"),
        (_set("mtime", 1_700_000_000), "not as a bundle holds it"),
        (_set("uid", 1_000), "not as a bundle holds it"),
        (_set("uname", "oracle"), "not as a bundle holds it"),
        (_set("size", 0), "change|no file at byte"),
        (_set("size", 1 << 50), "cut off"),
        (_set("size", -512), "not as a bundle holds it"),
        (_twice, "twice"),
        (_swapped, "another order"),
        (_unreferenced, "belongs to no version"),
        (_other_name, "lacks blobs"),
        (lambda parts: parts.pop(0), "lacks oci-layout"),
        (lambda parts: parts.pop(1), "lacks index.json"),
        (lambda parts: parts.pop(2), "lacks blobs"),
        (lambda parts: parts.pop(), "lacks blobs"),
        (lambda parts: parts.clear(), "lacks index.json"),
        (_extended, "an extended header"),
        (_extension_bomb, "an extended header"),
        (_long_name, "a long name"),
    ],
)
def test_what_no_bundle_holds_is_refused(
    path: Path, tmp_path: Path, change: Callable[[Parts], Any], said: str
) -> None:
    parts = unpacked(path)
    _taken(repacked(tmp_path / "same.tar", parts))
    change(parts)
    before = sorted(tmp_path.parent.rglob("*"))
    hostile = repacked(tmp_path / "same.tar", parts)

    with pytest.raises((Corrupt, Invalid), match=said):
        read_bundle(hostile)

    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_what_others_packed_again_is_refused(
    path: Path, tmp_path: Path, kind: Literal[0, 2]
) -> None:
    with pytest.raises(Invalid, match="not as a bundle holds it"):
        read_bundle(repacked(tmp_path / "one.tar", unpacked(path), kind=kind))


def test_a_sparse_petabyte_is_refused_at_once(path: Path, tmp_path: Path) -> None:
    info = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
    info.size = 1 << 43
    sparse = tmp_path / "sparse.tar"
    with sparse.open("wb") as file:
        file.write(path.read_bytes()[:-1_024])
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(file.tell() + info.size + 1_024)
    begun = time.process_time()

    with pytest.raises(Invalid, match="belongs to no version"):
        read_bundle(sparse)

    assert time.process_time() - begun < 1


def test_a_quarter_of_a_million_entries_are_refused_in_little_memory(tmp_path: Path) -> None:
    many = tmp_path / "many.tar"
    header = tarfile.TarInfo("blobs/sha256/" + "0" * 64).tobuf(tarfile.GNU_FORMAT)
    with many.open("wb") as file:
        for n in range(250_000):
            file.write(_numbered(header, n))
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(TooLarge, match="more than 200,000 entries"):
        read_bundle(many)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun < 80_000


def _numbered(header: bytes, n: int) -> bytes:
    """The same block with another name, and the sum that goes with it."""
    number = b"%06x" % n
    total = int(header[148:154], 8) + sum(number) - sum(b"000000")
    return header[:71] + number + header[77:148] + b"%06o" % total + header[154:]
