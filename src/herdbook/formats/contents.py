"""What is known of a file after looking into it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor as its file declares it.

    Args:
        shape: outermost dimension first.
        start: where its bytes begin, in `file` or in the file it was found in.
        end: where they end; equal to `start` when they do not lie there as one run.
        file: the path of the file that holds the bytes, when that is another one.
        digest: `blake3:…` of those bytes, or "" where they were not read.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int
    file: str = ""
    digest: str = ""

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is in a file, or in all files of a version.

    Args:
        format: the family the bytes belong to (`safetensors`, `gguf`, `pickle`, …), "unknown"
            when they belong to none that is known here.
        architecture: the class or family of the model, in the words of the file.
        parameters: how many numbers its tensors hold; 0 where the file does not tell.
        dtypes: how many of them have which type.
        quantization: the scheme, or "".
        labels: the classes a classifier tells apart, by index.
        executable: why loading it can run code; empty when nothing here says so.
        external: what it refers to outside of itself: paths, addresses, modules.
        warnings: what is odd, or was not looked at.
        details: further facts as JSON values, by format.
    """

    format: str
    architecture: str = ""
    parameters: int = 0
    dtypes: Mapping[str, int] = field(default_factory=dict)
    quantization: str = ""
    labels: tuple[str, ...] = ()
    licence: str = ""
    tensors: tuple[Tensor, ...] = ()
    executable: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def parameters_by_dtype(tensors: Iterable[Tensor]) -> dict[str, int]:
    """Count parameters by type, the most frequent type first."""
    found: Counter[str] = Counter()
    for tensor in tensors:
        found[tensor.dtype] += tensor.parameters
    return dict(found.most_common())
