"""Columns of files, read piece by piece: Parquet and CSV by pyarrow, arrays of NumPy."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from herdbook.core.checking import Form
from herdbook.errors import Invalid, NotFound
from herdbook.front.arrays import ArrayTable
from herdbook.front.columns import Column, Piece, Table, Vectors, needed, told

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Rows that are in memory at a time: a megabyte a column.
ROWS: Final = 1 << 17
# No row may be longer. Of larger ones the allocator keeps more, and now more, now less.
_BLOCK_BYTES: Final = 1 << 19
_BUFFER_BYTES: Final = 1 << 20
# A category's name is cut there: a column of long texts shall not fill the memory.
_NAME_LENGTH: Final = 200
_LISTS: Final = 1_000
ENDINGS: Final = (".parquet", ".pq", ".csv", ".tsv", ".csv.gz", ".tsv.gz", ".npy", ".npz")


def opened(path: Path, *, categorical: Sequence[str] = ()) -> Table:
    """Open a file by its ending.

    Args:
        path: .parquet, .csv, .tsv (these also .gz), .npy or .npz.
        categorical: columns of numbers that are names of something.

    Raises:
        Invalid: it has another ending, or cannot be read as what it ends with.
        MissingExtra: pyarrow or numpy is not installed.
        NotFound: there is no such file.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path.name!r} in {str(path.parent)!r}")
    kinds: dict[str, Callable[[Path, frozenset[str]], Table]] = {
        ".parquet": ParquetTable, ".pq": ParquetTable, ".csv": TextTable, ".tsv": TextTable,
        ".npy": ArrayTable, ".npz": ArrayTable,
    }  # fmt: skip
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    kind = kinds.get(endings[-1]) if endings else None
    zipped = path.suffix.lower() == ".gz"
    if kind is None or (zipped and kind is not TextTable):
        raise Invalid(f"{path.name} ends in none of {', '.join(ENDINGS)}", field="file")
    with needed(), told(path):
        return kind(path, frozenset(categorical))


def _unique(path: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"{path.name} has several columns called {twice[0]!r:.80}", field="file")


class ParquetTable:
    """A Parquet file; each column is read alone, its pages as they come."""

    apart = True

    def __init__(self, path: Path, categorical: frozenset[str]) -> None:
        from pyarrow import parquet

        self._path, self.name = path, path.name
        self.size_bytes = path.stat().st_size
        with parquet.ParquetFile(path) as file:
            self._metadata = file.metadata
            schema = file.schema_arrow
            _unique(path, schema.names)
            peeked = _fixed_lists(file, schema)
        self.columns = tuple(_column(field, categorical, peeked) for field in schema)

    def pieces(self, forms: Mapping[str, Form]) -> Iterator[Piece]:
        """Read some columns."""
        from pyarrow import parquet

        rows = max(1, self._metadata.num_rows)
        share = self.size_bytes * len(forms) / max(1, len(self.columns)) / rows
        # Without buffering ahead, which would hold whole row groups.
        with (
            told(self._path),
            parquet.ParquetFile(
                self._path, metadata=self._metadata, pre_buffer=False, buffer_size=_BUFFER_BYTES
            ) as file,
        ):
            batches = file.iter_batches(
                batch_size=_rows(forms), columns=list(forms), use_threads=len(forms) > 1
            )
            for batch in batches:
                yield Piece(_values(batch, forms), int(batch.num_rows * share))


class TextTable:
    """A CSV file with a head; its columns are read together."""

    apart = False

    def __init__(self, path: Path, categorical: frozenset[str]) -> None:
        self._path, self.name = path, path.name
        self.size_bytes = path.stat().st_size
        if not self.size_bytes:
            raise Invalid(f"{path.name} is empty: its first line names the columns", field="file")
        with self._reader({}) as (reader, _):
            schema = reader.schema
        _unique(path, schema.names)
        self.columns = tuple(_column(field, categorical, {}) for field in schema)

    def pieces(self, forms: Mapping[str, Form]) -> Iterator[Piece]:
        """Read some columns."""
        with told(self._path), self._reader(forms) as (reader, source):
            before = 0
            for batch in reader:
                at = source.tell()
                yield Piece(_values(batch, forms), at - before)
                before = at

    @contextlib.contextmanager
    def _reader(self, forms: Mapping[str, Form]) -> Iterator[tuple[Any, Any]]:
        import pyarrow as pa
        from pyarrow import csv

        types = {
            name: pa.float64() if form is Form.NUMERIC else pa.string()
            for name, form in forms.items()
        }
        comma = "\t" if ".tsv" in [ending.lower() for ending in self._path.suffixes] else ","
        with self._path.open("rb") as source:
            stream: Any = pa.PythonFile(source, mode="r")
            if self._path.suffix.lower() == ".gz":
                stream = pa.CompressedInputStream(stream, "gzip")
            reader = csv.open_csv(
                stream,
                read_options=csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
                parse_options=csv.ParseOptions(delimiter=comma, newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    column_types=types, include_columns=list(forms), strings_can_be_null=True
                ),
            )
            with reader:
                yield reader, source


