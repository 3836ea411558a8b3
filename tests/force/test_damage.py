"""Bits flip where versions are kept: all are found, the versions named, none of it is given."""

import http.client
import os
import random
import sqlite3
import stat
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

import herdbook
from herdbook.core.artifacts import Artifact
from herdbook.errors import Corrupt, HerdbookError
from herdbook.storage.blobs.folder import FolderBlobs
from tests.force.pushing import opened
from tests.running import served

VERSIONS, EACH, FLIPS = 60, 5, 200
LARGE = 3_000_000


def path_of(home: Path, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return home / "blobs" / "sha256" / name[:2] / name


def flip(path: Path, rng: random.Random, *, quietly: bool = False) -> None:
    """Flip one bit of a file; quietly, its size, inode and time stay."""
    before = path.stat()
    path.chmod(before.st_mode | stat.S_IWUSR)
    with path.open("r+b", buffering=0) as file:
        at = rng.randrange(before.st_size)
        byte = os.pread(file.fileno(), 1, at)[0] ^ 1 << rng.randrange(8)
        os.pwrite(file.fileno(), bytes([byte]), at)
    path.chmod(stat.S_IMODE(before.st_mode))
    if quietly:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip_manifest(home: Path, digest: str, rng: random.Random) -> None:
    """Flip one bit of a manifest in the database, as whoever owns the file can."""
    with closing(sqlite3.connect(home / "herdbook.db")) as database, database:
        guards = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'manifests'"
        for (name,) in database.execute(guards).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        asked = "SELECT doc FROM manifests WHERE digest = ?"
        data = bytearray(database.execute(asked, (digest,)).fetchone()[0].encode())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(7)
        change = "UPDATE manifests SET doc = ? WHERE digest = ?"
        database.execute(change, (data.decode(), digest))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A register of sixty versions with five files each; copied, never changed."""
    home, rng = tmp_path_factory.mktemp("sound"), random.Random(3)  # noqa: S311 - not a secret
    with opened(home, f"sqlite:///{home}/herdbook.db") as book:
        for number in range(VERSIONS):
            folder = home / "folders" / f"{number}"
            folder.mkdir(parents=True)
            for each in range(EACH):
                size = LARGE if number < 2 and each == 0 else rng.randrange(1, 3_000)
                (folder / f"{each}.bin").write_bytes(rng.randbytes(size))
            book.artifacts.push(f"model-{number:02}", path=folder, git_commit="")
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    """A register of one's own to damage."""
    return Path(copytree(template, tmp_path / "home"))


def url(home: Path) -> str:
    return f"sqlite:///{home}/herdbook.db"


def everything(book: herdbook.Herdbook) -> dict[str, tuple[str, tuple[Artifact, ...]]]:
    """Every version, its manifest and its files."""
    refs = [f"model-{number:02}:v1" for number in range(VERSIONS)]
    found = {ref: book.artifacts.files(ref) for ref in refs}
    return {ref: (files.manifest, files.files) for ref, files in found.items()}


def damaged(home: Path, sound: dict[str, Any]) -> dict[str, set[str]]:
    """Flip two hundred bits, each elsewhere; give the digests with the versions they are of."""
    rng = random.Random(17)  # noqa: S311 - not a secret
    places: list[tuple[str, str, bool]] = []
    for ref, (manifest, files) in sound.items():
        places.append((ref, manifest, True))
        places += [(ref, file.digest, False) for file in files]
    flipped: dict[str, set[str]] = {}
    large = {file.digest for _, files in sound.values() for file in files if file.size == LARGE}
    chosen = rng.sample(places, FLIPS)
    chosen += [place for place in places if place[1] in large and place not in chosen]
    for ref, digest, is_manifest in chosen:
        flipped[digest] = {ref}
        if is_manifest:
            flip_manifest(home, digest, rng)
        else:
            flip(path_of(home, digest), rng)
    return flipped


def test_all_flipped_bits_are_found_and_the_versions_named(home: Path) -> None:
    with opened(home, url(home)) as book:
        sound = everything(book)
        assert book.artifacts.verify(read_percent=100).damaged == 0
    flipped = damaged(home, sound)

    with opened(home, url(home)) as book:
        found = book.artifacts.verify(read_percent=100)

    assert len(flipped) >= FLIPS
    assert {each.digest: set(each.versions) for each in found.damage} == flipped
    assert found.damaged == len(flipped)
    assert all(len(each.problem) > 10 for each in found.damage)


def test_none_of_it_is_given_where_the_register_is_a_file(home: Path, tmp_path: Path) -> None:
    with opened(home, url(home)) as book:
        sound = everything(book)
    flipped = damaged(home, sound)
    hurt = {ref for refs in flipped.values() for ref in refs}

    with opened(home, url(home)) as book:
        for ref, (_, files) in sound.items():
            for to in (tmp_path / "out" / ref.replace(":", "-"), None):
                try:
                    folder = book.artifacts.pull(ref, to)
                except Corrupt:
                    assert ref in hurt
                    assert to is None or not to.exists()
                else:
                    assert ref not in hurt
                    assert_right(folder, files)
    left = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert len(left) == (VERSIONS - len(hurt)) * EACH


def assert_right(folder: Path, files: tuple[Artifact, ...]) -> None:
    """Compare a folder with what it must be."""
    for file in files:
        (stored,) = [FolderBlobs(folder.parent / "scratch").take(folder / file.path)]
        assert stored.digest == file.digest


def fetched(address: str, digest: str, **headers: str) -> tuple[int, bytes]:
    """GET a blob; status 0 stands for a connection that broke off."""
    request = urllib.request.Request(f"{address}/blobs/{digest}", headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()
    except (http.client.IncompleteRead, ConnectionError):
        return 0, b""


def test_none_of_it_is_given_by_a_server(home: Path, tmp_path: Path) -> None:
    with opened(home, url(home)) as book:
        sound = everything(book)
    flipped = damaged(home, sound)
    sizes = {file.digest: file.size for _, files in sound.values() for file in files}

    with served(url(home), HERDBOOK_HOME=str(home)) as address:
        for digest, size in sizes.items():
            status, data = fetched(address, digest)
            if digest not in flipped:
                assert (status, len(data)) == (200, size)
            elif size < LARGE:
                assert status == 500
                assert b'"code":"corrupt"' in data
            else:
                assert status in {0, 500}, "wrong bytes were given to their end"
                status, data = fetched(address, digest, Range="bytes=1000000-")
                assert status == 500
                assert b'"code":"corrupt"' in data
        with opened(tmp_path / "client", address) as book:
            for ref, (_, files) in sound.items():
                to = tmp_path / "out" / ref.replace(":", "-")
                try:
                    book.artifacts.pull(ref, to)
                except Corrupt:
                    assert {ref} in flipped.values()
                    assert not to.exists()
                else:
                    assert_right(to, files)
            found = book.artifacts.verify(read_percent=100)
            assert {each.digest for each in found.damage} == flipped.keys()


@pytest.mark.parametrize("quietly", [False, True], ids=["touched", "without a trace"])
def test_what_was_served_before_is_not_trusted_for_ever(
    home: Path, tmp_path: Path, *, quietly: bool
) -> None:
    rng = random.Random(1)  # noqa: S311 - not a secret
    client = tmp_path / "client"
    with served(url(home), HERDBOOK_HOME=str(home)) as address, opened(client, address) as book:
        files = book.artifacts.files("model-00:v1").files
        for file in files:
            fetched(address, file.digest)
            fetched(address, file.digest, Range="bytes=0-0")
        assert_right(book.artifacts.pull("model-00:v1", tmp_path / "before"), files)
        for file in files:
            flip(path_of(home, file.digest), rng, quietly=quietly)

        with pytest.raises(Corrupt):
            book.artifacts.pull("model-00:v1", tmp_path / "after")

        assert not (tmp_path / "after").exists()
        if not quietly:
            assert {fetched(address, file.digest)[0] for file in files} <= {0, 500}
        found = book.artifacts.verify(read_percent=100)
        assert {each.digest for each in found.damage} == {file.digest for file in files}


LOSSES: dict[str, Callable[[Path], None]] = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: os.truncate(path, 0),
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 1),
    "zeros": lambda path: overwrite(path, bytes(path.stat().st_size)),
    "longer": lambda path: overwrite(path, path.read_bytes() + b"\0"),
}


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("loss", LOSSES)
def test_whatever_else_became_of_a_blob_is_found_and_mended_by_the_next_push(
    home: Path, tmp_path: Path, loss: str
) -> None:
    with opened(home, url(home)) as book:
        file = book.artifacts.files("model-07:v1").files[2]
    LOSSES[loss](path_of(home, file.digest))

    with opened(home, url(home)) as book:
        found = book.artifacts.verify(read_percent=100)
        assert {each.digest: each.versions for each in found.damage} == {
            file.digest: ("model-07:v1",)
        }
        with pytest.raises(HerdbookError):
            book.artifacts.pull("model-07:v1", tmp_path / "out")
        if loss == "zeros":
            path_of(home, file.digest).unlink()  # as the message says
        again = book.artifacts.push("model-07", path=home / "folders" / "7", git_commit="")
        assert again.new_files == 1
        assert book.artifacts.verify(read_percent=100).damaged == 0
        assert_right(book.artifacts.pull("model-07:v1"), book.artifacts.files("model-07:v1").files)


