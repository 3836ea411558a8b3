"""Whole versions: what they are, and what changed from one to the next."""

import json

import numpy as np
import pytest

from herdbook.formats import Bytes, Contents, Reader, Tensor, diff, digested, digests, look, survey
from tests.formats.samples import header, onnx_file, safetensors_file, torch_file, weights

CONFIG = json.dumps(
    {"architectures": ["GNN"], "model_type": "gnn", "id2label": {"0": "buy", "1": "sell"}}
).encode()


def seen(name: str, data: bytes) -> Contents:
    return look(Bytes(data), name)


def seen_all(**files: bytes) -> dict[str, Contents]:
    return {name: seen(name, data) for name, data in files.items()}


def test_a_version_is_summed_up_from_its_files() -> None:
    files = seen_all(
        **{
            "model.safetensors": safetensors_file(),
            "config.json": CONFIG,
            "README.md": b"---\nlicense: mit\n---\n",
            "tokenizer.json": b'{"model": {"type": "BPE", "vocab": {"a": 0}}}',
        }
    )

    found = survey(files)

    assert (found.format, found.architecture, found.licence) == ("safetensors", "GNN", "mit")
    assert found.labels == ("buy", "sell")
    assert found.parameters == 15
    assert found.details["vocabulary"] == 1
    assert found.executable == ()


def test_the_same_weights_in_several_formats_count_once() -> None:
    files = seen_all(
        **{
            "model.safetensors": safetensors_file(),
            "model.fp16.safetensors": safetensors_file(),
            "pytorch_model.bin": torch_file(),
            "onnx/model.onnx": onnx_file(),
        }
    )

    found = survey(files)

    assert found.parameters == 15
    assert all(reason.startswith("pytorch_model.bin: ") for reason in found.executable)


def test_shards_are_summed_and_a_missing_one_is_told() -> None:
    index = {"weight_map": {"a": "m-1-of-2.safetensors", "b": "m-2-of-2.safetensors"}}
    files = seen_all(
        **{
            "model.safetensors.index.json": json.dumps(index).encode(),
            "m-1-of-2.safetensors": safetensors_file(a=np.ones(5)),
        }
    )

    assert "m-2-of-2.safetensors" in survey(files).warnings[0]
    files["m-2-of-2.safetensors"] = seen("", safetensors_file(b=np.ones(7)))
    whole = survey(files)
    assert whole.parameters == 12
    assert whole.warnings == ()
    assert {t.name: t.file for t in whole.tensors}["b"] == "m-2-of-2.safetensors"


def test_weights_of_parts_in_folders_are_summed() -> None:
    files = seen_all(
        **{
            "model.safetensors": safetensors_file(weight=np.ones(5)),
            "2_Dense/model.safetensors": safetensors_file(weight=np.ones(7)),
        }
    )

    assert survey(files).parameters == 12


def test_external_data_must_be_in_the_version_and_inside() -> None:
    missing = survey(seen_all(**{"onnx/model.onnx": onnx_file(location="model.data")}))
    there = survey(seen_all(**{"onnx/model.onnx": onnx_file(location="w"), "onnx/w": bytes(8_192)}))

    assert "not in the version" in missing.warnings[0]
    assert there.warnings == ()


def test_what_changed_between_two_files_is_told_tensor_by_tensor() -> None:
    old = weights() | {"gone": np.ones(2), "cast": np.ones(4, np.float32), "kept": np.ones(9)}
    new = weights() | {"new": np.ones(3), "cast": np.ones(4, np.float16), "kept": np.ones(9)}
    new["head.bias"] = np.ones(3, np.float16)
    new["head.weight"] = new["head.weight"].reshape(4, 3)
    files = [Bytes(safetensors_file(**old)), Bytes(safetensors_file(**new))]

    found = diff(*(digested(file, look(file)) for file in files))

    assert [t.name for t in found.added] == ["new"]
    assert [t.name for t in found.removed] == ["gone"]
    assert {c.name: c.what for c in found.changed} == {
        "cast": "dtype",
        "head.bias": "bytes",
        "head.weight": "shape",
    }
    assert found.same == 1
    assert found.changed_bytes == 24 + 8 + 6 + 48
    assert found.undecided == ()


def test_versions_sharded_differently_are_compared_all_the_same() -> None:
    arrays = {"a": np.ones(5), "b": np.arange(7.0)}

    def version(**files: bytes) -> Contents:
        return survey({p: digested(Bytes(d), seen(p, d)) for p, d in files.items()})

    one = version(**{"model.safetensors": safetensors_file(**arrays)})
    two = version(
        **{f"m-{n}.safetensors": safetensors_file(**{n: array}) for n, array in arrays.items()}
    )

    assert diff(one, two).same == 2


def test_equal_tensors_have_equal_digests_in_every_format() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    plain, torch = Bytes(safetensors_file(a=array)), Bytes(torch_file())

    (ours,) = digested(plain, look(plain)).tensors
    theirs = digested(torch, look(torch)).tensors[0]

    assert ours.digest == theirs.digest != ""


def test_without_blake3_the_answer_says_that_digests_were_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(digests, "blake3", None)
    file = Bytes(safetensors_file())

    found = digested(file, look(file))

    assert "pip install 'herdbook[formats]'" in found.warnings[-1]
    assert set(diff(found, found).undecided) == {"head.bias", "head.weight"}


def test_a_thousand_views_of_one_storage_are_read_no_more_than_twice() -> None:
    class Counting:
        size, read = 10_000_000, 0

        def read_at(self, offset: int, length: int) -> bytes:
            assert offset + length <= self.size
            self.read += length
            return bytes(length)

    views = tuple(
        Tensor(name=f"{n}", dtype="uint8", shape=(1,), start=n, end=9_000_000 + n)
        for n in range(1_000)
    )
    file = Counting()
    reader: Reader = file

    found = digested(reader, Contents(format="torch", tensors=views))

    assert file.read <= 2 * file.size
    assert "overlap" in found.warnings[-1]


def test_a_header_without_tensors_is_a_file_without_parameters() -> None:
    file = Bytes(header({"__metadata__": {"license": "mit"}}))

    assert digested(file, look(file)).parameters == 0
