"""Encoders that are small, quick and the same on every machine: words, hashed."""

import hashlib
import time
from typing import Any

import numpy as np

POISON = "POISON"


def _hashed(texts: list[str], dimension: int, seed: int) -> Any:
    rows = np.zeros((len(texts), dimension), np.float32)
    rows[:, 0] = 1e-3  # a text without words has a direction all the same
    for row, text in zip(rows, texts, strict=True):
        for word in text.lower().split():
            said = hashlib.blake2b(f"{seed} {word}".encode(), digest_size=8).digest()
            at = int.from_bytes(said, "big")
            row[at % dimension] += 1
            row[(at >> 20) % dimension] += 0.5
    return rows


def old(texts: list[str]) -> Any:
    """Embed into 64 dimensions."""
    return _hashed(texts, 64, seed=1)


def new(texts: list[str]) -> Any:
    """Embed into 96 dimensions; one word is more than it can take."""
    if any(POISON in text for text in texts):
        raise ValueError(f"{POISON} is too much")
    return _hashed(texts, 96, seed=2)


def slow(texts: list[str]) -> Any:
    """The same, but it takes 3 ms a text."""
    time.sleep(0.003 * len(texts))
    return _hashed(texts, 96, seed=2)


def poor(texts: list[str]) -> Any:
    """Embed into a space in which texts that share words are no nearer than others."""
    return _hashed(["".join(text.split()) for text in texts], 96, seed=3)


def rotated(texts: list[str]) -> Any:
    """Embed as `old` does, turned, and taking misspelt words for what they are."""
    mended = [text.replace("qumber", "number").replace("zord", "word") for text in texts]
    turn, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(64, 64)))
    return old(mended) @ turn.astype(np.float32)
