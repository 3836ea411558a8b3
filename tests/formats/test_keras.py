"""Keras models: archives and the old HDF5 files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from herdbook.errors import Invalid
from herdbook.formats import Bytes, look
from tests.formats.samples import archive

h5py: Any = pytest.importorskip("h5py")


def model(*layers: dict[str, Any]) -> dict[str, Any]:
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "gnn", "layers": layers},
    }


def layer(kind: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config}


def keras_file(*layers: dict[str, Any]) -> bytes:
    config = json.dumps(model(*layers)).encode()
    return archive({"metadata.json": b"{}", "config.json": config, "model.weights.h5": b"x"})


def hdf5_file(path: Path, text: Any) -> bytes:
    with h5py.File(path, "w") as made:
        made.attrs["keras_version"] = "2.15.0"
        made.attrs["model_config"] = text
        made["weights"] = np.ones((10, 10), np.float32)
    return path.read_bytes()


def test_an_archive_of_plain_layers_is_inert() -> None:
    found = look(Bytes(keras_file(layer("Dense", units=3))))

    assert found.format == "keras"
    assert found.architecture == "Sequential"
    assert found.details["name"] == "gnn"
    assert found.executable == ()


@pytest.mark.parametrize(
    ("risky", "said"),
    [
        (layer("Lambda", function={"class_name": "__lambda__"}), "Lambda layer"),
        (layer("Dense", activation={"class_name": "__lambda__", "config": {}}), "Python function"),
        (layer("TFSMLayer", filepath="/models/x"), "SavedModel"),
        (layer("Dense", module="os"), "'os'"),
        (layer("function", module="builtins"), "'builtins'"),
        (layer("Attention", module="my_layers.attention"), "my_layers"),
    ],
)
def test_what_runs_code_is_flagged_in_an_archive(risky: dict[str, Any], said: str) -> None:
    assert said in " ".join(look(Bytes(keras_file(risky))).executable)


def test_a_config_alone_makes_an_archive_a_keras_model() -> None:
    config = json.dumps(model(layer("Lambda"))).encode()

    found = look(Bytes(archive({"config.json": config, "model.weights.npz": b"x"})))

    assert found.format == "keras"
    assert "Lambda" in found.executable[0]


def test_a_vocabulary_read_from_a_path_is_flagged() -> None:
    found = look(Bytes(keras_file(layer("StringLookup", vocabulary="/etc/passwd"))))

    assert found.external == ("/etc/passwd",)
    assert "/etc/passwd" in found.warnings[0]


def test_a_config_with_a_key_twice_is_refused() -> None:
    data = archive({"metadata.json": b"{}", "config.json": b'{"a": 1, "a": 2}'})

    with pytest.raises(Invalid, match="twice"):
        look(Bytes(data))


@pytest.mark.parametrize("kind", [str, np.bytes_])
def test_an_old_model_is_executable_and_its_lambda_is_named(tmp_path: Path, kind: Any) -> None:
    data = hdf5_file(tmp_path / "gnn.h5", kind(json.dumps(model(layer("Lambda")))))

    found = look(Bytes(data), "gnn.h5")

    assert found.format == "keras-hdf5"
    assert found.architecture == "Sequential"
    assert "old HDF5 format" in found.executable[0]
    assert "Lambda" in found.executable[1]
    assert found.details["legacy"] is True


def test_an_hdf5_file_without_a_model_is_inert(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w", userblock_size=1024) as made:
        made["weights"] = np.ones((10, 10), np.float32)

    found = look(Bytes(path.read_bytes()))

    assert (found.format, found.executable) == ("hdf5", ())
