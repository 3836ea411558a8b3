"""Damaged blobs, files that are none or change, full disks: found, refused, nothing half done."""

import contextlib
import errno
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from herdbook.core.blobs import Blobs, How, Stored
from herdbook.errors import AlreadyExists, Corrupt, HerdbookError, Invalid, NotFound, Unavailable
from herdbook.storage.blobs import opened
from herdbook.storage.blobs.folder import FolderBlobs
from tests.disks import small

MEBIBYTE = 1 << 20
FLIPS = 200


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """An empty store in a folder."""
    return FolderBlobs(tmp_path / "blobs")


@pytest.fixture(params=["folder", "memory"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """A store that takes files one way, and one that takes them the other."""
    return opened(str(tmp_path / "blobs") if request.param == "folder" else "memory:")


def file_of(blobs: FolderBlobs, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return Path(blobs.address) / "sha256" / name[:2] / name


def flip(path: Path, rng: random.Random) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        at = rng.randrange(path.stat().st_size)
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ (1 << rng.randrange(8))]))
    path.chmod(0o444)


def read_until_it_fails(blobs: Blobs, digest: str) -> tuple[int, bool]:
    """Give how many bytes came, and whether the damage was found."""
    came = 0
    try:
        for chunk in blobs.read(digest):
            came += len(chunk)
    except Corrupt:
        return came, True
    return came, False


def test_two_hundred_flipped_bits_are_all_found_and_none_is_served(
    blobs: FolderBlobs, tmp_path: Path
) -> None:
    rng = random.Random(7)  # noqa: S311 - not a secret
    sizes = [1, 100, 5_000, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE // 2]
    digests = [blobs.write([rng.randbytes(rng.choice(sizes[1:]))]).digest for _ in range(FLIPS)]
    time.sleep(0.02)  # the clock that dates files ticks every few milliseconds
    for digest in digests:
        flip(file_of(blobs, digest), rng)

    for digest in digests:
        came, found = read_until_it_fails(blobs, digest)
        assert found
        assert came < (blobs.size(digest) or 0)
        for link in (True, False):
            with pytest.raises(Corrupt, match=digest):
                blobs.give(digest, tmp_path / "model.bin", link=link)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: os.truncate(path, 3 * MEBIBYTE - 1),
        lambda path: os.truncate(path, 3 * MEBIBYTE + 1),
        lambda path: os.truncate(path, 0),
        lambda path: os.truncate(path, MEBIBYTE),
    ],
    ids=["shorter", "longer", "empty", "cut at a chunk"],
)
def test_another_length_is_found(blobs: FolderBlobs, damage: Callable[[Path], None]) -> None:
    data = os.urandom(MEBIBYTE) * 3
    digest = blobs.write([data]).digest
    path = file_of(blobs, digest)
    path.chmod(0o600)
    damage(path)

    came, found = read_until_it_fails(blobs, digest)

    assert found
    assert came < max(path.stat().st_size, 1)
    with pytest.raises(Corrupt, match="push it again"):
        blobs.write([data], digest=digest)
    mended = blobs.write([data])
    assert mended.new
    assert b"".join(blobs.read(digest)) == data


def test_what_was_damaged_after_it_was_verified_is_not_linked(
    blobs: FolderBlobs, tmp_path: Path
) -> None:
    digest = blobs.write([os.urandom(100_000)]).digest
    assert blobs.give(digest, tmp_path / "first.bin") == How.LINKED
    time.sleep(0.02)
    flip(tmp_path / "first.bin", random.Random(3))  # noqa: S311 - not a secret

    with pytest.raises(Corrupt, match=digest):
        blobs.give(digest, tmp_path / "second.bin")

    assert not (tmp_path / "second.bin").exists()


def test_a_link_or_a_folder_in_place_of_a_blob_is_none(blobs: FolderBlobs, tmp_path: Path) -> None:
    digest, other = blobs.write([b"kept"]).digest, blobs.write([b"other"]).digest
    for each in (digest, other):
        file_of(blobs, each).unlink()
    file_of(blobs, digest).symlink_to(tmp_path)
    file_of(blobs, other).mkdir()

    assert list(blobs.each()) == []
    assert [blobs.size(digest), blobs.size(other)] == [None, None]
    for each in (digest, other):
        with pytest.raises(NotFound):
            blobs.give(each, tmp_path / "model.bin")
        with pytest.raises(NotFound):
            blobs.read(each)