def _rows(forms: Mapping[str, Form]) -> int:
    # Vectors are wide, and only a sample of them is kept.
    return ROWS >> 7 if Form.EMBEDDING in forms.values() else ROWS


def _column(field: Any, categorical: frozenset[str], peeked: Mapping[str, str]) -> Column:
    from pyarrow import types

    kind = field.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    form, why = None, ""
    if number and field.name not in categorical:
        form = Form.NUMERIC
    elif number or types.is_boolean(kind) or _is_text(kind):
        form = Form.CATEGORICAL
    elif types.is_temporal(kind):
        why = f"it holds times ({kind}), which move by themselves"
    elif field.name in peeked:
        why = peeked[field.name]
        form = None if why else Form.EMBEDDING
    elif not types.is_null(kind):
        why = f"it holds {kind}, neither numbers nor categories"[:200]
    return Column(field.name, form, why)


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _fixed_lists(file: Any, schema: Any) -> dict[str, str]:
    """The columns of lists of numbers, and why they are no vectors, or ""."""
    from pyarrow import types

    found = {}
    for field in schema:
        kind = field.type
        fixed = types.is_fixed_size_list(kind)
        listed = fixed or types.is_list(kind) or types.is_large_list(kind)
        if not listed or not types.is_floating(kind.value_type):
            continue
        lengths = {kind.list_size} if fixed else _lengths(file, field.name)
        several = f"its lists are of {len(lengths)} lengths, so they are no vectors"
        found[field.name] = "" if len(lengths - {0}) == 1 and len(lengths) == 1 else several
    return found


def _lengths(file: Any, name: str) -> set[int]:
    from pyarrow import compute

    for batch in file.iter_batches(batch_size=_LISTS, columns=[name]):
        return set(compute.list_value_length(batch.column(0)).drop_null().to_pylist())
    return set()


def _values(batch: Any, forms: Mapping[str, Form]) -> dict[str, Any]:
    made: dict[Form, Callable[[Any], Any]] = {
        Form.NUMERIC: _numbers, Form.CATEGORICAL: _categories, Form.EMBEDDING: _vectors,
    }  # fmt: skip
    return {name: made[form](batch.column(name)) for name, form in forms.items()}


def _numbers(array: Any) -> "NDArray[np.float64]":
    import pyarrow as pa
    from pyarrow import compute, types

    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.type != pa.float64():
        array = compute.cast(array, pa.float64(), safe=False)
    found: NDArray[np.float64] = array.to_numpy(zero_copy_only=False)
    return found


def _categories(array: Any) -> list[tuple[str | None, int]]:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    counted = array.value_counts()
    names = counted.field(0)
    if _is_text(names.type):
        # Not every program writes UTF-8 where it says so.
        texts = [None if raw is None else raw[: 4 * _NAME_LENGTH].decode("utf-8", "replace")
                 for raw in names.cast(pa.large_binary()).to_pylist()]  # fmt: skip
    else:
        texts = names.cast(pa.string()).to_pylist()
    clipped = (None if text is None else text[:_NAME_LENGTH] for text in texts)
    return list(zip(clipped, counted.field(1).to_pylist(), strict=True))


def _vectors(array: Any) -> Vectors:
    import numpy as np
    from pyarrow import compute

    there = array.drop_null()
    lengths = set(compute.list_value_length(there).unique().to_pylist())
    if len(lengths) > 1:
        raise Invalid(f"vectors of {len(lengths)} lengths are in one column; leave it out")
    numbers = compute.list_flatten(there).to_numpy(zero_copy_only=False)
    rows = np.asarray(numbers).reshape(len(there), -1) if len(there) else np.empty((0, 0))
    return Vectors(rows, array.null_count)
