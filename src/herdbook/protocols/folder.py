"""A directory tree of models: `artifacts/model-v1/`, or `<model>/<version>/`."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from herdbook.core.names import ALIAS_LIMIT, LIST_LIMIT, METADATA_BYTES_LIMIT
from herdbook.core.numbers import Number
from herdbook.errors import Invalid
from herdbook.protocols.foreign import Foreign
from herdbook.protocols.plan import Plan, Planned, PlannedModel, nearest, numbers, plan

SOURCE = "folder"
DOCUMENTS = ("artifact_metadata.json", "config.json")
# The role a file has by how its name ends; the first that fits.
ROLES = (
    ("artifact_metadata.json", "metadata"),
    ("config.json", "config"),
    ("tokenizer.json", "tokenizer"),
    ("tokenizer.model", "tokenizer"),
    ("vocab.txt", "tokenizer"),
    ("vocab.json", "tokenizer"),
    ("merges.txt", "tokenizer"),
    ("labels.txt", "labels"),
    (".gguf", "gguf"),
    (".onnx", "onnx"),
    (".safetensors", "weights"),
    (".bin", "weights"),
    (".pt", "weights"),
    (".pth", "weights"),
    (".h5", "weights"),
    (".keras", "weights"),
    (".tflite", "weights"),
    (".npz", "weights"),
    (".joblib", "weights"),
    (".pkl", "weights"),
    (".skops", "weights"),
)
_SPLIT = re.compile(r"(?P<model>.+?)[-_](?P<number>[vV]?\d[0-9A-Za-z.+-]*)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A folder that holds files of a model.

    Args:
        path: below the folder asked for, with `/`; "" for that itself.
        location: the whole path, as it is registered.
        files: the names of its files.
        documents: what `DOCUMENTS` hold, parsed.
    """

    path: str
    location: str
    files: tuple[str, ...]
    documents: Mapping[str, object] = field(default_factory=dict)


def role(name: str) -> str:
    """Give the role of a file by its name, or "" when it is no file of a model.

    Example:
        >>> role("majora-v1-Q8_0.gguf"), role("adapter_model.safetensors"), role("notes.md")
        ('gguf', 'lora', '')
    """
    lowered = name.lower()
    if lowered.startswith("adapter_model."):
        return "lora"
    if lowered.startswith("tokenizer_"):
        return "tokenizer"
    return next((role for end, role in ROLES if lowered.endswith(end)), "")


def read(folders: Iterable[Found], *, root: str) -> Plan:
    """Read a tree.

    A folder `name-v1` is version v1 of `name`; `name/v1` is version v1 of `name`; any other
    folder is v1 of a model by its path, or, beside numbered ones of the same beginning,
    version `v0-<rest>` of theirs. `artifact_metadata.json` may say model_name and version.

    Args:
        folders: those that hold files of a model.
        root: the name of the folder asked for.
    """
    found = sorted(folders, key=lambda folder: folder.path)
    if not found:
        raise Invalid(f"{root} holds no folder with files of a model", field="folder")
    prefixes = {split[0] for folder in found if (split := _split(folder, root))}
    named = [(folder, *_name(folder, root, prefixes)) for folder in found]
    notes: list[str] = []
    versions = []
    for model in dict.fromkeys(model for _, model, _ in named):
        own = [(folder, text) for folder, name, text in named if name == model]
        _refuse_doubles(own, model)
        known, said = numbers((text for _, text in own), model=model)
        notes += said
        versions += [_version(folder, model, known[text], text, notes) for folder, text in own]
    models = [
        PlannedModel(name=name, place=name) for name in dict.fromkeys(v.model for v in versions)
    ]
    return plan(SOURCE, models, versions, notes=notes)


def _refuse_doubles(own: list[tuple[Found, str]], model: str) -> None:
    seen: dict[str, Found] = {}
    for folder, text in own:
        if text in seen:
            raise Invalid(
                f"{seen[text].path} and {folder.path} are both {model} {text}; rename one",
                field=folder.path,
            )
        seen[text] = folder


def _split(folder: Found, root: str) -> tuple[str, str] | None:
    """Give model and number when the path shows both."""
    path = PurePosixPath(folder.path)
    leaf = path.name or root
    above = "" if str(path.parent) == "." else path.parent.as_posix()
    if re.match(r"[vV]?\d", leaf) and _legal(leaf):
        return above or root, leaf
    shape = _SPLIT.match(leaf)
    if shape is None:
        return None
    return "/".join(part for part in (above, shape["model"]) if part), shape["number"]


def _legal(text: str) -> bool:
    try:
        return bool(Number(text))
    except Invalid:
        return False


def _name(folder: Found, root: str, prefixes: set[str]) -> tuple[str, str]:
    said = _document(folder, "artifact_metadata.json")
    model, number = _split(folder, root) or ("", "")
    if not model:
        model = folder.path or root
        beside = [p for p in prefixes if re.match(rf"{re.escape(p)}[-_/].", model)]
        if beside:
            longest = max(beside, key=len)
            model, number = longest, nearest(model[len(longest) + 1 :])
    model = said["model_name"].text() or model
    return model, said["version"].text() or number or "v1"


def _document(folder: Found, name: str) -> Foreign:
    place = "/".join(part for part in (folder.path, name) if part)
    return Foreign(folder.documents.get(name), place)


def _version(folder: Found, model: str, number: str, text: str, notes: list[str]) -> Planned:
    said, config = (_document(folder, name) for name in DOCUMENTS)
    base = said["base_model"].text() or config["_name_or_path"].text()
    metrics, left_out = said["metrics"].scores()
    notes += left_out
    tags = {"imported_from": SOURCE} | ({"imported_number": text} if text != number else {})
    if said["created_at"].text():
        tags["source_created_at"] = said["created_at"].text()
    facts: dict[str, Any] = {
        "description": said["description"].text(),
        "base_model": base,
        "metrics": metrics,
        "tags": tags,
        "files": _files(folder, notes),
        "metadata": _kept(folder, notes),
        "git_commit": "",
    }
    kind = said["model_type"].text() or config["model_type"].text()
    if kind:
        facts["model_type"] = kind[:ALIAS_LIMIT]
    return Planned(model=model, number=number, facts=facts, place=folder.path or ".")


def _files(folder: Found, notes: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    ours = [name for name in sorted(folder.files) if role(name)]
    for name in ours[:LIST_LIMIT]:
        found.setdefault(role(name), []).append(f"{folder.location}/{name}")
    if len(ours) > LIST_LIMIT:
        notes.append(f"{folder.path} has {len(ours)} files; the first {LIST_LIMIT} were taken.")
    return found


def _kept(folder: Found, notes: list[str]) -> dict[str, object]:
    """Give what the documents say, as long as it fits into the metadata."""
    kept: dict[str, object] = {}
    for name, said in folder.documents.items():
        key = name.removesuffix(".json")
        if len(json.dumps(kept | {key: said})) > METADATA_BYTES_LIMIT:
            notes.append(f"{folder.path}/{name} is too long for the metadata; it was left out.")
        else:
            kept[key] = said
    return kept
