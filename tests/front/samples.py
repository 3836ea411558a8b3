"""Folders of models, written by the formats' own libraries."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

import herdbook
from herdbook.bootstrap import LocalDoor, open_door
from herdbook.front.book import Herdbook
from herdbook.settings import Settings

LAYERS = 8


def weights(*, seed: int = 7) -> dict[str, Any]:
    """Some layers of float32."""
    rng = np.random.default_rng(seed)
    return {f"layer.{n}.weight": rng.standard_normal((16, 8)).astype("f4") for n in range(LAYERS)}


def classifier(folder: Path, tensors: dict[str, Any], labels: list[str]) -> Path:
    """A classifier as it is saved: weights, a config and its labels."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(tensors, {"license": "mit"}))
    config = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "id2label": {str(at): label for at, label in enumerate(labels)},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "labels.txt").write_text("\n".join(labels))
    return folder


@contextmanager
def opened(home: Path) -> Iterator[tuple[LocalDoor, Herdbook]]:
    """A register of this machine, with the door behind it."""
    # Its own store too, whatever the environment says.
    door = open_door(Settings(home=home, blobs=str(home / "blobs")))
    assert isinstance(door, LocalDoor)
    try:
        yield door, Herdbook(door)
    finally:
        door.close()


def connected(address: str) -> Herdbook:
    """A register behind a server, or of this machine for ""."""
    return herdbook.connect(address or None)
