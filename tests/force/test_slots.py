"""Those who stage and switch are killed at any moment: `current` is one whole version always."""

import hashlib
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from herdbook.errors import Conflict, NotFound
from herdbook.storage.slots import Slots

CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload([__name__])
WORKERS = 2
FILES = 6
ENOUGH = 5
Worker = Callable[[Path, Path, str], None]


@dataclass(slots=True)
class Seen:
    """What a reader saw while workers were killed."""

    kills: int = 0
    reads: int = 0
    versions: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)


def fill(folder: Path, version: str) -> None:
    """Write a version: files that name it, and say which bytes are theirs."""
    folder.mkdir(parents=True)
    for number in range(FILES):
        body = f"{version}\n".encode() * (500 * (number + 1))
        (folder / f"{number}.bin").write_bytes(hashlib.sha256(body).digest() + body)


def stage_and_switch(folder: Path, log: Path, seed: str) -> None:
    """Do as the command does, one slot after the other, some steps back between."""
    slots, rng = Slots(folder), random.Random(seed)  # noqa: S311 - not a secret
    with log.open("ab", buffering=0) as acknowledged:
        for turn in itertools.count():
            slot, version = rng.choice(["blue", "green"]), f"{seed}.{turn}"
            try:
                slots.stage(slot, partial(fill, version=version), version=version, digest=version)
                moved = slots.back() if rng.random() < 0.2 else slots.switch(slot)
            except (Conflict, NotFound):
                continue
            acknowledged.write(f"{moved.version}\n".encode())


def stage_and_switch_naively(folder: Path, log: Path, seed: str) -> None:
    """Copy in place, take the link away, lay it anew: as one would who never thought of it."""
    for turn in itertools.count():
        slot, beside = folder / ("blue", "green")[turn % 2], folder / f".{os.getpid()}"
        shutil.rmtree(beside, ignore_errors=True)
        fill(beside, f"{seed}.{turn}")
        shutil.copytree(beside, slot, dirs_exist_ok=True)
        link = folder / "current"
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(slot.name)
        except FileExistsError:
            continue
        with log.open("a") as acknowledged:
            acknowledged.write(f"{seed}.{turn}\n")


def read(folder: Path, seen: Seen, stop: threading.Event) -> None:
    """Open `current` again and again as a service does, and read all of it."""
    while not stop.is_set():
        try:
            place = os.open(folder / "current", os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if seen.reads:
                seen.broken.append(f"current cannot be opened: {error}")
            continue
        try:
            versions = [_version(place, f"{number}.bin") for number in range(FILES)]
        except FileNotFoundError as error:
            # Two switches since it was opened: what it held is being removed, never changed.
            if _is_at(place, folder / "current"):
                seen.broken.append(f"current is not whole: {error}")
            continue
        except ValueError as error:
            seen.broken.append(str(error))
            continue
        finally:
            os.close(place)
        if len(set(versions)) != 1:
            seen.broken.append(f"two versions at once: {sorted(set(versions))}")
        seen.reads += 1
        seen.versions.add(versions[0])


def _is_at(place: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(place), path.stat())
    except OSError:
        return False


def _version(place: int, name: str) -> str:
    fd = os.open(name, os.O_RDONLY, dir_fd=place)
    with os.fdopen(fd, "rb") as file:
        data = file.read()
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        raise ValueError(f"{name} is not whole: {len(data)} bytes")
    return data[32:].partition(b"\n")[0].decode()


def killed_again_and_again(worker: Worker, folder: Path, seconds: float) -> Seen:
    """Start workers, read what they serve, kill them; again until the time is over."""
    seen, stop, log = Seen(), threading.Event(), folder.parent / "acknowledged"
    rng, until = random.Random(7), time.monotonic() + seconds  # noqa: S311 - not a secret
    folder.mkdir()
    log.touch()
    reader = threading.Thread(target=read, args=(folder, seen, stop))
    reader.start()
    turns = itertools.count()
    # On a busy machine as long as it takes to have seen something.
    while not seen.broken and time.monotonic() < until + 60:
        if time.monotonic() > until and len(seen.versions) > ENOUGH:
            break
        turn, size = next(turns), log.stat().st_size
        workers = [
            CLEAN.Process(target=worker, args=(folder, log, f"{turn}-{number}"))
            for number in range(WORKERS)
        ]
        for process in workers:
            process.start()
        if turn % 4:
            _await_growth(log, size)
        time.sleep(rng.uniform(0.0, 0.15))
        for process in workers:
            assert process.pid
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            seen.kills += 1
    stop.set()
    reader.join()
    return seen


def _await_growth(log: Path, size: int) -> None:
    """Wait until somebody has come through once: a busy machine starts workers late."""
    until = time.monotonic() + 5
    while time.monotonic() < until and log.stat().st_size == size:
        time.sleep(0.001)


def test_current_is_one_whole_version_whoever_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "models"

    seen = killed_again_and_again(stage_and_switch, folder, 8.0)

    assert seen.broken == []
    assert seen.kills > 10
    assert seen.reads > 50
    assert len(seen.versions) > ENOUGH
    acknowledged = (tmp_path / "acknowledged").read_text().split()
    assert seen.versions & set(acknowledged)


def test_what_the_killed_left_is_put_in_order_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    killed_again_and_again(stage_and_switch, folder, 4.0)
    slots, live = Slots(folder), Slots(folder).status().live
    assert live is not None
    other = slots.free()

    slots.stage(other, partial(fill, version="the last"), version="the last", digest="the last")
    slots.switch(other)
    slots.back()

    standing = slots.status()
    assert standing.live == live
    kept = {held.id for held in standing.slots} | {"history.json", "moving.lock", "staging.lock"}
    assert {path.name for path in (folder / ".slots").iterdir()} == kept
    for move, before in itertools.pairwise(standing.history):
        assert move.was == before.slot
        assert move.seq == before.seq + 1


def test_the_naive_way_is_found_out(tmp_path: Path) -> None:
    """The control: what the test above looks for, it does find."""
    seen = killed_again_and_again(stage_and_switch_naively, tmp_path / "models", 20.0)

    assert seen.broken != []
