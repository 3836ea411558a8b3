"""Arrays of NumPy as columns, read piece by piece and without unpickling anything."""

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from herdbook.core.checking import Form
from herdbook.errors import Invalid
from herdbook.front.columns import Column, Piece, Vectors, told

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PIECE_BYTES: Final = 1 << 20
# What the one array of a .npy is called.
ONE: Final = "values"


class ArrayTable:
    """A .npy with one array called `values`, or a .npz with several.

    Arrays of one dimension are columns, those of two are embeddings, a vector a row.
    """

    apart = True

    def __init__(self, path: Path, categorical: frozenset[str]) -> None:
        self._path, self.name = path, path.name
        self.size_bytes = path.stat().st_size
        self._members = self._found()
        self.columns = tuple(self._column(name, categorical) for name in self._members)

    def _found(self) -> dict[str, str]:
        if self._path.suffix.lower() == ".npy":
            return {ONE: ""}
        with zipfile.ZipFile(self._path) as file:
            names = file.namelist()
        return {name.removesuffix(".npy"): name for name in names if name.endswith(".npy")}

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        if not self._members[name]:
            with self._path.open("rb") as source:
                yield source
            return
        with zipfile.ZipFile(self._path) as file, file.open(self._members[name]) as member:
            yield member

    def _column(self, name: str, categorical: frozenset[str]) -> Column:
        with self._opened(name) as source:
            shape, fortran, dtype = _header(source)
        if dtype.kind in "Mm":
            return Column(name, None, f"it holds times ({dtype}), which move by themselves")
        if dtype.kind not in "biufUS":
            return Column(name, None, f"it holds {dtype}, neither numbers nor categories"[:200])
        if len(shape) == 2 and dtype.kind == "f" and not fortran and shape[1]:
            return Column(name, Form.EMBEDDING)
        if len(shape) != 1:
            order = " in Fortran's order" if fortran else ""
            return Column(name, None, f"it is of shape {shape} and {dtype}{order}, no column")
        named = dtype.kind in "bUS" or name in categorical
        return Column(name, Form.CATEGORICAL if named else Form.NUMERIC)

    def pieces(self, forms: Mapping[str, Form]) -> Iterator[Piece]:
        """Read some arrays, one after the other."""
        share = self.size_bytes / max(1, len(self.columns))
        for name, form in forms.items():
            with told(self._path), self._opened(name) as source:
                shape, _, dtype = _header(source)
                rows, width = shape[0], math.prod(shape[1:])
                at_once = max(1, _PIECE_BYTES // max(1, dtype.itemsize * width))
                for begin in range(0, rows, at_once):
                    number = min(at_once, rows - begin)
                    raw = source.read(number * dtype.itemsize * width)
                    if len(raw) != number * dtype.itemsize * width:
                        raise Invalid(f"{self.name} ends within {name}; it is not whole")
                    found = _numbers(raw, dtype).reshape(number, *shape[1:])
                    yield Piece({name: _as(found, form)}, int(share * number / rows))


def _header(source: IO[bytes]) -> "tuple[tuple[int, ...], bool, np.dtype[Any]]":
    from numpy.lib import format as npy

    version = npy.read_magic(source)
    if version == (1, 0):
        return npy.read_array_header_1_0(source)
    if version == (2, 0):
        return npy.read_array_header_2_0(source)
    raise ValueError(f"arrays of version {version[0]}.{version[1]} are not read here")


def _numbers(raw: bytes, dtype: "np.dtype[Any]") -> "NDArray[Any]":
    import numpy as np

    return np.frombuffer(raw, dtype=dtype)


def _as(found: "NDArray[Any]", form: Form) -> Any:
    import numpy as np

    if form is Form.EMBEDDING:
        return Vectors(found)
    if form is Form.NUMERIC:
        return found.astype(np.float64)
    names, counts = np.unique(found, return_counts=True)
    texts = names.astype(str).tolist() if names.dtype.kind != "S" else _decoded(names)
    # pyarrow writes true and false, so both files agree.
    words = [text.lower() if found.dtype.kind == "b" else text for text in texts]
    return list(zip(words, counts.tolist(), strict=True))


def _decoded(names: "NDArray[Any]") -> list[str]:
    return [raw.decode("utf-8", "replace") for raw in names.tolist()]
