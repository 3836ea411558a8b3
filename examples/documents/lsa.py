"""Latent semantic analysis: a model made on the spot, of another family and dimension.

A text's words, weighed by `(1 + log(count)) * (1 + log((1 + n) / (1 + df)))`, are projected on the
first singular directions of such rows. Deerwester, Dumais, Furnas,
Landauer and Harshman, "Indexing by latent semantic analysis", Journal of the American Society for
Information Science 41 (1990). It is fitted with scikit-learn and embeds with numpy alone.

    pip install numpy scikit-learn

A model is kept in a folder that EXAMPLE_LSA names: `LSA.fitted(texts).save(folder)`; then an
encoder specification names it `python:examples.documents.lsa:embed`.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

DIMENSION: Final = 256
FOLDER: Final = "EXAMPLE_LSA"
# Two documents or more know the word.
_KNOWN_TO: Final = 2
_MOST_WORDS: Final = 20_000
_WORD: Final = re.compile(r"(?u)\b\w\w+\b")


@dataclass(frozen=True)
class LSA:
    """A fitted model.

    Args:
        words: the row of each in `directions`.
        directions: shape (words, dimension).
        weights: of the words, `1 + log((1 + n) / (1 + df))`.
    """

    words: Mapping[str, int]
    directions: Array
    weights: Array

    @classmethod
    def fitted(cls, texts: Sequence[str], *, dimension: int = DIMENSION) -> "LSA":
        """Fit it; the same texts give the same model.

        Raises:
            ValueError: there are fewer texts, or fewer words known to two of them, than dimensions.
        """
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        weigh = TfidfVectorizer(sublinear_tf=True, min_df=_KNOWN_TO, max_features=_MOST_WORDS)
        rows = weigh.fit_transform(texts)
        if min(rows.shape) <= dimension:
            raise ValueError(
                f"{rows.shape[0]} texts with {rows.shape[1]} words that two of them know are too "
                f"few for {dimension} dimensions; give more texts"
            )
        found = TruncatedSVD(dimension, n_iter=5, random_state=0).fit(rows)
        words = {word: int(row) for word, row in sorted(weigh.vocabulary_.items())}
        return cls(words, found.components_.T.astype(np.float32), weigh.idf_.astype(np.float32))

    @classmethod
    def load(cls, folder: Path) -> "LSA":
        """Load what `save` wrote."""
        with np.load(folder / "lsa.npz", allow_pickle=False) as kept:
            words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
            return cls(words, kept["directions"], kept["weights"])

    def save(self, folder: Path) -> None:
        """Write it as two files, an archive of arrays and the words as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "lsa.npz", directions=self.directions, weights=self.weights)
        said = json.dumps(self.words, ensure_ascii=False, indent=0)
        (folder / "words.json").write_text(said, encoding="utf-8")

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return int(self.directions.shape[1])

    @cached_property
    def digest(self) -> str:
        """Name what runs: the SHA-256 of the words and the numbers."""
        found = hashlib.sha256(json.dumps(self.words, sort_keys=True).encode())
        for array in (self.directions, self.weights):
            found.update(array.tobytes())
        return f"sha256:{found.hexdigest()}"

    def __call__(self, texts: Sequence[str]) -> Array:
        """Embed texts.

        Returns:
            One row a text, of length 1, in their order. A text of unknown words alone has the
            same number everywhere, so that it too has a direction.
        """
        found = np.stack([self._projected(text) for text in texts]) if texts else self._nothing()
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        even = np.float32(self.dimension**-0.5)
        return np.where(lengths > 0, found / np.where(lengths > 0, lengths, 1), even)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Count the words of these texts, unknown ones too."""
        return sum(len(_WORD.findall(text)) for text in texts)

    def _nothing(self) -> Array:
        return np.empty((0, self.dimension), np.float32)

    def _projected(self, text: str) -> Array:
        counts = Counter(_WORD.findall(text.lower()))
        rows = [(self.words[word], count) for word, count in counts.items() if word in self.words]
        if not rows:
            return np.zeros(self.dimension, np.float32)
        at, count = np.array(rows).T
        weights = (1 + np.log(count, dtype=np.float32)) * self.weights[at]
        found: Array = weights @ self.directions[at]
        return found


class Kept:
    """The model in the folder that EXAMPLE_LSA names; it is loaded with the first text."""

    def __call__(self, texts: Sequence[str]) -> Array:
        """Embed texts."""
        return self.model(texts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Count the words of these texts."""
        return self.model.count_tokens(texts)

    @property
    def digest(self) -> str:
        """Name what runs."""
        return self.model.digest

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return self.model.dimension

    @property
    def model(self) -> LSA:
        """The model itself."""
        return _loaded(os.environ.get(FOLDER, ""))


@cache
def _loaded(folder: str) -> LSA:
    if not folder:
        raise ValueError(f"no model is named; set {FOLDER} to the folder that LSA.save wrote")
    return LSA.load(Path(folder))


embed = Kept()
