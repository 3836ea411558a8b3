"""GGUF: typed key-value pairs, tensor infos, then the tensors, each on its alignment.

Reference: github.com/ggml-org/ggml, docs/gguf.md.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from herdbook.errors import Invalid
from herdbook.formats.contents import Contents, Tensor, parameters_by_dtype
from herdbook.formats.reading import Cursor, Reader, shown

MAGIC: Final = b"GGUF"
HEADER_BYTES_LIMIT: Final = 128 * 2**20
PAIRS_LIMIT: Final = 4_096
TENSORS_LIMIT: Final = 200_000
TEXTS_LIMIT: Final = 1_000_000
KEY_BYTES_LIMIT: Final = 65_535
DIMENSIONS_LIMIT: Final = 8
_TEMPLATE: Final = "tokenizer.chat_template"
_KEPT_TEXT_BYTES: Final = 1_000
_KEPT_TEMPLATE_BYTES: Final = 64 * 2**10
_KEPT_ITEMS: Final = 16
_TEXT, _ARRAY = 8, 9
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"} | {
    10: "Q",
    11: "q",
    12: "d",
}
# Type: its name, how many numbers a block holds, and the bytes of a block.
TYPES: Final = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    30: ("BF16", 1, 2),
    28: ("F64", 1, 8),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    39: ("MXFP4", 32, 17),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
}
_PLAIN: Final = frozenset({"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64"})


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The structs of one byte order."""

    u32: struct.Struct
    u64: struct.Struct
    scalars: Mapping[int, struct.Struct]

    @classmethod
    def of(cls, order: str) -> "_Numbers":
        scalars = {kind: struct.Struct(order + code) for kind, code in _SCALARS.items()}
        return cls(struct.Struct(order + "I"), struct.Struct(order + "Q"), scalars)


def read(reader: Reader) -> Contents:
    """Read the key-value pairs and the tensor infos; of arrays, the length and the first items.

    Raises:
        Invalid: a count, a length or an offset does not fit the file.
    """
    end = min(reader.size, HEADER_BYTES_LIMIT)
    cursor = Cursor(reader, start=4, end=end, of="the header")
    version = cursor.take(4, "the version")
    order = "<" if version[1:] == b"\0\0\0" else ">"
    numbers = _Numbers.of(order)
    (number,) = numbers.u32.unpack(version)
    if number not in {2, 3}:
        raise Invalid(f"this is version {number} of GGUF; versions 2 and 3 are read")
    tensor_count = _count(cursor, numbers, "tensors", limit=TENSORS_LIMIT, least=24)
    pair_count = _count(cursor, numbers, "key-value pairs", limit=PAIRS_LIMIT, least=13)
    pairs = _pairs(cursor, numbers, pair_count)
    infos = [_info(cursor, numbers) for _ in range(tensor_count)]
    tensors = _tensors(infos, start=_aligned(cursor.position, pairs), size=reader.size)
    return _contents(number, pairs, tensors)


def _count(cursor: Cursor, numbers: _Numbers, what: str, *, limit: int, least: int) -> int:
    count: int = cursor.unpack(numbers.u64, f"the number of {what}")
    if count > limit or count * least > cursor.left:
        raise Invalid(
            f"the header is said to hold {count:,} {what}; "
            f"{min(limit, cursor.left // least):,} are possible"
        )
    return count


def _pairs(cursor: Cursor, numbers: _Numbers, count: int) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for _ in range(count):
        key = _name(cursor, numbers, "a key")
        kind = cursor.unpack(numbers.u32, f"the type of {shown(key)}")
        if key in pairs:
            raise Invalid(f"the key {shown(key)} is there twice")
        pairs[key] = _value(cursor, numbers, kind, key)
    return pairs


def _name(cursor: Cursor, numbers: _Numbers, what: str) -> str:
    length = cursor.unpack(numbers.u64, f"the length of {what}")
    if length > KEY_BYTES_LIMIT:
        raise Invalid(f"{what} at byte {cursor.position:,} is said to be {length:,} bytes long")
    try:
        return cursor.take(length, what).decode()
    except UnicodeDecodeError:
        raise Invalid(f"{what} at byte {cursor.position - length:,} is no UTF-8") from None


def _value(cursor: Cursor, numbers: _Numbers, kind: int, key: str) -> Any:
    if kind == _ARRAY:
        return _array(cursor, numbers, key)
    if kind == _TEXT:
        return _text(cursor, numbers, key)
    if kind not in numbers.scalars:
        raise Invalid(f"the key {shown(key)} has a value of the unknown type {kind}")
    return _finite(cursor.unpack(numbers.scalars[kind], shown(key)))


def _finite(value: Any) -> Any:
    """Give a number, None for what JSON has no word for."""
    return value if value - value == 0 else None


def _text(cursor: Cursor, numbers: _Numbers, key: str) -> str:
    length = cursor.unpack(numbers.u64, f"the length of {shown(key)}")
    cursor.refuse_beyond(length, shown(key))
    limit = _KEPT_TEMPLATE_BYTES if key == _TEMPLATE else _KEPT_TEXT_BYTES
    kept = cursor.take(min(length, limit))
    cursor.skip(length - len(kept))
    return kept.decode(errors="replace")


