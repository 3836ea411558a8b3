"""The bytes of versions: pushed and pulled beside DVC, Git LFS and MLflow, served beside nginx."""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import herdbook as hb
from benchmarks import giving, keepers, weights
from benchmarks.keepers import Dvc, GitLfs, Herdbook, Keeper, Mlflow
from benchmarks.peer import ROOT
from benchmarks.pushing import REF
from benchmarks.results import Reading, Row, Target, at_most, median
from benchmarks.sizes import Sizes
from benchmarks.spending import spent

CPU_TIMES: Final = 1.3
RESIDENT_MB: Final = 100
SMALL_TIMES: Final = 8
CACHED_MS: Final = 5
# As a file of the Python that runs this, so that both hash with the same library.
HASHED: Final = (
    "import hashlib, sys; f = open(sys.argv[1], 'rb'); "
    "print(hashlib.file_digest(f, 'sha256').hexdigest())"
)
KINDS: Final[tuple[Callable[[Path], Keeper], ...]] = (Herdbook, Dvc, GitLfs, Mlflow)
NAMES: Final = tuple(kind.name for kind in (Dvc, GitLfs, Mlflow))

Taken = dict[str, list[Reading]]


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of this part.

    Args:
        sizes: how much.
        folder: where everything is.
        absent: peers that cannot be asked, and why.
        versions: of the others; of those that are missing, why.
    """

    sizes: Sizes
    folder: Path
    absent: Mapping[str, str]
    versions: Mapping[str, str]

    def there(self, names: Sequence[str] = NAMES) -> list[Callable[[Path], Keeper]]:
        """Give those that are asked, Herdbook first."""
        asked = {Herdbook.name, *names} - self.absent.keys()
        return [kind for kind in KINDS if kind.name in asked]  # type: ignore[attr-defined]


def measure(sizes: Sizes, folder: Path, *, with_peer: bool) -> Iterator[Row]:
    """Push, pull, serve."""
    absent = keepers.missing(with_peer=with_peer)
    bench = Bench(sizes, folder / "artifacts", absent, keepers.versions(absent))
    bench.folder.mkdir()
    print(f"# {', '.join(bench.versions.values())}", flush=True)
    _warm(bench)
    yield from _large(bench)
    yield from _small(bench)
    yield from _second(bench)
    yield from _pulled_and_served(bench, with_peer=with_peer)


def _warm(bench: Bench) -> None:
    """Let Herdbook be compiled, as what is installed is, before anything is timed."""
    with _scratch(bench, "warm") as (home, model):
        weights.beside(model, 0)
        keeper = Herdbook(home)
        keeper.push(model, "v1")
        keeper.out("v1", home / "out")


# --- one large file ---


def _large(bench: Bench) -> Iterator[Row]:
    taken: Taken = {}
    for turn in range(bench.sizes.rounds):
        with _scratch(bench, f"large-{turn}") as (home, model):
            file = model / "model.safetensors"
            weights.weights(file, bench.sizes.weights, seed=turn)
            _note(taken, "plain", _plain(file, home))
            for kind in bench.there():
                _note(taken, *_kept(kind, home, model))
    found = {name: median(readings) for name, readings in taken.items()}
    yield from _large_rows(bench, found)


def _plain(file: Path, home: Path) -> Reading:
    """Hash a file and copy it, with the standard programs."""
    env = dict(os.environ)
    hashing = {
        "hashlib": [sys.executable, "-I", "-S", "-c", HASHED, file],
        "openssl": ["openssl", "dgst", "-sha256", file],
        "coreutils": ["sha256sum", file],
    }
    taken = {
        name: spent([words], cwd=home, env=env)["cpu"]
        for name, words in hashing.items()
        if shutil.which(str(words[0]))
    }
    copied = spent([["cp", file, home / "copy"]], cwd=home, env=env)
    (home / "copy").unlink()
    return {
        **taken,
        "least": min(taken.values()),
        "cp": copied["cpu"],
        "cp_wall": copied["wall"],
    }


def _kept(
    kind: Callable[[Path], Keeper], home: Path, model: Path, *, leave: bool = False
) -> tuple[str, Reading]:
    """Let one keep a folder in a store of its own; the same bytes have to come out of it."""
    own = home / "keeper"
    own.mkdir(parents=True)
    keeper = kind(own)
    found = keeper.push(model, "v1")
    _same(model, keeper.out("v1", own / "out"))
    if not leave:
        shutil.rmtree(own)
    reading = {name: found[name] for name in ("wall", "cpu", "resident")}
    call = found.get("call", {})
    return keeper.name, reading | {f"call_{name}": call[name] for name in call if name != "path"}


def _same(model: Path, out: Path) -> None:
    wanted, given = weights.digests(model), weights.digests(out)
    assert wanted == given, f"{out} has other files than {model}"


def _large_rows(bench: Bench, found: Mapping[str, Reading]) -> Iterator[Row]:
    ours, plain = found[Herdbook.name], found["plain"]
    group = f"Push of one safetensors file of {bench.sizes.weights / 2**20:,.0f} MiB, whole process"
    base = plain["least"] + plain["cp"]
    hashed = ", ".join(f"{n} {plain[n]:.3g}" for n in ("hashlib", "openssl", "coreutils"))
    yield Row(
        group=group,
        what="CPU, beside SHA-256 plus `cp`",
        unit="s CPU",
        ours=ours["cpu"],
        peer=base,
        targets=(Target(f"≤ {CPU_TIMES}x", ours["cpu"] <= CPU_TIMES * base),),
        detail=f"the call alone {ours['call_cpu']:.3g} s; the fastest of {hashed}; "
        f"cp {plain['cp']:.3g}",
        compared=True,
    )
    yield Row(
        group=group,
        what="resident memory",
        unit="MB at the peak",
        ours=ours["resident"],
        targets=(at_most(RESIDENT_MB, ours["resident"], "MB"),),
    )
    yield from _beside(bench, group, found, NAMES)


def _beside(
    bench: Bench, group: str, found: Mapping[str, Reading], names: Sequence[str]
) -> Iterator[Row]:
    """Give a line for each peer, which Herdbook has to be faster than."""
    ours = found[Herdbook.name]
    for name in names:
        theirs = found.get(name)
        alone = theirs.get("call_wall") if theirs else None
        yield Row(
            group=group,
            what=f"wall, beside {name}",
            unit="s",
            ours=ours["wall"],
            peer=theirs["wall"] if theirs else None,
            cpu=f"{ours['cpu']:.3g} s",
            peer_cpu=f"{theirs['cpu']:.3g} s" if theirs else "",
            targets=(Target("< 1x", None if theirs is None else ours["wall"] < theirs["wall"]),),
            detail=bench.versions[name]
            + (f"; the calls alone {ours['call_wall']:.3g} / {alone:.3g} s" if alone else ""),
            compared=True,
        )


# --- many small files ---


def _small(bench: Bench) -> Iterator[Row]:
    taken: Taken = {}
    # Nothing is removed before the end: for minutes after many files were, ext4 makes new ones
    # slowly, and whoever comes first pays.
    with _scratch(bench, "small") as (stores, models):
        for turn in range(bench.sizes.rounds):
            home, model = stores / str(turn), models / str(turn)
            home.mkdir()
            weights.small_files(model, bench.sizes.files, seed=turn)
            copied = spent([["cp", "-r", model, home / "copy"]], cwd=home, env=dict(os.environ))
            _note(taken, "cp", {"wall": copied["wall"], "cpu": copied["cpu"]})
            # The others take so long that once is enough.
            for kind in bench.there(() if turn else NAMES[:2]):
                _note(taken, *_kept(kind, home / kind.__name__, model, leave=True))
    found = {name: median(readings) for name, readings in taken.items()}
    ours, plain = found[Herdbook.name], found["cp"]
    group = (
        f"Push of {bench.sizes.files:,} files of {weights.SMALL_BYTES // 1000} kB, whole process"
    )
    yield Row(
        group=group,
        what="wall, beside `cp -r`",
        unit="s",
        ours=ours["wall"],
        peer=plain["wall"],
        cpu=f"{ours['cpu']:.3g} s",
        peer_cpu=f"{plain['cpu']:.3g} s",
        targets=(Target(f"≤ {SMALL_TIMES}x", ours["wall"] <= SMALL_TIMES * plain["wall"]),),
        detail=f"the call alone {ours['call_wall']:.3g} s",
        compared=True,
    )
    yield from _beside(bench, group, found, NAMES[:2])


# --- a second version ---


def _second(bench: Bench) -> Iterator[Row]:
    added: dict[str, float] = {}
    with _scratch(bench, "second") as (home, model):
        weights.weights(model / "model.safetensors", bench.sizes.weights // 16, seed=1)
        weights.beside(model, 1)
        kept = [kind(home) for kind in bench.there()]
        for keeper in kept:
            keeper.push(model, "v1")
        before = {keeper.name: keeper.held() for keeper in kept}
        changed = weights.beside(model, 2)
        for keeper in kept:
            keeper.push(model, "v2")
            added[keeper.name] = keeper.held() - before[keeper.name]
            _same(model, keeper.out("v2", home / f"out-{keeper.name.replace(' ', '-')}"))
    ours = added[Herdbook.name]
    for name in NAMES:
        yield Row(
            group="A second version with other labels and another tokenizer",
            what=f"bytes the store grows by, beside {name}",
            unit="bytes",
            ours=ours,
            peer=added.get(name),
            targets=(at_most(changed, ours, "bytes"),) if name == NAMES[0] else (),
            detail=f"{changed:,} changed; {bench.sizes.weights // 2**24:,} MiB of weights did not",
            compared=True,
        )


# --- out again ---


def _pulled_and_served(bench: Bench, *, with_peer: bool) -> Iterator[Row]:
    with _scratch(bench, "pulled") as (home, model):
        file = model / "model.safetensors"
        weights.weights(file, bench.sizes.weights, seed=3)
        keeper = Herdbook(home)
        keeper.push(model, "v1")
        url = f"sqlite:///{keeper.home / 'herdbook.db'}"
        with hb.connect(url) as book:
            book.deployments.promote("majora:v1")
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        yield from _pulls(bench, keeper, model, digest)
        served = with_peer and bool(giving.nginx_program())
        if with_peer and not served:
            print("# nginx missing; apt install nginx-light", flush=True)
        yield from giving.measure(
            url, f"sha256:{digest}", file, keeper.home, rounds=bench.sizes.rounds, with_peer=served
        )


def _pulls(bench: Bench, keeper: Herdbook, model: Path, digest: str) -> Iterator[Row]:
    group = f"Pull of {REF}, {bench.sizes.weights / 2**20:,.0f} MiB, in process, register opened"
    words = [sys.executable, "-m", "benchmarks.pushing", "pull", keeper.home, bench.sizes.pulls]
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=True,
        cwd=ROOT, env=keepers.ours(keeper.home),
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    pulled = Path(found["path"])
    _same(model, pulled)
    blob = keeper.home / "blobs" / "sha256" / digest[:2] / digest
    linked = blob.samefile(pulled / "model.safetensors")
    cached = statistics.median(found["again"]) * 1e3
    yield Row(
        group=group,
        what=f"again, from the cache, median of {bench.sizes.pulls}",
        unit="ms",
        ours=cached,
        targets=(Target(f"< {CACHED_MS} ms", cached < CACHED_MS),),
        detail=f"the slowest {found['again'][-1] * 1e3:.3g} ms",
    )
    yield Row(
        group=group,
        what="the first, by a process that verifies what it did not write",
        unit="s",
        ours=found["first"],
        cpu=f"{found['first_cpu']:.3g} s",
        targets=(Target("linked, not copied", linked and found["how"] == {"linked": 1}),),
        detail="the same inode as the store's" if linked else "another inode than the store's",
    )


# --- folders ---


@contextmanager
def _scratch(bench: Bench, name: str) -> Iterator[tuple[Path, Path]]:
    """Give a folder for stores and one for a model; both go when they are left."""
    home = bench.folder / name
    (home / "model").mkdir(parents=True)
    (home / "stores").mkdir()
    try:
        yield home / "stores", home / "model"
    finally:
        shutil.rmtree(home)


def _note(taken: Taken, name: str, reading: Reading) -> None:
    taken.setdefault(name, []).append(reading)
