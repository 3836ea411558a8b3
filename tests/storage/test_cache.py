"""The cache of pulled versions: whole, verified, shared, and never served when it changed."""

import mmap
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from herdbook.core.artifacts import Artifact, Manifest, digest_of
from herdbook.core.blobs import How
from herdbook.errors import Corrupt, Invalid, Unavailable
from herdbook.storage.blobs.folder import FolderBlobs
from herdbook.storage.cache import Cache, Problem
from tests.disks import small
from tests.storage.pulls import (
    MAJORA,
    WEIGHTS,
    Source,
    contents,
    manifest_of,
    names,
    nothing,
    relabelled,
)

V1, V2 = manifest_of(MAJORA), manifest_of(relabelled())


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache nobody has written yet."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def pulled(cache: Cache) -> Path:
    """The folder of majora:v1, which nobody uses any more."""
    folder = cache.snapshot(V1, Source(MAJORA))
    cache.release(V1.digest)
    return folder


def writable(path: Path) -> Path:
    """Do to a file of a snapshot what its owner can."""
    path.parent.chmod(0o700)
    if path.exists() and not path.is_symlink():
        path.chmod(0o600)
    return path


# --- what one gets ---


def test_a_snapshot_has_exactly_the_files_of_its_manifest(cache: Cache) -> None:
    folder = cache.snapshot(V1, Source(MAJORA))

    assert contents(folder) == MAJORA
    assert {stat.S_IMODE((folder / path).stat().st_mode) for path in MAJORA} == {0o444}
    assert {stat.S_IMODE(f.stat().st_mode) for f in (folder, folder / "tokenizer")} == {0o555}
    assert cache.present(V1.digest) == folder


def test_what_was_pulled_is_not_fetched_again(cache: Cache, pulled: Path) -> None:
    assert cache.snapshot(V1, nothing) == pulled
    assert Cache(cache.folder).snapshot(V1, nothing) == pulled


