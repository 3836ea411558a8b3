"""Models of sentence-transformers: `modules.json` and a folder for each module."""

from pathlib import PurePosixPath
from typing import Any

from herdbook.encoders.sentence_transformers import model
from herdbook.loader.inspecting import Inside


def fits(inside: Inside) -> bool:
    """Whether the folder holds such a model."""
    return inside.is_at_root("modules.json", "sentence-transformers")


def load(inside: Inside, *, allow_executable: bool, **options: Any) -> Any:
    """Give a SentenceTransformer."""
    inside.refuse_executable(
        lambda path: _reads(inside, path),
        allowed=allow_executable,
        instead="save the weights as safetensors, or ",
    )
    return model(inside.found.folder, str(inside.found.ref), **options)


def _reads(inside: Inside, path: str) -> bool:
    at = PurePosixPath(path)
    if at.suffix == ".json":
        return True
    safe = (at.parent / "model.safetensors").as_posix() in inside.found.files
    return at.suffix == ".bin" and not safe
