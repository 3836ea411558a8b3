"""Models to be kept: weights from a seed, the files beside them, many small files."""

import hashlib
import json
from pathlib import Path
from typing import Final

import numpy as np

STEP: Final = 1 << 24
WIDTH: Final = 4096
SMALL_BYTES: Final = 30_000
TOKENIZER_BYTES: Final = 400_000


def weights(path: Path, size: int, seed: int) -> None:
    """Write a safetensors file of about a size: half of it float32, half bfloat16."""
    rows = max(1, size // 2 // (WIDTH * 4))
    first, second = rows * WIDTH * 4, 2 * rows * WIDTH * 2
    header = {
        "__metadata__": {"format": "pt"},
        "embeddings.weight": _tensor("F32", [rows, WIDTH], 0, first),
        "encoder.weight": _tensor("BF16", [2 * rows, WIDTH], first, first + second),
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for at in range(0, first, STEP):
            count = min(STEP, first - at) // 4
            file.write(rng.standard_normal(count, dtype=np.float32).tobytes())
        for at in range(0, second, STEP):
            count = min(STEP, second - at) // 2
            # The upper half of a float32 is a bfloat16.
            drawn = rng.standard_normal(count, dtype=np.float32).view(np.uint16)[1::2]
            file.write(drawn.tobytes())


def _tensor(dtype: str, shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def beside(folder: Path, seed: int) -> int:
    """Write the labels and the tokenizer of a model; give their bytes."""
    words = np.random.default_rng(seed).integers(97, 123, TOKENIZER_BYTES, dtype=np.uint8)
    (folder / "tokenizer.model").write_bytes(words.tobytes())
    labels = {"id2label": {str(at): f"label {seed} {at}" for at in range(100)}}
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    return sum((folder / name).stat().st_size for name in ("tokenizer.model", "labels.json"))


def small_files(folder: Path, count: int, seed: int) -> None:
    """Write many small files, each with bytes of its own."""
    rng = np.random.default_rng(seed)
    for at in range(count):
        inner = folder / f"part-{at % 10}"
        inner.mkdir(parents=True, exist_ok=True)
        (inner / f"{at:05d}.bin").write_bytes(rng.bytes(SMALL_BYTES))


def digests(folder: Path) -> dict[str, str]:
    """Give the SHA-256 of every file of a folder, by its path in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                name = path.relative_to(folder).as_posix()
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
