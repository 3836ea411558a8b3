"""Keras: what a saved model's config says, from a .keras archive or the old HDF5 format.

HDF5 itself is not parsed: the config is found by a search for how it begins.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from herdbook.errors import Invalid
from herdbook.formats.contents import Contents
from herdbook.formats.reading import CHUNK_BYTES, Reader, json_value, shown

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
SEARCHED_BYTES_LIMIT: Final = 2**30
CONFIG_BYTES_LIMIT: Final = 8 * 2**20
_DEPTH_LIMIT: Final = 200
_LOOKUPS: Final = frozenset(
    {"StringLookup", "IntegerLookup", "TextVectorization", "Hashing", "IndexLookup"}
)
_RISKY: Final = {
    "Lambda": "a Lambda layer, which is Python code",
    "__lambda__": "a Python function in a layer",
    "TFSMLayer": "a TFSMLayer, which runs a SavedModel from a path",
}
_ATTRIBUTE: Final = b"model_config"
_BEGINS: Final = re.compile(rb'\{"(class_name|module)": ?"')
_RAW_RISKS: Final = re.compile(rb'"class_name": ?"(Lambda|__lambda__|TFSMLayer)"')


def is_hdf5(reader: Reader) -> bool:
    """Say whether it has the signature, at the start or after a block of the user's."""
    places = [0, *(512 << shift for shift in range(12))]
    return any(reader.read_at(at, 8) == SIGNATURE for at in places if at < reader.size)


def config(data: bytes) -> Contents:
    """Describe the config.json of a .keras archive.

    Raises:
        Invalid: it is no JSON object.
    """
    value = json_value(data, of="config.json", constants=True)
    if not isinstance(value, Mapping):
        raise Invalid("config.json is no JSON object")
    return _described(value, kind="keras")


def _described(value: Mapping[str, Any], *, kind: str) -> Contents:
    inner = value.get("config")
    named = inner.get("name") if isinstance(inner, Mapping) else None
    risks, external = _risks(value)
    return Contents(
        format=kind,
        architecture=str(value.get("class_name", ""))[:200],
        executable=tuple(dict.fromkeys(risks))[:100],
        external=tuple(dict.fromkeys(external))[:100],
        warnings=tuple(f"refers to {one} outside of the model" for one in external[:100]),
        details={"name": named[:200]} if isinstance(named, str) else {},
    )


def _risks(value: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    risks, external = [], []
    for layer in _objects(value):
        kind, inner = layer.get("class_name"), layer.get("config")
        module = layer.get("module")
        if isinstance(kind, str) and kind in _RISKY:
            risks.append(f"it holds {_RISKY[kind]}")
        if isinstance(module, str) and module.partition(".")[0] not in {"keras", ""}:
            risks.append(f"it imports {shown(kind)} from {shown(module)}")
        path = inner.get("filepath") if isinstance(inner, Mapping) else None
        vocabulary = inner.get("vocabulary") if isinstance(inner, Mapping) else None
        if kind == "TFSMLayer" and isinstance(path, str):
            external.append(path[:1_000])
        if kind in _LOOKUPS and isinstance(vocabulary, str):
            external.append(vocabulary[:1_000])
    return risks, external


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def read_hdf5(reader: Reader) -> Contents:
    """Search an HDF5 file for the config of a Keras model."""
    found = _Search()
    stop = min(reader.size, SEARCHED_BYTES_LIMIT)
    for at in range(0, stop, CHUNK_BYTES):
        # Chunks overlap so that nothing that is searched for is cut in two.
        found.look(reader.read_at(at, min(CHUNK_BYTES + 256, stop - at)), at)
    warnings = []
    if stop < reader.size:
        warnings.append(f"only the first {stop:,} bytes were searched for a Keras config")
        found.risks.setdefault("it is HDF5 that could not be searched whole")
    if not found.named and found.at < 0 and not found.risks:
        return Contents(format="hdf5", warnings=tuple(warnings))
    return _legacy(reader, found, warnings)


class _Search:
    def __init__(self) -> None:
        self.named = False
        self.at = -1
        self.risks: dict[str, None] = {}

    def look(self, data: bytes, at: int) -> None:
        self.named |= _ATTRIBUTE in data
        if self.at < 0:
            match = _BEGINS.search(data)
            self.at = at + match.start() if match else -1
        for risk in _RAW_RISKS.finditer(data):
            self.risks.setdefault(f"it holds {_RISKY[risk[1].decode()]}")


def _legacy(reader: Reader, found: _Search, warnings: list[str]) -> Contents:
    said = Contents(format="keras-hdf5")
    value = _config_at(reader, found.at) if found.at >= 0 else None
    if isinstance(value, Mapping):
        said = _described(value, kind="keras-hdf5")
    else:
        warnings.append("the config of the Keras model could not be read")
    reason = "it is a Keras model in the old HDF5 format, which is loaded without safe mode"
    risks = dict.fromkeys((reason, *found.risks, *said.executable))
    return Contents(
        format=said.format,
        architecture=said.architecture,
        executable=tuple(risks)[:100],
        external=said.external,
        warnings=(*warnings, *said.warnings),
        details={**said.details, "legacy": True},
    )


def _config_at(reader: Reader, at: int) -> Any:
    data = reader.read_at(at, min(CONFIG_BYTES_LIMIT, reader.size - at))
    values = sum(data.count(mark) for mark in (b",", b"[", b"{"))
    if values > 1_000_000:
        data = data[: len(data) // 8]
    try:
        return json.JSONDecoder().raw_decode(data.decode("utf-8", "replace"))[0]
    except (ValueError, RecursionError):
        return None
