"""An encoder whose space is measured, and whose every answer is checked against it."""

import math
from collections.abc import Sequence
from typing import Any, Final, Protocol

from herdbook.core.spaces import EncoderSpec, Space
from herdbook.encoders.limits import refuse_unreadable
from herdbook.errors import Conflict, Invalid

PROBE: Final = "A herd book is the register of a breed."
LENGTH_TOLERANCE: Final = 1e-3
# Below it a vector has no direction that is more than rounding.
NO_LENGTH: Final = 1e-12


class Running(Protocol):
    """What turns texts into vectors, and need not be trusted to do it right.

    Args:
        name: what it is, for messages.
        pooling: what it says of itself; "" when it says nothing.
        dtype: the numbers it computes in; "" when its answers tell.
    """

    name: str
    pooling: str
    dtype: str

    def rows(self, texts: list[str], *, prefix: str) -> Any:
        """Give a vector for each text with the prefix before it: an array, or lists of numbers."""

    def tokens(self, texts: list[str], *, prefix: str) -> int:
        """Count, or estimate, the tokens of that."""


class Measured:
    """Embeds by what runs, in a space that is what ran.

    Opening it embeds one sentence: the dimension, whether vectors have length 1, and the type
    of numbers are measured on that.

    Args:
        running: what turns texts into vectors.
        spec: how it was asked for.
        digest: of what runs.
        prefix: before every document.
        query_prefix: before every query.

    Raises:
        Conflict: its vectors have another dimension than was asked for.
        Invalid: it embeds nothing.
        HerdbookError: what running it raises.
    """

    def __init__(
        self, running: Running, spec: EncoderSpec, *, digest: str, prefix: str, query_prefix: str
    ) -> None:
        import numpy as np

        self._running, self._normalize = running, spec.normalize
        found = running.rows([PROBE], prefix=prefix)
        dtype = running.dtype or _dtype(found)
        probe = checked(
            found, count=1, dimension=spec.dimension, normalize=spec.normalize, name=running.name
        )
        self._space = Space(
            model=spec.model,
            number=spec.number,
            dimension=probe.shape[1],
            digest=digest,
            pooling=running.pooling or spec.pooling,
            prefix=prefix,
            query_prefix=query_prefix,
            normalized=bool(abs(np.linalg.norm(probe[0]) - 1) <= LENGTH_TOLERANCE),
            dtype=dtype,
            chunker=spec.chunker,
            embeds_as=spec.embeds_as,
        )

    @property
    def space(self) -> Space:
        """The space its vectors are in."""
        return self._space

    def embed(self, texts: Sequence[str]) -> Any:
        """Embed documents; see the port."""
        return self._embedded(texts, self._space.prefix)

    def embed_queries(self, texts: Sequence[str]) -> Any:
        """Embed queries; see the port."""
        return self._embedded(texts, self._space.query_prefix)

    def tokens(self, texts: Sequence[str]) -> int:
        """Count, or estimate, what `embed` of these texts takes in tokens."""
        return self._running.tokens(list(texts), prefix=self._space.prefix) if texts else 0

    def _embedded(self, texts: Sequence[str], prefix: str) -> Any:
        import numpy as np

        if not texts:
            return np.empty((0, self._space.dimension), dtype=np.float32)
        refuse_unreadable(texts)
        return checked(
            self._running.rows(list(texts), prefix=prefix),
            count=len(texts),
            dimension=self._space.dimension,
            normalize=self._normalize,
            name=self._running.name,
        )


def checked(found: Any, *, count: int, dimension: int, normalize: bool, name: str) -> Any:
    """Give vectors as float32, once they are what they have to be.

    Args:
        found: an array, or lists of numbers; it is copied, whoever made it may use it again.
        count: how many texts were embedded.
        dimension: of the space; 0 while it is not known.
        normalize: whether to make every vector one of length 1.
        name: what gave them, for messages.

    Raises:
        Conflict: another number of vectors, or of another dimension, or no numbers.
        Invalid: a vector is not finite or has no length; `details["index"]` is its place.
    """
    import numpy as np

    rows = _array(found, dimension, name)
    if rows.shape[0] != count:
        raise Conflict(f"{name} gives {rows.shape[0]} vectors for {count} texts; give one for each")
    if not rows.shape[1] or (dimension and rows.shape[1] != dimension):
        raise _other_dimension(name, rows.shape[1], dimension)
    # In float64 no square of a float32 runs over or under.
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    wrong = ~(np.isfinite(squares) & (squares > NO_LENGTH**2))
    if wrong.any():
        raise _no_vector(name, int(wrong.argmax()), float(squares[wrong.argmax()]))
    if normalize:
        rows /= np.sqrt(squares)[:, None].astype(np.float32)
    return rows


def _array(found: Any, dimension: int, name: str) -> Any:
    import numpy as np

    try:
        raw = np.asarray(found)
        # What a float32 cannot hold becomes infinite, and is refused as that.
        with np.errstate(over="ignore"):
            rows = np.array(raw, dtype=np.float32, order="C")
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        _refuse_other_lengths(found, dimension, name)
        raise Conflict(f"{name} gives no vectors: {error}"[:300]) from None
    if rows.ndim != 2 or raw.dtype.kind not in "fiuO":
        raise Conflict(
            f"{name} gives an array of {raw.dtype}, shape {rows.shape}; give numbers of shape "
            "(texts, dimension)"
        )
    return rows


def _refuse_other_lengths(found: Any, dimension: int, name: str) -> None:
    """Say of vectors that are not all of one length which is not."""
    try:
        lengths = [len(row) for row in found]
    except TypeError:
        return
    wanted = dimension or lengths[0]
    for index, length in enumerate(lengths):
        if length != wanted:
            raise _other_dimension(f"{name}, for text {index},", length, wanted)


def _other_dimension(name: str, length: int, dimension: int) -> Conflict:
    wanted = f"{dimension} are wanted" if dimension else "at least 1 is wanted"
    return Conflict(
        f"{name} gives vectors of {length} dimensions, and {wanted}: it is not the encoder of "
        "this space",
        field="dimension",
    )


def _no_vector(name: str, index: int, square: float) -> Invalid:
    why = "has no length" if math.isfinite(square) else "is not of finite numbers"
    return Invalid(f"the vector of {name} for text {index} {why}", details={"index": index})


def _dtype(found: Any) -> str:
    import numpy as np

    try:
        return str(np.asarray(found).dtype)
    except (ValueError, TypeError, RuntimeError):
        return ""  # what it is, is refused with a better word in a moment
