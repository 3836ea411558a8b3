"""What every store of bytes promises: they come back as they went in, whole or not at all."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from herdbook.core.artifacts import digest_of
from herdbook.core.blobs import Blobs, Held, How, Stored
from herdbook.errors import AlreadyExists, Corrupt, Invalid, NotFound
from tests.conformance.blobs.stores import LARGE, SMALL

MEBIBYTE = 1 << 20
ABSENT = digest_of(b"never written")
BOTH = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
EVERY = pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])


def in_chunks(data: bytes, size: int = MEBIBYTE) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def digests(blobs: Blobs) -> set[str]:
    return {held.digest for held in blobs.each()}


def a_file(folder: Path, data: bytes) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(data)
    return path


@EVERY
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_what_is_written_is_read_again(blobs: Blobs, data: bytes, known: bool) -> None:  # noqa: FBT001
    digest = digest_of(data)
    stored = blobs.write(
        in_chunks(data), digest=digest if known else "", size=len(data) if known else -1
    )

    assert stored == Stored(digest=digest, size=len(data), new=True)
    assert blobs.size(digest) == len(data)
    assert b"".join(blobs.read(digest)) == data


@EVERY
def test_a_file_that_is_taken_is_read_again(blobs: Blobs, data: bytes, tmp_path: Path) -> None:
    stored = blobs.take(a_file(tmp_path, data))

    assert stored == Stored(digest=digest_of(data), size=len(data), new=True)
    assert b"".join(blobs.read(stored.digest)) == data


@pytest.mark.parametrize("count", [1 << 17, 700_001, 1 << 20, (1 << 21) + 1])
def test_a_file_of_several_reads_is_taken_in_their_order(
    blobs: Blobs, count: int, tmp_path: Path
) -> None:
    data = os.urandom(count)
    path = a_file(tmp_path, data)

    stored = [blobs.take(path), *blobs.take_all([path])]

    assert {each.digest for each in stored} == {digest_of(data)}
    assert b"".join(blobs.read(digest_of(data))) == data


@BOTH
def test_what_is_there_already_is_not_new(blobs: Blobs, data: bytes, tmp_path: Path) -> None:
    first = blobs.write(in_chunks(data))
    held = list(blobs.each())

    again = [
        blobs.write(in_chunks(data)),
        blobs.write(in_chunks(data), digest=first.digest, size=len(data)),
        blobs.take(a_file(tmp_path, data)),
    ]

    assert {stored.new for stored in again} == {False}
    assert {stored.digest for stored in again} == {first.digest}
    assert list(blobs.each()) == held


def test_many_files_are_taken_in_their_order(blobs: Blobs, tmp_path: Path) -> None:
    files = {f"{n}.bin": os.urandom(n * 10) for n in range(450)}
    files |= {"twice.bin": files["7.bin"], "empty.bin": b"", "large.bin": LARGE}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    stored = list(blobs.take_all(tmp_path / name for name in files))
    again = list(blobs.take_all(tmp_path / name for name in files))

    assert [each.digest for each in stored] == [digest_of(data) for data in files.values()]
    assert [each.size for each in stored] == [len(data) for data in files.values()]
    assert sum(each.new for each in stored) == len({*files.values()})
    assert not any(each.new for each in again)
    assert digests(blobs) == {each.digest for each in stored}
    for name, data in list(files.items())[::90]:
        assert b"".join(blobs.read(digest_of(data))) == data, name


def test_large_files_are_taken_in_their_order(blobs: Blobs, tmp_path: Path) -> None:
    files = {f"{n}.bin": os.urandom((1 << 20) + n) for n in range(1, 9)}
    files |= {"small.bin": b"majora", "twice.bin": files["1.bin"]}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    told: list[int] = []

    stored = list(blobs.take_all((tmp_path / name for name in files), said=told.append))

    assert [each.digest for each in stored] == [digest_of(data) for data in files.values()]
    assert sum(each.new for each in stored) == len({*files.values()})
    assert sum(told) == sum(map(len, files.values()))
    assert digests(blobs) == {each.digest for each in stored}


def test_of_many_large_files_one_that_is_none_ends_it(blobs: Blobs, tmp_path: Path) -> None:
    names = [f"{n}.bin" for n in range(12)]
    for name in names:
        (tmp_path / name).write_bytes(os.urandom((1 << 20) + 1))
    (tmp_path / names[6]).unlink()
    os.mkfifo(tmp_path / names[6])

    with pytest.raises(Invalid, match=r"6\.bin is a pipe"):
        list(blobs.take_all(tmp_path / name for name in names))

    assert blobs.sweep(before=datetime.now(UTC) + timedelta(days=1)) == 0


def test_of_many_files_one_that_is_none_ends_it(blobs: Blobs, tmp_path: Path) -> None:
    names = [f"{n}.bin" for n in range(30)]
    for name in names:
        (tmp_path / name).write_text(name)
    (tmp_path / names[-1]).unlink()
    (tmp_path / names[-1]).symlink_to(tmp_path / names[0])

    with pytest.raises(Invalid, match=r"29\.bin is a symbolic link"):
        list(blobs.take_all(tmp_path / name for name in names))

    assert digests(blobs) <= {digest_of(name.encode()) for name in names}
    assert blobs.sweep(before=datetime.now(UTC) + timedelta(days=1)) == 0


def test_chunks_are_about_a_mebibyte(blobs: Blobs) -> None:
    digest = blobs.write([LARGE]).digest

    sizes = [len(chunk) for chunk in blobs.read(digest)]

    assert max(sizes) <= 2 * MEBIBYTE
    assert len(sizes) <= 2 * len(LARGE) / MEBIBYTE


def test_a_chunk_may_be_of_any_size(blobs: Blobs) -> None:
    pieces = [b"", b"a", b"", LARGE, b"b" * 3]

    stored = blobs.write(pieces)

    assert stored.digest == digest_of(b"".join(pieces))
    assert b"".join(blobs.read(stored.digest)) == b"".join(pieces)


@BOTH
def test_other_bytes_than_promised_are_refused_and_not_kept(blobs: Blobs, data: bytes) -> None:
    with pytest.raises(Corrupt, match="not of"):
        blobs.write(in_chunks(data), digest=ABSENT)

    assert digests(blobs) == set()
    assert blobs.size(ABSENT) is None


@BOTH
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize("off", [-1, 1])
def test_another_number_of_bytes_is_refused_and_not_kept(
    blobs: Blobs,
    data: bytes,
    known: bool,  # noqa: FBT001
    off: int,
) -> None:
    digest = digest_of(data) if known else ""

    with pytest.raises(Corrupt, match="promised"):
        blobs.write(in_chunks(data), digest=digest, size=len(data) + off)

    assert digests(blobs) == set()


@BOTH
def test_who_claims_a_digest_that_is_there_must_send_its_bytes(blobs: Blobs, data: bytes) -> None:
    digest = blobs.write(in_chunks(data)).digest

    with pytest.raises(Corrupt):
        blobs.write(in_chunks(data[:-1] + b"?"), digest=digest, size=len(data))

    assert b"".join(blobs.read(digest)) == data


@pytest.mark.parametrize("after", [0, 1, 15])
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_what_an_iterator_raises_is_raised_again(blobs: Blobs, after: int, known: bool) -> None:  # noqa: FBT001
    class GoneError(OSError):
        pass

    def failing() -> Iterator[bytes]:
        for number, chunk in enumerate(in_chunks(LARGE)):
            if number == after:
                raise GoneError("the client went away")
            yield chunk

    with pytest.raises(GoneError, match="went away"):
        blobs.write(failing(), digest=digest_of(LARGE) if known else "")

    assert digests(blobs) == set()


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (3, 10), (5, None), (0, 10**12), (7, 7), (10**12, None), (1, 9 * MEBIBYTE + 1)],
)
def test_a_part_is_those_bytes(blobs: Blobs, data: bytes, start: int, end: int | None) -> None:
    digest = blobs.write(in_chunks(data)).digest

    assert b"".join(blobs.read(digest, start=start, end=end)) == data[start:end]


@pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 4), (0, -3)])
def test_a_part_that_is_none_is_refused(blobs: Blobs, start: int, end: int) -> None:
    digest = blobs.write([SMALL]).digest

    with pytest.raises(Invalid, match="no part"):
        list(blobs.read(digest, start=start, end=end))


def test_what_is_not_there_is_not_found_before_the_first_byte(blobs: Blobs, tmp_path: Path) -> None:
    assert blobs.size(ABSENT) is None
    with pytest.raises(NotFound, match=ABSENT):
        next(blobs.read(ABSENT))
    with pytest.raises(NotFound, match=ABSENT):
        next(blobs.read(ABSENT, start=1, end=2))
    with pytest.raises(NotFound, match=ABSENT):
        blobs.give(ABSENT, tmp_path / "model.bin")

    assert list(tmp_path.glob("*.bin")) == []


@pytest.mark.parametrize(
    "text",
    ["", "sha256:", "sha256:../../passwd", "md5:" + "0" * 32, ABSENT.upper(), ABSENT + "/.."],
)
def test_what_is_no_digest_is_refused_everywhere(blobs: Blobs, text: str, tmp_path: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: blobs.size(text),
        lambda: list(blobs.read(text)),
        lambda: blobs.remove(text),
        lambda: blobs.give(text, tmp_path / "model.bin"),
    ]
    for asked in calls:
        with pytest.raises(Invalid, match="digest"):
            asked()


@EVERY
@pytest.mark.parametrize("link", [False, True], ids=["copy", "link"])
def test_a_blob_is_given_whole_and_read_only(
    blobs: Blobs,
    data: bytes,
    link: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    digest = blobs.write(in_chunks(data)).digest
    target = tmp_path / "out"
    target.mkdir()

    how = blobs.give(digest, target / "model.bin", link=link)

    assert how in ({How.LINKED, How.CLONED, How.COPIED} if link else {How.CLONED, How.COPIED})
    assert (target / "model.bin").read_bytes() == data
    assert (target / "model.bin").stat().st_mode & 0o7777 == 0o444
    assert [path.name for path in target.iterdir()] == ["model.bin"]


@pytest.mark.parametrize("link", [False, True], ids=["copy", "link"])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_nothing_is_written_over_what_is_there(
    blobs: Blobs,
    link: bool,  # noqa: FBT001
    kind: str,
    tmp_path: Path,
) -> None:
    digest, target = blobs.write([SMALL]).digest, tmp_path / "model.bin"
    if kind == "file":
        target.write_bytes(b"mine")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    before = os.lstat(target)

    with pytest.raises(AlreadyExists, match="there already"):
        blobs.give(digest, target, link=link)

    assert os.path.samestat(os.lstat(target), before)
    assert not (tmp_path / "nowhere").exists()


def test_a_blob_needs_a_folder_to_be_given_to(blobs: Blobs, tmp_path: Path) -> None:
    digest = blobs.write([SMALL]).digest

    with pytest.raises(NotFound, match="no folder"):
        blobs.give(digest, tmp_path / "nowhere" / "model.bin")


def test_a_file_that_was_taken_is_its_owners_to_write(blobs: Blobs, tmp_path: Path) -> None:
    path = a_file(tmp_path, LARGE)
    digest = blobs.take(path).digest

    with path.open("r+b") as file:
        file.write(b"something else")

    assert b"".join(blobs.read(digest)) == LARGE


def test_every_blob_is_told_of_with_its_size_and_time(blobs: Blobs) -> None:
    start = datetime.now(UTC) - timedelta(minutes=1)
    written = {blobs.write([bytes([n]) * n]).digest: n for n in range(40)}

    held = list(blobs.each())

    assert all(isinstance(blob, Held) for blob in held)
    assert {blob.digest: blob.size for blob in held} == written
    assert len(held) == len(written)
    assert all(start < blob.at < datetime.now(UTC) + timedelta(minutes=1) for blob in held)


@BOTH
def test_many_may_write_the_same_at_once(blobs: Blobs, data: bytes) -> None:
    with ThreadPoolExecutor(6) as pool:
        stored = list(pool.map(lambda _: blobs.write(in_chunks(data)), range(6)))

    assert {each.digest for each in stored} == {digest_of(data)}
    assert any(each.new for each in stored)
    assert digests(blobs) == {digest_of(data)}
    assert b"".join(blobs.read(digest_of(data))) == data


def test_a_reader_may_stop_early(blobs: Blobs) -> None:
    digest = blobs.write([LARGE]).digest

    reading = blobs.read(digest)
    first = next(reading)
    del reading

    assert LARGE.startswith(first)
    assert b"".join(blobs.read(digest)) == LARGE


def test_an_empty_store_holds_nothing(blobs: Blobs) -> None:
    assert list(blobs.each()) == []
    assert blobs.sweep(before=datetime.now(UTC)) == 0


def test_what_is_removed_is_gone_and_may_come_again(blobs: Blobs) -> None:
    digest, kept = blobs.write([SMALL]).digest, blobs.write([b"kept"]).digest

    blobs.remove(digest)
    blobs.remove(digest)
    blobs.remove(ABSENT)

    assert blobs.size(digest) is None
    assert digests(blobs) == {kept}
    assert blobs.write([SMALL]).new
    assert b"".join(blobs.read(digest)) == SMALL


def test_a_sweep_takes_no_blob(blobs: Blobs) -> None:
    digest = blobs.write([LARGE]).digest

    blobs.sweep(before=datetime.now(UTC) + timedelta(days=1))

    assert b"".join(blobs.read(digest)) == LARGE


def test_the_address_is_told(blobs: Blobs) -> None:
    assert blobs.address
    assert "secret" not in blobs.address


def test_the_first_register_leaves_its_mark_and_no_other_takes_it_away(blobs: Blobs) -> None:
    stored = blobs.write([b"majora"])

    first = blobs.claim("one")
    other = blobs.claim("other")

    assert (first, other) == ("one", "one")
    assert [held.digest for held in blobs.each()] == [stored.digest]


def test_a_blob_is_read_at_any_place(blobs: Blobs) -> None:
    data = bytes(range(256)) * 16_384
    stored = blobs.write(in_chunks(data))

    with blobs.opened(stored.digest, verified=True) as opened:
        assert (opened.size, opened.sure) == (len(data), True)
        assert opened.read_at(4_000_001, 300) == data[4_000_001:4_000_301]
        assert opened.read_at(len(data) - 3, 100) == data[-3:]


def test_what_is_not_there_cannot_be_opened(blobs: Blobs) -> None:
    with pytest.raises(NotFound), blobs.opened(digest_of(b"nothing")):
        pass


def test_sizes_tell_of_those_that_are_there(blobs: Blobs) -> None:
    stored = blobs.write([b"majora"])

    assert blobs.sizes([stored.digest, digest_of(b"nothing")]) == {stored.digest: 6}