def test_files_that_are_no_blobs_are_ignored(blobs: FolderBlobs) -> None:
    digest = blobs.write([b"one"]).digest
    path = file_of(blobs, digest)
    for name in ["notes.txt", path.name + "x", path.name.upper(), "f" * 63]:
        (path.parent / name).write_bytes(b"one")
    (Path(blobs.address) / "sha256" / "zz").mkdir()

    assert [held.digest for held in blobs.each()] == [digest]


# --- files that are none, or change ---


def test_what_is_no_file_is_refused_by_name(either: Blobs, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(tmp_path / "socket"))

        for name, kind in [
            ("link", "symbolic link"),
            ("loop", "symbolic link"),
            ("folder", "folder"),
            ("pipe", "pipe"),
            ("socket", "socket"),
        ]:
            with pytest.raises(Invalid, match=rf"{name} is a {kind}"):
                either.take(tmp_path / name)
    for device in ("/dev/zero", "/dev/null"):
        with pytest.raises(Invalid, match="is a device"):
            either.take(Path(device))
    with pytest.raises(NotFound, match="no file"):
        either.take(tmp_path / "nowhere")
    assert list(either.each()) == []


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(8))


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.touch()
    os.truncate(other, path.stat().st_size)
    other.replace(path)


@pytest.mark.parametrize("change", [grow, shrink, rewrite, replace])
def test_a_file_that_changes_while_it_is_read_is_refused(
    either: Blobs, change: Callable[[Path], None], tmp_path: Path
) -> None:
    path, stop = tmp_path / "model.bin", threading.Event()
    path.write_bytes(os.urandom(20 * MEBIBYTE))

    def keep_changing() -> None:
        while not stop.wait(0.002):
            change(path)

    changing = threading.Thread(target=keep_changing)
    changing.start()
    try:
        with pytest.raises(Invalid, match="changed while it was read"):
            either.take(path)
    finally:
        stop.set()
        changing.join()
    assert list(either.each()) == []


