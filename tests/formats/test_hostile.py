"""Hostile files: bounded memory, bounded time, and only our own errors."""

import io
import json
import pickle
import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herdbook.errors import HerdbookError
from herdbook.formats import Bytes, digested, look
from tests.formats.samples import (
    Disk,
    archive,
    gguf_file,
    header,
    onnx_file,
    safetensors_file,
    torch_file,
    torch_legacy_file,
)

MEBI = 2**20
HUGE = 20 * 2**30

h5py: Any = pytest.importorskip("h5py")


@contextmanager
def within(mebibytes: int, *, seconds: float = 20) -> Iterator[None]:
    tracemalloc.start()
    began = time.monotonic()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * MEBI, f"{peak / MEBI:.0f} MiB"
    assert time.monotonic() - began < seconds


def sparse(path: Path, start: bytes, *, end: bytes = b"", size: int = HUGE) -> Disk:
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
        file.seek(size)
        file.write(end)
    return Disk(path)


def tried(disk: Disk) -> str:
    try:
        return look(disk).format
    except HerdbookError as error:
        return error.message


def gguf_texts(count: int) -> bytes:
    start = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a"
    return start + struct.pack("<IIQ", 9, 8, count)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (b"", b""),
        (header(b"{}", length=2**62), b""),
        (header({"a": {"dtype": "U8", "shape": [HUGE], "data_offsets": [0, HUGE]}}), b""),
        (b"GGUF" + struct.pack("<IQQ", 3, 200_000, 4_096), b""),
        (gguf_texts(2**30), b""),
        (gguf_texts(1_000_000), b""),
        (b"\x08\x08\x12" + b"\xff\xff\xff\xff\x4f", b""),
        (b"\x08\x08\x3a" + b"\x80\x80\x80\x80\x50", b""),
        (b"\x80\x04\x8e" + struct.pack("<Q", HUGE - 100), b""),
        (b"\x80\x04c", b""),
        (b"PK\x03\x04", b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 9, 9, 2**31, 0, 0)),
        (b"PK\x03\x04", b"PK\5\6" * 16_000),
        (b'{"a": "', b'"}'),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", b""),
    ],
)
def test_a_huge_file_is_looked_into_within_64_mib(tmp_path: Path, start: bytes, end: bytes) -> None:
    disk = sparse(tmp_path / "huge", start, end=end)

    with within(64):
        tried(disk)

    assert max(disk.asked) <= 2 * MEBI


def test_a_huge_hdf5_file_is_searched_within_64_mib(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "huge", b"\x89HDF\r\n\x1a\n", size=1_100 * MEBI)

    with within(16):
        found = look(disk)

    assert "searched whole" in found.executable[1]


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04(" + b"}" * 600_000,
        b"\x80\x04" + b"]\x94" * 300_000,
        b"\x80\x04" + b"\x8c\xff" + (b"a" * 255 + b"\x8c\xff") * 200_000,
        b"\x80\x04]" + b"\x85" * 600_000 + b".",
    ],
)
def test_a_pickle_that_would_fill_memory_does_not(data: bytes) -> None:
    with within(100):
        look(Bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"(" * 3_000_000,
        b"\x80\x02" * 2_000_000,
        b"\x80\x04" + b"N0" * 2_500_000,
        b"(lp0\n" * 500_000,
        b"\0" + b"(c(c(i(l(l" * 500_000,
    ],
)
def test_a_pickle_that_would_take_for_ever_does_not(data: bytes) -> None:
    began = time.monotonic()

    found = look(Bytes(data))

    assert time.monotonic() - began < 15
    assert found.executable


def test_a_large_safetensors_header_is_read_within_what_is_documented() -> None:
    entries = {
        f"model.layers.{n}.weight": {"dtype": "U8", "shape": [1], "data_offsets": [n, n + 1]}
        for n in range(100_000)
    }
    data = header(entries, bytes(len(entries)))

    with within(256):
        assert look(Bytes(data)).parameters == 100_000


def test_digests_of_a_large_tensor_take_little_memory(tmp_path: Path) -> None:
    size = 300 * MEBI
    entry = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    start = header({"a": entry})
    disk = sparse(tmp_path / "large", start, size=len(start) + size)

    with within(16):
        found = digested(disk, look(disk))

    assert found.tensors[0].digest.startswith("blake3:")
    assert max(disk.asked) <= MEBI


def keras_sample(_: Path) -> bytes:
    config = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda"}]}}
    return archive({"config.json": json.dumps(config).encode(), "metadata.json": b"{}"}, method=8)


def hdf5_sample(folder: Path) -> bytes:
    path = folder / "gnn.h5"
    with h5py.File(path, "w") as made:
        made.attrs["model_config"] = '{"class_name": "Sequential", "config": {"layers": []}}'
    return path.read_bytes()


def npz_sample(_: Path) -> bytes:
    out = io.BytesIO()
    np.savez(out, a=np.ones(3))
    return out.getvalue()


SAMPLES: dict[str, Callable[[Path], bytes]] = {
    "safetensors": lambda _: safetensors_file(),
    "gguf": lambda folder: gguf_file(folder / "majora.gguf"),
    "onnx": lambda _: onnx_file(),
    "onnx external": lambda _: onnx_file(location="model.data"),
    "torch": lambda _: torch_file(),
    "torch before 1.6": lambda _: torch_legacy_file(),
    "pickle": lambda _: pickle.dumps({"a": [np.ones(3), (1, "x")], "b": {3}}),
    "pickle of protocol 0": lambda _: pickle.dumps({"a": [np.ones(3), (1, "x")]}, 0),
    "keras": keras_sample,
    "hdf5": hdf5_sample,
    "npz": npz_sample,
    "config": lambda _: b'{"model_type": "x", "id2label": {"0": "a"}, "auto_map": {"A": "b.C"}}',
    "tokenizer": lambda _: b'{"model": {"type": "BPE", "vocab": {"a": 0}}, "added_tokens": [1]}',
    "modules": lambda _: b'[{"type": "a.B", "path": ""}]',
}
WORDS = [b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f", b"\x80", b".", b"R", b"0", b"{", b'"', b"-1"]


def changed(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut out, doubled, overwritten with what parsers stumble over."""
    made = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(made) + 1)
        word = rng.choice([*WORDS, rng.randbytes(1), rng.randbytes(4)])
        kind = rng.randrange(5)
        if kind == 0:
            del made[at : at + rng.randrange(1, 30)]
        elif kind == 1:
            made[at:at] = word
        elif kind == 2:
            made[at:at] = made[at : at + rng.randrange(1, 60)]
        else:
            made[at : at + len(word)] = word
    return bytes(made)


@pytest.mark.parametrize("kind", SAMPLES)
def test_files_changed_at_random_give_an_answer_or_our_error(tmp_path: Path, kind: str) -> None:
    sample = SAMPLES[kind](tmp_path)
    rng = random.Random(kind)  # noqa: S311 - a seed, to see it again
    began = time.monotonic()

    for _ in range(700):
        data = Bytes(changed(sample, rng))
        with suppress(HerdbookError):
            digested(data, look(data))
        if time.monotonic() - began > 1.5:
            break