def test_weights_can_be_mapped_into_memory(pulled: Path) -> None:
    with (
        (pulled / WEIGHTS).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert mapped[:8] == b"weights "


def test_what_was_never_pulled_is_not_there_and_makes_no_folder(cache: Cache) -> None:
    assert cache.present(V1.digest) is None
    assert cache.recall("sqlite:///herdbook.db", "majora@champion") is None
    assert (cache.listing(), cache.verify().snapshots, cache.prune().removed) == ([], 0, ())
    assert not cache.folder.exists()


def test_nobody_else_may_look_into_the_cache(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cache = Cache(tmp_path / "deep" / "cache")
        cache.snapshot(V1, Source(MAJORA))
        cache.remember("r", "majora@champion", V1, "majora:v1")
    finally:
        os.umask(before)

    every = [cache.folder, *cache.folder.rglob("*")]
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert [path for path in every if path.lstat().st_mode & 0o022] == []


def test_files_with_the_same_bytes_are_fetched_once(cache: Cache) -> None:
    files = {"a.bin": b"same", "b/c.bin": b"same", "empty": b"", "other": b""}
    source = Source(files)

    folder = cache.snapshot(manifest_of(files), source)

    assert len(source.asked) == 2
    assert contents(folder) == files


def test_progress_counts_every_byte_once(cache: Cache) -> None:
    said: list[int] = []

    cache.snapshot(V1, Source(MAJORA), said=said.append)

    assert sum(said) == V1.size
    assert len(said) == len(MAJORA)


# --- sharing ---


def test_a_version_that_differs_in_its_labels_fetches_only_those(cache: Cache) -> None:
    first = cache.snapshot(V1, Source(MAJORA))
    source = Source(relabelled())

    second = cache.snapshot(V2, source)

    assert source.asked == ["labels.json"]
    assert (first / WEIGHTS).samefile(second / WEIGHTS)
    assert contents(second) == relabelled()


def test_a_store_on_the_same_disk_is_linked_and_not_read(cache: Cache, tmp_path: Path) -> None:
    store = FolderBlobs(tmp_path / "blobs")
    for data in MAJORA.values():
        store.write([data])

    folder = cache.snapshot(V1, lambda file, path: store.give(file.digest, path))

    digest = digest_of(MAJORA[WEIGHTS]).removeprefix("sha256:")
    assert (folder / WEIGHTS).samefile(tmp_path / "blobs" / "sha256" / digest[:2] / digest)
    assert cache.verify().ok


def test_removing_a_version_leaves_what_another_has(cache: Cache) -> None:
    cache.snapshot(V1, Source(MAJORA))
    second = cache.snapshot(V2, Source(relabelled()))
    cache.release(V1.digest)

    pruned = cache.prune()

    assert pruned.removed == (V1.digest,)
    assert pruned.freed_bytes == len(MAJORA["labels.json"])
    assert contents(second) == relabelled()
    assert cache.verify().ok


def test_two_versions_pulled_at_once_fetch_what_they_share_once(cache: Cache) -> None:
    source, both = Source(MAJORA, relabelled()), threading.Barrier(2)

    def slow(file: Artifact, path: Path) -> How:
        time.sleep(0.1)
        return source(file, path)

    def pull(manifest: Manifest) -> None:
        both.wait()
        cache.snapshot(manifest, slow)

    threads = [threading.Thread(target=pull, args=(manifest,)) for manifest in (V1, V2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert source.asked.count(WEIGHTS) == 1


# --- what changed is noticed ---


def write_in_place(path: Path) -> None:
    with writable(path).open("r+b") as file:
        file.write(b"W")


def cut_off(path: Path) -> None:
    os.truncate(writable(path), 10)


def grow(path: Path) -> None:
    with writable(path).open("ab") as file:
        file.write(b"more")


def replace_whole(path: Path) -> None:
    data = path.read_bytes()
    before = path.stat()
    writable(path).unlink()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(path: Path) -> None:
    writable(path).unlink()


def add(path: Path) -> None:
    writable(path.with_name("extra.py")).write_text("evil()")


def add_folder(path: Path) -> None:
    path.parent.chmod(0o700)
    (path.parent / "__pycache__").mkdir()


def make_a_link(path: Path) -> None:
    real = path.parents[2] / "elsewhere"
    real.write_bytes(path.read_bytes())
    writable(path).unlink()
    path.symlink_to(real)


def make_a_folder(path: Path) -> None:
    writable(path).unlink()
    path.mkdir()


def make_a_pipe(path: Path) -> None:
    writable(path).unlink()
    os.mkfifo(path)


def let_others_write(path: Path) -> None:
    writable(path).chmod(0o666)


CHANGES = (
    write_in_place, cut_off, grow, replace_whole, remove, add, add_folder, make_a_link,
    make_a_folder, make_a_pipe, let_others_write,
)  # fmt: skip


@pytest.mark.parametrize("name", [WEIGHTS, "labels.json", "tokenizer/vocab.txt"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_snapshot_is_never_served(
    cache: Cache, pulled: Path, change: Callable[[Path], None], name: str
) -> None:
    change(pulled / name)

    assert cache.present(V1.digest) is None
    assert contents(cache.snapshot(V1, Source(MAJORA))) == MAJORA
    assert cache.present(V1.digest) == pulled


@pytest.mark.parametrize("name", [WEIGHTS, "labels.json"])
def test_only_what_changed_is_fetched_anew(cache: Cache, pulled: Path, name: str) -> None:
    write_in_place(pulled / name)
    source = Source(MAJORA)

    cache.snapshot(V1, source)

    assert source.asked == [name]


def test_a_file_that_was_only_touched_is_read_and_not_fetched(cache: Cache, pulled: Path) -> None:
    os.utime(writable(pulled / WEIGHTS))
    (pulled / WEIGHTS).chmod(0o444)

    assert cache.present(V1.digest) is None
    assert cache.snapshot(V1, nothing) == pulled


def test_a_cache_that_was_copied_is_read_and_not_fetched(
    cache: Cache, pulled: Path, tmp_path: Path
) -> None:
    assert pulled.is_dir()
    shutil.copytree(cache.folder, tmp_path / "image")
    moved = Cache(tmp_path / "image")

    assert moved.present(V1.digest) is None
    assert contents(moved.snapshot(V1, nothing)) == MAJORA


def test_a_folder_that_is_a_link_is_never_served(
    cache: Cache, pulled: Path, tmp_path: Path
) -> None:
    pulled.chmod(0o700)
    shutil.move(pulled, tmp_path / "elsewhere")
    pulled.symlink_to(tmp_path / "elsewhere")

    assert cache.present(V1.digest) is None
    assert contents(cache.snapshot(V1, Source(MAJORA))) == MAJORA
    assert not pulled.is_symlink()
    assert contents(tmp_path / "elsewhere") == MAJORA, "nothing is done through a link"


@pytest.mark.parametrize("damage", ["cut off", "flipped", "emptied", "a link"])
def test_a_damaged_mark_marks_nothing(cache: Cache, pulled: Path, damage: str) -> None:
    mark = cache.folder / "marks" / pulled.name
    data = mark.read_bytes()
    if damage == "a link":
        mark.rename(cache.folder / "elsewhere")
        mark.symlink_to(cache.folder / "elsewhere")
    else:
        mark.write_bytes({"cut off": data[:-9], "flipped": data[:99] + b"~" + data[100:]}.get(
            damage, b""
        ))  # fmt: skip

    assert cache.present(V1.digest) is None
    assert [damage.problems for damage in cache.verify().damage] == [
        (Problem("", "its mark is damaged"),)
    ]
    assert cache.snapshot(V1, nothing) == pulled
    assert cache.verify().ok


# --- what arrives is verified ---


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"x" * 1_600_000, "is not sha256:"), (b"short", "5 bytes arrived"), (None, "nothing")],
)
def test_wrong_bytes_are_refused_and_nothing_is_left(
    cache: Cache, data: bytes | None, told: str
) -> None:
    def lying(file: Artifact, path: Path) -> How:
        if file.path != WEIGHTS:
            return Source(MAJORA)(file, path)
        if data is not None:
            path.write_bytes(data)
        return How.COPIED

    with pytest.raises(Corrupt, match=told):
        cache.snapshot(V1, lying)

    assert cache.present(V1.digest) is None
    assert names(cache.folder / "pulls") == names(cache.folder / "snapshots") == []
    source = Source(MAJORA)
    cache.snapshot(V1, source)
    assert WEIGHTS in source.asked


@pytest.mark.parametrize("how", [How.COPIED, How.THERE])
def test_what_is_not_linked_is_read_again(cache: Cache, how: How) -> None:
    def lying(_: Artifact, path: Path) -> How:
        path.write_bytes(b"W" + MAJORA[WEIGHTS][1:])
        return how

    with pytest.raises(Corrupt, match="pull again"):
        cache.snapshot(manifest_of({WEIGHTS: MAJORA[WEIGHTS]}), lying)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_refused(cache: Cache, tmp_path: Path, kind: str) -> None:
    (tmp_path / "real").write_bytes(b"{}")

    def lying(_: Artifact, path: Path) -> How:
        if kind == "link":
            path.symlink_to(tmp_path / "real")
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()
        return How.LINKED

    with pytest.raises(Corrupt, match="file"):
        cache.snapshot(manifest_of({"labels.json": b"{}"}), lying)
    assert names(cache.folder / "pulls") == []


def test_a_link_to_a_file_that_can_be_written_is_refused(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"{}")

    def lending(_: Artifact, path: Path) -> How:
        path.hardlink_to(tmp_path / "mine")
        return How.LINKED

    with pytest.raises(Invalid, match="copy it"):
        cache.snapshot(manifest_of({"labels.json": b"{}"}), lending)
    assert os.access(tmp_path / "mine", os.W_OK)


def test_a_pull_that_broke_off_goes_on_with_what_was_whole(cache: Cache) -> None:
    def breaking(file: Artifact, path: Path) -> How:
        if file.path == "labels.json":
            time.sleep(0.2)
            raise Unavailable("the server is gone")
        return Source(MAJORA)(file, path)

    with pytest.raises(Unavailable, match="gone"):
        cache.snapshot(V1, breaking)
    source = Source(MAJORA)
    cache.snapshot(V1, source)

    assert source.asked == ["labels.json"]


# --- a full disk ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte."""
    with small(tmp_path / "small", "1m") as folder:
        yield folder


def test_a_full_disk_leaves_nothing_that_looks_whole(small_disk: Path) -> None:
    cache = Cache(small_disk / "cache")
    small = manifest_of({"labels.json": MAJORA["labels.json"]})
    cache.snapshot(small, Source(MAJORA))

    with pytest.raises(Unavailable, match="free some space"):
        cache.snapshot(V1, Source(MAJORA))

    assert cache.present(V1.digest) is None
    assert [each.digest for each in cache.listing()] == [small.digest]
    assert names(cache.folder / "pulls") == []
    assert cache.verify().ok
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    assert contents(cache.snapshot(V1, Source(MAJORA))) == MAJORA
    cache.release(V1.digest)  # a lock is an open file, and keeps the disk busy
    cache.release(small.digest)


# --- other users ---


def test_a_cache_that_others_may_write_is_refused(cache: Cache, pulled: Path) -> None:
    for folder in (cache.folder, cache.folder / "snapshots", cache.folder / "marks"):
        folder.chmod(0o777)
        with pytest.raises(Invalid, match="others may write"):
            cache.present(V1.digest)
        with pytest.raises(Invalid, match="others may write"):
            cache.snapshot(V1, nothing)
        folder.chmod(0o700)

    assert cache.present(V1.digest) == pulled


def test_a_cache_of_somebody_else_is_refused(cache: Cache, pulled: Path) -> None:
    if os.geteuid():
        pytest.skip("only root may give a folder away")
    os.chown(cache.folder, 12_345, 12_345)

    with pytest.raises(Invalid, match="belongs to the user 12345"):
        cache.snapshot(V1, nothing)
    assert pulled.is_dir()


@pytest.mark.parametrize("place", ["", "snapshots", "files"])
def test_a_cache_behind_a_link_is_refused(tmp_path: Path, place: str) -> None:
    cache, elsewhere = Cache(tmp_path / "cache"), tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if place:
        cache.folder.mkdir(mode=0o700)
    (cache.folder / place).symlink_to(elsewhere)

    with pytest.raises(Invalid, match="follows no links"):
        cache.snapshot(V1, Source(MAJORA))
    assert names(elsewhere) == []


def test_a_link_laid_into_the_shared_files_is_not_followed(cache: Cache, tmp_path: Path) -> None:
    cache.snapshot(manifest_of({"labels.json": MAJORA["labels.json"]}), Source(MAJORA))
    (tmp_path / "elsewhere").write_bytes(MAJORA[WEIGHTS])
    laid = cache.folder / "files" / digest_of(MAJORA[WEIGHTS]).removeprefix("sha256:")
    laid.symlink_to(tmp_path / "elsewhere")
    source = Source(MAJORA)

    folder = cache.snapshot(V1, source)

    assert WEIGHTS in source.asked
    assert contents(folder) == MAJORA
    assert not laid.is_symlink()


def test_a_poisoned_shared_file_is_found_before_it_is_linked(cache: Cache, pulled: Path) -> None:
    laid = cache.folder / "files" / digest_of(MAJORA[WEIGHTS]).removeprefix("sha256:")
    laid.unlink()
    laid.write_bytes(b"W" + MAJORA[WEIGHTS][1:])
    laid.chmod(0o444)

    folder = cache.snapshot(V2, Source(relabelled()))

    assert contents(folder) == relabelled()
    assert contents(pulled) == MAJORA


def test_a_digest_is_never_taken_for_a_path(cache: Cache, pulled: Path) -> None:
    assert pulled.is_dir()
    with pytest.raises(Invalid, match="not a digest"):
        cache.present("sha256:../../marks")
    with pytest.raises(Invalid, match="not a digest"):
        cache.release("../snapshots")


# --- reading everything ---


def test_bits_that_flipped_without_a_trace_are_found_and_fetched_anew(
    cache: Cache, pulled: Path
) -> None:
    cache.remember("r", "majora@champion", V1, "majora:v1")
    weights = writable(pulled / WEIGHTS)
    before = weights.stat()
    write_in_place(weights)
    weights.chmod(0o444)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cache.present(V1.digest) == pulled, "no cheap look can see it"

    (damage,) = cache.verify().damage
    (removed,) = cache.verify(remove=True).damage
    source = Source(MAJORA)
    folder = cache.snapshot(V1, source)

    assert damage.digest == removed.digest == V1.digest
    assert damage.refs == ("majora@champion",)
    assert damage.problems == (Problem(WEIGHTS, "has other bytes"),)
    assert (damage.removed, removed.removed) == (False, True)
    assert source.asked == [WEIGHTS]
    assert contents(folder) == MAJORA
    assert cache.verify().ok


def test_every_kind_of_damage_is_told_by_file(cache: Cache, pulled: Path) -> None:
    write_in_place(pulled / WEIGHTS)
    os.utime(writable(pulled / "config.json"))
    remove(pulled / "labels.json")
    add(pulled / "config.json")

    (damage,) = cache.verify().damage

    assert {(problem.path, problem.what) for problem in damage.problems} == {
        (WEIGHTS, "has other bytes"),
        ("config.json", "was touched, its bytes are right"),
        ("labels.json", "missing"),
        ("extra.py", "added"),
    }


def test_a_forged_mark_does_not_deceive_who_reads_everything(cache: Cache, pulled: Path) -> None:
    other = {**MAJORA, WEIGHTS: b"evil"}
    evil = cache.snapshot(manifest_of(other), Source(other))
    marks = cache.folder / "marks"
    shutil.copy2(marks / evil.name, marks / pulled.name)
    pulled.chmod(0o700)
    shutil.rmtree(pulled)
    shutil.copytree(evil, pulled)

    told = {damage.digest: damage.problems for damage in cache.verify().damage}

    assert any("is that of" in problem.what for problem in told[V1.digest])


def test_a_file_read_once_counts_once(cache: Cache, pulled: Path) -> None:
    assert pulled.is_dir()
    cache.snapshot(V2, Source(relabelled()))
    said: list[int] = []

    checked = cache.verify(said=said.append)

    assert (checked.snapshots, checked.files) == (2, len(MAJORA) + 1)
    assert checked.size_bytes == sum(said) == V1.size + len(relabelled()["labels.json"])


# --- making room ---


def numbered(number: int) -> dict[str, bytes]:
    return {"model.bin": bytes([number]) * 1_000}


def pull_numbered(cache: Cache, number: int) -> Manifest:
    manifest = manifest_of(numbered(number))
    cache.snapshot(manifest, Source(numbered(number)))
    cache.release(manifest.digest)
    # Times of files are coarse: what follows is later.
    mark = cache.folder / "marks" / manifest.digest.removeprefix("sha256:")
    at = 1_700_000_000 + number
    os.utime(mark, (at, at))
    return manifest


def test_what_was_used_least_recently_goes_first(cache: Cache) -> None:
    one, two, three = (pull_numbered(cache, number) for number in (1, 2, 3))
    cache.present(one.digest)
    cache.release(one.digest)

    pruned = cache.prune(to_bytes=1_500)

    assert pruned.removed == (two.digest, three.digest)
    assert (pruned.freed_bytes, pruned.left_bytes) == (2_000, 1_000)
    assert [each.digest for each in cache.listing()] == [one.digest]


def test_what_is_in_use_stays(cache: Cache) -> None:
    one, two = (pull_numbered(cache, number) for number in (1, 2))
    folder = cache.present(one.digest)

    pruned = Cache(cache.folder).prune()

    assert (pruned.removed, pruned.in_use) == ((two.digest,), (one.digest,))
    assert folder
    assert contents(folder) == numbered(1)
    assert [each.in_use for each in cache.listing()] == [True]
    cache.release(one.digest)
    assert cache.prune().removed == (one.digest,)


def test_a_dry_run_removes_nothing(cache: Cache) -> None:
    one, two = (pull_numbered(cache, number) for number in (1, 2))

    pruned = cache.prune(dry_run=True)

    assert pruned.removed == (one.digest, two.digest)
    assert len(cache.listing()) == 2


def test_the_limit_makes_room_before_a_pull(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", limit_bytes=2_500)
    _, two = (pull_numbered(cache, number) for number in (1, 2))

    three = pull_numbered(cache, 3)

    assert {each.digest for each in cache.listing()} == {two.digest, three.digest}


def test_a_version_larger_than_the_limit_is_pulled_all_the_same(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", limit_bytes=1_000)
    pull_numbered(cache, 1)

    assert contents(cache.snapshot(V1, Source(MAJORA))) == MAJORA
    assert [each.digest for each in cache.listing()] == [V1.digest]


def test_pruning_all_leaves_empty_folders_only(cache: Cache, pulled: Path) -> None:
    assert pulled.is_dir()
    cache.remember("r", "majora@champion", V1, "majora:v1")

    cache.prune()

    left = [path for path in cache.folder.rglob("*") if not path.is_dir()]
    assert left == [cache.folder / "CACHEDIR.TAG"]


# --- references ---


def test_what_a_reference_was_is_remembered(cache: Cache, pulled: Path) -> None:
    assert pulled.is_dir()
    start = datetime.now(UTC) - timedelta(seconds=1)
    cache.remember("postgresql://herd:secret@db/herdbook", "majora@champion", V1, "majora:v1")
    cache.remember("sqlite:///herdbook.db", "majora@champion", V2, "majora:v2")

    found = cache.recall("postgresql://herd:secret@db/herdbook", "majora@champion")

    assert found
    assert found[:2] == (V1, "majora:v1")
    assert start <= found[2] <= datetime.now(UTC) + timedelta(seconds=1)
    assert cache.recall("sqlite:///herdbook.db", "majora:v2") is None
    assert [each.refs for each in cache.listing()] == [("majora@champion",)]
    kept = b"".join(path.read_bytes() for path in (cache.folder / "refs").iterdir())
    assert b"secret" not in kept


def test_the_last_pull_counts(cache: Cache) -> None:
    for manifest, version in ((V1, "majora:v1"), (V2, "majora:v2"), (V2, "majora:v2")):
        cache.remember("r", "majora@champion", manifest, version)

    found = cache.recall("r", "majora@champion")

    assert found
    assert found[:2] == (V2, "majora:v2")
    assert len(names(cache.folder / "refs")) == 1


def test_a_damaged_record_is_told_and_mended_by_the_next_pull(cache: Cache) -> None:
    cache.remember("r", "majora@champion", V1, "majora:v1")
    (record,) = (cache.folder / "refs").iterdir()
    record.write_bytes(record.read_bytes().replace(b"majora:v1", b"majora:v9"))

    with pytest.raises(Corrupt, match="damaged"):
        cache.recall("r", "majora@champion")
    cache.remember("r", "majora@champion", V1, "majora:v1")
    assert cache.recall("r", "majora@champion")


def test_a_record_under_another_name_is_no_answer(cache: Cache) -> None:
    cache.remember("r", "majora:v1", V1, "majora:v1")
    (record,) = (cache.folder / "refs").iterdir()
    cache.remember("r", "majora@champion", V2, "majora:v2")
    (champion,) = set((cache.folder / "refs").iterdir()) - {record}
    shutil.copy(record, champion)

    with pytest.raises(Corrupt, match="is the record of majora:v1"):
        cache.recall("r", "majora@champion")


# --- speed ---


@pytest.mark.parametrize(("files", "milliseconds"), [(10, 1.0), (1_000, 30.0)])
def test_looking_whether_all_is_there_is_quick(
    cache: Cache, files: int, milliseconds: float
) -> None:
    data = {f"part-{number % 7}/{number}.bin": b"%d" % number for number in range(files)}
    manifest = manifest_of(data)
    cache.snapshot(manifest, Source(data))

    took = []
    for _ in range(20):
        start = time.process_time()
        assert cache.present(manifest.digest)
        took.append(time.process_time() - start)

    assert min(took) * 1_000 < milliseconds
