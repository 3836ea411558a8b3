"""Models that embed by words, in two spaces: quick, always the same, and good enough to find."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np


def worded(text: str, *, dimension: int, seed: int) -> Any:
    """Embed a text by its words."""
    vector = np.zeros(dimension, np.float32)
    vector[0] = 1e-3
    for word in text.lower().split():
        drawn = int.from_bytes(blake2b(f"{seed} {word}".encode(), digest_size=8).digest())
        vector[drawn % dimension] += 1
        vector[(drawn >> 20) % dimension] += 0.5
    return vector / np.linalg.norm(vector)


def one(texts: Sequence[str]) -> Any:
    """Embed as the first version of gbert."""
    return np.stack([worded(text, dimension=64, seed=1) for text in texts])


def two(texts: Sequence[str]) -> Any:
    """Embed as the second, into another space of another dimension."""
    return np.stack([worded(text, dimension=96, seed=2) for text in texts])


def other(texts: Sequence[str]) -> Any:
    """Embed into a third space, of the dimension of the first: only the vectors differ."""
    return np.stack([worded(text, dimension=64, seed=3) for text in texts])
