"""ONNX: the graph's inventory out of the protobuf, with every reference to a file outside.

Reference: github.com/onnx/onnx, onnx/onnx.proto.
"""

from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

from herdbook.errors import Invalid
from herdbook.formats.contents import Contents, Tensor, parameters_by_dtype
from herdbook.formats.protobuf import LENGTH, VARINT, Field, Messages
from herdbook.formats.reading import Cursor, Reader, shown

FIELDS_LIMIT: Final = 2_000_000
TENSORS_LIMIT: Final = 100_000
DEPTH_LIMIT: Final = 96  # messages; the library's own is 100
_IR_VERSIONS: Final = range(1, 64)
_EXTERNAL: Final = 1
_TYPES: Final = {
    1: "FLOAT",
    2: "UINT8",
    3: "INT8",
    4: "UINT16",
    5: "INT16",
    6: "INT32",
    7: "INT64",
    8: "STRING",
    9: "BOOL",
    10: "FLOAT16",
    11: "DOUBLE",
    12: "UINT32",
    13: "UINT64",
    14: "COMPLEX64",
    15: "COMPLEX128",
    16: "BFLOAT16",
    17: "FLOAT8E4M3FN",
    18: "FLOAT8E4M3FNUZ",
    19: "FLOAT8E5M2",
    20: "FLOAT8E5M2FNUZ",
    21: "UINT4",
    22: "INT4",
    23: "FLOAT4E2M1",
    24: "FLOAT8E8M0",
    25: "UINT2",
    26: "INT2",
}
_BITS: Final = {
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("UINT8", "INT8", "BOOL", "FLOAT8E8M0"), 8),
    **dict.fromkeys(("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    **dict.fromkeys(("UINT16", "INT16", "FLOAT16", "BFLOAT16"), 16),
    **dict.fromkeys(("INT64", "UINT64", "DOUBLE", "COMPLEX64"), 64),
    "COMPLEX128": 128,
    "UINT4": 4,
    "INT4": 4,
    "FLOAT4E2M1": 4,
    "UINT2": 2,
    "INT2": 2,
}
# Fields that hold further messages with tensors in them: message -> field -> message.
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_RAW: Final = 9
_DATA: Final = frozenset({4, 5, 6, 7, _RAW, 10, 11})
_OPSET, _OPERATOR_DOMAIN, _NODE_OUTPUT = 8, 7, 2
_STANDARD: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training"})


@dataclass(slots=True)
class _Found:
    """What a walk collects."""

    graph: str = ""
    tensors: list[Tensor] = field(default_factory=list)
    external: dict[str, None] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)
    domains: dict[str, None] = field(default_factory=dict)
    nodes: int = 0
    graphs: int = 0
    names: dict[str, int] = field(default_factory=dict)
    output: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def begins_as_onnx(head: bytes) -> bool:
    """Say whether a file begins as exporters write one: an IR version, then a name or the graph."""
    if len(head) < 5 or head[0] != 0x08 or not 3 <= head[1] < 64:
        return False
    # Other models in protobuf begin alike, but with a message where ONNX names its producer.
    name = head[4 : 4 + head[3]]
    return head[2] in b"\x3a\x42" or (
        head[2] == 0x12 and head[3] < 0x80 and name.isascii() and name.decode().isprintable()
    )


def is_onnx(reader: Reader) -> bool:
    """Say whether the whole file is one message with a model's IR version and graph."""
    messages = Messages(Cursor(reader), fields_limit=10_000)
    version, graph = False, False
    try:
        for one in messages.fields(0, reader.size):
            version |= one.number == 1 and one.wire == VARINT and one.value in _IR_VERSIONS
            graph |= one.number == 7 and one.wire == LENGTH
    except Invalid:
        return False
    return version and graph


