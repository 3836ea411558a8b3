"""Encoders that sentence-transformers runs: from files, without a network or foreign code."""

from pathlib import Path
from typing import Any, Final

from herdbook.core.extras import needs, telling
from herdbook.core.spaces import EncoderSpec, estimated_tokens
from herdbook.encoders.failures import blamed
from herdbook.encoders.folders import SAFE, Folder, joined
from herdbook.encoders.measuring import Measured
from herdbook.errors import Invalid

EXTRA: Final = "sentence-transformers"


def fits(folder: Folder) -> bool:
    """Whether the weights of a folder's model are there as safetensors."""
    return any(folder.has(joined(folder.body, name)) for name in SAFE)


def opened(folder: Folder, spec: EncoderSpec, *, digest: str) -> Measured:
    """Open a folder that sentence-transformers, or transformers, wrote.

    Pooling, prompts and normalisation are the files' own; where there is no `modules.json`, the
    tokens are pooled as `spec.pooling` says.

    Args:
        folder: with weights as safetensors.
        spec: how it was asked for.
        digest: of the version's manifest.

    Raises:
        Refused: its weights are a pickle, or its configuration imports code.
        Invalid: nothing says how to pool, or the library refuses the files.
        MissingExtra: sentence-transformers is not installed.
    """
    folder.refuse_code()
    if not folder.modules and not spec.pooling:
        raise Invalid(
            f"{folder.name} has no modules.json and does not say how it pools; say so with "
            "pooling='mean', 'cls' or 'max'",
            field="pooling",
        )
    prefix, query_prefix = folder.prefixes(spec)
    running = Sentences(_made(folder, spec), folder, spec)
    return Measured(running, spec, digest=digest, prefix=prefix, query_prefix=query_prefix)


def model(folder: Path, name: str, **options: Any) -> Any:
    """Give the SentenceTransformer of a folder.

    Args:
        folder: where its files are.
        name: what it is of, for messages.
        options: of the class.

    Raises:
        Invalid: the library refuses the files.
        MissingExtra: it, or what it asks for, is not installed.
    """
    library = _library()
    with telling(name, "sentence-transformers"):
        return library.SentenceTransformer(
            str(folder), local_files_only=True, trust_remote_code=False, **options
        )


def _library() -> Any:
    with needs(EXTRA, "sentence_transformers", "transformers", "torch", what="this model"):
        import sentence_transformers
    return sentence_transformers


def _made(folder: Folder, spec: EncoderSpec) -> Any:
    only_safe = {"use_safetensors": True}
    if folder.modules:
        return model(folder.path, folder.name, model_kwargs=only_safe)
    library = _library()
    kinds = library.sentence_transformer.modules
    options = {"local_files_only": True, "trust_remote_code": False}
    with telling(folder.name, "sentence-transformers"):
        body = kinds.Transformer(
            str(folder.path),
            model_kwargs=only_safe | options,
            config_kwargs=options,
            processor_kwargs=options,
            max_seq_length=folder.most_tokens() or None,
        )
        pooling = kinds.Pooling(body.get_embedding_dimension(), spec.pooling)
        return library.SentenceTransformer(modules=[body, pooling])


class Sentences:
    """Runs a SentenceTransformer over texts.

    Args:
        model: the SentenceTransformer.
        folder: it is of.
        spec: how it was asked for.
    """

    def __init__(self, model: Any, folder: Folder, spec: EncoderSpec) -> None:
        self._model, self._batch = model, spec.batch
        self.name = folder.name
        self.pooling = folder.pooling
        first = next(iter(model.parameters()), None)
        self.dtype = "" if first is None else str(first.dtype).rpartition(".")[2]

    def rows(self, texts: list[str], *, prefix: str) -> Any:
        """Give the vectors as they are; to normalise them is the caller's."""
        with blamed(self.name):
            return self._model.encode(
                texts,
                prompt=prefix,
                batch_size=self._batch,
                show_progress_bar=False,
                convert_to_numpy=True,
            )

    def tokens(self, texts: list[str], *, prefix: str) -> int:
        """Count the tokens that are run, or estimate them where it has no tokenizer."""
        full = [prefix + text for text in texts]
        tokenizer = getattr(self._model, "tokenizer", None)
        if not callable(tokenizer):
            return estimated_tokens(full)
        with blamed(self.name):
            found = tokenizer(full, truncation=True, max_length=self._model.max_seq_length)
            return sum(map(len, found["input_ids"]))