def _array(cursor: Cursor, numbers: _Numbers, key: str) -> dict[str, Any]:
    kind = cursor.unpack(numbers.u32, f"the type of the items of {shown(key)}")
    length = cursor.unpack(numbers.u64, f"the length of {shown(key)}")
    if kind == _TEXT:
        if length > TEXTS_LIMIT:
            raise Invalid(f"{shown(key)} is said to hold {length:,} texts")
        cursor.refuse_beyond(8 * length, shown(key))
        first = [_text(cursor, numbers, key)[:200] for _ in range(min(length, _KEPT_ITEMS))]
        _skip_texts(cursor, numbers, length - len(first), key)
    elif kind in numbers.scalars:
        form = numbers.scalars[kind]
        cursor.refuse_beyond(form.size * length, shown(key))
        first = [_finite(cursor.unpack(form)) for _ in range(min(length, _KEPT_ITEMS))]
        cursor.skip(form.size * (length - len(first)))
    else:
        raise Invalid(f"the array {shown(key)} has items of the unknown type {kind}")
    return {"length": length, "first": first}


def _skip_texts(cursor: Cursor, numbers: _Numbers, count: int, key: str) -> None:
    what = shown(key)
    for _ in range(count):
        cursor.skip(cursor.unpack(numbers.u64, what), what)


def _info(cursor: Cursor, numbers: _Numbers) -> tuple[Tensor, int]:
    """Give a tensor whose start is still relative, and the bytes it takes."""
    name = _name(cursor, numbers, "the name of a tensor")
    dimensions = cursor.unpack(numbers.u32, f"the dimensions of {shown(name)}")
    if dimensions > DIMENSIONS_LIMIT:
        raise Invalid(f"the tensor {shown(name)} is said to have {dimensions:,} dimensions")
    shape = tuple(cursor.unpack(numbers.u64) for _ in range(dimensions))
    kind, offset = cursor.unpack(numbers.u32), cursor.unpack(numbers.u64)
    if kind not in TYPES:
        raise Invalid(f"the tensor {shown(name)} has the unknown type {kind}")
    dtype, block, block_bytes = TYPES[kind]
    found = Tensor(name=name, dtype=dtype, shape=shape[::-1], start=offset, end=offset)
    # Blocks run along the innermost dimension, which GGUF writes first.
    if shape and shape[0] % block:
        raise Invalid(f"the rows of {shown(name)} are {shape[0]:,} long, no multiple of {block}")
    return found, found.parameters // block * block_bytes


def _aligned(position: int, pairs: Mapping[str, Any]) -> int:
    alignment = pairs.get("general.alignment", 32)
    if type(alignment) is not int or not 8 <= alignment <= 2**20 or alignment % 8:
        raise Invalid(f"general.alignment is {shown(alignment)}; it is a multiple of 8")
    return -(-position // alignment) * alignment


def _tensors(infos: list[tuple[Tensor, int]], *, start: int, size: int) -> tuple[Tensor, ...]:
    found: list[Tensor] = []
    reached, before, names = start, "", set()
    for tensor, length in sorted(infos, key=lambda info: info[0].start):
        begin = start + tensor.start
        if tensor.name in names:
            raise Invalid(f"the tensor {shown(tensor.name)} is there twice")
        if begin < reached:
            raise Invalid(f"the tensors {shown(before)} and {shown(tensor.name)} overlap")
        if begin + length > size:
            raise Invalid(
                f"the tensor {shown(tensor.name)} reaches to byte {begin + length:,}, "
                f"but the file ends at {size:,}"
            )
        reached, before = begin + length, tensor.name
        names.add(tensor.name)
        found.append(
            Tensor(
                name=tensor.name,
                dtype=tensor.dtype,
                shape=tensor.shape,
                start=begin,
                end=reached,
            )
        )
    return tuple(found)


def _contents(version: int, pairs: Mapping[str, Any], tensors: tuple[Tensor, ...]) -> Contents:
    dtypes = parameters_by_dtype(tensors)
    quantized = next((dtype for dtype in dtypes if dtype not in _PLAIN), "")
    kept = {key: value for key, value in pairs.items() if not key.startswith(_TEMPLATE)}
    tokens = pairs.get("tokenizer.ggml.tokens")
    details: dict[str, Any] = {"version": version, "metadata": kept}
    if isinstance(tokens, dict):
        details["vocabulary"] = tokens["length"]
    warnings = []
    for key in pairs:
        if key.startswith(_TEMPLATE):
            warnings.append(f"{key} is a template; render it in a sandbox only")
            details.setdefault("chat_templates", {})[key] = pairs[key]
    return Contents(
        format="gguf",
        architecture=_word(pairs.get("general.architecture")),
        parameters=sum(dtypes.values()),
        dtypes=dtypes,
        quantization=quantized,
        licence=_word(pairs.get("general.license")),
        tensors=tensors,
        warnings=tuple(warnings),
        details=details,
    )


def _word(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
