"""GGUF files: as the library writes them, and lying ones."""

import struct
from pathlib import Path

import gguf as library
import pytest

from herdbook.errors import Invalid
from herdbook.formats import Bytes, look
from herdbook.formats.gguf import TYPES
from tests.formats.samples import gguf_file


def text(word: bytes) -> bytes:
    return struct.pack("<Q", len(word)) + word


def start(tensors: int = 0, pairs: int = 0, *, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def info(name: bytes, length: int, offset: int, *, kind: int = 0) -> bytes:
    return text(name) + struct.pack("<IQIQ", 1, length, kind, offset)


def test_a_file_of_the_library_is_described(tmp_path: Path) -> None:
    found = look(Bytes(gguf_file(tmp_path / "majora.gguf")))

    assert found.format == "gguf"
    assert found.architecture == "llama"
    assert found.licence == "apache-2.0"
    assert found.quantization == "Q8_0"
    assert found.dtypes == {"F32": 128, "Q8_0": 64}
    assert found.details["vocabulary"] == 60
    assert found.details["metadata"]["majora.count"] == 2**40
    assert found.details["chat_templates"] == {"tokenizer.chat_template": "{{ messages }}"}
    assert any("sandbox" in warning for warning in found.warnings)


def test_tensors_lie_where_the_library_finds_them(tmp_path: Path) -> None:
    data = gguf_file(tmp_path / "majora.gguf")

    found = {t.name: t for t in look(Bytes(data)).tensors}

    for tensor in library.GGUFReader(tmp_path / "majora.gguf").tensors:
        ours = found[tensor.name]
        assert (ours.start, ours.end - ours.start) == (tensor.data_offset, tensor.n_bytes)
        assert list(ours.shape) == [int(n) for n in tensor.shape][::-1]
        assert ours.dtype == tensor.tensor_type.name


def test_blocks_are_as_long_as_the_library_says() -> None:
    theirs = {int(kind): sizes for kind, sizes in library.GGML_QUANT_SIZES.items()}

    assert {kind: sizes for kind, (_, *sizes) in TYPES.items()} == {
        kind: list(theirs[kind]) for kind in TYPES
    }
    assert {kind: library.GGMLQuantizationType(kind).name for kind in TYPES} == {
        kind: name for kind, (name, *_) in TYPES.items()
    }


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"GGUF", "version"),
        (start(version=1), "version 1"),
        (start(tensors=2**63), "tensors"),
        (start(pairs=2**40), "key-value pairs"),
        (start(pairs=1) + struct.pack("<Q", 2**60) + bytes(64), "a key"),
        (start(pairs=1) + text(b"a") + struct.pack("<IQ", 8, 2**62), "'a'"),
        (start(pairs=1) + text(b"a") + struct.pack("<I", 77) + bytes(8), "unknown type 77"),
        (start(pairs=1) + text(b"a") + struct.pack("<IIQ", 9, 0, 2**50), "'a'"),
        (start(pairs=1) + text(b"a") + struct.pack("<IIQ", 9, 8, 2**30), "'a'"),
        (start(pairs=1) + text(b"a") + struct.pack("<IIQ", 9, 9, 1) + bytes(32), "unknown type 9"),
        (start(pairs=2) + 2 * (text(b"a") + struct.pack("<II", 4, 1)), "twice"),
        (start(tensors=1) + info(b"t", 2**40, 0) + bytes(64), "reaches to byte"),
        (start(tensors=1) + info(b"t", 4, 2**60) + bytes(64), "reaches to byte"),
        (start(tensors=1) + info(b"t", 4, 0, kind=99) + bytes(64), "unknown type 99"),
        (start(tensors=1) + info(b"t", 33, 0, kind=8) + bytes(128), "multiple of 32"),
        (start(tensors=2) + info(b"a", 4, 0) + info(b"b", 4, 8) + bytes(128), "overlap"),
        (start(tensors=2) + info(b"a", 4, 0) + info(b"a", 4, 32) + bytes(128), "twice"),
    ],
)
def test_a_header_that_lies_is_refused(data: bytes, wrong: str) -> None:
    with pytest.raises(Invalid, match=wrong):
        look(Bytes(data))


def test_a_file_cut_anywhere_in_its_header_is_refused(tmp_path: Path) -> None:
    data = gguf_file(tmp_path / "majora.gguf")
    first = min(t.start for t in look(Bytes(data)).tensors)

    for length in range(4, first, 7):
        with pytest.raises(Invalid):
            look(Bytes(data[:length]))