def test_two_blobs_that_changed_places_are_both_found(home: Path) -> None:
    with opened(home, url(home)) as book:
        one, two = book.artifacts.files("model-07:v1").files[:2]
    first, second = path_of(home, one.digest), path_of(home, two.digest)
    first.rename(home / "third")
    second.rename(first)
    (home / "third").rename(second)

    with opened(home, url(home)) as book:
        found = book.artifacts.verify(read_percent=100)
        assert {each.digest for each in found.damage} == {one.digest, two.digest}
        with pytest.raises(Corrupt):
            book.artifacts.pull("model-07:v1")


def test_what_changed_in_the_cache_is_fetched_again(home: Path, tmp_path: Path) -> None:
    rng, client = random.Random(2), tmp_path / "client"  # noqa: S311 - not a secret
    with served(url(home), HERDBOOK_HOME=str(home)) as address, opened(client, address) as book:
        every = {f"model-{n:02}:v1": book.artifacts.pull(f"model-{n:02}:v1") for n in range(20)}
        files = [path for folder in every.values() for path in folder.rglob("*.bin")]
        for path in rng.sample(files, 40):
            flip(path, rng)

        for ref, folder in every.items():
            again = book.artifacts.pull(ref)
            assert again == folder
            assert_right(again, book.artifacts.files(ref).files)
        for path in rng.sample(files, 40):
            flip(path, rng, quietly=True)
        told = book.artifacts.cache.verify(remove=True)

        assert sum(len(damage.problems) for damage in told.damage) == 40
        for ref in every:
            assert_right(book.artifacts.pull(ref), book.artifacts.files(ref).files)
