"""How the vectors of a text's tokens become one vector."""

from collections.abc import Callable
from typing import Any, Final


def pooled(tokens: Any, mask: Any, *, how: str) -> Any:
    """Make one vector of each text's.

    Args:
        tokens: shape (texts, length, dimension).
        mask: shape (texts, length): 1 for a token of the text, 0 for what fills up.
        how: one of `POOLINGS`.

    Returns:
        Shape (texts, dimension), float32.
    """
    import numpy as np

    return POOLINGS[how](tokens.astype(np.float32, copy=False), mask)


def _mean(tokens: Any, mask: Any) -> Any:
    import numpy as np

    weights = mask.astype(np.float32)
    # A matrix product for each text: it makes no second array of the size of `tokens`.
    sums = np.matmul(weights[:, None, :], tokens)[:, 0, :]
    return sums / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)


def _cls(tokens: Any, mask: Any) -> Any:
    import numpy as np

    return tokens[np.arange(len(tokens)), mask.argmax(axis=1)]


def _max(tokens: Any, mask: Any) -> Any:
    import numpy as np

    return np.where(mask[:, :, None] > 0, tokens, np.float32(-np.inf)).max(axis=1)


POOLINGS: Final[dict[str, Callable[[Any, Any], Any]]] = {"cls": _cls, "max": _max, "mean": _mean}
