"""ONNX graphs, run by ONNX Runtime."""

from typing import Any

from herdbook.encoders.onnx import session
from herdbook.loader.inspecting import Inside


def files(inside: Inside) -> list[str]:
    """Give the graphs in the folder."""
    return inside.of("onnx")


def load(inside: Inside, path: str, *, allow_executable: bool, **options: Any) -> Any:
    """Give an InferenceSession, on the CPU unless `providers` says otherwise."""
    inside.refuse_executable(lambda each: each == path, allowed=allow_executable)
    inside.refuse_outside([path])
    return session(inside.found.folder / path, str(inside.found.ref), **options)
