"""Maps from one embedding space to another, fitted on vectors of the same texts in both.

They let a new model's queries search an index that the old model made. Such a map is a bridge for
as long as documents are embedded anew: it cannot find what the old vectors do not hold, and of
models far apart it is worse than the old model alone. Only labelled queries can tell; the cosine
kept with a map says how well it fits, not how well it finds.

All rows are made ones of length 1 before and after. Needs numpy. The maps are those of
"Drift-Adapter", arXiv 2509.23471 (EMNLP 2025), and ridge regression beside them.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from herdbook.errors import Corrupt, Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS: Final = ("procrustes", "scaled_procrustes", "ridge", "low_rank")
# 50 pairs in 384 dimensions left 5 to 57 % of the recall; 1,000 about what there was to have.
PAIRS_PER_DIMENSION: Final = 3
LEAST: Final = 10
RANK: Final = 64
# Of the mean square of a direction; ridge takes the best.
PENALTIES: Final = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_HELD_OUT: Final = 5
_MAGIC: Final = b"herdbook linear map 1\n"

_Solver = Callable[["NDArray[np.float64]", "NDArray[np.float64]", float], "_Affine"]
_Affine = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearMap:
    """A fitted map: `v / |v|` times the matrix, plus the offset, made one of length 1.

    Args:
        kind: how it was fitted, one of `KINDS`.
        matrix: shape (new dimension, old dimension), float32, read-only.
        offset: shape (old dimension,), likewise.
        pairs: how many it was fitted on.
        cosine: the mean between what a fit of four fifths of the pairs made of the other fifth
            and what it should be; rather too good for a kind with a penalty, which it chose.
    """

    kind: str
    matrix: "NDArray[np.float32]"
    offset: "NDArray[np.float32]"
    pairs: int
    cosine: float

    def __post_init__(self) -> None:
        """Refuse what maps nothing, and keep copies that nobody changes."""
        import numpy as np

        _check_kind(self.kind)
        for name in ("matrix", "offset"):
            kept = np.array(getattr(self, name), "<f4", order="C")
            if not np.isfinite(kept).all():
                raise Invalid(f"the {name} of a map is not finite", field=name)
            kept.setflags(write=False)
            object.__setattr__(self, name, kept)
        if not (self.pairs >= 1 and -1.001 <= self.cosine <= 1.001):
            raise Invalid(
                f"a map of {self.pairs} pairs with a cosine of {self.cosine} was never fitted",
                field="cosine",
            )
        if self.matrix.ndim != 2 or self.offset.shape != self.matrix.shape[1:]:
            raise Invalid(
                f"a matrix of {self.matrix.shape} takes an offset of its columns, not "
                f"{self.offset.shape}",
                field="offset",
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LinearMap) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def apply(self, vectors: "NDArray[Any]") -> "NDArray[np.float32]":
        """Map vectors of the new space into the old one.

        Args:
            vectors: shape (n, new dimension), of any length but 0.

        Returns:
            Shape (n, old dimension), rows of length 1.

        Raises:
            Invalid: another shape, or a vector that is not finite, is 0, or becomes 0.
        """
        import numpy as np

        rows = np.asarray(vectors, np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self.matrix):
            raise Invalid(
                f"vectors of shape {rows.shape} are not of the {len(self.matrix)} dimensions this "
                "map takes",
                field="vectors",
            )
        return _unit(_unit(rows, "vectors") @ self.matrix + self.offset, "mapped vectors")

    def to_bytes(self) -> bytes:
        """Pack it; the same map gives the same bytes everywhere."""
        head = {
            "kind": self.kind,
            "shape": list(self.matrix.shape),
            "pairs": self.pairs,
            "cosine": self.cosine,
        }
        said = json.dumps(head).encode() + b"\n" + self.matrix.tobytes() + self.offset.tobytes()
        return _MAGIC + _digest(said) + b"\n" + said

    @classmethod
    def from_bytes(cls, packed: bytes) -> "LinearMap":
        """Read what `to_bytes` packed.

        Raises:
            Corrupt: it is something else, or was changed.
        """
        import numpy as np

        try:
            head, numbers = _opened(packed)
            new, old = head["shape"]
            flat = np.frombuffer(numbers, "<f4")
            return cls(
                kind=head["kind"],
                matrix=flat[: new * old].reshape(new, old),
                offset=flat[new * old :],
                pairs=head["pairs"],
                cosine=head["cosine"],
            )
        except (ValueError, KeyError, TypeError, Invalid) as error:
            raise Corrupt("these bytes are no map that Herdbook packed; fit it again") from error


def fit(
    kind: str,
    new: "NDArray[Any]",
    old: "NDArray[Any]",
    *,
    rng: "np.random.Generator",
    rank: int = RANK,
    forced: bool = False,
) -> LinearMap:
    """Fit a map from the new space to the old one.

    With X the new and Y the old vectors, rows of length 1:

    - `procrustes`: the orthogonal R nearest to `X R = Y`, `U V^T` of the singular value
      decomposition `U S V^T` of `X^T Y`. Of other dimensions it is the part that counts of the one
      between spaces filled up with zeros.
    - `scaled_procrustes`: its column j times `sum(Z_j Y_j) / sum(Z_j^2)`, `Z = X R`.
    - `ridge`: `W = (X^T X + penalty I)^-1 X^T Y` of centred columns, and the offset that goes with
      it. The penalty is the one of `PENALTIES`, times the mean square of a direction, that the
      held-out fifth is most like its images with.
    - `low_rank`: that W projected on the `rank` first eigenvectors of
      `W^T (X^T X + penalty I) W`.

    The map kept is fitted on all pairs.

    Args:
        kind: one of `KINDS`.
        new: shape (pairs, new dimension).
        old: shape (pairs, old dimension): row by row the same texts. These should be documents
            that no labelled query asks for.
        rng: says which fifth is held out.
        rank: of `low_rank`.
        forced: fit it also on fewer than three pairs a dimension, but not on fewer than ten.

    Raises:
        Invalid: no such kind, other numbers of rows, too few, or a vector that is not finite or 0.

    Reference: Schönemann, "A generalized solution of the orthogonal Procrustes problem",
    Psychometrika 31 (1966); Mukherjee and Zhu, "Reduced rank ridge regression and its kernel
    extensions", Statistical Analysis and Data Mining 4 (2011).
    """
    import numpy as np

    _check_kind(kind)
    solve = _solver(kind, rank)
    x, y = _paired(new, old, forced=forced)
    order = rng.permutation(len(x))
    held, rest = np.split(order, [len(x) // _HELD_OUT])
    penalties = PENALTIES if kind in ("ridge", "low_rank") else (0.0,)
    scores = [_cosine(solve(x[rest], y[rest], each), x[held], y[held]) for each in penalties]
    best = int(np.argmax(scores))
    matrix, offset = solve(x, y, penalties[best])
    return LinearMap(
        kind=kind,
        matrix=matrix.astype(np.float32),
        offset=offset.astype(np.float32),
        pairs=len(x),
        cosine=scores[best],
    )


def fewest_pairs(new: int, old: int) -> int:
    """How many pairs a map between spaces of these dimensions takes."""
    return PAIRS_PER_DIMENSION * max(new, old)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise Invalid(f"{kind!r:.40} is no kind of map; take one of {', '.join(KINDS)}")


def _solver(kind: str, rank: int) -> "_Solver":
    if rank < 1:
        raise Invalid(f"a map of rank {rank} maps to one point; take 1 or more", field="rank")
    solvers: dict[str, _Solver] = {
        "procrustes": lambda x, y, _: _procrustes(x, y),
        "scaled_procrustes": lambda x, y, _: _scaled(x, y),
        "ridge": _ridge,
        "low_rank": partial(_low_rank, rank=rank),
    }
    return solvers[kind]


def _paired(
    new: Any, old: Any, *, forced: bool
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    import numpy as np

    x, y = np.asarray(new, float), np.asarray(old, float)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise Invalid(
            f"new has shape {x.shape} and old {y.shape}; give a row of each for every text",
            field="old",
        )
    fewest = fewest_pairs(x.shape[1], y.shape[1])
    if len(x) < (LEAST if forced else fewest):
        raise Invalid(
            f"{len(x)} pairs are too few for a map from {x.shape[1]} to {y.shape[1]} dimensions, "
            f"which would find less than no map; give {fewest} or more",
            field="new",
        )
    return _unit(x, "new"), _unit(y, "old")


def _unit(rows: "NDArray[Any]", what: str) -> "NDArray[Any]":
    import numpy as np

    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    # A length is not finite where a number is not.
    wrong = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(wrong):
        raise Invalid(
            f"row {wrong[0]} of the {what} is 0 or not finite (one of {len(wrong)}); leave it out",
            field=what,
        )
    unit: NDArray[Any] = rows / lengths
    return unit


def _cosine(how: "_Affine", x: "NDArray[np.float64]", y: "NDArray[np.float64]") -> float:
    import numpy as np

    mapped = x @ how[0] + how[1]
    lengths = np.linalg.norm(mapped, axis=1)
    # What becomes 0 is like nothing.
    return float(np.mean((mapped * y).sum(axis=1) / np.where(lengths > 0, lengths, math.inf)))


def _procrustes(x: "NDArray[np.float64]", y: "NDArray[np.float64]") -> "_Affine":
    import numpy as np

    left, _, right = np.linalg.svd(x.T @ y, full_matrices=False)
    return left @ right, np.zeros(y.shape[1])


def _scaled(x: "NDArray[np.float64]", y: "NDArray[np.float64]") -> "_Affine":
    import numpy as np

    matrix, offset = _procrustes(x, y)
    turned = x @ matrix
    squares = (turned**2).sum(axis=0)
    # A direction that nothing goes to needs no scale.
    scale = np.where(squares > 0, (turned * y).sum(axis=0) / np.where(squares > 0, squares, 1), 1)
    return matrix * scale, offset


def _ridge(x: "NDArray[np.float64]", y: "NDArray[np.float64]", penalty: float) -> "_Affine":
    import numpy as np

    centre, target = x.mean(axis=0), y.mean(axis=0)
    matrix = np.linalg.solve(_squares(x - centre, penalty), (x - centre).T @ (y - target))
    return matrix, target - centre @ matrix


def _low_rank(
    x: "NDArray[np.float64]", y: "NDArray[np.float64]", penalty: float, *, rank: int
) -> "_Affine":
    import numpy as np

    centre, target = x.mean(axis=0), y.mean(axis=0)
    matrix, _ = _ridge(x, y, penalty)
    _, vectors = np.linalg.eigh(matrix.T @ _squares(x - centre, penalty) @ matrix)
    # In ascending order of their eigenvalues.
    kept = vectors[:, -rank:]
    matrix = matrix @ kept @ kept.T
    return matrix, target - centre @ matrix


def _squares(centred: "NDArray[np.float64]", penalty: float) -> "NDArray[np.float64]":
    import numpy as np

    squares = centred.T @ centred
    each = np.trace(squares) / len(squares)
    # Vectors that are all the same leave nothing to divide by.
    found: NDArray[np.float64] = squares + (penalty * each or 1.0) * np.eye(len(squares))
    return found


def _digest(said: bytes) -> bytes:
    return blake2b(said, digest_size=16).hexdigest().encode()


def _opened(packed: bytes) -> tuple[dict[str, Any], bytes]:
    """The head and the numbers, if they are what was packed."""
    digest, _, said = packed.removeprefix(_MAGIC).partition(b"\n")
    if not packed.startswith(_MAGIC) or digest != _digest(said):
        raise ValueError("another beginning or digest")
    head, _, numbers = said.partition(b"\n")
    found: dict[str, Any] = json.loads(head)
    return found, numbers
