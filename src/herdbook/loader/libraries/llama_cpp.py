"""GGUF, run by llama.cpp."""

from typing import Any, Final

from herdbook.core.extras import needs, telling
from herdbook.errors import Invalid
from herdbook.loader.inspecting import Inside

EXTRA: Final = "gguf"


def files(inside: Inside) -> list[str]:
    """Give the models in the folder."""
    return inside.of("gguf")


def load(inside: Inside, path: str, *, allow_executable: bool, **options: Any) -> Any:
    """Give a Llama; `n_ctx` and the like are its own options."""
    inside.refuse_executable(lambda each: each == path, allowed=allow_executable)
    with needs(EXTRA, "llama_cpp", what="a GGUF model"):
        import llama_cpp
    options.setdefault("verbose", False)
    with telling(str(inside.found.ref), "llama.cpp"):
        try:
            return llama_cpp.Llama(model_path=str(inside.found.folder / path), **options)
        except AssertionError as error:
            raise Invalid(
                f"{inside.found.ref}: llama.cpp cannot load {path}", field="ref"
            ) from error
