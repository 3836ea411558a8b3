"""From how an encoder was asked for to one that runs."""

from importlib.util import find_spec
from pathlib import Path

from herdbook.core.spaces import Encoder, EncoderSpec
from herdbook.encoders import functions, onnx, sentence_transformers
from herdbook.encoders.folders import Folder
from herdbook.errors import Invalid


def opened(
    spec: EncoderSpec, *, folder: Path | None = None, digest: str = "", key: str | None = None
) -> Encoder:
    """Open an encoder, and measure the space it embeds into.

    Args:
        spec: what it is.
        folder: the verified files of the version, where the source is `herdbook:…`.
        digest: of what runs: `sha256:…` of the version's manifest; left out for a function, that
            of its code.
        key: of an embedding service; left out, HERDBOOK_EMBEDDING_KEY of the environment.

    Raises:
        Invalid: it cannot be opened as it is asked for.
        NotFound: the files hold nothing that embeds.
        Refused: they could run code.
        MissingExtra: what runs them is not installed.
        HerdbookError: what the first embedding raises.
    """
    kind = spec.source.partition(":")[0]
    if kind == "python":
        return functions.opened(spec, digest=digest)
    if kind in {"http", "https"}:
        from herdbook.encoders import remote  # it waits for the HTTP client

        return remote.opened(spec, digest=digest, key=key)
    if folder is None:
        raise Invalid(
            f"{spec.source} is embedded with from its files, and none are given; pull the version "
            "first",
            field="encoder",
        )
    return _from_files(Folder(folder, f"{spec.model}:{spec.number}"), spec, digest)


def _from_files(folder: Folder, spec: EncoderSpec, digest: str) -> Encoder:
    """Choose by what is in the files; where they do for both, by what is installed.

    Both run the same weights, so that it makes no other space.
    """
    graph, weights = onnx.graph_of(folder), sentence_transformers.fits(folder)
    if graph and not (weights and find_spec("sentence_transformers")):
        return onnx.opened(folder, spec, digest=digest)
    if weights or folder.modules:
        return sentence_transformers.opened(folder, spec, digest=digest)
    folder.refuse_code()
    raise folder.missing(
        "neither model.safetensors nor model.onnx; register what sentence-transformers saves, or "
        "an ONNX export with its tokenizer.json"
    )
