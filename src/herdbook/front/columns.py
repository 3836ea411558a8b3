"""Columns of files as they are read: piece by piece, whatever the file is."""

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from herdbook.core.checking import Form
from herdbook.errors import Invalid, MissingExtra, Unavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXTRA: Final = "parquet"
# All of pyarrow's own errors are one of the first three, or of the system's.
_UNREADABLE: Final = (
    ValueError, KeyError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file.

    Args:
        name: unique in the file.
        form: what it can be compared as; None where it cannot, or where it is empty so far.
        why: why it cannot, or "".
    """

    name: str
    form: Form | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Rows of an embedding, and how many were missing beside them."""

    rows: "NDArray[np.floating[Any]]"
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of some columns.

    Args:
        values: by column: an array of float64 with NaN for what is missing, pairs of a category
            (None: missing) and its count, or `Vectors`.
        size_bytes: how much of the file was read for them, about.
    """

    values: Mapping[str, Any]
    size_bytes: int


class Table(Protocol):
    """A file with columns.

    Args:
        name: of the file, without its folder.
        columns: in its order.
        size_bytes: of the file.
        apart: whether a column can be read without the others.
    """

    name: str
    columns: tuple[Column, ...]
    size_bytes: int
    apart: bool

    def pieces(self, forms: Mapping[str, Form]) -> Iterator[Piece]:
        """Read some columns from the beginning, each as what it is said to be."""


def read_bytes(reference: Path, current: Path) -> int:
    """About how many bytes a check reads: the reference twice; 0 of what is not there."""
    one, two = (path.stat().st_size if path.is_file() else 0 for path in (reference, current))
    return 2 * one + two


@contextlib.contextmanager
def needed() -> Iterator[None]:
    """Say which extra brings what the imports inside do not find, MissingExtra."""
    try:
        yield
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in {"numpy", "pyarrow"}:
            raise
        raise MissingExtra(
            f"to read columns of files needs {name}: pip install 'herdbook[{EXTRA}]'"
        ) from None


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell in a sentence what pyarrow or the system did not like about a file."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"cannot read {path.name}: {error.strerror or _first(error)}") from error
    except _UNREADABLE as error:
        raise Invalid(f"cannot read {path.name}: {_first(error)}", field="file") from error


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]
