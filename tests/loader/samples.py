"""Small models with real formats, made without the libraries that run them."""

import json
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import save

LABELS: Final = ("BU_Bedingungswerk", "BU_Antrag", "BU_Risikopruefung")
CONFIG: Final = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "hidden_size": 8,
    "id2label": {str(at): label for at, label in enumerate(LABELS)},
}
VOCABULARY: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "antrag", "police")


def weights(seed: int = 0) -> bytes:
    """Give a few tensors as safetensors."""
    rng = np.random.default_rng(seed)
    arrays = {
        "classifier.weight": rng.normal(size=(3, 8)).astype(np.float32),
        "classifier.bias": np.zeros(3, dtype=np.float32),
    }
    return bytes(save(arrays))


def classifier_files(**config: object) -> dict[str, bytes]:
    """Give the files of a classifier, as a repository of the hub holds them."""
    return {
        "README.md": b"---\nlicense: mit\n---\n# A classifier\n",
        "config.json": json.dumps({**CONFIG, **config}).encode(),
        "vocab.txt": "".join(f"{word}\n" for word in VOCABULARY).encode(),
        "model.safetensors": weights(),
    }


def written(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder
