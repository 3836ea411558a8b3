"""safetensors: a JSON header, then the tensors without a gap; held to what its library accepts.

Reference: github.com/huggingface/safetensors, "Format".
"""

import struct
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from herdbook.errors import Invalid
from herdbook.formats.contents import Contents, Tensor, parameters_by_dtype
from herdbook.formats.reading import Reader, exactly, json_value, shown

HEADER_BYTES_LIMIT: Final = 100_000_000  # the library's own
# A tensor is some seven values of JSON. The largest models known have 100,000 tensors.
HEADER_VALUES_LIMIT: Final = 1_500_000
_LENGTH: Final = struct.Struct("<Q")
_LARGEST: Final = 2**64 - 1
BITS: Final = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
    "C64": 64,
}


def is_safetensors(head: bytes) -> bool:
    """Say whether a file begins as one: a length, then an object."""
    text = head[8:].lstrip()
    return text[:1] == b"{" and text[1:].lstrip()[:1] in {b'"', b"}", b""}


def read(reader: Reader) -> Contents:
    """Read the header.

    Raises:
        Invalid: the header lies about itself or about what follows it.
    """
    (length,) = _LENGTH.unpack(exactly(reader, 0, 8, of="the length of the header"))
    if length > HEADER_BYTES_LIMIT:
        raise Invalid(
            f"the header is said to be {length:,} bytes long; "
            f"at most {HEADER_BYTES_LIMIT:,} are allowed"
        )
    data = exactly(reader, 8, length, of="the header")
    header = json_value(data, of="the header", values_limit=HEADER_VALUES_LIMIT)
    if not isinstance(header, dict):
        raise Invalid("the header is no JSON object")
    metadata = _metadata(header.pop("__metadata__", None))
    start = 8 + length
    tensors = tuple(
        sorted(
            (_tensor(name, said, start) for name, said in header.items()),
            key=attrgetter("start", "end"),
        )
    )
    _refuse_gaps(tensors, start, reader.size)
    dtypes = parameters_by_dtype(tensors)
    return Contents(
        format="safetensors",
        parameters=sum(dtypes.values()),
        dtypes=dtypes,
        licence=metadata.get("license", "")[:200],
        tensors=tensors,
        details={"metadata": {key: value[:1_000] for key, value in list(metadata.items())[:100]}},
    )


def _metadata(said: object) -> dict[str, str]:
    if said is None:
        return {}
    if not isinstance(said, dict) or not all(isinstance(v, str) for v in said.values()):
        raise Invalid("__metadata__ must be an object of texts")
    return said


def _tensor(name: str, said: object, start: int) -> Tensor:
    if isinstance(said, list) and len(said) == 3:  # the library takes them in this order, too
        said = dict(zip(("dtype", "shape", "data_offsets"), said, strict=True))
    if not isinstance(said, Mapping):
        raise Invalid(f"the tensor {shown(name)} is described by {shown(said)}, not by an object")
    dtype, shape = said.get("dtype"), said.get("shape")
    offsets = said.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise Invalid(f"the tensor {shown(name)} has the unknown dtype {shown(dtype)}")
    if not isinstance(shape, list) or not _lengths(shape):
        raise Invalid(f"the tensor {shown(name)} has the shape {shown(shape)}")
    if not isinstance(offsets, list) or not _lengths(offsets) or len(offsets) != 2:
        raise Invalid(f"the tensor {shown(name)} has the data_offsets {shown(offsets)}")
    return _checked(name, dtype, tuple(shape), (start + offsets[0], start + offsets[1]))


def _checked(name: str, dtype: str, shape: tuple[int, ...], at: tuple[int, int]) -> Tensor:
    found = Tensor(name=name, dtype=dtype, shape=shape, start=at[0], end=at[1])
    if at[0] > at[1]:
        raise Invalid(f"the tensor {shown(name)} ends before it begins")
    bits = _product(name, shape) * BITS[dtype]
    if bits > _LARGEST:
        raise Invalid(f"the tensor {shown(name)} has the shape {shown(shape)}, beyond any memory")
    if bits % 8 or bits // 8 != found.end - found.start:
        raise Invalid(
            f"the tensor {shown(name)} of {dtype} {shown(list(shape))} takes {bits / 8:,.1f} bytes,"
            f" but its data_offsets span {found.end - found.start:,}"
        )
    return found


def _product(name: str, shape: tuple[int, ...]) -> int:
    """Multiply as the library does, left to right, where an overflow is final."""
    count = 1
    for length in shape:
        count *= length
        if count > _LARGEST:
            raise Invalid(f"the tensor {shown(name)} has a shape beyond any memory")
    return count


def _lengths(value: list[Any]) -> bool:
    return all(type(v) is int and 0 <= v <= _LARGEST for v in value)


def _refuse_gaps(tensors: tuple[Tensor, ...], start: int, size: int) -> None:
    for tensor in tensors:
        if tensor.start != start:
            wrong = "overlaps the one before" if tensor.start < start else "leaves a gap before it"
            raise Invalid(
                f"the tensor {shown(tensor.name)} {wrong}: "
                f"it begins at byte {tensor.start:,}, not {start:,}"
            )
        start = tensor.end
    if start != size:
        raise Invalid(f"the tensors end at byte {start:,}, but the file at {size:,}")
