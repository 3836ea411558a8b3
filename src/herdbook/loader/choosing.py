"""Which library loads a folder: by what is in its files, and never by trying."""

from typing import Any, Final

from herdbook.errors import Invalid, NotFound
from herdbook.loader.inspecting import Inside
from herdbook.loader.libraries import (
    llama_cpp,
    onnxruntime,
    safetensors,
    sentence_transformers,
    skops,
    transformers,
)

SENTENCES: Final = "sentence-transformers"
TRANSFORMERS: Final = "transformers"
BY_FILE: Final[dict[str, Any]] = {
    "onnxruntime": onnxruntime,
    "llama.cpp": llama_cpp,
    "skops": skops,
    "safetensors": safetensors,
}
LIBRARIES: Final = (SENTENCES, TRANSFORMERS, *BY_FILE)


def library_of(inside: Inside, *, using: str = "") -> str:
    """Tell which library loads a folder.

    Raises:
        Invalid: several could, or the one that is named does not exist or cannot.
        NotFound: none could.
    """
    fitting = _fitting(inside)
    if using and using not in LIBRARIES:
        raise Invalid(f"{using!r} is none of {', '.join(LIBRARIES)}", field="using")
    if using:
        if using not in _fitting(inside, every=True):
            raise Invalid(f"{inside.found.ref} holds nothing for {using}", field="using")
        return using
    if len(fitting) > 1:
        raise Invalid(
            f"{inside.found.ref} could be loaded by {' and by '.join(fitting)}; say which with "
            f"using={fitting[0]!r}",
            field="using",
        )
    if not fitting:
        raise NotFound(f"{inside.found.ref} holds nothing to load: {_why(inside)}", field="ref")
    return fitting[0]


def _fitting(inside: Inside, *, every: bool = False) -> list[str]:
    """Give the libraries that could; the format that says most of itself hides the others."""
    found = [SENTENCES] if sentence_transformers.fits(inside) else []
    if transformers.fits(inside) and (every or not found):
        found.append(TRANSFORMERS)
    if found and not every:
        return found
    return found + [name for name, library in BY_FILE.items() if library.files(inside)]


def _why(inside: Inside) -> str:
    pickled = [p for p, c in inside.by_path.items() if c.format in {"pickle", "torch", "joblib"}]
    if pickled:
        return (
            f"{pickled[0]} is a pickle, and loading one runs what it says; save the model as "
            "safetensors, ONNX, or with skops"
        )
    kinds = sorted({c.format for c in inside.by_path.values()})
    return f"its files are {', '.join(kinds) or 'texts'}"
