"""ONNX graphs, run by ONNX Runtime."""

from typing import Any, Final

from herdbook.loader.extras import needs, telling
from herdbook.loader.inspecting import Inside

EXTRA: Final = "onnx"


def files(inside: Inside) -> list[str]:
    """Give the graphs in the folder."""
    return inside.of("onnx")


def load(inside: Inside, path: str, *, allow_executable: bool, **options: Any) -> Any:
    """Give an InferenceSession, on the CPU unless `providers` says otherwise."""
    inside.refuse_executable(lambda each: each == path, allowed=allow_executable)
    inside.refuse_outside([path])
    with needs(EXTRA, "onnxruntime", what="an ONNX model"):
        import onnxruntime
    options.setdefault("providers", ["CPUExecutionProvider"])
    failures = _failures(onnxruntime.capi.onnxruntime_pybind11_state)
    with telling(str(inside.found.ref), "ONNX Runtime"):
        try:
            return onnxruntime.InferenceSession(str(inside.found.folder / path), **options)
        except failures as error:
            raise ValueError(str(error)) from error


def _failures(state: Any) -> tuple[type[Exception], ...]:
    """Give the errors of ONNX Runtime, which have no class in common."""
    return tuple(
        found
        for found in vars(state).values()
        if isinstance(found, type) and issubclass(found, Exception)
    )
