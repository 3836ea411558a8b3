"""What a whole version is, out of what its files are."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

from herdbook.formats.contents import Contents, Tensor, parameters_by_dtype
from herdbook.formats.onnx import outside

# Where a version holds the same weights in several formats, the first of these counts.
_WEIGHTS: Final = ("safetensors", "gguf", "torch", "torch-legacy", "torchscript", "onnx", "npz")
_CONFIGS: Final = ("transformers-config", "sentence-transformers", "gguf", "keras", "keras-hdf5")


def survey(files: Mapping[str, Contents]) -> Contents:
    """Summarise a version.

    Parameters are counted once: in the first format of several, each tensor of a folder by its
    name, so that neither shards nor a copy in another precision count twice. Of ONNX the largest
    file counts.

    Args:
        files: what is in each file, by its path within the version.
    """
    ordered = dict(sorted(files.items(), key=lambda one: (one[0].count("/"), one[0])))
    kind, weights = _weights(ordered)
    tensors = _tensors(weights)
    dtypes = parameters_by_dtype(tensors)
    card = [c for c in ordered.values() if c.format == "model-card"]
    return Contents(
        format=kind or _one(c.format for c in ordered.values()),
        architecture=_one(_architectures(ordered)),
        parameters=sum(dtypes.values()),
        dtypes=dtypes,
        quantization=_one(c.quantization for c in ordered.values()),
        labels=next((c.labels for c in ordered.values() if c.labels), ()),
        licence=_one(c.licence for c in [*card, *ordered.values()]),
        tensors=tensors,
        executable=_told(ordered, "executable"),
        external=_told(ordered, "external"),
        warnings=(*_told(ordered, "warnings"), *_missing(ordered)),
        details=_details(ordered),
    )


def _weights(files: Mapping[str, Contents]) -> tuple[str, dict[str, Contents]]:
    for kind in _WEIGHTS:
        found = {path: c for path, c in files.items() if c.format == kind and c.tensors}
        if kind == "onnx" and found:
            largest = max(found, key=lambda path: found[path].parameters)
            found = {largest: found[largest]}
        if found:
            return kind, found
    return "", {}


def _tensors(weights: Mapping[str, Contents]) -> tuple[Tensor, ...]:
    """Give tensors by folder and name, each once, with the file it is in."""
    found: dict[str, Tensor] = {}
    for path, contents in weights.items():
        folder = _folder(path)
        for tensor in contents.tensors:
            name = f"{folder}{tensor.name}"
            file = f"{folder}{tensor.file}" if tensor.file else path
            found.setdefault(name, replace(tensor, name=name, file=file))
    return tuple(found.values())


def _architectures(files: Mapping[str, Contents]) -> Iterable[str]:
    for kind in _CONFIGS:
        yield from (c.architecture for c in files.values() if c.format == kind)
    yield from (c.architecture for c in files.values() if c.format != "tokenizer")


def _one(words: Iterable[str]) -> str:
    return next((word for word in words if word), "")


def _told(files: Mapping[str, Contents], what: str) -> tuple[str, ...]:
    return tuple(f"{path}: {text}" for path, c in files.items() for text in getattr(c, what))


def _missing(files: Mapping[str, Contents]) -> list[str]:
    said = []
    for path, contents in files.items():
        if contents.format not in {"onnx", "weights-index"}:
            continue
        for name in contents.external:
            wrong = outside(name)
            if wrong:
                said.append(f"{path}: refers to {name!r:.200}: the path {wrong}")
            elif f"{_folder(path)}{name}" not in files:
                said.append(f"{path}: refers to {name!r:.200}, which is not in the version")
    return list(dict.fromkeys(said))[:100]


def _folder(path: str) -> str:
    parent = PurePosixPath(path).parent.as_posix()
    return "" if parent == "." else f"{parent}/"


def _details(files: Mapping[str, Contents]) -> dict[str, Any]:
    tokenizers = [c.details for c in files.values() if c.format == "tokenizer"]
    found: dict[str, Any] = {"formats": {path: c.format for path, c in files.items()}}
    configs = [c.details for c in files.values() if "vocabulary" in c.details]
    if tokenizers or configs:
        found["vocabulary"] = (tokenizers or configs)[0]["vocabulary"]
    return found