def test_a_file_that_is_removed_while_it_is_read_is_refused(either: Blobs, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(os.urandom(40 * MEBIBYTE))
    removing = threading.Timer(0.005, path.unlink)
    removing.start()
    with pytest.raises(Invalid, match="changed while it was read"):
        either.take(path)
    removing.join()
    assert list(either.each()) == []


# --- disks ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight mebibytes."""
    with small(tmp_path / "small", "8m") as folder:
        yield folder


def test_a_full_disk_leaves_nothing_half_done(small_disk: Path, tmp_path: Path) -> None:
    blobs, written = FolderBlobs(small_disk / "blobs"), []
    source = tmp_path / "model.bin"
    with pytest.raises(Unavailable, match="free some space"):  # noqa: PT012
        for number in range(100):
            source.write_bytes(os.urandom(1_500_000))
            written.append((blobs.take if number % 2 else take_by_writing(blobs))(source).digest)

    assert len(written) > 2
    assert {held.digest for held in blobs.each()} == set(written)
    assert all(b"".join(blobs.read(digest)) for digest in written)
    assert list((small_disk / "blobs" / "tmp").iterdir()) == []
    roomy = FolderBlobs(tmp_path / "roomy")
    large = roomy.write([os.urandom(9 * MEBIBYTE)]).digest
    with pytest.raises(Unavailable, match="free some space"):
        roomy.give(large, small_disk / "model.bin")
    assert [path.name for path in small_disk.iterdir()] == ["blobs"]
    subprocess.run(["mount", "-o", "remount,size=32m", str(small_disk)], check=True)
    assert blobs.take(source).new


def take_by_writing(blobs: Blobs) -> Callable[[Path], Stored]:
    return lambda path: blobs.write([path.read_bytes()])


@pytest.fixture
def sharing_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk whose files may share blocks."""
    folder, image = tmp_path / "sharing", tmp_path / "image"
    folder.mkdir()
    image.touch()
    os.truncate(image, 400 * MEBIBYTE)
    # A user's PATH may leave out where Debian keeps what makes disks.
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    for words in [["mkfs.xfs", "-q", str(image)], ["mount", "-o", "loop", str(image), str(folder)]]:
        try:
            found = shutil.which(words[0], path=places) or words[0]
            subprocess.run([found, *words[1:]], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only root may mount a disk, and mkfs.xfs makes it")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def free_bytes(folder: Path) -> int:
    os.sync()
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def test_where_files_can_share_blocks_they_do(sharing_disk: Path) -> None:
    blobs, source = FolderBlobs(sharing_disk / "blobs"), sharing_disk / "model.bin"
    data = os.urandom(20 * MEBIBYTE)
    source.write_bytes(data)
    blobs.write([b"so that the folders are there"])
    before = free_bytes(sharing_disk)

    digest = blobs.take(source).digest
    how = blobs.give(digest, sharing_disk / "given.bin", link=False)

    assert how == How.CLONED
    assert before - free_bytes(sharing_disk) < MEBIBYTE
    with source.open("r+b") as file:
        file.write(b"something else")
    assert b"".join(blobs.read(digest)) == (sharing_disk / "given.bin").read_bytes() == data
    assert (sharing_disk / "given.bin").stat().st_mode & 0o7777 == 0o444


def test_a_damaged_blob_is_not_cloned_either(sharing_disk: Path) -> None:
    blobs = FolderBlobs(sharing_disk / "blobs")
    digest = blobs.write([os.urandom(MEBIBYTE)]).digest
    flip(file_of(blobs, digest), random.Random(5))  # noqa: S311 - not a secret

    with pytest.raises(Corrupt, match=digest):
        blobs.give(digest, sharing_disk / "given.bin", link=False)

    assert [path.name for path in sharing_disk.iterdir()] == ["blobs"]


def test_another_file_system_gets_a_copy(small_disk: Path, blobs: FolderBlobs) -> None:
    digest = blobs.write([b"majora"]).digest

    assert blobs.give(digest, small_disk / "model.bin") == How.COPIED
    assert (small_disk / "model.bin").read_bytes() == b"majora"


def test_where_there_are_no_hard_links_it_works_too(
    blobs: FolderBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    stored = blobs.write([b"majora"])

    assert stored.new
    assert not blobs.write([b"majora"]).new
    assert blobs.give(stored.digest, tmp_path / "model.bin") == How.COPIED
    with pytest.raises(AlreadyExists):
        blobs.give(stored.digest, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == b"majora"
    assert list(Path(blobs.address, "tmp").iterdir()) == []


def test_nobody_else_may_look_in_whatever_the_umask(tmp_path: Path) -> None:
    source, before = tmp_path / "model.bin", os.umask(0)
    try:
        blobs = FolderBlobs(tmp_path / "deep" / "blobs")
        source.write_bytes(os.urandom(2 * MEBIBYTE))
        blobs.take(source)
        blobs.write([b"small"])
        modes = {path: path.stat().st_mode & 0o7777 for path in (tmp_path / "deep").rglob("*")}
    finally:
        os.umask(before)

    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} <= {0o444, 0o400}


def test_folders_that_others_prepared_are_taken_from_them(tmp_path: Path) -> None:
    (tmp_path / "blobs" / "tmp").mkdir(parents=True)
    (tmp_path / "blobs" / "tmp").chmod(0o777)

    FolderBlobs(tmp_path / "blobs").write([b"small"])

    assert (tmp_path / "blobs" / "tmp").stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_a_folder_of_the_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "blobs" / "sha256").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(HerdbookError, match="is no folder"):
        FolderBlobs(tmp_path / "blobs").write([b"small"])

    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_store_where_a_file_is_says_so(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("not a folder")

    with pytest.raises(Unavailable, match="cannot make"):
        FolderBlobs(tmp_path / "blobs").write([b"small"])


def test_what_is_removed_while_it_is_pushed_again_is_not_told_to_be_there(
    either: Blobs,
) -> None:
    data = os.urandom(MEBIBYTE) * 9
    digest = either.write([data]).digest

    def removing() -> Iterator[bytes]:
        yield data[:-1]
        either.remove(digest)
        yield data[-1:]

    with pytest.raises(Unavailable, match="removed meanwhile"):
        either.write(removing(), digest=digest)

    assert list(either.each()) == []


def test_what_is_pushed_again_is_not_written_again(blobs: FolderBlobs, tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(os.urandom(3 * MEBIBYTE))
    digest = blobs.take(source).digest
    before = file_of(blobs, digest).stat()
    Path(blobs.address, "tmp").rmdir()  # to write a draft is now an error

    assert not blobs.take(source).new
    assert not blobs.write([source.read_bytes()], digest=digest).new
    assert file_of(blobs, digest).stat() == before
