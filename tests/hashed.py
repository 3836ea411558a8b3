"""Encoders for tests: words hashed into vectors, quick and the same everywhere.

`one` and `two` embed into spaces of different dimension, `also_two` into one of the dimension of
`two` that is another space all the same.
"""

import os
import time
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

POISON = "unembeddable"


@lru_cache(maxsize=100_000)
def _word(word: str, seed: int, dimension: int) -> tuple[int, int]:
    digest = blake2b(f"{seed} {word}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    return number % dimension, (number >> 24) % dimension


def hashed(texts: Sequence[str], *, seed: int, dimension: int) -> NDArray[np.float32]:
    """Embed texts: shape (texts, dimension), rows of length 1."""
    vectors = np.zeros((len(texts), dimension), np.float32)
    for row, text in zip(vectors, texts, strict=True):
        if POISON in text:
            raise ValueError(f"a text says {POISON}")
        row[0] = 1e-3
        for word in text.split():
            first, second = _word(word, seed, dimension)
            row[first] += 1.0
            row[second] += 0.5
    _dawdle()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _dawdle() -> None:
    """Take as long as a test asks for, so that it has something to interrupt."""
    seconds = float(os.environ.get("TEST_ENCODER_SECONDS", "0"))
    if seconds:
        time.sleep(seconds)


def one(texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed into 32 dimensions."""
    return hashed(texts, seed=1, dimension=32)


def two(texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed into 48 dimensions."""
    return hashed(texts, seed=2, dimension=48)


def also_two(texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed into 48 dimensions of another space."""
    return hashed(texts, seed=3, dimension=48)
