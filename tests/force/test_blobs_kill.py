"""Writers are killed at any moment: nothing is half there, and what was acknowledged is there."""

import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from herdbook.core.artifacts import digest_of
from herdbook.errors import Corrupt, NotFound
from herdbook.storage.blobs.folder import FolderBlobs

# Not a fork of this process: by the time this runs it may have threads of its own, whose locks a
# child would inherit held.
CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload([__name__])
WRITERS = 2
PIECE = 1 << 16
Writer = Callable[[Path, bytes, Path], str]


@dataclass(slots=True)
class Seen:
    """What was seen while writers were killed."""

    kills: int = 0
    left: int = 0
    broken: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def write(folder: Path, data: bytes, scratch: Path) -> str:
    """Write as the store does, one way and another."""
    blobs = FolderBlobs(folder)
    if data[0] % 2:
        return blobs.write(pieces(data)).digest
    scratch.write_bytes(data)
    if data[1] % 2:
        return blobs.take(scratch).digest
    beside = [scratch.with_suffix(f"{scratch.suffix}-{number}") for number in range(12)]
    for number, path in enumerate(beside):
        path.write_bytes(data[number : number + 10_000])
    *_, last = blobs.take_all([*beside, scratch])
    return last.digest


def write_naively(folder: Path, data: bytes, scratch: Path) -> str:  # noqa: ARG001 - as the other
    """Write in place, as one would who never thought of it."""
    digest = digest_of(data)
    name = digest.removeprefix("sha256:")
    path = folder / "sha256" / name[:2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        for piece in pieces(data):
            file.write(piece)
    return digest


def write_until_killed(writer: Writer, folder: Path, log: Path, seed: str) -> None:
    rng = random.Random(seed)  # noqa: S311 - not a secret
    with log.open("ab", buffering=0) as acknowledged:
        while True:
            data = rng.randbytes(rng.choice([100, 40_000, 2_000_000]))
            digest = writer(folder, data, log.with_suffix(f".{os.getpid()}"))
            acknowledged.write(f"{digest}\n".encode())


def look(blobs: FolderBlobs, seen: Seen) -> None:
    """Read every blob that can be seen."""
    for held in blobs.each():
        try:
            read = sum(len(chunk) for chunk in blobs.read(held.digest))
        except NotFound:
            continue
        except Corrupt:
            seen.broken.add(held.digest)
        else:
            seen.broken |= {held.digest} if read != held.size else set()


def killed_again_and_again(writer: Writer, folder: Path, seconds: float) -> Seen:
    """Start writers, watch what they make visible, kill them; again until the time is over."""
    seen, blobs, log = Seen(), FolderBlobs(folder / "blobs"), folder / "acknowledged"
    rng, until = random.Random(11), time.monotonic() + seconds  # noqa: S311 - not a secret
    log.touch()
    turns = itertools.count()
    while time.monotonic() < until and not seen.broken:
        turn = next(turns)
        writers = [
            CLEAN.Process(
                target=write_until_killed,
                args=(writer, folder / "blobs", log, f"{turn}-{number}"),
            )
            for number in range(WRITERS)
        ]
        for process in writers:
            process.start()
        time.sleep(rng.uniform(0.02, 0.15))
        if turn % 2 and writer is write:
            _await_draft(folder / "blobs" / "tmp")
        for process in writers:
            assert process.pid
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            seen.kills += 1
        look(blobs, seen)
        seen.acknowledged = set(log.read_text().split())
        seen.lost |= {digest for digest in seen.acknowledged if blobs.size(digest) is None}
        seen.left += blobs.sweep(before=datetime.now(UTC) + timedelta(seconds=5))
        _clear(blobs, log)
    return seen


def _await_draft(drafts: Path) -> None:
    """Wait until somebody is in the middle of writing: a busy machine starts writers late."""
    until = time.monotonic() + 2
    while time.monotonic() < until and not (drafts.is_dir() and any(drafts.iterdir())):
        pass


def _clear(blobs: FolderBlobs, log: Path) -> None:
    """Make room, and leave no more to be read in the next turn."""
    for digest in [held.digest for held in blobs.each()][20:]:
        blobs.remove(digest)
    kept = {held.digest for held in blobs.each()}
    lines = [line for line in log.read_text().split() if line in kept]
    log.write_text("".join(f"{line}\n" for line in lines))


def test_killed_writers_leave_nothing_half_written(tmp_path: Path) -> None:
    seen = killed_again_and_again(write, tmp_path, 8.0)

    assert seen.broken == set()
    assert seen.lost == set()
    assert seen.kills > 20
    assert seen.left > 0, "no writer died in the middle: the test shows nothing"
    assert list((tmp_path / "blobs" / "tmp").iterdir()) == []


def test_the_naive_writer_is_found_out(tmp_path: Path) -> None:
    """The control: what the test above looks for, it does find."""
    seen = killed_again_and_again(write_naively, tmp_path, 20.0)

    assert seen.broken != set()


def test_a_sweep_leaves_the_living_alone(tmp_path: Path) -> None:
    blobs, started, go_on = FolderBlobs(tmp_path / "blobs"), threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"the first half, "
        started.set()
        assert go_on.wait(30)
        yield b"the second"

    stored: list[bool] = []
    writer = threading.Thread(target=lambda: stored.append(blobs.write(slow()).new))
    writer.start()
    started.wait(30)
    with contextlib.ExitStack() as stack:
        stack.callback(writer.join)
        stack.callback(go_on.set)
        removed = FolderBlobs(tmp_path / "blobs").sweep(
            before=datetime.now(UTC) + timedelta(days=1)
        )

    assert removed == 0
    assert stored == [True]
    assert b"".join(blobs.read(digest_of(b"the first half, the second")))


def test_a_sweep_leaves_what_is_younger_and_what_is_no_draft(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    blobs.write([b"something"])
    drafts = tmp_path / "blobs" / "tmp"
    (drafts / ".herdbook-1-dead").write_bytes(b"half")
    (drafts / "notes.txt").write_bytes(b"mine")

    young = blobs.sweep(before=datetime.now(UTC) - timedelta(hours=1))
    old = blobs.sweep(before=datetime.now(UTC) + timedelta(hours=1))

    assert (young, old) == (0, 1)
    assert [path.name for path in drafts.iterdir()] == ["notes.txt"]
