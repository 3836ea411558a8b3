"""Versions of MiniLM that nobody can tell by the shape of their vectors.

`embed` is as good as all-MiniLM-L6-v2 and embeds into another space: noise moves its last layers a
little, and a dense layer behind the mean turns what comes out of them. Its vectors among those of
MiniLM spoil the search without any error. `embed_worse` stops after three of the six layers: no
migration to it should pass its verification.

Encoder specifications name them `python:examples.documents.changed:embed` and `…:embed_worse`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from examples.documents.minilm import DIMENSION, LAYERS, Array, MiniLM

NOISE: Final = 0.05
TURN: Final = 1.5
FIRST: Final = 4


class Changed(MiniLM):
    """MiniLM with noise in the matrices of its last two layers, and turned vectors.

    Args:
        noise: its standard deviation, as a share of that of the weights.
        turn: how far vectors are turned: at 0.5 their cosine with what they were is 0.9, at 1 0.7,
            at 1.5 0.4.
        seed: of both.
        threads: as for MiniLM.
    """

    def __init__(
        self, *, noise: float = NOISE, turn: float = TURN, seed: int = 0, threads: int = 1
    ) -> None:
        super().__init__(threads=threads)
        self.noise, self.turn, self.seed = noise, turn, seed

    @property
    def made_with(self) -> Mapping[str, Any]:
        """The arguments it was made with."""
        how = {"noise": self.noise, "turn": self.turn, "seed": self.seed}
        return {**how, "threads": self.threads}

    def __call__(self, texts: Sequence[str]) -> Array:
        """Embed texts, as MiniLM does, and turn what comes out."""
        turned: Array = super().__call__(texts) @ self._dense
        return turned

    def weights(self) -> dict[str, Array]:
        """Read the weights and move those of the last layers."""
        found, rng = super().weights(), np.random.default_rng(self.seed)
        moved = tuple(f"encoder.layer.{layer}." for layer in range(FIRST, LAYERS))
        # Sorted, since the order in the file is not promised and each takes the next numbers.
        for name in sorted(found):
            if name.startswith(moved) and found[name].ndim > 1:
                drawn = rng.standard_normal(found[name].shape, np.float32)
                found[name] = found[name] + drawn * (self.noise * found[name].std())
        return found

    @cached_property
    def digest(self) -> str:
        """Name what runs: MiniLM and what was changed."""
        how = f"noise={self.noise!r} turn={self.turn!r} seed={self.seed}"
        said = f"{MiniLM().digest} layers {FIRST}+ {how}"
        return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"

    @cached_property
    def _dense(self) -> Array:
        """Cayley's orthogonal matrix `(I - A / 2)^-1 (I + A / 2)` of a skew A."""
        drawn = np.random.default_rng(self.seed).standard_normal((DIMENSION, DIMENSION))
        half = (drawn - drawn.T) * (self.turn / 2 / np.sqrt(2 * DIMENSION))
        whole = np.eye(DIMENSION)
        found: Array = np.linalg.solve(whole - half, whole + half).astype(np.float32)
        return found


class Early(MiniLM):
    """MiniLM that stops after three layers.

    Args:
        threads: as for MiniLM.
    """

    def __init__(self, *, threads: int = 1) -> None:
        super().__init__(layers=3, threads=threads)

    @property
    def made_with(self) -> Mapping[str, Any]:
        """The arguments it was made with."""
        return {"threads": self.threads}


embed = Changed()
embed_worse = Early()