def read(reader: Reader) -> Contents:
    """Walk the model: graphs, subgraphs, functions, every tensor in them.

    Raises:
        Invalid: a length does not fit, or a tensor's bytes do not fit its shape.
    """
    walk = _Walk(reader)
    walk.message("model", Field(0, LENGTH, 0, 0, reader.size), depth=0)
    found = walk.found
    if not found.graphs:
        raise Invalid("the model has no graph: it is cut off")
    dtypes = parameters_by_dtype(found.tensors)
    quantized = next((name for name in dtypes if name in {"INT8", "UINT8", "INT4", "UINT4"}), "")
    return Contents(
        format="onnx",
        architecture=found.graph,
        parameters=sum(dtypes.values()),
        dtypes=dtypes,
        quantization=quantized,
        tensors=tuple(found.tensors),
        external=tuple(found.external),
        warnings=tuple(_warnings(found)),
        details={**found.facts, "opsets": found.opsets, "nodes": found.nodes},
    )


def outside(location: str) -> str:
    """Say why a location leads out of the model's folder, "" when it does not.

    Example:
        >>> outside("weights/a.bin"), outside("../a.bin")
        ('', 'has the part ..')
    """
    windows = PureWindowsPath(location)
    if not location or "\0" in location or any(ord(c) < 32 for c in location):
        return "is empty or holds what cannot be seen"
    if PurePosixPath(location).is_absolute() or windows.drive or windows.root:
        return "is absolute"
    if "://" in location:
        return "is an address"
    if ".." in windows.parts:
        return "has the part .."
    return ""


def _warnings(found: _Found) -> list[str]:
    said = []
    for location in found.external:
        wrong = outside(location)
        if wrong:
            said.append(f"the tensor data at {shown(location)} lies outside: the path {wrong}")
    foreign = sorted((set(found.opsets) | set(found.domains)) - _STANDARD)
    if foreign:
        said.append(f"uses operators of other makers, which need their code: {', '.join(foreign)}")
    return said[:100]


class _Walk:
    def __init__(self, reader: Reader) -> None:
        self.found = _Found()
        self._messages = Messages(Cursor(reader, of="the model"), fields_limit=FIELDS_LIMIT)

    def message(self, kind: str, at: Field, *, depth: int) -> None:
        """Walk one message and those inside."""
        if at.wire != LENGTH:
            raise Invalid(f"the {kind} at byte {at.start:,} is no message")
        if depth > DEPTH_LIMIT:
            raise Invalid(f"its messages are nested over {DEPTH_LIMIT} deep")
        self.found.nodes += kind == "node"
        self.found.graphs += kind == "graph"
        for one in self._messages.fields(at.start, at.end):
            inside = _INSIDE[kind].get(one.number)
            if inside == "tensor":
                self._tensor(one)
            elif inside:
                self.message(inside, one, depth=depth + 1)
            elif kind in {"model", "graph", "node"}:
                self._fact(kind, one, depth)

    def _fact(self, kind: str, one: Field, depth: int) -> None:
        facts, found = self._messages, self.found
        if kind == "model":
            self._model_fact(one)
        elif kind == "graph" and one.number == 2 and depth == 1:
            found.graph = facts.text(one)[:200]
        elif kind == "node" and one.number == _NODE_OUTPUT:
            found.output = facts.text(one)[:1_000]
        elif kind == "node" and one.number == _OPERATOR_DOMAIN and len(found.domains) < 100:
            found.domains.setdefault(facts.text(one)[:200])

    def _model_fact(self, one: Field) -> None:
        names = {2: "producer", 3: "producer_version", 4: "domain"}
        if one.number == 1 and one.wire == VARINT:
            self.found.facts["ir_version"] = one.value
        elif one.number in names:
            self.found.facts[names[one.number]] = self._messages.text(one)[:200]
        elif one.number == _OPSET:
            said = self._pair(one, key=1)
            if len(self.found.opsets) < 100:
                self.found.opsets[said.get("key", "")[:200]] = int(said.get("value", "0"))

    def _pair(self, at: Field, *, key: int) -> dict[str, str]:
        """Read a message of a text and a text or number."""
        if at.wire != LENGTH:
            raise Invalid(f"the entry at byte {at.start:,} is no message")
        said = {}
        for one in self._messages.fields(at.start, at.end):
            if one.number in {1, 2}:
                name = "key" if one.number == key else "value"
                said[name] = str(one.value) if one.wire == VARINT else self._messages.text(one)
        return said

    def _tensor(self, at: Field) -> None:
        if at.wire != LENGTH:
            raise Invalid(f"the tensor at byte {at.start:,} is no message")
        said = _Tensor(name=self.found.output)  # the name of a constant that has none
        for one in self._messages.fields(at.start, at.end):
            self._tensor_field(said, one)
        count = self.found.names[said.name] = self.found.names.get(said.name, 0) + 1
        said.name += f" #{count}" if count > 1 else ""  # two subgraphs may use one name
        tensor = said.checked(at.start)
        if tensor.file:
            self.found.external.setdefault(tensor.file)
        self.found.tensors.append(tensor)
        if len(self.found.tensors) > TENSORS_LIMIT:
            raise Invalid(f"it has over {TENSORS_LIMIT:,} tensors")

    def _dimensions(self, said: "_Tensor", one: Field) -> None:
        for length in self._messages.varints(one):
            said.shape.append(length)
            if len(said.shape) > 64:
                raise Invalid(f"the tensor at byte {one.start:,} has over 64 dimensions")

    def _tensor_field(self, said: "_Tensor", one: Field) -> None:
        if one.number == 1:
            self._dimensions(said, one)
        elif one.number == 2:
            said.kind = one.value
        elif one.number == 8:
            said.name = self._messages.text(one)[:1_000] or said.name
        elif one.number == 13:
            entry = self._pair(one, key=1)
            said.entries[entry.get("key", "")[:100]] = entry.get("value", "")[:4_096]
        elif one.number == 14:
            said.location = one.value
        elif one.number in _DATA:
            said.hold(one)


