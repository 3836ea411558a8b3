"""What is known of a model without loading it: its labels, and what its files say."""

import json
from pathlib import Path
from typing import Any, Final

from herdbook.errors import HerdbookError, Invalid, NotFound
from herdbook.formats import survey
from herdbook.formats.contents import Contents
from herdbook.loader.choosing import library_of
from herdbook.loader.finding import Found, chosen, find
from herdbook.loader.inspecting import Inside
from herdbook.settings import Settings

LABELS_FILE: Final = "labels.txt"
_CONFIG: Final = "config.json"
_LABELS_BYTES_LIMIT: Final = 1 << 20
_CLASSIFIERS: Final = ("ForSequenceClassification", "ForTokenClassification")
# What transformers calls the classes of a classifier whose config names none.
_UNNAMED: Final = ("LABEL_0", "LABEL_1")


def load_labels(ref: str | None = None, *, settings: Settings | None = None) -> list[str]:
    """Give the labels of a classifier, by the index of its outputs.

    Those of `labels.txt`, a line each; else those of `config.json`.

    Args:
        ref: such as `local:artifacts/model-v1`; left out, what `ML_MODEL_REF` names.
        settings: instead of those of the environment.

    Raises:
        NotFound: the model names no labels.
        Invalid: its files name different ones.
        HerdbookError: what `find` raises.
    """
    inside = Inside(find(ref, settings=settings))
    labels = labels_of(inside)
    if not labels:
        raise NotFound(
            f"{inside.found.ref} names no labels: neither {LABELS_FILE} nor id2label in "
            f"{_CONFIG}; `herdbook artifacts create … --labels FILE` adds them",
            field="ref",
        )
    return labels


def get_model_info(ref: str | None = None, *, settings: Settings | None = None) -> dict[str, Any]:
    """Tell what a model is, without loading it and without fetching it.

    Args:
        ref: such as `local:artifacts/model-v1`; left out, what `ML_MODEL_REF` names.
        settings: instead of those of the environment.

    Returns:
        `model_ref`, `type` (the scheme) and `available`: whether its files are on this machine
        and are the right ones. If so also `model_type`, `num_labels`, `labels`, `architecture`,
        `library`, `format`, `parameters`, `dtypes`, `quantization`, `licence`, `folder`,
        `revision`, `verified`, `files`, `size_bytes`, `executable` and `warnings`; if not,
        `problem` and its `code`.

    Raises:
        Invalid: it is no reference.
    """
    settings = settings or Settings.load()
    place = chosen(ref, settings)
    known: dict[str, Any] = {"model_ref": str(place), "type": place.scheme}
    try:
        inside = Inside(find(str(place), settings=settings, fetch=False))
        return {**known, "available": True, **_facts(inside)}
    except HerdbookError as error:
        return {**known, "available": False, "problem": error.message, "code": error.code}


def labels_of(inside: Inside) -> list[str]:
    """Give the labels a folder names, or none.

    Raises:
        Invalid: its files name different ones, or labels.txt cannot be read.
    """
    has_file = LABELS_FILE in inside.found.files
    listed = read_labels(inside.found.folder / LABELS_FILE) if has_file else []
    return agreed(listed, inside)


def agreed(listed: list[str], inside: Inside) -> list[str]:
    """Give labels that were listed, or else those of the config.

    Raises:
        Invalid: the config names others, or another number of them.
    """
    config = inside.by_path.get(_CONFIG)
    named = list(config.labels) if config else []
    same = listed == named or (_are_unnamed(named) and len(listed) == len(named))
    if listed and named and not same:
        raise Invalid(
            f"{inside.found.ref}: {LABELS_FILE} names {_some(listed)}, but {_CONFIG} names "
            f"{_some(named)}; make them the same"
        )
    if config and not named and not listed and config.architecture.endswith(_CLASSIFIERS):
        return list(_UNNAMED)
    return listed or named


def read_labels(path: Path) -> list[str]:
    """Read labels, a line each.

    Raises:
        Invalid: it is no text, or has an empty line or one label twice.
        NotFound: it is not there.
    """
    try:
        if path.stat().st_size > _LABELS_BYTES_LIMIT:
            raise Invalid(f"{path} is over {_LABELS_BYTES_LIMIT:,} bytes", field="labels")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", field="labels") from None
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not text in UTF-8", field="labels") from None
    return checked_labels([line.strip() for line in text.rstrip().splitlines()], of=str(path))


def checked_labels(labels: list[str], *, of: str) -> list[str]:
    """Refuse labels that are empty or there twice."""
    known: set[str] = set()
    for at, label in enumerate(labels):
        problem = "" if label and label.isprintable() else "is empty or holds what does not show"
        if problem or label in known:
            why = problem or "is there twice"
            raise Invalid(f"{of}: label {at + 1} ({label!r:.60}) {why}", field="labels")
        known.add(label)
    return labels


def _facts(inside: Inside) -> dict[str, Any]:
    found, known = inside.found, survey(inside.by_path)
    config = inside.by_path.get(_CONFIG)
    labels = labels_of(inside)
    try:
        library = library_of(inside)
    except HerdbookError:
        library = ""  # several could, or none; loading says which
    return {
        "model_type": _model_type(config) or known.architecture,
        "num_labels": len(labels) or None,
        "labels": labels,
        "library": library,
        **_described(known),
        **_placed(found),
    }


def _described(known: Contents) -> dict[str, Any]:
    return {
        "architecture": known.architecture,
        "format": known.format,
        "parameters": known.parameters,
        "dtypes": dict(known.dtypes),
        "quantization": known.quantization,
        "licence": known.licence,
        "executable": list(known.executable),
        "warnings": list(known.warnings),
    }


def _placed(found: Found) -> dict[str, Any]:
    return {
        "folder": str(found.folder),
        "revision": found.revision,
        "verified": found.verified,
        "files": len(found.files),
        "size_bytes": found.size,
        "left_out": list(found.left_out),
    }


def _model_type(config: Contents | None) -> str:
    return str(config.details.get("model_type", "")) if config else ""


def _are_unnamed(labels: list[str]) -> bool:
    return labels == [f"LABEL_{at}" for at in range(len(labels))]


def _some(labels: list[str]) -> str:
    return json.dumps(labels[:4], ensure_ascii=False) + (
        f" and {len(labels) - 4} more" if labels[4:] else ""
    )
