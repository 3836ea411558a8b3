"""Many processes and one cache: one fetches, all get the same, and nobody loses what it uses."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from herdbook.core.artifacts import Artifact, Manifest
from herdbook.core.blobs import How
from herdbook.storage.cache import Cache, Fetch
from tests.force.crowds import CLEAN, KILLED, at_once, run_apart
from tests.storage.pulls import MAJORA, Source, contents, manifest_of, names, relabelled

CLEAN.set_forkserver_preload([__name__])
CROWD = 200
V1, V2 = manifest_of(MAJORA), manifest_of(relabelled())
FILES = {V1.digest: MAJORA, V2.digest: relabelled()}
Pull = Callable[[Path, Manifest, Fetch], Path]


def pull(folder: Path, manifest: Manifest, fetch: Fetch) -> Path:
    """Pull as the cache does."""
    return Cache(folder).snapshot(manifest, fetch)


def pull_naively(folder: Path, manifest: Manifest, fetch: Fetch) -> Path:
    """Look whether it is there, else fetch it, as one would who never thought of others."""
    place = folder / manifest.digest.removeprefix("sha256:")
    if not place.is_dir():
        draft = folder / f"draft-{os.getpid()}"
        for file in manifest.files:
            (draft / file.path).parent.mkdir(parents=True, exist_ok=True)
            fetch(file, draft / file.path)
        if not place.is_dir():
            draft.rename(place)
    return place


def noting(log: Path) -> Fetch:
    """Fetch slowly, and note what was fetched where every process can see it."""
    source = Source(MAJORA, relabelled())

    def fetch(file: Artifact, path: Path) -> How:
        with log.open("ab", buffering=0) as noted:
            noted.write(f"{file.path}\n".encode())
        time.sleep(0.05)
        return source(file, path)

    return fetch


def crowd(how: Pull, folder: Path, log: Path, count: int, versions: int) -> None:
    """Let many ask at once; ends well when each was given the right bytes."""
    manifests = [V1, V2][:versions]

    def ask(number: int) -> None:
        manifest = manifests[number % versions]
        assert contents(how(folder, manifest, noting(log))) == FILES[manifest.digest]

    assert at_once(count, ask) == [0] * count


def fetched(tmp_path: Path, how: Pull, count: int, versions: int = 1) -> list[str]:
    log = tmp_path / "fetched"
    log.touch()
    status = run_apart(crowd, how, tmp_path / "cache", log, count, versions)
    assert status == 0 or how is pull_naively
    return sorted(log.read_text().splitlines())


def test_two_hundred_that_ask_at_once_fetch_once(tmp_path: Path) -> None:
    assert fetched(tmp_path, pull, CROWD) == sorted(MAJORA)

    assert names(tmp_path / "cache" / "pulls") == []
    assert Cache(tmp_path / "cache").verify().ok


def test_the_naive_pull_fetches_again_and_again(tmp_path: Path) -> None:
    """The control: what the test above looks for, it does find."""
    assert len(fetched(tmp_path, pull_naively, 20)) > len(MAJORA)


def test_two_versions_asked_for_at_once_fetch_large_files_once(tmp_path: Path) -> None:
    found = fetched(tmp_path, pull, 40, versions=2)

    assert found.count("model.safetensors") == 1
    assert found.count("labels.json") == 2


# --- who pulls is killed ---


def pull_half(folder: Path, log: Path, *, forking: bool) -> None:
    """Write half a file and wait to be killed."""

    def half(file: Artifact, path: Path) -> How:
        path.write_bytes(MAJORA[file.path][: file.size // 2])
        if forking and os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        with log.open("a") as told:
            told.write("half\n")
        time.sleep(60)
        return How.LINKED

    Cache(folder).snapshot(V1, half)


def wait_for(log: Path, text: str) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and text not in (log.read_text() if log.exists() else ""):
        time.sleep(0.005)
    assert text in log.read_text()


def pull_next(folder: Path, log: Path) -> None:
    with log.open("a") as told:
        told.write("waiting\n")
    assert contents(Cache(folder).snapshot(V1, Source(MAJORA))) == MAJORA


def killed_while_another_waits(tmp_path: Path, *, forking: bool) -> Path:
    folder, log = tmp_path / "cache", tmp_path / "log"
    first = CLEAN.Process(target=pull_half, args=(folder, log), kwargs={"forking": forking})
    first.start()
    wait_for(log, "half")
    second = CLEAN.Process(target=pull_next, args=(folder, log))
    second.start()
    wait_for(log, "waiting")
    second.join(0.2)
    assert second.is_alive(), "it did not wait"
    assert Cache(folder).present(V1.digest) is None

    assert first.pid
    os.kill(first.pid, signal.SIGKILL)
    second.join(30)

    assert second.exitcode == 0
    return folder


def test_when_who_pulls_is_killed_the_next_goes_on(tmp_path: Path) -> None:
    folder = killed_while_another_waits(tmp_path, forking=False)

    assert names(folder / "pulls") == []
    assert Cache(folder).verify().ok


def test_a_fork_of_who_was_killed_keeps_nobody_waiting(tmp_path: Path) -> None:
    folder = killed_while_another_waits(tmp_path, forking=True)

    assert Cache(folder).present(V1.digest)


# --- who uses it keeps it ---


def use_and(then: str, folder: Path, log: Path) -> None:
    """Use a snapshot, and then wait, leave a fork behind, or become another program."""
    Cache(folder).snapshot(V1, Source(MAJORA))
    if then == "forks":
        child = os.fork()
        if child == 0:
            with log.open("a") as told:
                told.write(f"{os.getpid()} used\n")
            time.sleep(60)
        os._exit(0)
    with log.open("a") as told:
        told.write(f"{os.getpid()} used\n")
    if then == "becomes another":
        os.execvp("sleep", ["sleep", "60"])  # noqa: S606 - it is written here
    time.sleep(60)


def user(tmp_path: Path, then: str) -> int:
    """Start one that uses majora:v1 and give its process, or its fork's."""
    log = tmp_path / "log"
    process = CLEAN.Process(target=use_and, args=(then, tmp_path / "cache", log))
    process.start()
    wait_for(log, "used")
    if then == "forks":
        process.join(30)
    return int(log.read_text().split()[0])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def removed_in_time(cache: Cache) -> bool:
    """Prune until all is gone: a killed process gives up its locks a moment later."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not cache.prune().in_use:
            return True
        time.sleep(0.02)
    return False


def test_what_a_living_process_uses_is_not_removed(tmp_path: Path) -> None:
    pid, cache = user(tmp_path, "waits"), Cache(tmp_path / "cache")

    assert cache.prune().in_use == (V1.digest,)
    assert [each.in_use for each in cache.listing()] == [True]
    kill(pid)
    assert removed_in_time(cache)
    assert names(cache.folder / "snapshots") == []


def test_a_fork_goes_on_using_what_its_parent_used(tmp_path: Path) -> None:
    pid, cache = user(tmp_path, "forks"), Cache(tmp_path / "cache")

    assert cache.prune().in_use == (V1.digest,)
    kill(pid)
    assert removed_in_time(cache)


def test_another_program_uses_nothing(tmp_path: Path) -> None:
    pid, cache = user(tmp_path, "becomes another"), Cache(tmp_path / "cache")

    assert removed_in_time(cache)
    kill(pid)


# --- making room while others use ---


def read_again_and_again(folder: Path, log: Path, seed: int) -> None:
    """Pull, read every byte, let go; tell of whatever was not as it should be."""
    rng, cache = random.Random(seed), Cache(folder)  # noqa: S311 - not a secret
    source = Source(MAJORA, relabelled())
    while True:
        manifest = rng.choice([V1, V2])
        with log.open("a") as told:
            try:
                found = contents(cache.snapshot(manifest, source))
            except Exception as error:  # noqa: BLE001 - told, not hidden
                told.write(f"failed {error!r}\n")
            else:
                told.write("right\n" if found == FILES[manifest.digest] else "wrong\n")
        cache.release(manifest.digest)


def prune_naively(folder: Path) -> None:
    """Remove the oldest, as one would who never thought of those that read it."""
    for mark in (folder / "marks").glob("*"):
        mark.unlink(missing_ok=True)
        shutil.rmtree(folder / "snapshots" / mark.name, ignore_errors=True)


def prune(folder: Path) -> None:
    """Prune as the cache does."""
    Cache(folder).prune()


def seen_while(pruning: Callable[[Path], None], tmp_path: Path, seconds: float) -> list[str]:
    """Let some read while room is made again and again; give what they saw."""
    folder, log = tmp_path / "cache", tmp_path / "log"
    log.touch()
    readers = [
        CLEAN.Process(target=read_again_and_again, args=(folder, log, seed)) for seed in range(3)
    ]
    for reader in readers:
        reader.start()
    wait_for(log, "right")
    until = time.monotonic() + seconds
    while time.monotonic() < until and "failed" not in log.read_text():
        pruning(folder)
    for reader in readers:
        reader.kill()
        reader.join()
    assert {reader.exitcode for reader in readers} == {KILLED}
    return log.read_text().splitlines()


def test_nobody_loses_what_it_reads_to_who_makes_room(tmp_path: Path) -> None:
    seen = seen_while(prune, tmp_path, 4.0)

    assert set(seen) == {"right"}
    assert len(seen) > 20


def test_making_room_naively_is_found_out(tmp_path: Path) -> None:
    """The control: what the test above looks for, it does find."""
    seen = seen_while(prune_naively, tmp_path, 20.0)

    assert set(seen) - {"right"}
