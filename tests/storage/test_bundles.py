"""Bundles: what went in comes out, as any reader of tar and JSON can check."""

import hashlib
import json
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from herdbook.core.artifacts import Artifact, Manifest, digest_of
from herdbook.errors import (
    AlreadyExists,
    Corrupt,
    Invalid,
    NotFound,
    TooLarge,
    Unavailable,
)
from herdbook.storage.blobs import opened
from herdbook.storage.bundles import LIMITS, Limits, Packed, blocks, read_bundle, write_bundle
from herdbook.storage.bundles.layout import entries
from tests.storage.packing import (
    SIGNATURE,
    STORE,
    VERSIONS,
    WEIGHTS,
    a_bundle,
    a_version,
    every_byte,
    from_store,
)


def test_what_is_packed_is_read_again(tmp_path: Path) -> None:
    told: list[int] = []

    written = write_bundle(tmp_path / "one.tar", VERSIONS, from_store, said=told.append)

    with read_bundle(tmp_path / "one.tar") as bundle:
        assert bundle.contents == VERSIONS
        assert every_byte(bundle) == STORE
        assert bundle.size == written.size == written.path.stat().st_size
    assert (written.versions, written.blobs) == (3, len(STORE))
    assert sum(told) > len(WEIGHTS)
    assert [path.name for path in tmp_path.iterdir()] == ["one.tar"]


def test_equal_versions_give_equal_bytes_and_share_their_blobs(tmp_path: Path) -> None:
    one, two = a_bundle(tmp_path / "one.tar"), a_bundle(tmp_path / "two.tar")

    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.size < len(WEIGHTS) + 30_000


