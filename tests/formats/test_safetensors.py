"""safetensors files: what the library accepts, and nothing else."""

import json
import struct
from typing import Any

import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st

from herdbook.errors import HerdbookError, Invalid
from herdbook.formats import Bytes, look
from herdbook.formats.safetensors import BITS, read
from tests.formats.samples import header, safetensors_file

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def test_a_file_of_the_library_is_described() -> None:
    found = look(Bytes(safetensors_file()))

    assert found.format == "safetensors"
    assert found.parameters == 15
    assert found.dtypes == {"F32": 12, "F16": 3}
    assert found.licence == "mit"
    assert {t.name: t.shape for t in found.tensors} == {"head.weight": (3, 4), "head.bias": (3,)}
    assert found.executable == ()


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (header({"a": F32}, bytes(8), length=2**63), "9,223,372,036,854,775,808 bytes long"),
        (header({"a": F32}, bytes(8), length=100_000_001), "at most 100,000,000"),
        (header({"a": F32}, bytes(8), length=5_000), "the file ends at"),
        (header({"a": F32 | {"data_offsets": [0, 9]}}, bytes(9)), "data_offsets span 9"),
        (header({"a": F32, "b": F32}, bytes(8)), "overlaps"),
        (header({"a": F32 | {"data_offsets": [8, 16]}}, bytes(16)), "gap"),
        (header({"a": F32}, bytes(4)), "end at byte"),
        (header({"a": F32}, bytes(9)), "end at byte"),
        (header({"a": F32 | {"dtype": "F31"}}, bytes(8)), "unknown dtype 'F31'"),
        (header({"a": F32 | {"shape": [-2]}}, bytes(8)), "shape"),
        (header({"a": F32 | {"shape": [True, 2]}}, bytes(8)), "shape"),
        (header({"a": F32 | {"shape": [2**40, 2**40]}}, bytes(8)), "beyond any memory"),
        (header({"a": F32 | {"data_offsets": [8, 0]}}, bytes(8)), "ends before it begins"),
        (header({"a": F32, "__metadata__": {"n": 1}}, bytes(8)), "__metadata__"),
        (header(b'{"a":%b,"a":%b}' % ((json.dumps(F32).encode(),) * 2), bytes(8)), "twice"),
        (header(b"{" + b'"a":{' * 50_000), "no JSON"),
        (header(b'{"a": NaN}'), "NaN"),
    ],
)
def test_a_header_that_lies_is_refused(data: bytes, wrong: str) -> None:
    with pytest.raises(Invalid, match=wrong) as refused:
        look(Bytes(data), "model.safetensors")

    assert refused.value.message.startswith("model.safetensors: ")


def test_a_header_of_millions_of_values_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(Invalid, match="too large"):
        look(Bytes(header(b'{"a":[' + b"[]," * 2_000_000 + b"[]]}")))


def accepts(data: bytes) -> bool:
    """Say whether the library opens it."""
    try:
        safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError:
        return False
    return True


def ours(data: bytes) -> bool:
    """Say whether we read it."""
    try:
        read(Bytes(data))
    except HerdbookError:
        return False
    return True


NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 8, 12, 16, 2**31, 2**62, 2**64 - 1, -1])
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*BITS, "F31", "f32"]),
        "shape": st.lists(NUMBERS, max_size=3),
        "data_offsets": st.tuples(NUMBERS, NUMBERS).map(list),
    }
)
METADATA: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.just({"n": 1}),
    st.just([]),
)


@given(
    entries=st.dictionaries(st.text(max_size=3), ENTRY, max_size=3),
    metadata=st.one_of(st.just(...), METADATA),
    size=st.integers(0, 40),
    padding=st.sampled_from([b"", b" ", b"\n", b"\0", b"x"]),
    shift=st.sampled_from([0, 0, 0, 1, -1]),
)
def test_what_the_library_accepts_is_accepted_and_nothing_else(
    entries: dict[str, Any], metadata: Any, size: int, padding: bytes, shift: int
) -> None:
    said = dict(entries) if metadata is ... else entries | {"__metadata__": metadata}
    text = json.dumps(said).encode() + padding
    data = struct.pack("<Q", max(0, len(text) + shift)) + text + bytes(size)

    assert ours(data) == accepts(data)


@given(
    widths=st.lists(
        st.tuples(st.sampled_from(sorted(BITS)), st.lists(st.integers(0, 4), max_size=3)),
        max_size=5,
    ),
    cut=st.sampled_from([0, 0, 1]),
)
def test_headers_that_are_right_are_accepted(widths: list[tuple[str, list[int]]], cut: int) -> None:
    entries, at = {}, 0
    for number, (dtype, shape) in enumerate(widths):
        count = 1
        for length in shape:
            count *= length
        end = at + count * BITS[dtype] // 8
        entries[f"t{number}"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    data = header(entries, bytes(max(0, at - cut)))

    assert ours(data) == accepts(data)


@given(st.data())
def test_bytes_changed_anywhere_are_judged_as_the_library_does(data: st.DataObject) -> None:
    whole = bytearray(safetensors_file())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(8, len(whole) - 1))
        whole[at] = data.draw(st.sampled_from(b'{}[]",:0129aFI-. \x00\xff'))

    assert ours(bytes(whole)) == accepts(bytes(whole))


@pytest.mark.parametrize(
    "text",
    [
        b' {"a":%b}' % json.dumps(F32).encode(),
        b'{"a\\ud800":%b}' % json.dumps(F32).encode(),
        b'{"a\\ud83d\\ude00":%b}' % json.dumps(F32).encode(),
        b'{"a":["F32",[2],[0,8]]}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1e999}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":%b}}' % (b"9" * 30),
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":[{"x":null}]}}',
        b'{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[-0,8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"dtype":"F32"}}',
        b"[]",
    ],
)
def test_odd_headers_are_judged_as_the_library_does(text: bytes) -> None:
    data = header(text, bytes(8))

    assert ours(data) == accepts(data)
