"""Zip archives that lie."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

from herdbook.errors import Invalid
from herdbook.formats import Bytes, look
from tests.formats.samples import archive


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "C:x"])
def test_an_entry_that_leads_outside_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="outside"):
        look(Bytes(archive({name: b"x"})))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("config.json", b"{}")
        made.writestr("config.json", b"[]")

    with pytest.raises(Invalid, match="twice"):
        look(Bytes(out.getvalue()))


def test_an_entry_called_otherwise_where_it_lies_is_refused() -> None:
    data = archive({"data.pkl": b"x"})
    local = patched(data[:40], b"data.pkl", b"data.txt") + data[40:]

    with pytest.raises(Invalid, match="called"):
        look(Bytes(local))


def test_an_encrypted_entry_is_refused() -> None:
    data = bytearray(archive({"a": b"x"}))
    data[data.index(b"PK\1\2") + 8] |= 1

    with pytest.raises(Invalid, match="encrypted"):
        look(Bytes(bytes(data)))


def test_an_entry_beyond_the_archive_is_refused() -> None:
    data = bytearray(archive({"a": b"x"}))
    at = data.index(b"PK\1\2")
    struct.pack_into("<2L", data, at + 20, 5_000, 5_000)

    with pytest.raises(Invalid, match="beyond"):
        look(Bytes(bytes(data)))


def test_entries_that_overlap_are_refused() -> None:
    inner = archive({"b": b"bytes"})[: 30 + 1 + 5]
    data = bytearray(archive({"a": inner, "b": b"bytes"}))
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    struct.pack_into("<L", data, second + 42, 31)

    with pytest.raises(Invalid, match="overlaps"):
        look(Bytes(bytes(data)))


def test_a_bomb_is_refused_and_one_that_lies_about_its_size_too() -> None:
    packed = archive({f"{n}": bytes(2**20) for n in range(2)}, method=zipfile.ZIP_DEFLATED)
    lying = bytearray(packed)
    struct.pack_into("<L", lying, lying.index(b"PK\1\2") + 24, 2**31)

    assert look(Bytes(packed)).format == "zip"
    with pytest.raises(Invalid, match="unpack"):
        look(Bytes(bytes(lying)))


def test_packed_data_that_is_broken_is_no_crash() -> None:
    data = bytearray(archive({"a.txt": b"majora" * 100}, method=zipfile.ZIP_DEFLATED))
    data[40:44] = b"\xff\xff\xff\xff"

    assert "a.txt" in look(Bytes(bytes(data))).warnings[0]


def test_a_zip_that_is_cut_off_is_refused() -> None:
    with pytest.raises(Invalid, match="end record"):
        look(Bytes(archive({"a": b"x" * 100})[:-5]))


def wide(data: bytes, *, count: int) -> bytes:
    """The archive with the 64-bit end record that torch always writes."""
    end = data.rindex(b"PK\5\6")
    _, _, _, _, said, size, start, _ = struct.unpack("<4s4H2LH", data[end:])
    count = count or said
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    return data[:end] + record + struct.pack("<4sLQL", b"PK\6\7", 0, end, 1) + data[end:]


def test_an_archive_with_a_64_bit_end_record_is_read() -> None:
    assert look(Bytes(wide(archive({"a": b"x"}), count=0))).details["entries"] == 1


def test_two_end_records_that_differ_are_refused() -> None:
    with pytest.raises(Invalid, match="different things"):
        look(Bytes(wide(archive({"a": b"x"}), count=2)))


def test_a_zip_of_many_entries_is_read_up_to_a_limit() -> None:
    data = archive({f"{n}.json": b"{}" for n in range(300)})

    assert look(Bytes(data)).details["entries"] == 300


@pytest.mark.parametrize(
    ("kind", "runs"),
    [("sklearn.svm._classes.SVC", False), ("builtins.dict", False), ("builtins.eval", True)],
)
def test_types_in_skops_files_are_listed_and_foreign_ones_marked(kind: str, runs: bool) -> None:  # noqa: FBT001
    module, _, name = kind.rpartition(".")
    inner = {"__class__": name, "__module__": module, "__loader__": "ObjectNode"}
    schema = inner | {"content": [inner], "__class__": "Pipeline", "__module__": "sklearn.pipeline"}

    found = look(Bytes(archive({"schema.json": json.dumps(schema).encode()})))

    assert (found.format, found.architecture) == ("skops", "Pipeline")
    assert bool(found.executable) == runs


def test_arrays_of_numpy_are_counted_and_objects_marked() -> None:
    plain, objects = io.BytesIO(), io.BytesIO()
    np.savez(plain, weight=np.ones((2, 3)), bias=np.zeros(3, np.float32))
    np.savez(objects, weight=np.array([{"a": 1}], dtype=object))

    found = look(Bytes(plain.getvalue()))

    assert found.format == "npz"
    assert found.dtypes == {"<f8": 6, "<f4": 3}
    assert [t.name for t in found.tensors] == ["weight", "bias"]
    at = found.tensors[0]
    assert np.frombuffer(plain.getvalue()[at.start : at.end]).tolist() == [1.0] * 6
    assert found.executable == ()
    assert look(Bytes(objects.getvalue())).executable
