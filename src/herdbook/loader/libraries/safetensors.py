"""Plain safetensors: arrays by name."""

from typing import Any, Final

from herdbook.core.extras import needs, telling
from herdbook.errors import Invalid
from herdbook.loader.inspecting import Inside

EXTRA: Final = "arrays"


def files(inside: Inside) -> list[str]:
    """Give the files of tensors in the folder."""
    return inside.of("safetensors")


def load(inside: Inside, paths: list[str], *, allow_executable: bool) -> dict[str, Any]:
    """Give every tensor of some files as a NumPy array, by name."""
    inside.refuse_executable(lambda path: path in paths, allowed=allow_executable)
    with needs(EXTRA, "safetensors", "numpy", what="safetensors"):
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    found: dict[str, Any] = {}
    for path in paths:
        with telling(str(inside.found.ref), "safetensors"):
            try:
                arrays = load_file(inside.found.folder / path)
            except SafetensorError as error:
                raise ValueError(f"{path}: {error}") from error
        twice = sorted(found.keys() & arrays.keys())
        if twice:
            raise Invalid(
                f"{inside.found.ref}: {twice[0]} is in {path} and in another file; give file=",
                field="file",
            )
        found |= arrays
    return found
