"""PyTorch's files: the tensors a pickle describes, without torch and without unpickling.

Reference: github.com/pytorch/pytorch, torch/serialization.py.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from herdbook.errors import Invalid
from herdbook.formats import pickles
from herdbook.formats.contents import Contents, Tensor, parameters_by_dtype
from herdbook.formats.pickles import Pickle
from herdbook.formats.reading import Reader, exactly, shown
from herdbook.formats.symbols import Call, Global, Persistent

MAGIC_NUMBER: Final = 0x1950A86A20F9469CFC6C
TENSORS_LIMIT: Final = 100_000
_DEPTH_LIMIT: Final = 32
_NODES_LIMIT: Final = 1_000_000
_LEGACY_PICKLES: Final = 5
_COUNT: Final = struct.Struct("<q")
_STORAGES: Final = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
}
_BYTES: Final = {
    **dict.fromkeys(("float64", "int64", "complex64", "uint64"), 8),
    **dict.fromkeys(("float32", "int32", "qint32", "uint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "qint8", "quint8"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), 1),
    "complex128": 16,
}
_TENSORS: Final = frozenset(
    {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"}
)


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str
    length: int


Place = Callable[[str], tuple[int, int] | None]
"""Where the bytes of a storage lie, by its key; None when they do not lie there as they are."""


def is_legacy(found: Pickle) -> bool:
    """Say whether a file begins as torch wrote them before 1.6."""
    return found.complete and found.result == MAGIC_NUMBER


def tensors(result: Any, place: Place) -> tuple[Tensor, ...]:
    """Give the tensors in what a pickle would build, by their path in it.

    Raises:
        Invalid: one of them reaches beyond its storage.
    """
    found: dict[str, Tensor] = {}
    for name, call in _calls(result):
        found.setdefault(name, _tensor(name, call, place))
        if len(found) > TENSORS_LIMIT:
            raise Invalid(f"it has over {TENSORS_LIMIT:,} tensors")
    return tuple(found.values())


def _calls(result: Any) -> Iterator[tuple[str, Call]]:
    """Walk nested values; what is reached twice counts once, so that circles end."""
    waiting: list[tuple[str, Any, int]] = [("", result, 0)]
    met: set[int] = set()
    nodes = 0
    while waiting and nodes < _NODES_LIMIT:
        name, value, depth = waiting.pop()
        nodes += 1
        if isinstance(value, Call) and _rebuilds(value, {"_rebuild_parameter"}):
            value = value.arguments[0]
        if isinstance(value, Call) and _rebuilds(value, _TENSORS):
            yield name, value  # two names of one tensor are two entries of the file
            continue
        if depth > _DEPTH_LIMIT or id(value) in met:
            continue
        met.add(id(value))
        inner = [(_joined(name, key), one, depth + 1) for key, one in _inside(value)]
        waiting += inner[::-1]


def _joined(name: str, key: object) -> str:
    return f"{name}.{key}"[:1_000] if name else f"{key}"[:1_000]


def _inside(value: Any) -> list[tuple[object, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, Call):
        state = _inside(value.state) if value.state is not None else []
        return [*value.items.items(), *state]
    return []


def _rebuilds(call: Call, names: frozenset[str] | set[str]) -> bool:
    function = call.function
    fits = isinstance(function, Global) and function.module == "torch._utils"
    return (
        fits
        and function.name in names
        and isinstance(call.arguments, tuple)
        and bool(call.arguments)
    )


def _tensor(name: str, call: Call, place: Place) -> Tensor:
    storage = _storage(name, call.arguments[0])
    offset, shape, strides = (*call.arguments[1:4], None, None, None)[:3]
    if not _whole(offset) or not _lengths(shape) or not _lengths(strides):
        raise Invalid(f"the tensor {shown(name)} is described by {shown(call.arguments[1:4])}")
    dtype = storage.dtype
    if call.function.name == "_rebuild_tensor_v3" and len(call.arguments) > 6:
        dtype = str(getattr(call.arguments[6], "name", dtype))
    width = _BYTES.get(dtype, 0)
    made = Tensor(name=name, dtype=dtype, shape=shape, start=0, end=0)
    span = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=False)) if all(shape) else 0
    held = storage.length * _BYTES.get(storage.dtype, 0)
    if width and len(strides) == len(shape) and (offset + span) * width > held:
        raise Invalid(
            f"the tensor {shown(name)} reaches to byte {(offset + span) * width:,} of its "
            f"storage of {held:,}"
        )
    return _placed(made, storage, place, offset=offset * width, length=span * width)


def _placed(made: Tensor, storage: _Storage, place: Place, *, offset: int, length: int) -> Tensor:
    at = place(storage.key)
    if at is None or not length:
        return made
    start, end = at
    if start + offset + length > end:
        raise Invalid(
            f"the tensor {shown(made.name)} takes bytes up to {offset + length:,} of the storage "
            f"{shown(storage.key)}, which has {end - start:,}"
        )
    return Tensor(
        name=made.name,
        dtype=made.dtype,
        shape=made.shape,
        start=start + offset,
        end=start + offset + length,
    )


def _storage(name: str, said: Any) -> _Storage:
    id = said.id if isinstance(said, Persistent) else None
    if not isinstance(id, tuple) or len(id) < 5 or id[0] != "storage" or not _whole(id[4]):
        raise Invalid(f"the tensor {shown(name)} names no storage")
    kind = id[1].name if isinstance(id[1], Global) else ""
    return _Storage(str(id[2])[:200], _STORAGES.get(kind, kind), id[4])


def _whole(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _lengths(value: object) -> bool:
    return isinstance(value, tuple) and len(value) <= 64 and all(map(_whole, value))


def read_legacy(reader: Reader, found: Pickle) -> Contents:
    """Describe a file of torch before 1.6: five pickles in a row, then the storages."""
    row = list(pickles.row(reader, found))
    known: tuple[Tensor, ...] = ()
    warnings = ["written by torch before 1.6"]
    if len(row) >= _LEGACY_PICKLES:
        model, keys = row[3].result, row[4].result
        places = _legacy_places(reader, row[4].end, model, keys)
        known = tensors(model, places.get)
    else:
        warnings.append("it is broken off, or not as torch writes them")
    more, left_out = pickles.hidden(reader, start=row[-1].end)
    return described(known, row + more, warnings=[*warnings, left_out], kind="torch-legacy")


def _legacy_places(
    reader: Reader, at: int, model: Any, keys: Any
) -> dict[str, tuple[int, int] | None]:
    widths = {}
    for name, call in _calls(model):
        storage = _storage(name, call.arguments[0])
        widths[storage.key] = _BYTES.get(storage.dtype, 0)
    places: dict[str, tuple[int, int] | None] = {}
    for key in keys if isinstance(keys, list) else []:
        (count,) = _COUNT.unpack(exactly(reader, at, 8, of=f"the storage {shown(key)}"))
        width = widths.get(str(key), 0)
        if count < 0 or not width or at + 8 + count * width > reader.size:
            raise Invalid(f"the storage {shown(key)} is said to hold {count:,} numbers")
        places[str(key)] = (at + 8, at + 8 + count * width)
        at += 8 + count * width
    return places


def described(
    known: tuple[Tensor, ...], found: list[Pickle], *, warnings: list[str], kind: str
) -> Contents:
    """Describe a file of torch by its tensors and its pickles."""
    dtypes = parameters_by_dtype(known)
    return Contents(
        format=kind,
        parameters=sum(dtypes.values()),
        dtypes=dtypes,
        tensors=known,
        executable=pickles.reasons(found),
        warnings=tuple(text for text in warnings if text),
        details={"imports": pickles.imports(found)},
    )
