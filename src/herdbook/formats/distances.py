"""How far a tensor moved: the relative Euclidean distance, in constant memory.

NumPy is optional here: without it nothing can be told.
"""

import math
from importlib import util
from typing import Any, Final

from herdbook.formats.contents import Tensor
from herdbook.formats.reading import CHUNK_BYTES, Reader, exactly

LEFT_OUT: Final = "how far tensors moved was left out: it takes `pip install 'herdbook[formats]'`"

# Every name a format gives a type that is read here, and the type as NumPy writes it. BF16 is
# none of NumPy's: it is the upper half of a float32.
_BF16: Final = "bf16"
_TYPES: Final = {
    **dict.fromkeys(("F16", "float16", "FLOAT16", "<f2"), "<f2"),
    **dict.fromkeys(("F32", "float32", "FLOAT", "<f4"), "<f4"),
    **dict.fromkeys(("F64", "float64", "DOUBLE", "<f8"), "<f8"),
    **dict.fromkeys(("BF16", "bfloat16", "BFLOAT16"), _BF16),
}
_WIDTHS: Final = {"<f2": 2, "<f4": 4, "<f8": 8, _BF16: 2}


def can_tell(old: Tensor, new: Tensor) -> bool:
    """Whether two tensors are numbers of one floating-point type and shape, each in one run."""
    kind = _TYPES.get(old.dtype, "")
    size = old.parameters * _WIDTHS.get(kind, 0)
    return (
        bool(size)
        and (old.dtype, old.shape) == (new.dtype, new.shape)
        and old.end - old.start == new.end - new.start == size
    )


def available() -> bool:
    """Whether NumPy is there."""
    return util.find_spec("numpy") is not None


def distance(old: tuple[Reader, Tensor], new: tuple[Reader, Tensor]) -> float | None:
    """Give the Euclidean norm of `new - old` over that of `old`, read 1 MiB at a time.

    Both are tensors of which `can_tell` is true, each with the file its bytes are in; NumPy is
    available.

    Returns:
        0 for equal numbers; None where `old` is all zeros, or a number is NaN or infinite.
    """
    import numpy as np

    (reader, before), (other, after) = old, new
    kind = _TYPES[before.dtype]
    moved = norm = 0.0
    for at in range(0, before.end - before.start, CHUNK_BYTES):
        length = min(CHUNK_BYTES, before.end - before.start - at)
        one = _numbers(exactly(reader, before.start + at, length, of="a tensor"), kind)
        two = _numbers(exactly(other, after.start + at, length, of="a tensor"), kind)
        with np.errstate(all="ignore"):
            norm += float(np.dot(one, one))
            two -= one
            moved += float(np.dot(two, two))
    found = math.sqrt(moved / norm) if norm > 0 and math.isfinite(norm + moved) else None
    return found if found is None or math.isfinite(found) else None


def _numbers(data: bytes, kind: str) -> Any:
    import numpy as np

    if kind == _BF16:
        halves = np.frombuffer(data, "<u2").astype("<u4") << 16
        return halves.view("<f4").astype(np.float64)
    return np.frombuffer(data, kind).astype(np.float64)
