"""Who pulls or prunes is killed at every step and at any moment: nothing incomplete is served."""

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from herdbook.core.artifacts import Artifact, Manifest
from herdbook.core.blobs import How
from herdbook.storage.cache import Cache
from tests.force.crowds import CLEAN, KILLED, die_at_step, run_apart
from tests.storage.pulls import Source, contents, manifest_of, names

CLEAN.set_forkserver_preload([__name__])
VERSIONS = [
    {
        "model.safetensors": b"weights " * 200_000,
        "labels.json": b'["label %d"]' % number,
        "tokenizer/vocab.txt": b"the herd %d\n" % number * 5_000,
    }
    for number in range(3)
]
MANIFESTS = [manifest_of(files) for files in VERSIONS]
SOURCE = Source(*VERSIONS)
Pull = Callable[[Path, int], None]
Look = Callable[[Path, Manifest], Path | None]


def fetch_in_pieces(file: Artifact, path: Path) -> How:
    """Put a file there as a slow network does."""
    SOURCE(file, path)
    data = path.read_bytes()
    path.unlink()
    with path.open("wb", buffering=0) as written:
        for at in range(0, len(data), 1 << 18):
            written.write(data[at : at + (1 << 18)])
            time.sleep(0.002)
    return How.COPIED


def pull(folder: Path, number: int) -> None:
    """Pull as the cache does."""
    cache = Cache(folder)
    cache.snapshot(MANIFESTS[number], fetch_in_pieces)
    cache.release(MANIFESTS[number].digest)


def look(folder: Path, manifest: Manifest) -> Path | None:
    """Ask the cache whether it has a version."""
    cache = Cache(folder)
    found = cache.present(manifest.digest)
    cache.release(manifest.digest)
    return found


def pull_naively(folder: Path, number: int) -> None:
    """Fetch into the place itself, as one would who never thought of it."""
    manifest = MANIFESTS[number]
    place = folder / manifest.digest.removeprefix("sha256:")
    if place.exists():
        return
    for file in manifest.files:
        (place / file.path).parent.mkdir(parents=True, exist_ok=True)
        fetch_in_pieces(file, place / file.path)


def look_naively(folder: Path, manifest: Manifest) -> Path | None:
    """Take a folder that is there for a whole one."""
    place = folder / manifest.digest.removeprefix("sha256:")
    return place if place.is_dir() else None


def served_wrongly(looking: Look, folder: Path) -> list[int]:
    """Give the versions that are served and are not what they should be."""
    return [
        number
        for number, manifest in enumerate(MANIFESTS)
        if (place := looking(folder, manifest)) and contents(place) != VERSIONS[number]
    ]


# --- at every step ---


def nothing_before(folder: Path) -> None:
    """Begin with no cache."""


def another_version_before(folder: Path) -> None:
    """Begin with a version that shares files."""
    pull(folder, 1)


def a_damaged_one_before(folder: Path) -> None:
    """Begin with the same version, one file of which was written."""
    pull(folder, 0)
    place = look(folder, MANIFESTS[0])
    assert place
    place.chmod(0o700)
    (place / "labels.json").chmod(0o600)
    (place / "labels.json").write_bytes(b"[]")


def prune(folder: Path, _: int) -> None:
    """Remove everything."""
    Cache(folder).prune()


def put_right(folder: Path, number: int) -> None:
    """Find the damage by reading, remove it, and pull again."""
    Cache(folder).verify(remove=True)
    pull(folder, number)


def die_doing(work: Pull, folder: Path, step: int) -> None:
    die_at_step(step, folder)
    work(folder, 0)


@pytest.mark.parametrize(
    ("before", "work", "stride"),
    [
        (nothing_before, pull, 1),
        (another_version_before, pull, 3),
        (a_damaged_one_before, pull, 3),
        (a_damaged_one_before, put_right, 3),
        (another_version_before, prune, 2),
    ],
)
def test_killed_at_any_step_nothing_incomplete_is_served(
    tmp_path: Path, before: Callable[[Path], None], work: Pull, stride: int
) -> None:
    folder = tmp_path / "cache"
    ended, step = KILLED, 1 - stride
    while ended == KILLED:
        step += stride
        before(folder)
        ended = run_apart(die_doing, work, folder, step)

        assert served_wrongly(look, folder) == []
        pull(folder, 0)
        assert look(folder, MANIFESTS[0])
        assert served_wrongly(look, folder) == []
        Cache(folder).prune()
        assert left_in(folder) == []
        shutil.rmtree(folder)

    assert ended == 0
    assert step > 20


def left_in(folder: Path) -> list[str]:
    """Give every file that is left but the tag."""
    return [name for name in _files(folder) if name != "CACHEDIR.TAG"]


def _files(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()]


@dataclass(slots=True)
class Seen:
    """What was seen while processes were killed."""

    kills: int = 0
    whole: int = 0
    halves: int = 0
    wrong: list[int] = field(default_factory=list)


def pull_again_and_again(work: Pull, folder: Path, seed: str) -> None:
    rng = random.Random(seed)  # noqa: S311 - not a secret
    while True:
        work(folder, rng.randrange(len(VERSIONS)))
        if work is pull and rng.random() < 0.2:
            Cache(folder).prune(to_bytes=rng.choice([0, 2_000_000]))


def killed_again_and_again(work: Pull, looking: Look, folder: Path, seconds: float) -> Seen:
    """Start some that pull, kill them, look; again until the time is over."""
    seen, rng = Seen(), random.Random(13)  # noqa: S311 - not a secret
    until = time.monotonic() + seconds
    while time.monotonic() < until and not seen.wrong:
        pulling = [
            CLEAN.Process(target=pull_again_and_again, args=(work, folder, f"{seen.kills}-{who}"))
            for who in range(2 if work is pull else 1)
        ]
        for process in pulling:
            process.start()
        time.sleep(rng.uniform(0.03, 0.3))
        for process in pulling:
            process.kill()
            process.join()
            seen.kills += 1
        seen.wrong += served_wrongly(looking, folder)
        seen.whole += sum(looking(folder, manifest) is not None for manifest in MANIFESTS)
        if work is pull and folder.exists():
            seen.halves += bool(names(folder / "pulls"))
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return seen


def test_killed_at_any_moment_nothing_incomplete_is_served(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    seen = killed_again_and_again(pull, look, folder, 5.0)

    assert seen.wrong == []
    assert seen.kills > 20
    assert seen.whole > 0
    assert seen.halves > 0, "nobody died in the middle: the test shows nothing"
    assert Cache(folder).verify().ok
    Cache(folder).prune()
    assert left_in(folder) == []


def test_the_naive_pull_is_found_out(tmp_path: Path) -> None:
    """The control: what the test above looks for, it does find."""
    seen = killed_again_and_again(pull_naively, look_naively, tmp_path / "cache", 20.0)

    assert seen.wrong != []
