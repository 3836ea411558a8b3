"""Functions and classes that embed, or should."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np


def vector(text: str) -> list[float]:
    """Give a vector that only this text has."""
    seed = int.from_bytes(blake2b(text.encode(), digest_size=4).digest())
    return list(np.random.default_rng(seed).normal(size=6))


def lists(texts: list[str]) -> list[list[float]]:
    """Give lists, as people do."""
    return [vector(text) for text in texts]


def half(texts: list[str]) -> Any:
    """Give an array of half precision."""
    return np.array(lists(texts), dtype=np.float16)


def fussy(texts: list[str]) -> list[list[float]]:
    """Refuse a text."""
    if any("poison" in text for text in texts):
        raise ValueError("cannot read poison")
    return lists(texts)


class Client:
    """Embeds as a client does, which is made once."""

    pooling = "mean"
    max_tokens = 2
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def encode(self, texts: list[str]) -> Any:
        """Embed."""
        return np.array(lists(texts), dtype=np.float32)


class Calling:
    """Is called, and counts tokens."""

    def __call__(self, texts: list[str]) -> list[list[float]]:
        """Embed."""
        return lists(texts)

    def count_tokens(self, texts: list[str]) -> int:
        """Count words."""
        return sum(len(text.split()) for text in texts)


def factory() -> Callable[[list[str]], list[list[float]]]:
    """Make a function that embeds."""
    return lists


def broken() -> Any:
    """Fail to make one."""
    raise RuntimeError("no weights here")


def nothing() -> int:
    """Make what embeds nothing."""
    return 3
