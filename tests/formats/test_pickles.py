"""Pickles are found wherever they hide, and none of them is ever run."""

import bz2
import gzip
import lzma
import os
import pickle
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herdbook.formats import Bytes, look
from herdbook.formats.pickles import hidden
from tests.formats.samples import archive, header, safetensors_file, torch_file

NOISE = np.random.default_rng(2).bytes(300_000)


class Marker:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it-was-run"


def attack(marker: Path, protocol: int = 2) -> bytes:
    return pickle.dumps(Marker(marker), protocol)


@pytest.mark.parametrize("protocol", range(6))
def test_unpickling_the_attack_would_leave_the_marker(marker: Path, protocol: int) -> None:
    pickle.loads(attack(marker, protocol))  # noqa: S301 - the control: it does work

    assert marker.exists()


HIDDEN: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": ("model.pkl", lambda p: p),
    "named safetensors": ("model.safetensors", lambda p: p),
    "named bin": ("pytorch_model.bin", lambda p: p),
    "named json": ("config.json", lambda p: p),
    "named README": ("README.md", lambda p: p),
    "in a zip": ("model.zip", lambda p: archive({"notes.txt": p})),
    "deflated in a zip": ("model.zip", lambda p: archive({"a/b.json": p}, method=8)),
    "in a zip in a zip": ("model.zip", lambda p: archive({"a.zip": archive({"b": p})})),
    "in a Keras archive": (
        "model.keras",
        lambda p: archive({"config.json": b"{}", "metadata.json": b"{}", "x": p}),
    ),
    "in a torch archive": ("model.pt", lambda p: torch_file(**{"majora/extra.pkl": p})),
    "at offset 4096": ("model.bin", lambda p: bytes(4096) + p),
    "at an odd offset after noise": ("x.bin", lambda p: NOISE[:70_001] + p),
    "across two chunks": ("x.bin", lambda p: bytes(2**20 - 1) + p),
    "after a valid pickle": ("model.pkl", lambda p: pickle.dumps([1, 2]) + p),
    "after a valid pickle and a gap": ("model.pkl", lambda p: pickle.dumps([1]) + bytes(9) + p),
    "with a broken tail": ("model.pkl", lambda p: p[:-1] + b"\xff\xff\xff"),
    "with more behind": ("model.pkl", lambda p: p + b"more"),
    "before a zip": ("model.pt", lambda p: p + archive({"a": b"b"})),
    "behind text before a zip": ("notes.txt", lambda p: b"text" + archive({"a": p})),
    "gzip": ("model.joblib", gzip.compress),
    "zlib": ("model.joblib", zlib.compress),
    "bz2": ("model.joblib", bz2.compress),
    "xz": ("model.joblib", lzma.compress),
    "lzma": ("model.joblib", lambda p: lzma.compress(p, format=lzma.FORMAT_ALONE)),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", HIDDEN)
def test_a_pickle_is_marked_executable_and_never_run(
    marker: Path, place: str, protocol: int
) -> None:
    name, hide = HIDDEN[place]

    found = look(Bytes(hide(attack(marker, protocol))), name)

    assert found.executable, found
    assert any("mkdir" in reason for reason in found.executable), found
    assert not marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"(S'/nowhere'\nios\nmkdir\n.",
        b"(cos\nmkdir\nS'/nowhere'\no.",
        b"cos\nmkdir\n(S'/nowhere'\ntR.",
        b"\x80\x04\x8c\x02os\x94\x8c\x05mkdir\x94\x93\x94\x8c\x01x\x85R.",
        b"\x80\x04\x8c\x02osq\x00\x8c\x05mkdirq\x010h\x00h\x01\x93.",
        b"\x80\x02\x82\x05)R.",
        b"\x80\x04N0cantigravity\ny\n.",
    ],
)
def test_every_way_to_import_is_seen(data: bytes) -> None:
    for whole in (data, bytes(100) + data):
        assert look(Bytes(whole)).executable


def test_an_import_by_number_is_seen_at_the_beginning_though_nothing_is_called() -> None:
    assert look(Bytes(b"\x80\x02\x82\x05.")).executable


@pytest.mark.parametrize(
    "data",
    [
        b"cat\ndog\nhorse\n",
        b"[PAD]\n[UNK]\nthe\nc\ncat\nof\n(\n)\n",
        b"buy\nsell\n",
        b"# majora\n\nA model (see below) of code.\n",
        safetensors_file(),
        header({"__metadata__": {}}),
        bytes(5_000),
        NOISE,
        np.random.default_rng(3).normal(size=50_000).astype(np.float32).tobytes(),
    ],
)
def test_what_is_no_pickle_is_not_marked(data: bytes) -> None:
    assert look(Bytes(data)).executable == ()


def test_a_pickle_of_plain_values_is_a_pickle_all_the_same() -> None:
    found = look(Bytes(pickle.dumps({"majora": [1, 2.5, None, True, b"x"]})))

    assert found.format == "pickle"
    assert found.executable == ("a pickle begins at byte 0; it imports nothing",)


def test_arrays_are_told_from_attacks_by_what_they_import(marker: Path) -> None:
    array = look(Bytes(pickle.dumps(np.ones(3))))
    other = look(Bytes(attack(marker)))

    assert "what tensors need" in array.executable[0]
    assert "posix.mkdir" in other.executable[0]
    assert other.details["imports"] == ["posix.mkdir"]


def test_a_search_made_too_long_is_given_up_and_says_so() -> None:
    found, left_out = hidden(Bytes(b"\x80\x02" * 2_000))

    assert found == []
    assert "given up" in left_out
    assert look(Bytes(b"\0" + b"\x80\x02" * 2_000)).executable


@pytest.mark.parametrize("number", [b"1", b"0x1f", b"017", b"-0x1", b" 1", b"00", b"1_0"])
@pytest.mark.parametrize("before", [b"", b"\0\1 a header \n"])
def test_a_number_is_read_as_unpicklers_read_it(number: bytes, before: bytes, marker: Path) -> None:
    first = b"\x80\x02I" + number + b"\n0"
    data = first + attack(marker)[2:]
    pickle.loads(data)  # noqa: S301 - the control: it does work

    assert marker.exists()
    assert "posix.mkdir" in look(Bytes(before + data)).executable[0]


def test_random_bytes_are_not_taken_for_pickles() -> None:
    data = random.Random(7).randbytes(24 * 2**20)  # noqa: S311 - the same bytes each time

    found = look(Bytes(data), "extra.bin")

    assert found.executable == ()
