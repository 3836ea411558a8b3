"""Files to look into: written by the formats' own libraries, or by hand as those do."""

import io
import json
import pickle
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
import safetensors.numpy
from onnx import TensorProto, helper

ROOT = "majora"


@dataclass
class Disk:
    """A file as a reader that counts what is read of it."""

    path: Path
    asked: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.path.stat().st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Give a part of it."""
        self.asked.append(length)
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(length)


def safetensors_file(**arrays: Any) -> bytes:
    """What the library writes."""
    return safetensors.numpy.save(arrays or weights(), {"format": "np", "license": "mit"})


def weights() -> dict[str, Any]:
    """Two small arrays."""
    return {
        "head.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
        "head.bias": np.zeros(3, dtype=np.float16),
    }


def header(entries: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file with a header of one's own."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def gguf_file(path: Path) -> bytes:
    """What the library writes."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_license("apache-2.0")
    writer.add_token_list(["a", "b", "c"] * 20)
    writer.add_token_scores([0.5] * 60)
    writer.add_chat_template("{{ messages }}")
    writer.add_uint64("majora.count", 2**40)
    writer.add_tensor("token_embd.weight", np.ones((4, 32), dtype=np.float32))
    quantized = np.zeros((2, 34), dtype=np.uint8)
    writer.add_tensor("output.weight", quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def onnx_model(*, location: str = "", domain: str = "") -> onnx.ModelProto:
    """A model of one layer; its weights at `location` when that is given."""
    weight = helper.make_tensor(
        "w", TensorProto.FLOAT, [2, 3], np.ones(6, np.float32).tobytes(), raw=True
    )
    bias = helper.make_tensor("b", TensorProto.INT64, [2], [1, 2])
    if location:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": "4096", "length": "24"}.items():
            weight.external_data.add(key=key, value=value)
    node = helper.make_node("Identity", ["w"], ["y"], domain=domain)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    graph = helper.make_graph([node], "gnn", [], [output], [weight, bias])
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    return helper.make_model(graph, producer_name="herdbook-tests", opset_imports=opsets)


def onnx_file(**said: str) -> bytes:
    """What the library writes."""
    data: bytes = onnx_model(**said).SerializeToString()
    return data


class _Named:
    """Pickles as a name torch has, without torch."""

    def __init__(self, text: str) -> None:
        self.text = text


_Pickler: Any = pickle._Pickler


class _TorchPickler(_Pickler):  # type: ignore[misc]
    """Writes names and storages as torch does."""

    def persistent_id(self, value: Any) -> Any:
        return value.id if isinstance(value, Storage) else None

    def save(self, value: Any, save_persistent_id: bool = True) -> None:  # noqa: FBT001, FBT002
        if isinstance(value, _Named):
            module, _, name = value.text.rpartition(".")
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        elif isinstance(value, Rebuilt):
            self.save(_Named(value.function))
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, save_persistent_id)


@dataclass
class Storage:
    """What torch knows of a storage."""

    id: tuple[Any, ...]


@dataclass
class Rebuilt:
    """A call that torch writes for a tensor."""

    function: str
    arguments: tuple[Any, ...]


def tensor(key: str, shape: tuple[int, ...], *, kind: str = "FloatStorage", count: int = 12) -> Any:
    """A tensor as torch writes it."""
    storage = Storage(("storage", _Named(f"torch.{kind}"), key, "cpu", count))
    strides = tuple(int(np.prod(shape[at + 1 :])) for at in range(len(shape)))
    return Rebuilt("torch._utils._rebuild_tensor_v2", (storage, 0, shape, strides, False, {}))


def torch_pickle(value: Any) -> bytes:
    """A pickle as torch writes it, protocol 2."""
    out = io.BytesIO()
    _TorchPickler(out, protocol=2).dump(value)
    return out.getvalue()


def archive(files: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def torch_file(value: Any = None, **more: bytes) -> bytes:
    """An archive as torch writes it."""
    state = {"head": {"weight": tensor("0", (3, 4))}, "bias": tensor("1", (3,), count=3)}
    files = {
        f"{ROOT}/data.pkl": torch_pickle(state if value is None else value),
        f"{ROOT}/byteorder": b"little",
        f"{ROOT}/data/0": np.arange(12, dtype=np.float32).tobytes(),
        f"{ROOT}/data/1": np.zeros(3, dtype=np.float32).tobytes(),
        f"{ROOT}/version": b"3\n",
    }
    return archive(files | more)


def torch_legacy_file() -> bytes:
    """A file as torch wrote them before 1.6."""
    storage = ("storage", _Named("torch.FloatStorage"), "0", "cpu", 12, None)
    head = Rebuilt(
        "torch._utils._rebuild_tensor_v2", (Storage(storage), 0, (3, 4), (4, 1), False, {})
    )
    row = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"head": head}, ["0"]]
    data = b"".join(torch_pickle(value) for value in row)
    return data + struct.pack("<q", 12) + np.arange(12, dtype=np.float32).tobytes()