def test_what_is_written_again_from_what_was_read_is_the_same(tmp_path: Path) -> None:
    a_bundle(tmp_path / "one.tar")

    with read_bundle(tmp_path / "one.tar") as bundle:
        files = every_byte(bundle)
        write_bundle(tmp_path / "two.tar", bundle.contents, lambda digest: iter([files[digest]]))

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_the_layout_is_one_that_others_read(tmp_path: Path) -> None:
    path = a_bundle(tmp_path / "one.tar").path

    subprocess.run(["tar", "-xf", path, "-C", tmp_path], check=True)

    blobs = tmp_path / "blobs" / "sha256"
    for file in blobs.iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    assert json.loads((tmp_path / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((tmp_path / "index.json").read_text())
    seen: set[str] = set()
    records = []
    for descriptor in index["manifests"]:
        manifest = json.loads(_followed(blobs, descriptor, seen))
        _followed(blobs, manifest["config"], seen)
        layers = [_followed(blobs, layer, seen) for layer in manifest["layers"]]
        if "subject" not in manifest:
            paths = [
                layer["annotations"]["org.cncf.model.filepath"] for layer in manifest["layers"]
            ]
            assert dict(zip(paths, layers, strict=True))["model.safetensors"] == WEIGHTS
        else:
            _followed(blobs, manifest["subject"], seen)
            records.append([json.loads(layer) for layer in layers])
    assert [record["name"] for record, *_ in records] == ["majora:v1", "majora:v2", "oracle:v1"]
    assert records[1][1:] == [json.loads(SIGNATURE), {"other": 2}]
    assert seen == {file.name for file in blobs.iterdir()}


def _followed(blobs: Path, descriptor: dict[str, Any], seen: set[str]) -> bytes:
    name = str(descriptor["digest"]).removeprefix("sha256:")
    seen.add(name)
    data = (blobs / name).read_bytes()
    assert len(data) == descriptor["size"]
    return data


def test_pythons_own_reader_finds_plain_files_of_nobody(tmp_path: Path) -> None:
    with tarfile.open(a_bundle(tmp_path / "one.tar").path) as archive:
        infos = archive.getmembers()

    assert {(i.uid, i.gid, i.uname, i.mtime, i.mode, i.type) for i in infos} == {
        (0, 0, "", 0, 0o644, tarfile.REGTYPE)
    }


def test_a_bundle_goes_from_one_store_into_another(tmp_path: Path) -> None:
    one, two = opened(str(tmp_path / "one")), opened(str(tmp_path / "two"))
    for data in STORE.values():
        one.write(iter([data]))

    path = write_bundle(tmp_path / "one.tar", VERSIONS, one.read).path
    with read_bundle(path) as bundle:
        for digest, size, chunks in bundle.blobs():
            assert two.write(chunks, digest=digest, size=size).new

    assert {held.digest for held in two.each()} == STORE.keys()
    for digest, data in STORE.items():
        assert b"".join(two.read(digest)) == data


# --- writing ---


def test_nothing_is_written_over(tmp_path: Path) -> None:
    taken, link = tmp_path / "taken.tar", tmp_path / "link.tar"
    taken.write_text("mine")
    link.symlink_to("nowhere")

    for path in (taken, link, tmp_path):
        with pytest.raises(AlreadyExists):
            a_bundle(path)
    with pytest.raises(NotFound, match="no folder"):
        a_bundle(tmp_path / "none" / "one.tar")
    assert taken.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"link.tar", "taken.tar"}


def _none(digest: str) -> Iterator[bytes]:
    raise NotFound(f"{digest} is not there")


def _other(digest: str) -> Iterator[bytes]:
    yield bytes(len(STORE[digest]))


def _short(digest: str) -> Iterator[bytes]:
    yield STORE[digest][:-1]


def _endless(_: str) -> Iterator[bytes]:
    while True:
        yield bytes(100_000)


@pytest.mark.parametrize(
    ("read", "error"),
    [(_none, NotFound), (_other, Corrupt), (_short, Corrupt), (_endless, Corrupt)],
)
def test_a_store_that_gives_something_else_leaves_nothing(
    tmp_path: Path, read: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        write_bundle(tmp_path / "one.tar", VERSIONS, read)

    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_packed_is_refused(tmp_path: Path) -> None:
    version = VERSIONS[0]

    for text in ("", "[]", "7", "{", "\ud800", "[" * 100_000):
        with pytest.raises(Invalid, match="text of a JSON object"):
            Packed(version=text, manifest=version.manifest)
        with pytest.raises(Invalid, match="text of a JSON object"):
            Packed(version="{}", manifest=version.manifest, signatures=("{}", text))
    with pytest.raises(Invalid, match="at least one"):
        write_bundle(tmp_path / "one.tar", (), from_store)
    with pytest.raises(Invalid, match="twice"):
        write_bundle(tmp_path / "one.tar", (version, version), from_store)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "limits",
    [Limits(size=1_000_000), Limits(entries=10), Limits(document=900), Limits(documents=3_000)],
)
def test_what_the_reader_would_refuse_is_not_written(tmp_path: Path, limits: Limits) -> None:
    with pytest.raises(TooLarge, match="fewer versions"):
        write_bundle(tmp_path / "one.tar", VERSIONS, from_store, limits=limits)

    a_bundle(tmp_path / "one.tar")
    with pytest.raises(TooLarge):
        read_bundle(tmp_path / "one.tar", limits=limits)


def test_more_than_one_list_takes_is_refused(tmp_path: Path) -> None:
    manifest = VERSIONS[0].manifest
    many = (Packed(version=f'{{"number":{n}}}', manifest=manifest) for n in range(12_000))

    with pytest.raises(TooLarge, match="its versions take"):
        write_bundle(tmp_path / "one.tar", many, from_store)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.storage.packing import a_bundle\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "a_bundle(Path(sys.argv[1]))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "one.tar"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"{Unavailable.__name__}: cannot write" in done.stderr
    assert "free some space" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_writer_killed_at_any_time_leaves_no_bundle_or_a_whole_one(tmp_path: Path) -> None:
    found = _left_by_the_killed(tmp_path, "a_bundle(folder / f'{n}.tar')")

    assert found["whole"] > 0
    assert found["broken"] == 0


def test_a_writer_that_writes_in_place_leaves_broken_ones(tmp_path: Path) -> None:
    naively = (
        "data = (folder.parent / 'whole.tar').read_bytes(); "
        "file = (folder / f'{n}.tar').open('wb', buffering=0); "
        "[file.write(data[at : at + 4_096]) for at in range(0, len(data), 4_096)]"
    )

    assert _left_by_the_killed(tmp_path, naively)["broken"] > 0


def _left_by_the_killed(tmp_path: Path, line: str) -> Counter[str]:
    """What writers leave under the names of bundles that are killed somewhere in their work."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.storage.packing import a_bundle\n"
        "folder = Path(sys.argv[1])\n"
        "print('begun', flush=True)\n"
        f"for n in range(10_000): {line}\n"
    )
    whole, found = a_bundle(tmp_path / "whole.tar").path.read_bytes(), Counter[str]()
    for n in range(8):
        folder = tmp_path / str(n)
        folder.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", script, folder], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.02 + n * 0.007)
            writer.kill()
        for path in folder.glob("[0-9]*.tar"):
            found["whole" if path.read_bytes() == whole else "broken"] += 1
    return found


def test_a_bundle_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "one.tar"

    def read(digest: str) -> Iterator[bytes]:
        path.write_text("theirs")
        return from_store(digest)

    with pytest.raises(AlreadyExists):
        write_bundle(path, VERSIONS, read)

    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


# --- much of it ---


@pytest.mark.parametrize("way", ["write", "read"])
def test_a_big_bundle_takes_no_more_memory_than_a_small_one(tmp_path: Path, way: str) -> None:
    few, many = (_peak(tmp_path / f"{mib}.tar", mib, way) for mib in (1, 300))

    assert many < few + 12_000


def _peak(path: Path, mib: int, way: str) -> int:
    """The most memory of a process that writes or reads a bundle of so many MiB, in KiB."""
    script = (
        "import hashlib, sys\n"
        "from pathlib import Path\n"
        "from herdbook.core.artifacts import Artifact, Manifest\n"
        "from herdbook.storage.bundles import Packed, read_bundle, write_bundle\n"
        "path, mib, way = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]\n"
        "block, passed = bytes(1 << 20), hashlib.sha256()\n"
        "for _ in range(mib): passed.update(block)\n"
        "one = Artifact(path='model.bin', size=mib << 20, role='weights',"
        " digest='sha256:' + passed.hexdigest())\n"
        "packed = Packed(version='{}', manifest=Manifest((one,)))\n"
        "if way == 'write':\n"
        "    write_bundle(path, [packed], lambda _: (block for _ in range(mib)))\n"
        "else:\n"
        "    with read_bundle(path) as bundle:\n"
        "        for _, size, chunks in bundle.blobs():\n"
        "            assert sum(map(len, chunks)) == size == mib << 20\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    )
    if way == "read":
        _peak(path, mib, "write")
    done = subprocess.run(
        [sys.executable, "-c", script, path, str(mib), way],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.parametrize("size", [0, 7, 8, 513, 8**11 - 1, 8**11, 9 * 1024**4, 2**53 - 1])
def test_every_size_has_room_in_one_block_as_tar_writes_it(size: int) -> None:
    info = tarfile.TarInfo("blobs/sha256/" + "0a" * 32)
    info.size = size

    header = blocks.header_of(info.name, size)

    assert header == info.tobuf(tarfile.GNU_FORMAT)
    assert tarfile.TarInfo.frombuf(header, "ascii", "strict").size == size


def test_a_bundle_with_a_file_of_sixteen_gibibytes_is_opened(tmp_path: Path) -> None:
    size = 1 << 34
    huge = Artifact(path="model.bin", size=size, digest="sha256:" + "0" * 64, role="weights")
    parts = entries([Packed(version="{}", manifest=Manifest((huge,)))])
    with (tmp_path / "huge.tar").open("wb") as file:
        for part in parts:
            file.write(blocks.header_of(part.name, part.size))
            file.write(part.data or b"")
            file.write(bytes(blocks.padded(part.size) - part.size))
        file.truncate(file.tell() + size + 1_024)  # a hole

    with read_bundle(tmp_path / "huge.tar") as bundle:
        assert bundle.contents[0].manifest.files == (huge,)
        assert next(next(bundle.blobs())[2]) == bytes(1 << 20)


def test_a_version_of_ten_thousand_files_is_packed_and_read(tmp_path: Path) -> None:
    files = {f"shards/{n:05}.txt": str(n).encode() for n in range(10_000)}
    store = {digest_of(data): data for data in files.values()}
    version = a_version(files, "majora:v3")

    write_bundle(tmp_path / "one.tar", [version], lambda digest: iter([store[digest]]))

    with read_bundle(tmp_path / "one.tar", limits=LIMITS) as bundle:
        assert bundle.contents == (version,)
        assert every_byte(bundle) == store