@dataclass(slots=True)
class _Tensor:
    """A TensorProto while it is read."""

    name: str = ""
    kind: int = 0
    shape: list[int] = field(default_factory=list)
    entries: dict[str, str] = field(default_factory=dict)
    location: int = 0
    raw: Field | None = None
    run: Field | None = None
    runs: int = 0

    def hold(self, one: Field) -> None:
        """Note where bytes of it lie."""
        if one.number == _RAW:
            self.raw = one
        else:
            self.runs, self.run = self.runs + 1, one

    def checked(self, at: int) -> Tensor:
        """Give it when its parts agree.

        Raises:
            Invalid: they do not.
        """
        name = self.name or f"(unnamed, byte {at})"
        if self.kind not in _TYPES:
            raise Invalid(f"the tensor {shown(name)} has the unknown type {self.kind}")
        if any(length >= 2**63 for length in self.shape):
            raise Invalid(f"the tensor {shown(name)} has a negative dimension")
        made = Tensor(name=name, dtype=_TYPES[self.kind], shape=tuple(self.shape), start=0, end=0)
        if self.location == _EXTERNAL or self.entries:
            return self._outside(made)
        return self._inside(made)

    def _outside(self, made: Tensor) -> Tensor:
        start, length = (self._number(made, key) for key in ("offset", "length"))
        if start + length >= 2**63:
            raise Invalid(f"the tensor {shown(made.name)} is said to lie beyond any file")
        return Tensor(
            name=made.name,
            dtype=made.dtype,
            shape=made.shape,
            start=start,
            end=start + (length or self._bytes(made)),
            file=self.entries.get("location", "") or "(no location)",
        )

    def _inside(self, made: Tensor) -> Tensor:
        expected = self._bytes(made)
        if self.raw and self.raw.end - self.raw.start != expected:
            raise Invalid(
                f"the tensor {shown(made.name)} of {made.dtype} {shown(self.shape)} takes "
                f"{expected:,} bytes, but {self.raw.end - self.raw.start:,} are there"
            )
        run = self.raw or (self.run if self.runs == 1 else None)
        start, end = (run.start, run.end) if run and run.wire == LENGTH else (0, 0)
        return Tensor(name=made.name, dtype=made.dtype, shape=made.shape, start=start, end=end)

    def _bytes(self, made: Tensor) -> int:
        return -(-made.parameters * _BITS.get(made.dtype, 0) // 8)

    def _number(self, made: Tensor, key: str) -> int:
        text = self.entries.get(key, "0")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise Invalid(f"the tensor {shown(made.name)} has the {key} {shown(text)}")
        return int(text)
