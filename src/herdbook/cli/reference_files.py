"""Columns of files that references are made of, row by row as they are there.

A reference wants its values in the order in which they came, and those of several columns beside
one another; CSV and nothing else works without any extra.
"""

import csv
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

from herdbook.core.wire import time_value
from herdbook.errors import Invalid, MissingExtra, NotFound

TEXT: Final = {".csv": ",", ".tsv": "\t"}
PARQUET: Final = frozenset({".parquet", ".pq"})
ARRAYS: Final = frozenset({".npy", ".npz"})
# What the one array of a .npy is called.
ONE: Final = "prediction"
_MISSING: Final = frozenset({"", "nan", "null", "none", "na", "n/a"})
_TRUE: Final = frozenset({"true", "1", "1.0", "yes"})
_FALSE: Final = frozenset({"false", "0", "0.0", "no"})
_HOUR: Final = 3_600
_SHOWN: Final = 20

Column = Sequence[Any]


class Columns:
    """The columns of a file.

    Args:
        path: .csv, .tsv, .parquet, .npy or .npz.

    Raises:
        Invalid: it has another ending, or cannot be read as what it ends with.
        MissingExtra: what reads it is not installed.
        NotFound: there is no such file.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise Invalid(f"{path.name!r:.200} is a folder, not a file", field="file")
        if not path.is_file():
            raise NotFound(f"there is no file {path.name!r:.200}", field="file")
        self.name = path.name
        self._columns = _read(path)

    @property
    def names(self) -> list[str]:
        """What the columns are called."""
        return list(self._columns)

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else self._listed()
            raise Invalid(f"{self.name} has no column {name!r:.80}; {hint}", field="file")
        return self._columns[name]

    def _listed(self) -> str:
        more = len(self.names) - _SHOWN
        return f"it has {', '.join(self.names[:_SHOWN])}" + (
            f" and {more} more" if more > 0 else ""
        )

    def numbers(self, name: str) -> list[float] | None:
        """Give a column as numbers, NaN for what is missing; None when it holds texts.

        Raises:
            Invalid: it holds lists, or most of it is numbers and some is not.
        """
        found: list[float] = []
        others: list[tuple[int, Any]] = []
        for at, value in enumerate(self[name], 1):
            try:
                found.append(_number(value))
            except (TypeError, ValueError):
                others.append((at, value))
        if not others:
            return found
        _refuse_mixed(name, sum(map(math.isfinite, found)), others)
        return None

    def texts(self, name: str) -> list[str | None]:
        """Give a column as categories, None for what is missing."""
        return [_text(value) for value in self[name]]

    def truths(self, name: str) -> list[bool | None]:
        """Give a column of yes and no, None for what is missing.

        Raises:
            Invalid: something else is there.
        """
        return [self._truth(name, at, value) for at, value in enumerate(self[name], 1)]

    def _truth(self, name: str, at: int, value: object) -> bool | None:
        text = (_text(value) or "").lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if text:
            raise Invalid(
                f"{name} says {text!r:.40} in row {at}; it must be true or false, or 1 or 0",
                field="correct",
            )
        return None

    def hours(self, name: str) -> list[int]:
        """Give a column of times as hours since 1970, UTC.

        Raises:
            Invalid: something else is there, or nothing.
        """
        return [self._hour(name, at, value) for at, value in enumerate(self[name], 1)]

    def _hour(self, name: str, at: int, value: Any) -> int:
        if hasattr(value, "timestamp"):
            return int(value.timestamp()) // _HOUR
        with suppress(TypeError, ValueError, OverflowError):
            return int(float(value)) // _HOUR
        try:
            return int(time_value(str(value), field=name).timestamp()) // _HOUR
        except Invalid as wrong:
            raise Invalid(f"row {at}: {wrong.message}, or seconds since 1970", field="at") from None


def _refuse_mixed(name: str, count: int, others: Sequence[tuple[int, Any]]) -> None:
    """Refuse a column that was meant as numbers: as categories each of them would be its own."""
    at, value = others[0]
    if isinstance(value, list | dict):
        raise Invalid(
            f"{name} holds vectors: watch a number made of each, such as its norm; "
            "`herdbook drift check` compares vectors themselves",
            field="file",
        )
    if count > len(others):
        raise Invalid(
            f"{name} holds {count:,} numbers, and {value!r:.40} in row {at}: leave it empty where "
            f"there is none, or say --categorical {name} if all of them are names",
            field="file",
        )


def _number(value: Any) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in _MISSING):
        return math.nan
    return float(value)


def _text(value: object) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = " ".join(str(value).split())
    return None if text.lower() in _MISSING else text


def _read(path: Path) -> Mapping[str, Column]:
    ending = path.suffix.lower()
    if ending in TEXT:
        return _from_text(path, TEXT[ending])
    if ending in PARQUET:
        return _from_parquet(path)
    if ending in ARRAYS:
        return _from_arrays(path)
    endings = ", ".join([*TEXT, ".parquet", *sorted(ARRAYS)])
    raise Invalid(f"{path.name} ends in none of {endings}", field="file")


def _from_text(path: Path, comma: str) -> Mapping[str, Column]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=comma)
        try:
            heads = next(rows, [])
            values = list(rows)
        except UnicodeDecodeError as error:
            raise Invalid(
                f"{path.name} cannot be read as text: it is not UTF-8 (byte "
                f"0x{error.object[error.start]:02x}); save it as UTF-8",
                field="file",
            ) from None
        except csv.Error as error:
            raise Invalid(f"{path.name} cannot be read as text: {error}", field="file") from None
    _check_heads(heads, path)
    # An empty line ends a file, or stands where one column has nothing.
    rows_there = [row for row in values if row or len(heads) == 1]
    for at, row in enumerate(rows_there, 2):
        if len(row) != len(heads) and row:
            raise Invalid(
                f"{path.name} has {len(heads)} columns but {len(row)} values in line {at}",
                field="file",
            )
    return {head: [row[at] if row else "" for row in rows_there] for at, head in enumerate(heads)}


def _check_heads(heads: Iterable[str], path: Path) -> None:
    named = list(heads)
    if not any(named):
        raise Invalid(f"{path.name} is empty: its first line names the columns", field="file")
    twice = [head for head in dict.fromkeys(named) if named.count(head) > 1]
    if twice:
        raise Invalid(f"{path.name} has several columns called {twice[0]!r:.80}", field="file")


def _from_parquet(path: Path) -> Mapping[str, Column]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise _missing("pyarrow", "Parquet") from None
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_heads(names, path)
            table = file.read()
        return _LazyColumns({name: table.column(at) for at, name in enumerate(names)})
    except (pa.ArrowException, OSError) as error:
        raise Invalid(f"{path.name} is no Parquet: {_first(error)}", field="file") from None


class _LazyColumns(Mapping[str, Column]):
    """Columns of Arrow that become lists of Python when they are wanted."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = columns

    def __getitem__(self, name: str) -> Column:
        found: Column = self._columns[name].to_pylist()
        return found

    def __iter__(self) -> Any:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _from_arrays(path: Path) -> Mapping[str, Column]:
    try:
        import numpy as np
    except ImportError:
        raise _missing("NumPy", path.suffix) from None
    try:
        with path.open("rb") as file:
            # Never pickles: they could do anything.
            loaded = np.load(file, allow_pickle=False)
            arrays = {ONE: loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise Invalid(f"{path.name} cannot be read: {_first(error)}", field="file") from None
    lengths = {name: array.shape for name, array in arrays.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {shape}" for name, shape in lengths.items())
        raise Invalid(
            f"{path.name} holds {told}; a reference is made of arrays of one dimension and of the "
            "same length",
            field="file",
        )
    return {name: array.tolist() for name, array in arrays.items()}


def _missing(package: str, kind: str) -> MissingExtra:
    return MissingExtra(
        f"to read {kind} needs {package}: pip install 'herdbook[parquet]'; CSV is read without"
    )


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]
